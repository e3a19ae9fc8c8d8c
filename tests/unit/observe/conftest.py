"""What the tests of background questions share."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest


@pytest.fixture
def clock() -> list[float]:
    return [0.0]


@pytest.fixture
def closed_port() -> Iterator[int]:
    """Bound, so that nobody else gets it, and not listened to."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]

"""Chart tests need Helm, which the local cluster builds where it is not installed."""

from __future__ import annotations

import pytest
from tests.support.api_server import find_program


@pytest.fixture(scope="session", autouse=True)
def _helm() -> None:
    if find_program("helm") is None:
        pytest.skip("helm is not installed; `serin cluster up` builds it")

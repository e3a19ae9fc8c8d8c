"""Benches for the tests in this folder."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.unit.step.bench import Make, benches


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    (tmp_path / "keys").mkdir()
    async with benches(tmp_path / "keys") as bench:
        yield bench

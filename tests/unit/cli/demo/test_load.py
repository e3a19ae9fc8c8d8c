"""The load as its own process: it starts, counts, changes and ends with whoever started it."""

from __future__ import annotations

import asyncio
import sys

import pytest
from tests.unit.cli.demo.gateway import gateway

from serin_cli.demo.load import Load, LoadError


async def test_process_sends_counts_and_ends_with_all_labels() -> None:
    async with gateway() as heard:
        load = Load(heard.url, "digits.example.com", [[1, 2], [3, 4]], [7, 8], 500.0, label_delay=(0.0, 0.1))
        await asyncio.to_thread(load.start)
        load.change(rate=100.0)
        counted = await asyncio.to_thread(load.stop)
    assert counted.ready
    assert counted.failed == 0
    assert counted.arm("digits-a").labels_posted == counted.requests
    assert load.snapshot() == counted


async def test_gateway_that_leads_nowhere_is_told_in_time() -> None:
    load = Load("http://127.0.0.1:1", "h", [[1]], [1])
    with pytest.raises(LoadError, match="did not start"):
        await asyncio.to_thread(load.start, 0.5)


def test_what_its_process_said_last_is_in_the_error() -> None:
    load = Load("http://127.0.0.1:1", "h", [[1]], [1], wrap=lambda _: [sys.executable, "-c", "raise SystemExit('no')"])
    with pytest.raises(LoadError, match="no"):
        load.start()


@pytest.mark.parametrize(("rows", "labels"), [([], []), ([[1]], [1, 2])])
def test_rows_and_labels_must_match(rows: list[list[int]], labels: list[int]) -> None:
    with pytest.raises(ValueError, match="one label for each"):
        Load("http://127.0.0.1:1", "h", rows, labels)


def test_load_that_was_never_started_stops_at_once() -> None:
    assert Load("http://127.0.0.1:1", "h", [[1]], [1]).stop().requests == 0

"""Counts of the callers' side: quantiles, shares and the document between two processes."""

from __future__ import annotations

import msgspec
import pytest

from serin_cli.demo.counts import Arm, Counts, Durations, Snapshot


def test_quantiles_are_right_within_five_percent() -> None:
    durations = Durations()
    for milliseconds in range(1, 1001):
        durations.add(milliseconds / 1000)
    assert durations.quantile(0.5) == pytest.approx(0.5, rel=0.051)
    assert durations.quantile(0.99) == pytest.approx(0.99, rel=0.051)


def test_quantile_without_data_is_zero() -> None:
    assert Durations().quantile(0.99) == 0.0


def test_failed_requests_are_no_wrong_answers() -> None:
    assert Arm(requests=12, failures=2, correct=9).accuracy == pytest.approx(0.9)
    assert Arm(requests=2, failures=2).accuracy is None


def test_snapshot_sums_the_arms_and_survives_the_pipe() -> None:
    counts = Counts()
    counts.answered("a", 100.0, 0.01, correct=True)
    counts.answered("b", 101.0, 0.02, correct=False)
    counts.failed("b", 102.0, "HTTP 500 from b: oh")
    counts.feedback_failures = 1
    snapshot = counts.snapshot(103.0, 3.0, 0.1, ready=True)
    assert (snapshot.requests, snapshot.failures, snapshot.failed) == (3, 1, 2)
    assert (snapshot.arm("b").first_at, snapshot.arm("b").last_at) == (101.0, 102.0)
    assert snapshot.arm("never") == Arm()
    assert msgspec.json.decode(msgspec.json.encode(snapshot), type=Snapshot) == snapshot

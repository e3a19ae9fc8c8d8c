"""What runs a revision's model, as status tells it from what its pods told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.contract.observed import observation

from serin_contract.stats import PodStats
from serin_operator.decide import runtimes
from serin_operator.decide.observation import StatsAnswer


def told(runtime: Any, reason: str = "", revision: str = "m-1") -> StatsAnswer:
    return StatsAnswer("uid", revision, PodStats(revision, "uid", "now", runtime=runtime, runtime_reason=reason))


SILENT = StatsAnswer("uid", "m-1", None, "it did not answer")
OTHER = told("skops", "another revision's", "m-2")

ROWS: dict[str, tuple[tuple[StatsAnswer, ...], dict[str, Any]]] = {
    "no pod was asked: what stood before stays": ((), {}),
    "a pod that gave no answer tells nothing": ((SILENT,), {}),
    "nor does one of an earlier version": ((told(None),), {}),
    "nor one of another revision": ((OTHER,), {}),
    "a compiled model needs no reason": ((told("onnx"), SILENT), {"runtime": "onnx", "runtime_reason": None}),
    "one that is not says why": (
        (told("skops", "skl2onnx cannot"),), {"runtime": "skops", "runtime_reason": "skl2onnx cannot"}
    ),
    "one slow pod speaks for all": (
        (told("onnx"), told("skops", "it failed")), {"runtime": "skops", "runtime_reason": "it failed"}
    ),
    "a long reason is cut to what status holds": (
        (told("skops", "x" * 5000),), {"runtime": "skops", "runtime_reason": "x" * 1024}
    ),
}  # fmt: skip


@pytest.mark.parametrize("sentence", ROWS)
def test_the_runtime(sentence: str) -> None:
    answers, expected = ROWS[sentence]
    assert runtimes.told(replace(observation(), stats=answers), "m-1") == expected

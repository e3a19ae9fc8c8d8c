"""The live view, drawn from a status as the API server gives it."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from serin_cli.demo import view
from serin_cli.demo.counts import Arm, Snapshot
from serin_cli.demo.state import State, read_state

OBJECT: dict[str, Any] = {
    "metadata": {"name": "digits", "generation": 3},
    "status": {
        "observedGeneration": 3,
        "phase": "Progressing",
        "message": "step 2 of 3 at 25 %, 9s left",
        "conditions": [{"type": "Promoted", "status": "False", "observedGeneration": 3}],
        "stable": {"revision": "digits-aaa", "weight": 75},
        "candidate": {
            "revision": "digits-bbb",
            "weight": 25,
            "step": 1,
            "cohort": "digits-bbb.2.ff",
            "stepStartedAt": "2026-01-01T00:00:00Z",
        },
        "gates": [
            {
                "name": "accuracy",
                "mode": "Enforce",
                "verdict": "NotYet",
                "reason": "NotProven",
                "message": "…",
                "value": 0.991,
                "reference": 0.964,
                "bound": 0.031,
                "limit": 0.02,
                "samples": 412.0,
                "needed": 1650.0,
                "log10E": -0.42,
            },
            {"name": "errorRate", "mode": "Enforce", "verdict": "Pass", "reason": "r", "message": "m"},
        ],
        "lastRollback": {"from": "digits-old", "to": "digits-aaa", "gate": "accuracy", "evidence": "e", "time": "t"},
    },
}
COUNTED = Snapshot(
    requests=2000,
    arms={
        "digits-aaa": Arm(requests=1800, correct=1700, p50_ms=4.2, p99_ms=18.0, labels_posted=1500),
        "digits-bbb": Arm(requests=200, failures=1, correct=198, p50_ms=4.5, p99_ms=21.0, labels_posted=150),
    },
)
NAMES = {"digits-aaa": "v1", "digits-bbb": "v2"}


def drawn(state: State, counted: Snapshot = COUNTED) -> str:
    file = io.StringIO()
    Console(file=file, width=120, color_system=None).print(view.render("v2", state, counted, NAMES, [0, 5, 25]))
    return file.getvalue()


def test_view_shows_phase_split_gates_and_callers() -> None:
    text = drawn(read_state(OBJECT))
    for words in (
        "Progressing, step 2",
        "digits-aaa 75 % | digits-bbb 25 %",
        "step 2 of 3 at 25 %, 9s left",
        "v2 digits-bbb",
    ):
        assert words in text
    gate = next(line for line in text.splitlines() if "accuracy" in line)
    assert gate.split()[1:-1] == ["accuracy", "0.991", "0.964", "0.031", "0.020", "412", "1,650", "-0.42", "NotYet"]
    arm = next(line for line in text.splitlines() if "v1 digits-aaa" in line)
    assert arm.split()[1:-1] == ["v1", "digits-aaa", "1,800", "0", "94.4%", "4", "ms", "18", "ms", "1,500", "0"]


def test_view_of_an_object_without_status() -> None:
    state = read_state({"metadata": {"generation": 1}})
    assert not state.current
    assert "nothing answers yet" in drawn(state, Snapshot())


def test_the_last_word_on_an_earlier_spec_is_not_current() -> None:
    document = {"metadata": {"generation": 2}, "status": {"observedGeneration": 2, "phase": "Stable"}}
    assert read_state(document, applied=2).current
    assert not read_state(document, applied=3).current


def test_nothing_read_yet_is_not_current() -> None:
    assert not read_state({}).current


def test_line_names_revisions_as_people_do() -> None:
    line = view.line(read_state(OBJECT), COUNTED, NAMES)
    assert line == (
        "Progressing, step 2 · v1 75 % | v2 25 % · accuracy NotYet 0.991 vs 0.964 · errorRate Pass · "
        "2000 requests, 0 failed · step 2 of 3 at 25 %, 9s left"
    )


def test_line_is_new_only_where_something_but_numbers_changed() -> None:
    later = {**OBJECT, "status": {**OBJECT["status"], "message": "step 2 of 3 at 25 %, 3s left"}}
    assert view.changed(read_state(OBJECT)) == view.changed(read_state(later))
    other = {**OBJECT, "status": {**OBJECT["status"], "phase": "Holding"}}
    assert view.changed(read_state(OBJECT)) != view.changed(read_state(other))


@pytest.mark.parametrize(("weight", "block"), [(0, " "), (1, "▁"), (5, "▁"), (50, "▄"), (100, "█")])
def test_bar_shows_every_weight_above_zero(weight: int, block: str) -> None:
    assert view.bar([weight], 1) == block


def test_bar_keeps_the_newest() -> None:
    assert view.bar([100, 0, 5, 50], 3) == " ▁▄"
    assert view.bar([50], 3) == "  ▄"


@pytest.mark.parametrize(
    ("condition", "promoted"),
    [
        ({"type": "Promoted", "status": "True", "observedGeneration": 3}, True),
        ({"type": "Promoted", "status": "True", "observedGeneration": 2}, False),
        ({"type": "Ready", "status": "True", "observedGeneration": 3}, False),
    ],
)
def test_promoted_speaks_of_the_latest_spec_only(condition: dict[str, Any], promoted: bool) -> None:
    state = read_state({"metadata": {"generation": 3}, "status": {"conditions": [condition]}})
    assert state.promoted is promoted

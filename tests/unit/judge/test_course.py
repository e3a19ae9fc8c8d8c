"""How the evidence went is kept in few points, whatever a trial's length, and survives a restart."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.quick import slow

from serin_operator.api.deployment import GateStatus
from serin_operator.decide.judge import course
from serin_operator.decide.judge import evidence as evidences
from serin_operator.decide.judge.course import NO_COURSE, POINTS_MAX, SPACING_SECONDS, Course


def gates(**log10_e: float | None) -> list[GateStatus]:
    return [
        GateStatus(name=name, mode="Enforce", verdict="NotYet", reason="NotProven", message="m", log10_e=value)
        for name, value in log10_e.items()
    ]


def lived(looks: int, seconds: float = 1.0) -> Course:
    found = NO_COURSE
    for look in range(looks):
        found = course.grown(found, look * seconds, gates(accuracy=0.01 * look))
    return found


@pytest.mark.parametrize("looks", [1, 2, 50, 500, 5_000, slow(50_000)])
def test_first_and_last_are_there_and_those_between_lie_evenly(looks: int) -> None:
    found = lived(looks)
    assert len(found.points) <= POINTS_MAX
    assert len(found.points) > POINTS_MAX / 2 or looks <= POINTS_MAX * SPACING_SECONDS
    assert found.points[0].log10_e == {"accuracy": 0.0}
    assert found.points[-1].at == looks - 1
    assert found.points[-1].log10_e == {"accuracy": pytest.approx(0.01 * (looks - 1))}
    gaps = [b.at - a.at for a, b in pairwise(found.points[:-1])]
    assert all(found.spacing_seconds <= gap <= 2 * found.spacing_seconds for gap in gaps)


def test_evidence_that_stands_adds_no_point() -> None:
    found = lived(3)
    assert course.grown(found, 100.0, gates(accuracy=0.0201)) is found, "it is rounded to 3 digits"
    assert course.grown(found, 100.0, gates(accuracy=None)) is found
    assert course.grown(NO_COURSE, 1.0, []) is NO_COURSE


def test_a_clock_that_goes_back_does_not_turn_the_course() -> None:
    found = course.grown(lived(10), 3.0, gates(accuracy=5.0))
    assert (found.points[-1].at, found.points[-1].log10_e) == (9.0, {"accuracy": 5.0})


numbers = st.floats(-300, 300)


@given(st.lists(st.tuples(st.floats(0, 1e7), st.dictionaries(st.sampled_from("abc"), numbers)), max_size=200))
def test_a_course_is_bounded_and_comes_back_from_its_dump(looks: list[tuple[float, dict[str, float]]]) -> None:
    found = NO_COURSE
    for now, values in looks:
        found = course.grown(found, now, gates(**values))
    assert len(found.points) <= POINTS_MAX
    dumped = course.dump(found)
    assert course.restore(json.loads(json.dumps(dumped)).get("course")) == found


def test_evidence_that_knows_no_course_is_still_read() -> None:
    evidence = replace(evidences.start("c", "s"), course=lived(500))
    dumped = evidences.dump(evidence)
    assert evidences.restore(json.loads(json.dumps(dumped)), "c", "s") == evidence
    assert len(json.dumps(dumped["course"])) < 4000
    old = {name: value for name, value in dumped.items() if name != "course"}
    assert evidences.restore(old, "c", "s") == replace(evidence, course=NO_COURSE)


BROKEN = [
    ("no mapping", [1]),
    ("times that fall", {"gates": ["a"], "spacing": 2.0, "points": [[2.0, 1.0], [1.0, 1.0]]}),
    ("too many points", {"gates": [], "spacing": 2.0, "points": [[float(at)] for at in range(POINTS_MAX + 1)]}),
    ("a number that is none", {"gates": ["a"], "spacing": 2.0, "points": [[1.0, float("nan")]]}),
    ("a row that is too short", {"gates": ["a", "b"], "spacing": 2.0, "points": [[1.0, 1.0]]}),
    ("a spacing of 0", {"gates": ["a"], "spacing": 0.0, "points": [[1.0, 1.0]]}),
]


@pytest.mark.parametrize("document", [row[1] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_a_course_that_cannot_be_read_costs_no_count(document: object) -> None:
    dumped = evidences.dump(replace(evidences.start("c", "s"), refused=7))
    assert evidences.restore({**dumped, "course": document}, "c", "s").refused == 7
    assert course.restore(document) == NO_COURSE

"""Evidence as JSON values and back: all of it or nothing, so that no count enters an e-value twice."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from serin_operator.decide.judge import binned_saved, course, shadowed, tallied_saved
from serin_operator.decide.judge.sums import ArmCounts, CohortEvidence, Counters, Evidence, PodMemory, start
from serin_operator.decide.policy import ACCURACY, ERROR_RATE

DUMP_FORMAT = 3
"""Another format is not read: the e-values then begin at 1, and the first answers bring the sums back."""


def dump(evidence: Evidence) -> dict[str, Any]:
    """The evidence as JSON values, cohorts named once and then by their place in the list."""
    names = {name: place for place, name in enumerate(evidence.cohorts)}
    for memory in evidence.pods.values():
        for name in memory.counters:
            names.setdefault(name, len(names))
    return {
        "format": DUMP_FORMAT,
        "candidate": evidence.candidate,
        "stable": evidence.stable,
        "names": list(names),
        "cohorts": [_dump_cohort(cohort) for cohort in evidence.cohorts.values()],
        "pods": {
            uid: [
                memory.started_at,
                list(memory.ended),
                [[names[name], *counters] for name, counters in memory.counters.items()],
            ]
            for uid, memory in evidence.pods.items()
        },
        "ring": [list(sample) for sample in evidence.ring],
        "shadow": shadowed.dump(evidence.shadow),
        **binned_saved.dump(evidence.bins),
        **tallied_saved.dump(evidence.tallies),
        **course.dump(evidence.course),
        "refused": evidence.refused,
    }


def _dump_cohort(cohort: CohortEvidence) -> list[Any]:
    arms = (cohort.candidate, cohort.stable)
    counts = [value for arm in arms for value in _dump_arm(arm)]
    log_e = (cohort.log_e.get(ACCURACY, 0.0), cohort.log_e.get(ERROR_RATE, 0.0))
    others = {name: value for name, value in cohort.log_e.items() if name not in (ACCURACY, ERROR_RATE)}
    return [cohort.opened_at, *log_e, cohort.disturbed, *counts, others]


def _dump_arm(arm: ArmCounts) -> tuple[float, ...]:
    return (
        arm.requests, arm.errors, arm.predictions, arm.labelled, arm.correct, arm.callers, arm.connections,
    )  # fmt: skip


def restore(document: Mapping[str, Any] | None, candidate: str, stable: str) -> Evidence:
    """The evidence of a dump of this pair; a new start where there is none or it cannot be read.

    After a new start in mid-trial the first `absorb` takes what the pods hold now as its first block, not
    as a baseline to subtract: their counters are all predictions of the cohort, made under its split, so
    every sum and estimate is right again (but for pods that are gone). The e-process loses its past and begins
    at 1: nothing was known before the first block, so nothing is bet on it but what bins always stake on a
    gross shift. Either way no count enters one e-value twice. A baseline would be as valid and throw the labels away.
    """
    try:
        if document is None or document["format"] != DUMP_FORMAT:
            return start(candidate, stable)
        if (document["candidate"], document["stable"]) != (candidate, stable):
            return start(candidate, stable)
        return _restored(document)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError):
        return start(candidate, stable)


def _restored(document: Mapping[str, Any]) -> Evidence:
    names = [str(name) for name in document["names"]]
    pods = {}
    for uid, (started_at, ended, rows) in document["pods"].items():
        counters = {names[int(row[0])]: _nine(row[1:]) for row in rows}
        pods[str(uid)] = PodMemory(str(started_at), counters, tuple(str(start) for start in ended))
    ring = [_finite(sample, 3) for sample in document["ring"]]
    if ring != sorted(ring):
        raise ValueError("the ring does not rise")
    return Evidence(
        candidate=str(document["candidate"]),
        stable=str(document["stable"]),
        cohorts={
            name: _restored_cohort(row)
            for name, row in zip(names[: len(document["cohorts"])], document["cohorts"], strict=True)
        },
        pods=pods,
        ring=tuple((at, c, s) for at, c, s in ring),
        shadow=shadowed.restore(document["shadow"]),
        bins=binned_saved.restore(document.get("bins")),
        tallies=tallied_saved.restore(document.get("tallies")),
        course=course.restore(document.get("course")),
        refused=int(document["refused"]),
    )


def _restored_cohort(values: list[Any]) -> CohortEvidence:
    row, others = _finite(values[:18], 18), {str(name): float(value) for name, value in values[18].items()}
    if not all(math.isfinite(value) for value in others.values()):
        raise ValueError("not the numbers that a dump holds")
    if min(row[3:]) < 0.0:
        raise ValueError("a sum is negative")
    return CohortEvidence(
        opened_at=row[0],
        candidate=ArmCounts(*row[4:11]),
        stable=ArmCounts(*row[11:18]),
        log_e={ACCURACY: row[1], ERROR_RATE: row[2], **others},
        disturbed=row[3],
    )


def _finite(values: Iterable[Any], count: int) -> list[float]:
    """That many finite numbers."""
    numbers = [float(value) for value in values]
    if len(numbers) != count or not all(math.isfinite(number) for number in numbers):
        raise ValueError("not the numbers that a dump holds")
    return numbers


def _nine(values: list[Any]) -> Counters:
    a, b, c, d, e, f, g, h, i = _finite(values, 9)
    return a, b, c, d, e, f, g, h, i

"""Tallies as JSON values and back: packed, since most of their numbers are small or 0."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from serin_operator.decide.judge.bin_formulas import Floats
from serin_operator.decide.judge.packed import Reader, pack, unpack
from serin_operator.decide.judge.tallied import NO_TALLIES, CohortTally, PodTally, TallyEvidence

PACKED_CHARS_MAX = 200_000
"""Above it nothing of the tallies is kept: their e-values then begin at 1 again after a restart, which is as valid."""


def dump(tallies: TallyEvidence) -> dict[str, Any]:
    """As JSON values under `tallies`; nothing where there is nothing to keep, or too much."""
    if tallies == NO_TALLIES:
        return {}
    vectors: list[Floats] = []
    names = {name: place for place, name in enumerate(tallies.cohorts)}

    def noted(key: list[Any], vector: Floats) -> list[Any]:
        vectors.append(vector)
        return [*key, len(vector)]

    cohorts = [
        [
            cohort.opened_at,
            dict(cohort.log_e),
            [
                noted([arm, kind], found)
                for arm, kinds in (("candidate", cohort.candidate), ("stable", cohort.stable))
                for kind, found in kinds.items()
            ],
        ]
        for cohort in tallies.cohorts.values()
    ]
    pods = {
        uid: [
            pod.started_at,
            list(pod.ended),
            [noted([names.setdefault(name, len(names)), key], found) for (name, key), found in pod.arrays.items()],
        ]
        for uid, pod in tallies.pods.items()
    }
    packed = pack(np.concatenate([np.zeros(0), *vectors]).view(np.int64))
    if len(packed) > PACKED_CHARS_MAX:
        return {}
    return {
        "tallies": {
            "names": list(names),
            "cohorts": cohorts,
            "pods": pods,
            "refused": tallies.refused,
            "numbers": packed,
        }
    }


def restore(document: Mapping[str, Any] | None) -> TallyEvidence:
    """From a dump; nothing where there is none.

    Raises:
        KeyError, TypeError, ValueError: it is none.
    """
    if document is None:
        return NO_TALLIES
    numbers = unpack(document["numbers"])
    names = [str(name) for name in document["names"]]
    cohorts = {
        name: _cohort(row, numbers)
        for name, row in zip(names[: len(document["cohorts"])], document["cohorts"], strict=True)
    }
    pods = {
        str(uid): PodTally(
            str(started_at),
            tuple(str(start) for start in ended),
            {(names[int(place)], str(key)): numbers.take_floats(int(size)) for place, key, size in rows},
        )
        for uid, (started_at, ended, rows) in document["pods"].items()
    }
    numbers.finish()
    return TallyEvidence(cohorts, pods, int(document["refused"]))


def _cohort(row: list[Any], numbers: Reader) -> CohortTally:
    opened_at, log_e, rows = row
    arms: dict[str, dict[str, Floats]] = {"candidate": {}, "stable": {}}
    for arm, kind, size in rows:
        arms[str(arm)][str(kind)] = numbers.take_floats(int(size))
    factors = {str(gate): float(value) for gate, value in log_e.items()}
    if not all(math.isfinite(value) for value in (float(opened_at), *factors.values())):
        raise ValueError("not the numbers that a dump holds")
    return CohortTally(float(opened_at), arms["candidate"], arms["stable"], factors)

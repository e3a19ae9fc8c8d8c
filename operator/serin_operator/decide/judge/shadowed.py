"""Shadow traffic as evidence: how often the candidate answered as stable did, on the very same requests."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from serin_contract.stats import PodStats, ShadowCounts

Counters = tuple[float, float, float, float, float, float]
"""compared, agreed, received, failed, sent, dropped."""
NO_COUNTERS: Counters = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)

PREFIX = "shadow."
"""Shadow cohorts are named apart: no caller is split under one, so no gate on callers' requests reads them."""


@dataclass(frozen=True)
class ShadowEvidence:
    """Sums over all shadow cohorts of one trial, and what was last added of each pod."""

    sums: Counters = NO_COUNTERS
    pods: Mapping[str, tuple[str, Mapping[str, Counters]]] = field(default_factory=dict)
    """By pod UID: the start of its process, and by cohort the counters of that start that were added."""

    @property
    def compared(self) -> float:
        """Σ 1/m over mirrored rows that stable answered: those that the candidate could not answer included."""
        return self.sums[0]

    @property
    def agreed(self) -> float:
        """Σ 1/m over rows with the same answer."""
        return min(self.sums[1], self.sums[0])

    @property
    def failed(self) -> float:
        """Requests that the candidate could not answer and stable could."""
        return self.sums[3]

    @property
    def sent(self) -> float:
        """Requests that stable's pods sent and the candidate took."""
        return self.sums[4]

    @property
    def dropped(self) -> float:
        """Requests that were to be copied and were not: they tell nothing."""
        return self.sums[5]


NO_SHADOW = ShadowEvidence()


def cohort_name(candidate: str, number: int, nonce: str) -> str:
    """A shadow cohort's name."""
    return f"{PREFIX}{candidate}.{number}.{nonce}"


def absorb(evidence: ShadowEvidence, candidate: str, answers: Iterable[PodStats]) -> ShadowEvidence:
    """Add what the pods counted since they were last asked; a counter that fell or cannot be adds nothing."""
    pods = dict(evidence.pods)
    sums = evidence.sums
    for stats in sorted(answers, key=lambda answer: answer.pod_uid):
        started_at, counted = pods.get(stats.pod_uid, ("", {}))
        known = dict(counted) if started_at == stats.started_at else {}
        for name, cohort in stats.cohorts.items():
            if cohort.shadow is None or not name.startswith(f"{PREFIX}{candidate}."):
                continue
            now = _counters(cohort.shadow)
            grown = _grown(now, known.get(name, NO_COUNTERS))
            if grown is not None:
                sums, known[name] = _plus(sums, grown), now
        if known:
            pods[stats.pod_uid] = (stats.started_at, known)
    grown_evidence = ShadowEvidence(sums, pods)
    return evidence if grown_evidence == evidence else grown_evidence


def dump(evidence: ShadowEvidence) -> dict[str, Any]:
    """As JSON values."""
    return {
        "sums": list(evidence.sums),
        "pods": {
            uid: [started_at, {name: list(counters) for name, counters in counted.items()}]
            for uid, (started_at, counted) in evidence.pods.items()
        },
    }


def restore(document: Mapping[str, Any]) -> ShadowEvidence:
    """From a dump.

    Raises:
        KeyError, TypeError, ValueError: it is none.
    """
    pods = {
        str(uid): (str(started_at), {str(name): _six(row) for name, row in counted.items()})
        for uid, (started_at, counted) in document["pods"].items()
    }
    return ShadowEvidence(_six(document["sums"]), pods)


def _counters(shadow: ShadowCounts) -> Counters:
    return (
        shadow.compared, shadow.agreed, float(shadow.received), float(shadow.failed),
        float(shadow.sent), float(shadow.dropped),
    )  # fmt: skip


def _grown(now: Counters, last: Counters) -> Counters | None:
    grown = _six(a - b for a, b in zip(now, last, strict=True))
    possible = all(math.isfinite(value) and value >= -1e-6 for value in grown) and grown[1] <= grown[0] + 1e-6
    return grown if possible else None


def _plus(a: Counters, b: Counters) -> Counters:
    return _six(x + y for x, y in zip(a, b, strict=True))


def _six(values: Iterable[Any]) -> Counters:
    a, b, c, d, e, f = (float(value) for value in values)
    if not all(math.isfinite(value) for value in (a, b, c, d, e, f)):
        raise ValueError("not the numbers that a dump holds")
    return a, b, c, d, e, f

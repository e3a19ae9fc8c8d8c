"""The latency gate: requests that were answered later than `max`, as a share that may be 1 − `quantile`.

A slow request is to this gate what a failed one is to the error rate: Fail where the share is above the limit and the
candidate is provably slower than stable, so a slow machine under both blames nobody. Pods tell times in buckets. For
a Fail a request is slow only if its whole bucket is; for a Pass it is slow if any of its bucket is. Where `max` is
one of the bounds, both are the same.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from serin_contract.stats import LATENCY_BOUNDS_SECONDS
from serin_operator.decide.gate_policies import LATENCY, LatencyPolicy
from serin_operator.decide.judge import formulas, tallied
from serin_operator.decide.judge.bin_formulas import Floats
from serin_operator.decide.judge.findings import PASS_ERROR, Finding
from serin_operator.decide.judge.look import Look
from serin_operator.decide.judge.rates import Question, judge_rate
from serin_operator.decide.judge.reasons import GateReason
from serin_operator.decide.judge.sums import ArmCounts, CohortEvidence, Evidence

LOG_E_INTERVAL = -math.log(PASS_ERROR / 2.0)
REASONS = {
    GateReason.WorseThanStable: GateReason.SlowerThanStable,
    GateReason.NoWorseThanStable: GateReason.NoSlowerThanStable,
}


def judge_latency(look: Look, gate: LatencyPolicy) -> Finding:
    """The verdict on the time to answer; value, reference, bound and limit are in seconds."""
    question = Question(LATENCY, 1.0 - gate.quantile, f"share slower than {gate.max_seconds * 1000:g} ms")
    surely = _slow(look.evidence, tallied.first_slow(gate.max_seconds))
    finding = judge_rate(replace(look, evidence=surely), question)
    if finding.verdict != "Fail" and gate.max_seconds not in LATENCY_BOUNDS_SECONDS:
        maybe = _slow(look.evidence, tallied.first_slow(gate.max_seconds) - 1)
        lenient = judge_rate(replace(look, evidence=maybe), question)
        # What may have been slow is no proof against the candidate, and only what surely was not is one for it.
        finding = lenient if lenient.verdict != "Fail" else finding
    return _in_seconds(finding, look.evidence, gate)


def _slow(evidence: Evidence, first: int) -> Evidence:
    """The evidence with requests in that bucket and above as its errors."""

    def counts(vectors: tallied.Vectors) -> ArmCounts:
        times = tallied.vector(vectors, tallied.TIMES).tolist()
        return ArmCounts(requests=math.fsum(times), errors=math.fsum(times[first:]))

    cohorts = {
        name: CohortEvidence(
            tally.opened_at,
            counts(tally.candidate),
            counts(tally.stable),
            {LATENCY: tally.log_e.get(LATENCY, 0.0)},
        )
        for name, tally in evidence.tallies.cohorts.items()
    }
    return Evidence(evidence.candidate, evidence.stable, cohorts)


def _in_seconds(finding: Finding, evidence: Evidence, gate: LatencyPolicy) -> Finding:
    candidate = _together(evidence, lambda tally: tally.candidate)
    stable = _together(evidence, lambda tally: tally.stable)
    value, reference = quantile_seconds(candidate, gate.quantile), quantile_seconds(stable, gate.quantile)
    low, high = interval_seconds(candidate, gate.quantile)
    said = ""
    if value is not None and reference is not None:
        between = f"{_ms(low)} to {_ms(high)}" if high is not None else f"{_ms(low)} or more"
        said = f"{gate.quantile * 100:g} % within {_ms(value)} ({between}), stable within {_ms(reference)}; "
    return replace(
        finding,
        reason=REASONS.get(finding.reason, finding.reason),
        message=f"{said}{finding.message}",
        value=value,
        reference=reference,
        bound=high,
        limit=gate.max_seconds,
    )


def _together(evidence: Evidence, arm: Callable[[tallied.CohortTally], tallied.Vectors]) -> Floats:
    tallies = evidence.tallies.cohorts.values()
    return sum((tallied.vector(arm(tally), tallied.TIMES) for tally in tallies), np.zeros(tallied.SIZES[tallied.TIMES]))


def quantile_seconds(times: Floats, quantile: float) -> float | None:
    """The bound below which that share of the requests was answered; the last one where none is, None without any."""
    total = float(times.sum())
    if total <= 0.0:
        return None
    place = int(np.searchsorted(np.cumsum(times), quantile * total, side="left"))
    return LATENCY_BOUNDS_SECONDS[min(place, len(LATENCY_BOUNDS_SECONDS) - 1)]


def interval_seconds(times: Floats, quantile: float) -> tuple[float, float | None]:
    """Bounds between which the quantile lies, at all looks together but for PASS_ERROR; None above the last one.

    The quantile is at most b where a share within b of less than `quantile` is excluded, and above b where one of
    more is: the test of one proportion, inverted at every bound.
    """
    total = float(times.sum())
    within = np.cumsum(times)[:-1].tolist()
    # Both tests turn once at most, since more requests lie within each bound than within the one before it.
    above = bisect_left(within, True, key=lambda fast: not _excluded(fast, total, quantile))
    below = bisect_left(within, True, key=lambda fast: _excluded(total - fast, total, 1.0 - quantile))
    low = LATENCY_BOUNDS_SECONDS[above - 1] if above else 0.0
    return low, LATENCY_BOUNDS_SECONDS[below] if below < len(within) else None


def _excluded(hits: float, n: float, limit: float) -> bool:
    """Whether a share of hits of `limit` or more is excluded."""
    return formulas.below_log_e(hits, n, limit) >= LOG_E_INTERVAL


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:g} ms"

"""What both statistical gates share: the shape of an answer, and the limits of what counts as enough."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from serin_operator.api.deployment import FeatureStatus
from serin_operator.decide.judge import formulas
from serin_operator.decide.judge.formulas import LN10
from serin_operator.decide.judge.reasons import GateReason

PASS_ERROR = 0.05
"""Chance, over all looks, that a gate passes a candidate whose loss is at its limit or beyond.

Promotion asks every gate for a Pass, so a bad candidate must slip past the one gate that it offends: the
chance is this one however many gates there are, and is not shared between them.
"""
COHORT_SAMPLES_MIN = 30.0
"""A Pass rests on this many samples of each arm in the current cohort, so on the present weight as well."""
FEATURES_SHOWN = 5
"""In status, the worst first."""
SAMPLES_MIN = 100.0
"""A confidence sequence is asymptotic: below this many samples of each arm in all it is not trusted."""

Verdict = Literal["Pass", "Fail", "NotYet", "NoData", "Error"]


@dataclass(frozen=True)
class Finding:
    """One gate's answer before it gets its name, mode and time. Units as in GateStatus."""

    verdict: Verdict
    reason: GateReason
    message: str
    value: float | None = None
    reference: float | None = None
    bound: float | None = None
    limit: float | None = None
    samples: float | None = None
    needed: float | None = None
    log10_e: float | None = None
    budget: float | None = None
    smallest_drop: float | None = None
    features: tuple[FeatureStatus, ...] = ()
    breaches: int | None = None
    checked_at: str | None = None


def log10_needed(share: float) -> float:
    """The log10 of the evidence that a share of the budget asks for; infinite where there is no share."""
    return -math.log10(share) if share > 0.0 else math.inf


def log10(log_e: float) -> float:
    """From natural log."""
    return max(log_e, formulas.LOG_SMALLEST) / LN10


def ten_to(exponent: float) -> str:
    """Evidence as a power of ten, in words."""
    return f"10^{round(exponent, 1) + 0.0:.1f}"


def evidence_words(log10_e: float, share: float) -> str:
    """How much evidence of a loss there is, and how much the budget asks for."""
    if share <= 0.0:
        return f"evidence {ten_to(log10_e)}, and the gate holds no budget in this trial"
    return f"evidence {ten_to(log10_e)} of {ten_to(log10_needed(share))} needed"


def highest_loss(difference: formulas.Difference | None, limit: float, level: float) -> float | None:
    """D + h: the largest loss that the confidence sequence, tuned to the limit, does not exclude."""
    if difference is None:
        return None
    return difference.drop + formulas.half_width(difference.information, formulas.tau(limit, level), level)


def smallest_drop(difference: formulas.Difference | None, share: float) -> float | None:
    """The smallest loss that the traffic so far could have revealed, at the gate's share of the budget.

    The half-width of the confidence sequence with τ tuned to the present information I, its narrowest:
    √((r+1)/I) with r of `formulas.best_ratio`. The e-process that decides needs about as much.
    """
    if difference is None or share <= 0.0:
        return None
    return min(1.0, math.sqrt((formulas.best_ratio(share) + 1.0) / difference.information))


def samples_needed(difference: formulas.Difference, samples: float, limit: float, level: float) -> float | None:
    """Candidate samples until D + h < limit, if rates and split stay; None where they never do."""
    gap = limit - difference.drop
    if gap <= 0.0 or samples <= 0.0:
        return None
    information = formulas.information_for(gap, formulas.tau(limit, level), level)
    needed = samples * information / difference.information
    return max(SAMPLES_MIN, float(math.ceil(needed))) if math.isfinite(needed) else None


@lru_cache(maxsize=256)
def samples_to_exclude(rate: float, limit: float, log_e: float) -> float | None:
    """Samples until a rate of `limit` or more is excluded if the rate stays; None where it never is."""
    if rate >= limit:
        return None
    low, high = 0.0, SAMPLES_MIN
    while formulas.below_log_e(rate * high, high, limit) < log_e and high < 1e9:
        low, high = high, 2.0 * high
    while high - low > 0.01 * high:
        middle = 0.5 * (low + high)
        low, high = (middle, high) if formulas.below_log_e(rate * middle, middle, limit) < log_e else (low, middle)
    return float(math.ceil(high))


def smallest_share(samples: float, limit: float, log_e: float) -> float | None:
    """The smallest share of bad ones that so many samples could have proven to lie above `limit`.

    Args:
        samples: how many there are.
        limit: share that is acceptable.
        log_e: natural log of the evidence that the proof must reach.

    Returns:
        A share above `limit`; None where not even all of them being bad would prove it.
    """
    if samples <= 0.0 or formulas.below_log_e(0.0, samples, 1.0 - limit) < log_e:
        return None
    low, high = limit, 1.0
    for _ in range(20):
        middle = 0.5 * (low + high)
        enough = formulas.below_log_e(samples * (1.0 - middle), samples, 1.0 - limit) >= log_e
        low, high = (low, middle) if enough else (middle, high)
    return high


def too_few(candidate: float, stable: float, candidate_all: float, stable_all: float) -> bool:
    """Whether an arm has too few samples for a Pass, in the current cohort or in all."""
    return min(candidate, stable) < COHORT_SAMPLES_MIN or min(candidate_all, stable_all) < SAMPLES_MIN


def points(loss: float) -> str:
    """A loss in percentage points, in words."""
    return f"{abs(loss) * 100:.1f} points {'lower' if loss > 0 else 'higher'}"

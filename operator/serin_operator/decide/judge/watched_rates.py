"""The gates of a watch that ask for a mean within a limit: labels against what was proven, requests against `max`.

Each label or request gives a loss from 0 to 1, whose mean is to stay at its limit or below. Fail: a window's mean is
beyond the limit, and its e-process says so at the part of `falseAlarmsPerYear` that the window may spend.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from serin_operator.decide import timestamps
from serin_operator.decide.gate_policies import (
    ERROR_RATE,
    AccuracyPolicy,
    ErrorRatePolicy,
    LatencyPolicy,
    RegressionErrorPolicy,
)
from serin_operator.decide.judge import formulas
from serin_operator.decide.judge.findings import Finding, log10, smallest_share, ten_to
from serin_operator.decide.judge.reasons import GateReason
from serin_operator.decide.judge.tallied import first_slow
from serin_operator.decide.judge.watched_formulas import Proof, log_needed, loss_log_e, strongest
from serin_operator.decide.judge.watched_look import WatchLook
from serin_operator.decide.judge.watched_trail import Block, Sums, Trail

LIKELY = 0.5
"""A window beyond the limit is told of once it holds this part of the evidence, as a power of ten, that alarms."""

RECENT_SECONDS = 30.0
LOG_E_OVER = math.log(20.0)
"""A loss at the limit looks so far within it in the last half minute with a chance of 1 in 20 at most. The bound that
is shown excludes a larger loss by as much."""

Losses = Callable[[Sums], tuple[float, float]]
"""From the sums of a window: Σ loss, and the number of samples."""


@dataclass(frozen=True)
class _Question:
    """What is asked of every window of a trail."""

    trail: Trail
    losses: Losses
    limit: float
    """Of the mean loss, at most 1."""
    show: Callable[[float], float]
    """From a mean loss to what the gate speaks of, and back."""
    what: str
    """Noun of the value."""
    samples: str
    """Noun of the samples."""
    reason: GateReason
    """Of a Fail."""
    proven: float | None = None


def judge_accuracy(look: WatchLook, gate: AccuracyPolicy) -> Finding:
    """Accuracy against the larger of `min` and what was proven less `maxDrop`.

    Labels of wrong predictions may come first, so labels that are short of `minLabelCoverage` of a window's
    predictions count as correct.
    """
    proven = look.proven.get(gate.name)
    floor = max(gate.minimum or 0.0, proven - gate.max_drop if proven is not None else 0.0)
    if floor <= 0.0:
        return _nothing_proven(gate.name)
    return _answer(
        look,
        _Question(
            trail=look.evidence.labels,
            losses=lambda sums: (sums[0] - sums[1], _expected(sums, gate.min_label_coverage)),
            limit=1.0 - floor,
            show=lambda loss: 1.0 - loss,
            what="accuracy",
            samples="labels",
            reason=GateReason.WorseThanProven,
            proven=proven,
        ),
    )


def judge_regression_error(look: WatchLook, gate: RegressionErrorPolicy) -> Finding:
    """The clipped error against what was proven, raised by `maxRise`; as a share of the clip it lies from 0 to 1."""
    proven, clip = look.proven.get(gate.name), look.evidence.error_clip
    if proven is None:
        return _nothing_proven(gate.name)
    if clip is None:
        return Finding("NoData", GateReason.NoLabels, "no labels have been counted in this watch yet")
    power, place = (2, 3) if gate.metric == "rmse" else (1, 2)
    scale = clip**power
    return _answer(
        look,
        _Question(
            trail=look.evidence.labels,
            losses=lambda sums: (min(sums[place] / scale, sums[0]), _expected(sums, gate.min_label_coverage)),
            limit=(proven * (1.0 + gate.max_rise)) ** power / scale,
            show=lambda loss: (loss * scale) ** (1.0 / power),
            what="mean error" if power == 1 else "root mean squared error",
            samples="labels",
            reason=GateReason.WorseThanProven,
            proven=proven,
        ),
    )


def judge_error_rate(look: WatchLook, gate: ErrorRatePolicy) -> Finding:
    """Requests that were refused or failed, against `max`."""
    return _answer(
        look,
        _Question(
            trail=look.evidence.requests,
            losses=lambda sums: (sums[1], sums[0]),
            limit=_beyond_callers(gate.maximum, look.proven.get(ERROR_RATE)),
            show=lambda loss: loss,
            what="error rate",
            samples="requests",
            reason=GateReason.AboveMaximum,
            proven=look.proven.get(ERROR_RATE),
        ),
    )


def judge_latency(look: WatchLook, gate: LatencyPolicy) -> Finding:
    """Requests surely slower than `max`, of which the quantile leaves room for so many."""
    slow = 2 + first_slow(gate.max_seconds)
    return _answer(
        look,
        _Question(
            trail=look.evidence.requests,
            losses=lambda sums: (sum(sums[slow:]), max(sums[0], sum(sums[2:]))),
            limit=1.0 - gate.quantile,
            show=lambda loss: loss,
            what=f"share of requests slower than {gate.max_seconds:g} s",
            samples="requests",
            reason=GateReason.AboveMaximum,
        ),
    )


def _expected(sums: Sums, coverage: float) -> float:
    return max(sums[0], coverage * sums[4])


def _beyond_callers(maximum: float, proven: float | None) -> float:
    """Callers whose requests made errors with every revision make them still: `max` comes on top then."""
    return min(1.0, maximum + proven) if proven is not None and proven > maximum else maximum


def _nothing_proven(name: str) -> Finding:
    message = f"{name}: the trial showed nothing that could be kept, and the gate names no limit of its own"
    return Finding("NoData", GateReason.NothingProven, message)


def _answer(look: WatchLook, question: _Question) -> Finding:
    """Fail by the window that says most; else what all windows together show."""
    *_, whole = (Block(look.now, 0.0, (0.0,)), *question.trail.suffixes)
    limit = min(question.limit, 1.0)
    proof = strongest(question.trail, lambda sums: loss_log_e(*question.losses(sums), limit), look.alarms_per_year)
    if proof is None or whole.sums[0] <= 0.0:
        reason = GateReason.NoLabels if question.samples == "labels" else GateReason.NoTraffic
        return Finding("NoData", reason, f"no {question.samples} have been counted in this watch yet")
    beyond = _mean(question, proof.sums) > limit and proof.log_e > LIKELY * proof.needed
    found = _verdict(question, proof, proof.sums if beyond else whole.sums, beyond, look.now)
    return replace(found, bound=_highest(question, whole.sums), smallest_drop=_smallest(look, question, whole))


def _highest(question: _Question, sums: Sums) -> float:
    """The largest loss that the whole watch does not exclude, as the gate speaks of it."""
    loss, n = question.losses(sums)
    low, high = 0.0, 1.0
    for _ in range(20):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if formulas.below_log_e(loss, n, middle) >= LOG_E_OVER else (middle, high)
    return question.show(high)


def _smallest(look: WatchLook, question: _Question, whole: Block) -> float | None:
    """How far beyond the limit a loss in the whole watch would have to lie at least to alarm by now."""
    limit, (_, n) = min(question.limit, 1.0), question.losses(whole.sums)
    needed = log_needed(look.alarms_per_year, whole.gap_seconds)
    share = smallest_share(n, limit, needed) if math.isfinite(needed) else None
    return abs(question.show(share) - question.show(limit)) if share is not None else None


def _verdict(question: _Question, proof: Proof, sums: Sums, beyond: bool, now: float) -> Finding:
    limit, since = question.show(question.limit), timestamps.text(round(proof.started_at))
    finding = Finding(
        verdict="Pass",
        reason=GateReason.NotBreached,
        message="",
        value=question.show(min(1.0, question.losses(sums)[0] / sums[0]) if sums[0] > 0.0 else 0.0),
        reference=question.proven,
        limit=limit,
        samples=sums[0],
        log10_e=log10(proof.log_e),
        budget=proof.budget,
    )
    proven = f"; the trial showed {question.proven:.4f}" if question.proven is not None else ""
    seen = f"{question.what} {finding.value:.4f} over {finding.samples:.0f} {question.samples}"
    if not beyond:
        return replace(finding, message=f"{seen}; the limit is {limit:.4f}{proven}")
    message = f"{seen} since {since}, beyond the limit of {limit:.4f}{proven}, {words(proof)}"
    if _is_over(question, now):
        said = f"{message}; what came last lies within it"
        return replace(finding, verdict="NotYet", reason=GateReason.Recovered, message=said)
    if proof.holds:
        return replace(finding, verdict="Fail", reason=question.reason, message=message)
    return replace(finding, verdict="NotYet", reason=GateReason.LikelyWorse, message=message)


def _is_over(question: _Question, now: float) -> bool:
    """Whether what was counted last is proven to lie within the limit: a burst that has passed does not last."""
    recent = None
    for window in question.trail.suffixes:
        if recent is not None and window.started_at <= now - RECENT_SECONDS:
            break
        recent = window
    if recent is None:
        return False
    loss, n = question.losses(recent.sums)
    return formulas.below_log_e(loss, n, question.limit) >= LOG_E_OVER


def _mean(question: _Question, sums: Sums) -> float:
    loss, n = question.losses(sums)
    return loss / n if n > 0.0 else 0.0


def words(proof: Proof) -> str:
    """How much evidence there is, and how much the declared rate of false alarms asks for."""
    needed = f"{ten_to(log10(proof.needed))} needed" if math.isfinite(proof.needed) else "none may suffice"
    return f"evidence {ten_to(log10(proof.log_e))} of {needed}"

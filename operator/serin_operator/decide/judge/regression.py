"""The regression-error gate: the error of a model that predicts numbers, against stable's on the same traffic.

Errors are clipped (`error_clip` of the profile), so they are bounded, and both arms are clipped alike. Two tests may
fail a candidate and share the gate's budget by halves: the safe test of two bounded means, exact and quick on gross
faults, and the cohort-stratified confidence sequence, which finds small rises sooner and is not asked before it can
be trusted. Either must come with an estimated rise beyond `maxRise`. A Pass excludes a rise of `maxRise` or more.

A request weighs 1 however many rows it has, and each row's error 1/m: Σ c²/m is at least what the squared means of
the requests sum to (Jensen), so a variance from it is never too small.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from serin_operator.decide.gate_policies import REGRESSION_ERROR, RegressionErrorPolicy
from serin_operator.decide.judge import coverage, formulas, tallied
from serin_operator.decide.judge.findings import (
    PASS_ERROR,
    SAMPLES_MIN,
    Finding,
    Verdict,
    evidence_words,
    log10,
    log10_needed,
    too_few,
)
from serin_operator.decide.judge.look import Look
from serin_operator.decide.judge.reasons import GateReason
from serin_operator.decide.judge.tallied import CohortTally

PAIRS_TUNED = 1000.0
"""The sequence is narrowest where 1/(1/n + 1/N) is this: about a rise of 5 % with normal errors. It is fixed, as it
must be: tuned to the errors themselves it would look at the data twice."""
RISE_MAX = 1000.0


@dataclass(frozen=True)
class Errors:
    """Sums of one arm's clipped errors in one cohort, or of their squares."""

    n: float
    total: float
    squares: float

    @property
    def mean(self) -> float:
        """The mean error; 0 without labels."""
        return self.total / self.n if self.n > 0.0 else 0.0

    @property
    def variance(self) -> float:
        """Of one request's error, at least that of one unlike value among n."""
        floor = self.mean**2 / (self.n + 1.0)
        return max(self.squares / self.n - self.mean**2, floor) if self.n > 0.0 else 0.0


Pair = tuple[Errors, Errors]
"""Candidate and stable in one cohort."""


@dataclass(frozen=True)
class _Case:
    """The numbers that the rules below read, each computed once."""

    look: Look
    gate: RegressionErrorPolicy
    seen: tuple[Pair, ...]
    """All labels, by cohort."""
    passing: tuple[Pair, ...]
    """Labels of matured predictions, in the cohorts on which a Pass rests."""
    here: tuple[float, float]
    """Labels of candidate and stable in the current cohort, of matured predictions."""
    errors: tuple[float, float]
    """Standardised error of candidate and stable."""
    log10_worse: float
    finding: Finding
    """All fields but verdict, reason and message filled in."""

    @property
    def rise(self) -> float:
        """Of the error, relative to stable's."""
        return _rise(*self.errors)


def judge_regression_error(look: Look, gate: RegressionErrorPolicy) -> Finding:
    """The verdict on the error: Fail first, then whether there is data, then what a Pass still lacks."""
    case = _case(look, gate)
    return _fail(case) or _no_data(case) or _not_yet(case) or _pass(case)


def _case(look: Look, gate: RegressionErrorPolicy) -> _Case:
    tallies = look.evidence.tallies
    cohorts = tallied.in_order(tallies)
    current = tallies.cohorts.get(look.cohort or "")
    basis = cohorts if not look.sticky else ((current,) if current is not None else ())
    seen = tuple(_pair(cohort, gate, matured=False) for cohort in cohorts)
    ripe = coverage.counts_matured(look.evidence, gate.label_delay_seconds)
    passing = tuple(_pair(cohort, gate, matured=ripe) for cohort in basis)
    here = _pair(current, gate, matured=ripe) if current is not None else None
    errors = _standardised(seen)
    exact = tallied.combined(tallies, REGRESSION_ERROR, sticky=look.sticky)
    worse = log10(max(exact, _sequence_log_e(seen, look)) - math.log(2.0))
    samples = sum(candidate.n for candidate, _ in seen)
    shown = tuple(math.sqrt(error) for error in errors) if gate.metric == "rmse" else errors
    return _Case(
        look=look,
        gate=gate,
        seen=seen,
        passing=passing,
        here=(here[0].n, here[1].n) if here is not None else (0.0, 0.0),
        errors=errors,
        log10_worse=worse,
        finding=Finding(
            verdict="NotYet",
            reason=GateReason.NotProven,
            message="",
            value=shown[0] if samples > 0.0 else None,
            reference=shown[1] if samples > 0.0 else None,
            bound=_highest_rise(passing, gate),
            limit=gate.max_rise,
            samples=samples,
            needed=_needed(passing, gate),
            log10_e=worse,
            budget=look.share if look.share > 0.0 else None,
            smallest_drop=_smallest_rise(passing, gate, look.share),
        ),
    )


def _pair(cohort: CohortTally, gate: RegressionErrorPolicy, *, matured: bool) -> Pair:
    return _errors(cohort.candidate, gate, matured=matured), _errors(cohort.stable, gate, matured=matured)


def _errors(vectors: tallied.Vectors, gate: RegressionErrorPolicy, *, matured: bool) -> Errors:
    if matured:
        _, n, _, *sums = tallied.vector(vectors, tallied.MATURED).tolist()
    else:
        *sums, n, _ = tallied.vector(vectors, tallied.ERRORS).tolist()
    first, second, fourth = sums
    return Errors(n, second, fourth) if gate.metric == "rmse" else Errors(n, first, second)


def _weights(pairs: Iterable[Pair]) -> list[tuple[float, Pair]]:
    """Mantel-Haenszel weights n_c n_s / (n_c + n_s): arms are compared inside each cohort only."""
    return [(c.n * s.n / (c.n + s.n), (c, s)) for c, s in pairs if min(c.n, s.n) > formulas.WEIGHT_MIN]


def _standardised(pairs: Iterable[Pair]) -> tuple[float, float]:
    weighted = _weights(pairs)
    total = sum(w for w, _ in weighted)
    if total <= 0.0:
        return 0.0, 0.0
    return sum(w * c.mean for w, (c, _) in weighted) / total, sum(w * s.mean for w, (_, s) in weighted) / total


def _rise(candidate: float, stable: float) -> float:
    return candidate / stable - 1.0 if stable > 0.0 else (RISE_MAX if candidate > 0.0 else 0.0)


def _factor(rise: float, gate: RegressionErrorPolicy) -> float:
    """What a rise of the metric multiplies the summed quantity by: squares rise by the square."""
    return (1.0 + rise) ** 2 if gate.metric == "rmse" else 1.0 + rise


def _contrast(pairs: Iterable[Pair], factor: float) -> tuple[float, float, float]:
    """Mean of c − factor·s over the cohorts, its standard deviation for one pair, and how many pairs tell of it."""
    weighted = _weights(pairs)
    total = sum(w for w, _ in weighted)
    if total <= 0.0:
        return 0.0, 0.0, 0.0
    mean = sum(w * (c.mean - factor * s.mean) for w, (c, s) in weighted) / total
    variance = sum(w * w * (c.variance / c.n + factor**2 * s.variance / s.n) for w, (c, s) in weighted) / total**2
    return mean, math.sqrt(variance * total), total


def _half_width(deviation: float, pairs: float, level: float) -> float:
    """Of the confidence sequence for the contrast (arXiv 2103.06476, theorem 2.2, with time counted in pairs)."""
    tau = PAIRS_TUNED / formulas.best_ratio(level)
    return deviation * formulas.half_width(pairs, tau, level)


def _trusted(pairs: Iterable[Pair]) -> bool:
    """Whether both arms have the samples that an asymptotic sequence asks for."""
    listed = list(pairs)
    return min(sum(c.n for c, _ in listed), sum(s.n for _, s in listed)) >= SAMPLES_MIN


def _sequence_log_e(pairs: tuple[Pair, ...], look: Look) -> float:
    """The sequence's own proof that the error has risen, as the evidence that its half of the share asks for, or none.

    Where callers return cohorts are not pooled, and the exact test speaks alone.
    """
    if look.share <= 0.0 or look.sticky or not _trusted(pairs):
        return formulas.LOG_SMALLEST
    mean, deviation, number = _contrast(pairs, 1.0)
    low, high = formulas.LOG_SMALLEST, 0.0
    for log_e in (math.log(2.0 / look.share) + step for step in (0.0, 2.0, 5.0, 10.0, 20.0)):
        high = log_e
        if mean <= _half_width(deviation, number, math.exp(-high)):
            break
        low = high
    return low


def _highest_rise(pairs: tuple[Pair, ...], gate: RegressionErrorPolicy) -> float | None:
    """The largest rise that is not excluded at PASS_ERROR; None where none is excluded."""
    if not _trusted(pairs):
        return None
    low, high = -1.0, RISE_MAX
    if not _excluded(pairs, high, gate):
        return None
    for _ in range(40):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if _excluded(pairs, middle, gate) else (middle, high)
    return high


def _excluded(pairs: tuple[Pair, ...], rise: float, gate: RegressionErrorPolicy) -> bool:
    mean, deviation, number = _contrast(pairs, _factor(rise, gate))
    return number > 0.0 and mean + _half_width(deviation, number, PASS_ERROR) < 0.0


def _needed(pairs: tuple[Pair, ...], gate: RegressionErrorPolicy) -> float | None:
    """Candidate labels until a Pass, if errors and split stay; None where they never lead to one."""
    mean, deviation, number = _contrast(pairs, _factor(gate.max_rise, gate))
    if number <= 0.0 or mean >= 0.0 or deviation <= 0.0:
        return None
    tau = PAIRS_TUNED / formulas.best_ratio(PASS_ERROR)
    target = formulas.information_for(-mean / deviation, tau, PASS_ERROR)
    samples = sum(c.n for c, _ in pairs) * target / number
    return max(SAMPLES_MIN, float(math.ceil(samples))) if math.isfinite(samples) else None


def _smallest_rise(pairs: tuple[Pair, ...], gate: RegressionErrorPolicy, share: float) -> float | None:
    """The smallest rise that the labels so far could have revealed at the gate's share."""
    _, deviation, number = _contrast(pairs, 1.0)
    _, stable = _standardised(pairs)
    if share <= 0.0 or number <= 0.0 or stable <= 0.0:
        return None
    rise = _half_width(deviation, number, share / 2.0) / stable
    return math.sqrt(1.0 + rise) - 1.0 if gate.metric == "rmse" else rise


def _shown_rise(case: _Case) -> float:
    rise = case.rise
    return math.sqrt(1.0 + rise) - 1.0 if case.gate.metric == "rmse" else rise


def _fail(case: _Case) -> Finding | None:
    if _shown_rise(case) <= case.gate.max_rise or case.log10_worse < log10_needed(case.look.share):
        return None
    words = evidence_words(case.log10_worse, case.look.share)
    return _answer(case, "Fail", GateReason.WorseThanStable, f"{_compared(case)}, {words}")


def _no_data(case: _Case) -> Finding | None:
    evidence, cohort = case.look.evidence, case.look.current
    if cohort is None:
        return _answer(case, "NoData", GateReason.NoTraffic, "no answer of a pod names the current cohort yet")
    current = case.look.evidence.tallies.cohorts.get(case.look.cohort or "")
    here = _pair(current, case.gate, matured=False) if current is not None else (Errors(0, 0, 0), Errors(0, 0, 0))
    if min(here[0].n, here[1].n) > 0.0:
        return None
    candidate, stable = cohort.candidate, cohort.stable
    if min(candidate.labelled, stable.labelled) > 0.0:
        message = f"labels have come, and no pod of {evidence.stable} tells at what errors are clipped"
        return _answer(case, "NoData", GateReason.ErrorsUnknown, message)
    message = (
        f"labels in this cohort: {candidate.labelled:.0f} of {candidate.predictions:.0f} predictions of the "
        f"candidate, {stable.labelled:.0f} of {stable.predictions:.0f} of stable"
    )
    silent = min(candidate.predictions + candidate.labelled, stable.predictions + stable.labelled) <= 0.0
    return _answer(case, "NoData", GateReason.NoTraffic if silent else GateReason.NoLabels, message)


def _not_yet(case: _Case) -> Finding | None:
    """What a Pass still lacks, the weightiest first; None where it lacks nothing."""
    words = evidence_words(case.log10_worse, case.look.share)
    if _shown_rise(case) > case.gate.max_rise:
        return _answer(case, "NotYet", GateReason.LikelyWorse, f"{_compared(case)}, {words}")
    whole = [sum(pair[arm].n for pair in case.passing) for arm in (0, 1)]
    if too_few(*case.here, *whole):
        here = f"{case.here[0]:.0f} and {case.here[1]:.0f} labels in this cohort are too few"
        return _answer(case, "NotYet", GateReason.TooFewSamples, f"{_compared(case)}; {here}")
    bound = case.finding.bound
    if bound is None or bound >= case.gate.max_rise:
        shown = f"a rise of {bound:.1%}" if bound is not None else "a rise"
        more = f", about {case.finding.needed:.0f} candidate labels are needed" if case.finding.needed else ""
        message = f"{_compared(case)}; {shown} is not excluded{more}"
        return _answer(case, "NotYet", GateReason.NotProven, message)
    lacking = coverage.lacking(case.look, case.gate.label_delay_seconds, case.gate.min_label_coverage)
    if lacking is None:
        return None
    return _answer(case, "NotYet", lacking[0], f"{_compared(case)}; {lacking[1]}")


def _pass(case: _Case) -> Finding:
    message = f"{_compared(case)}; a rise of {case.finding.bound or 0.0:.1%} or more is excluded, "
    return _answer(case, "Pass", GateReason.WithinMaxRise, f"{message}{case.gate.max_rise:.1%} are acceptable")


def _compared(case: _Case) -> str:
    """The two errors in words."""
    finding = case.finding
    if finding.value is None or finding.reference is None:
        return "no labels of both arms"
    rise, labels = _shown_rise(case), sum(stable.n for _, stable in case.seen)
    return (
        f"{case.gate.metric} {finding.value:.4g} against {finding.reference:.4g} of stable over "
        f"{finding.samples or 0.0:.0f} and {labels:.0f} labels: {abs(rise):.1%} {'higher' if rise > 0 else 'lower'}"
    )


def _answer(case: _Case, verdict: Verdict, reason: GateReason, message: str) -> Finding:
    """The case's numbers with a verdict on them."""
    return replace(case.finding, verdict=verdict, reason=reason, message=message)

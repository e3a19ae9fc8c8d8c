"""The accuracy gate: live labels of the candidate against stable's and, with `min`, against a floor.

With `strict` the proof is not of any loss but of one beyond `maxDrop`.

Two tests may fail it and share its budget: candidate worse than stable, and, where `min` is set, candidate
below `min`. Each then stakes half of the gate's wealth, so its e-value counts half: the mean of two
e-processes is an e-process, and a candidate that is neither is rolled back with at most the gate's share.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from serin_operator.decide.judge import apart, coverage, formulas
from serin_operator.decide.judge.findings import (
    PASS_ERROR,
    Finding,
    Verdict,
    evidence_words,
    highest_loss,
    log10,
    log10_needed,
    points,
    samples_needed,
    smallest_drop,
    too_few,
)
from serin_operator.decide.judge.formulas import Difference
from serin_operator.decide.judge.look import Look
from serin_operator.decide.judge.reasons import GateReason
from serin_operator.decide.judge.sums import ArmCounts, CohortEvidence, Evidence, label_strata
from serin_operator.decide.policy import AccuracyPolicy


@dataclass(frozen=True)
class _Case:
    """The numbers that the rules below read, each computed once."""

    gate: AccuracyPolicy
    share: float
    current: CohortEvidence | None
    candidate: ArmCounts
    stable: ArmCounts
    difference: Difference | None
    """Over all cohorts: what is seen."""
    basis: tuple[ArmCounts, ArmCounts]
    """Candidate and stable in the cohorts on which a Pass rests."""
    log10_worse: float
    """Evidence that the candidate is worse than stable, as the share of the gate's wealth it holds."""
    log10_low: float
    """Likewise that its accuracy lies below `min`; that of no evidence where there is no `min`."""
    lacking: tuple[GateReason, str] | None
    """What labels that have not come could still change, in words."""
    here: tuple[float, float]
    """Labels of matured predictions in the current cohort, candidate and stable."""
    finding: Finding
    """All fields but verdict, reason and message filled in."""

    @property
    def pooled(self) -> float | None:
        """The candidate's accuracy over all its labels."""
        return _accuracy(self.candidate)


def judge_accuracy(look: Look, gate: AccuracyPolicy) -> Finding:
    """The verdict on accuracy: Fail first, then whether there is data, then what a Pass still lacks."""
    case = _case(look, gate)
    return _fail(case) or _no_data(case) or _not_yet(case) or _pass(case)


def _case(look: Look, gate: AccuracyPolicy) -> _Case:
    evidence, share, current, sticky = look.evidence, look.share, look.current, look.sticky
    candidate, stable = evidence.total("candidate"), evidence.total("stable")
    ripe = coverage.ripened(evidence, gate.label_delay_seconds)
    here = ripe.cohorts.get(look.cohort) if look.cohort is not None else None
    basis = apart.basis(ripe, here, sticky)
    difference = formulas.stratified(label_strata(evidence.cohorts.values()), gate.max_drop)
    proof = formulas.stratified(label_strata(basis), gate.max_drop)
    proven_on = apart.arms(basis)
    halves = 0.0 if gate.minimum is None else math.log(2.0)
    worse = log10(apart.combined(evidence, gate.evidence, sticky) - halves)
    low = log10(formulas.LOG_SMALLEST if gate.minimum is None else _log_e_low(evidence, gate, sticky) - halves)
    return _Case(
        gate=gate,
        share=share,
        current=current,
        candidate=candidate,
        stable=stable,
        difference=difference,
        basis=proven_on,
        log10_worse=worse,
        log10_low=low,
        lacking=coverage.lacking(look, gate.label_delay_seconds, gate.min_label_coverage),
        here=_labelled(here),
        finding=Finding(
            verdict="NotYet",
            reason=GateReason.NotProven,
            message="",
            value=difference.candidate if difference is not None else _accuracy(candidate),
            reference=difference.stable if difference is not None else _accuracy(stable),
            bound=highest_loss(proof, gate.max_drop, PASS_ERROR),
            limit=gate.max_drop,
            samples=candidate.labelled,
            needed=samples_needed(proof, proven_on[0].labelled, gate.max_drop, PASS_ERROR)
            if proof is not None
            else None,
            log10_e=max(worse, low),
            budget=share if share > 0.0 else None,
            smallest_drop=smallest_drop(proof, share * math.exp(-halves)),
        ),
    )


def _log_e_low(evidence: Evidence, gate: AccuracyPolicy, sticky: bool) -> float:
    """Evidence that the candidate's accuracy lies below `min`, over all labels or by the strongest cohort."""
    if sticky:
        return apart.strongest(evidence, lambda cohort: _log_e_below(cohort.candidate, gate))
    return _log_e_below(evidence.total("candidate"), gate)


def _log_e_below(candidate: ArmCounts, gate: AccuracyPolicy) -> float:
    """Evidence that the candidate's accuracy lies below `min`, cautious about labels that have not come.

    Labels of wrong predictions may come first, and the labelled would then look worse than the predictions
    are. So labels that are still short of `minLabelCoverage` of all predictions count as correct. With a
    coverage of 1 this is exact whatever the order and whatever is missing; below it, what is missing beyond
    the coverage is taken to be missing at random.
    """
    expected = max(candidate.labelled, gate.min_label_coverage * candidate.predictions)
    wrong = candidate.labelled - candidate.correct
    return formulas.below_log_e(expected - wrong, expected, gate.minimum or 0.0)


def _labelled(cohort: CohortEvidence | None) -> tuple[float, float]:
    return (cohort.candidate.labelled, cohort.stable.labelled) if cohort is not None else (0.0, 0.0)


def _accuracy(arm: ArmCounts) -> float | None:
    return min(1.0, arm.correct / arm.labelled) if arm.labelled > 0.0 else None


def _fail(case: _Case) -> Finding | None:
    gate, needed = case.gate, log10_needed(case.share)
    difference = case.difference
    if difference is not None and difference.drop > gate.max_drop and case.log10_worse >= needed:
        words = evidence_words(case.log10_worse, case.share)
        return _answer(case, "Fail", GateReason.WorseThanStable, f"{_compared(case)}, {words}")
    pooled = case.pooled
    if gate.minimum is not None and pooled is not None and pooled < gate.minimum and case.log10_low >= needed:
        message = (
            f"accuracy {pooled:.3f} over {case.candidate.labelled:.0f} labels is below the minimum of "
            f"{gate.minimum:.3f}, {evidence_words(case.log10_low, case.share)}"
        )
        return _answer(case, "Fail", GateReason.BelowMinimum, message, value=pooled, limit=gate.minimum)
    return None


def _no_data(case: _Case) -> Finding | None:
    if case.current is None:
        message = "no answer of a pod names the current cohort yet"
        return _answer(case, "NoData", GateReason.NoTraffic, message)
    candidate, stable = case.current.candidate, case.current.stable
    if min(candidate.labelled, stable.labelled) > 0.0:
        return None
    message = (
        f"labels in this cohort: {candidate.labelled:.0f} of {candidate.predictions:.0f} predictions of the "
        f"candidate, {stable.labelled:.0f} of {stable.predictions:.0f} of stable"
    )
    silent = max(candidate.labelled, candidate.predictions) <= 0.0 or (max(stable.labelled, stable.predictions) <= 0.0)
    return _answer(case, "NoData", GateReason.NoTraffic if silent else GateReason.NoLabels, message)


def _not_yet(case: _Case) -> Finding | None:
    """What a Pass still lacks, the weightiest first; None where it lacks nothing."""
    gate, current, difference, bound = case.gate, case.current, case.difference, case.finding.bound
    if current is None or difference is None or bound is None:
        return _answer(case, "NotYet", GateReason.TooFewSamples, "no cohort holds labels of both arms")
    words = evidence_words(case.finding.log10_e or 0.0, case.share)
    if difference.drop > gate.max_drop:
        return _answer(case, "NotYet", GateReason.LikelyWorse, f"{_compared(case)}, {words}")
    pooled = case.pooled
    if gate.minimum is not None and pooled is not None and pooled < gate.minimum:
        message = f"accuracy {pooled:.3f} lies under the minimum of {gate.minimum:.3f}, {words}"
        return _answer(case, "NotYet", GateReason.UnderMinimum, message)
    here = case.here
    if too_few(*here, case.basis[0].labelled, case.basis[1].labelled):
        message = f"{_compared(case)}; {here[0]:.0f} and {here[1]:.0f} labels in this cohort are too few"
        return _answer(case, "NotYet", GateReason.TooFewSamples, message)
    if bound >= gate.max_drop:
        message = f"{_compared(case)}; a loss of {100 * bound:.1f} points is not excluded{_needed(case)}"
        return _answer(case, "NotYet", GateReason.NotProven, message)
    return _immature(case)


def _immature(case: _Case) -> Finding | None:
    """Whether labels that have not come could still change the answer."""
    if case.lacking is None:
        return None
    reason, words = case.lacking
    return _answer(case, "NotYet", reason, f"{_compared(case)}; {words}")


def _pass(case: _Case) -> Finding:
    message = (
        f"{_compared(case)}; a loss of {100 * (case.finding.bound or 0.0):.1f} points or more is excluded, "
        f"{100 * case.gate.max_drop:.1f} are acceptable"
    )
    return _answer(case, "Pass", GateReason.WithinMaxDrop, message)


def _compared(case: _Case) -> str:
    """The two accuracies in words."""
    if case.difference is None:
        return f"{case.candidate.labelled:.0f} labels of the candidate, {case.stable.labelled:.0f} of stable"
    return (
        f"accuracy {case.difference.candidate:.3f} against {case.difference.stable:.3f} of stable over "
        f"{case.candidate.labelled:.0f} and {case.stable.labelled:.0f} labels: {points(case.difference.drop)}"
    )


def _needed(case: _Case) -> str:
    needed = case.finding.needed
    return f", about {needed:.0f} candidate labels are needed" if needed is not None else ""


def _answer(
    case: _Case,
    verdict: Verdict,
    reason: GateReason,
    message: str,
    value: float | None = None,
    limit: float | None = None,
) -> Finding:
    """The case's numbers with a verdict on them."""
    numbers = case.finding
    return replace(
        numbers,
        verdict=verdict,
        reason=reason,
        message=message,
        value=numbers.value if value is None else value,
        limit=numbers.limit if limit is None else limit,
    )

"""The error-rate gate: requests that were refused or failed, against `max` and against stable.

Fail: the rate is above `max` and provably above stable's, so callers who send nonsense to both blame nobody.
Pass, one of two proofs, each at half of PASS_ERROR: a rate of `max` or more is excluded by an exact test; or,
where stable's own rate is above `max`, more than `max` on top of it is excluded by the confidence sequence.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from serin_operator.decide.judge import apart, formulas
from serin_operator.decide.judge.findings import (
    PASS_ERROR,
    Finding,
    Verdict,
    evidence_words,
    highest_loss,
    log10,
    log10_needed,
    samples_needed,
    samples_to_exclude,
    smallest_drop,
    too_few,
)
from serin_operator.decide.judge.formulas import Difference
from serin_operator.decide.judge.look import Look
from serin_operator.decide.judge.reasons import GateReason
from serin_operator.decide.judge.sums import ArmCounts, CohortEvidence, request_strata
from serin_operator.decide.policy import ErrorRatePolicy

LEVEL = PASS_ERROR / 2.0
"""Chance that either proof of a Pass is wrong."""
LOG_E_PASS = -math.log(LEVEL)


@dataclass(frozen=True)
class Question:
    """What is asked of the requests: which of them are bad stands in the evidence's `errors`."""

    gate: str
    """Name under which the cohorts hold their e-values."""
    maximum: float
    """Highest acceptable share of bad requests."""
    noun: str
    """Of that share, for messages."""


@dataclass(frozen=True)
class _Case:
    """The numbers that the rules below read, each computed once."""

    gate: Question
    share: float
    current: CohortEvidence | None
    candidate: ArmCounts
    stable: ArmCounts
    difference: Difference | None
    """Of the rates of requests *without* error, so that its drop is the rise of the error rate."""
    basis: tuple[ArmCounts, ArmCounts]
    """Candidate and stable in the cohorts on which a Pass rests."""
    log10_worse: float
    finding: Finding
    """All fields but verdict, reason and message filled in."""


def judge_error_rate(look: Look, gate: ErrorRatePolicy) -> Finding:
    """The verdict on requests that were refused or failed."""
    return judge_rate(look, Question(gate.name, gate.maximum, "error rate"))


def judge_rate(look: Look, question: Question) -> Finding:
    """The verdict on a share of requests: Fail first, then whether there is data, then what a Pass still lacks."""
    case = _case(look, question)
    return _fail(case) or _no_data(case) or _not_enough(case) or _proven(case)


def _case(look: Look, gate: Question) -> _Case:
    evidence, share, current, sticky = look.evidence, look.share, look.current, look.sticky
    candidate, stable = evidence.total("candidate"), evidence.total("stable")
    difference = formulas.stratified(request_strata(evidence.cohorts.values()), gate.maximum)
    proof, proven_on = difference, (candidate, stable)
    if sticky:
        basis = apart.basis(evidence, current, sticky)
        proof, proven_on = formulas.stratified(request_strata(basis), gate.maximum), apart.arms(basis)
    worse = log10(apart.combined(evidence, gate.gate, sticky))
    value, reference = _rate(candidate), _rate(stable)
    if difference is not None:
        value, reference = 1.0 - difference.candidate, 1.0 - difference.stable
    return _Case(
        gate=gate,
        share=share,
        current=current,
        candidate=candidate,
        stable=stable,
        difference=difference,
        basis=proven_on,
        log10_worse=worse,
        finding=Finding(
            verdict="NotYet",
            reason=GateReason.NotProven,
            message="",
            value=value,
            reference=reference,
            bound=highest_loss(proof, gate.maximum, LEVEL),
            limit=gate.maximum,
            samples=candidate.requests,
            needed=_needed(proven_on[0], proof, gate.maximum),
            log10_e=worse,
            budget=share if share > 0.0 else None,
            smallest_drop=smallest_drop(proof, share),
        ),
    )


def _rate(arm: ArmCounts) -> float | None:
    return arm.errors / arm.requests if arm.requests > 0.0 else None


def _needed(candidate: ArmCounts, difference: Difference | None, limit: float) -> float | None:
    """Candidate requests until a Pass if the rates stay as they are; None where they never lead to one."""
    if candidate.requests <= 0.0:
        return None
    rate = candidate.errors / candidate.requests
    if rate >= limit:
        if difference is None or 1.0 - difference.stable <= limit:
            return None
        return samples_needed(difference, candidate.requests, limit, LEVEL)
    return samples_to_exclude(rate, limit, LOG_E_PASS)


def _fail(case: _Case) -> Finding | None:
    value, difference = case.finding.value, case.difference
    if difference is None or value is None or value <= case.gate.maximum or difference.drop <= 0.0:
        return None
    if case.log10_worse < log10_needed(case.share):
        return None
    words = evidence_words(case.log10_worse, case.share)
    message = f"{_compared(case)}, above the maximum of {case.gate.maximum:.4f}, {words}"
    return _answer(case, "Fail", GateReason.WorseThanStable, message)


def _no_data(case: _Case) -> Finding | None:
    if case.current is None:
        message = "no answer of a pod names the current cohort yet"
        return _answer(case, "NoData", GateReason.NoTraffic, message)
    candidate, stable = case.current.candidate.requests, case.current.stable.requests
    if min(candidate, stable) > 0.0:
        return None
    message = f"requests in this cohort: {candidate:.0f} of the candidate, {stable:.0f} of stable"
    return _answer(case, "NoData", GateReason.NoTraffic, message)


def _not_enough(case: _Case) -> Finding | None:
    current = case.current
    if current is None or case.difference is None:
        return _answer(case, "NotYet", GateReason.TooFewSamples, "no cohort holds requests of both arms")
    here = (current.candidate.requests, current.stable.requests)
    if not too_few(*here, case.basis[0].requests, case.basis[1].requests):
        return None
    message = f"{_compared(case)}; {here[0]:.0f} and {here[1]:.0f} requests in this cohort are too few"
    return _answer(case, "NotYet", GateReason.TooFewSamples, message)


def _proven(case: _Case) -> Finding:
    """Pass by one of the two proofs, else NotYet."""
    limit, bound, reference = case.gate.maximum, case.finding.bound, case.finding.reference
    if formulas.below_log_e(case.basis[0].errors, case.basis[0].requests, limit) >= LOG_E_PASS:
        message = f"{_compared(case)}; a rate of {limit:.4f} or more is excluded"
        return _answer(case, "Pass", GateReason.WithinMaximum, message)
    if bound is not None and reference is not None and reference > limit > bound:
        message = f"{_compared(case)}, itself above {limit:.4f}; more than {bound:.4f} on top is excluded"
        return _answer(case, "Pass", GateReason.NoWorseThanStable, message)
    rise = case.difference.drop if case.difference is not None else 0.0
    if rise > 0.0 and (case.finding.value or 0.0) > limit:
        words = evidence_words(case.log10_worse, case.share)
        message = f"{_compared(case)}, above the maximum of {limit:.4f}, {words}"
        return _answer(case, "NotYet", GateReason.LikelyWorse, message)
    needed = case.finding.needed
    more = f", about {needed:.0f} candidate requests are needed" if needed is not None else ""
    message = f"{_compared(case)}; a rate of {limit:.4f} is not excluded{more}"
    return _answer(case, "NotYet", GateReason.NotProven, message)


def _compared(case: _Case) -> str:
    """The two error rates in words."""
    value, reference = case.finding.value or 0.0, case.finding.reference or 0.0
    requests = f"{case.candidate.requests:.0f} and {case.stable.requests:.0f} requests"
    return f"{case.gate.noun} {value:.4f} against {reference:.4f} of stable over {requests}"


def _answer(case: _Case, verdict: Verdict, reason: GateReason, message: str) -> Finding:
    """The case's numbers with a verdict on them."""
    return replace(case.finding, verdict=verdict, reason=reason, message=message)

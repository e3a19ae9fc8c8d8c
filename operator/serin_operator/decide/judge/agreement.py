"""The agreement gate: on copies of callers' requests the candidate must answer as stable does, labels or none.

Each mirrored request is one pair: stable's answer and the candidate's to the same rows. Whether they agree is
one draw with mean p, whatever the traffic is like, so the tests are those of a single proportion, valid at every
look. Fail: the share is below `min`, and a p of `min` or more is excluded at the gate's share of the budget.
Pass: a p of `min` or less is excluded at PASS_ERROR. The bound is the lowest p that is not, and the smallest drop the
smallest share of other answers that so many pairs prove to be too many.
"""

from __future__ import annotations

import math
from dataclasses import replace

from serin_operator.decide.judge import formulas
from serin_operator.decide.judge.findings import (
    PASS_ERROR,
    SAMPLES_MIN,
    Finding,
    evidence_words,
    log10,
    log10_needed,
    samples_to_exclude,
    smallest_share,
)
from serin_operator.decide.judge.look import Look
from serin_operator.decide.judge.reasons import GateReason
from serin_operator.decide.judge.shadowed import ShadowEvidence
from serin_operator.decide.policy import AgreementPolicy

LOG_E_PASS = -math.log(PASS_ERROR)


def judge_agreement(look: Look, gate: AgreementPolicy) -> Finding:
    """The verdict on agreement: whether there is data, then Fail, then what a Pass still lacks."""
    shadow, share = look.evidence.shadow, look.share
    if shadow.compared <= 0.0:
        dropped = f"; {shadow.dropped:.0f} copies were dropped" if shadow.dropped else ""
        return Finding("NoData", GateReason.NoShadow, f"no mirrored request has been compared yet{dropped}")
    agreement = shadow.agreed / shadow.compared
    against = log10(formulas.below_log_e(shadow.agreed, shadow.compared, gate.minimum))
    finding = Finding(
        verdict="NotYet",
        reason=GateReason.NotProven,
        message="",
        value=agreement,
        bound=_lowest(shadow),
        limit=gate.minimum,
        samples=shadow.compared,
        needed=_needed(shadow, gate),
        log10_e=against,
        budget=share if share > 0.0 else None,
        smallest_drop=smallest_share(shadow.compared, 1.0 - gate.minimum, -math.log(share)) if share > 0.0 else None,
    )
    return _verdict(finding, shadow, gate, share, against)


def _verdict(finding: Finding, shadow: ShadowEvidence, gate: AgreementPolicy, share: float, against: float) -> Finding:
    said, low = _said(shadow), (finding.value or 0.0) < gate.minimum
    if low and against >= log10_needed(share):
        message = f"{said}, below the minimum of {gate.minimum:.4f}, {evidence_words(against, share)}"
        return replace(finding, verdict="Fail", reason=GateReason.DisagreesWithStable, message=message)
    if shadow.compared < SAMPLES_MIN:
        message = f"{said}; {shadow.compared:.0f} of {SAMPLES_MIN:.0f} requests are too few"
        return replace(finding, reason=GateReason.TooFewSamples, message=message)
    if formulas.below_log_e(shadow.compared - shadow.agreed, shadow.compared, 1.0 - gate.minimum) >= LOG_E_PASS:
        message = f"{said}; an agreement of {gate.minimum:.4f} or less is excluded"
        return replace(finding, verdict="Pass", reason=GateReason.AgreesWithStable, message=message)
    if low:
        message = f"{said}, below the minimum of {gate.minimum:.4f}, {evidence_words(against, share)}"
        return replace(finding, reason=GateReason.LikelyWorse, message=message)
    more = f", about {finding.needed:.0f} requests are needed" if finding.needed is not None else ""
    message = f"{said}; an agreement of {gate.minimum:.4f} or less is not excluded{more}"
    return replace(finding, message=message)


def _said(shadow: ShadowEvidence) -> str:
    unanswered = f", {shadow.failed:.0f} of them without an answer" if shadow.failed else ""
    return f"{shadow.agreed / shadow.compared:.4f} of {shadow.compared:.0f} mirrored requests agree{unanswered}"


def _needed(shadow: ShadowEvidence, gate: AgreementPolicy) -> float | None:
    """Mirrored requests until a Pass if the share stays as it is; None where it never leads to one."""
    return samples_to_exclude(1.0 - shadow.agreed / shadow.compared, 1.0 - gate.minimum, LOG_E_PASS)


def _lowest(shadow: ShadowEvidence) -> float:
    """The highest agreement that is excluded from below: the truth is larger but for PASS_ERROR."""
    disagreed, low, high = shadow.compared - shadow.agreed, 0.0, 1.0
    for _ in range(40):
        middle = 0.5 * (low + high)
        excluded = formulas.below_log_e(disagreed, shadow.compared, middle) >= LOG_E_PASS
        low, high = (low, middle) if excluded else (middle, high)
    return 1.0 - high

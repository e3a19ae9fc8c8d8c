"""A custom gate: a number from elsewhere, within limits of the user's own.

Nothing is known of how such a number comes about, so no evidence can be computed from it and no share of the
budget bought: BREACHES_MAX answers in a row beyond the limits fail the gate, and one within them begins anew. The
count stands in the gate's status and so outlives the operator. A source that cannot be read is an Error: it keeps a
step from being left, and neither promotes nor rolls back.
"""

from __future__ import annotations

from dataclasses import replace

from serin_operator.decide import timestamps
from serin_operator.decide.gate_policies import CUSTOM_PREFIX, CustomPolicy
from serin_operator.decide.judge.findings import Finding
from serin_operator.decide.judge.look import CustomAnswer, Look
from serin_operator.decide.judge.reasons import GateReason

BREACHES_MAX = 3
"""Answers in a row beyond the limits that fail the gate."""
STALE_INTERVALS = 3.0
"""An answer older than so many intervals says nothing of what is."""

_UNBUDGETED = "outside falseRollbackBudget"


def judge_custom(look: Look, gate: CustomPolicy) -> Finding:
    """The verdict on the source's latest answer and on those that were counted before it."""
    answer = look.custom.get(gate.name)
    value = answer.value if answer is not None else None
    breaches, checked_at = _remembered(look, gate)
    if answer is not None and value is not None and _is_new(answer, checked_at) and _is_of_trial(look, answer.asked_at):
        breaches, checked_at = (breaches + 1 if _limit(value, gate) is not None else 0), _asked_at(answer)
    finding = Finding(
        verdict="NoData",
        reason=GateReason.NoAnswer,
        message=f"the source has not answered yet; {_UNBUDGETED}",
        value=value,
        limit=_shown_limit(value, gate),
        breaches=breaches,
        checked_at=checked_at,
    )
    return _verdict(look, gate, finding, answer)


def _verdict(look: Look, gate: CustomPolicy, finding: Finding, answer: CustomAnswer | None) -> Finding:
    """A Fail stands on what was counted; then what keeps the answer from counting, then the answer."""
    label = gate.name.removeprefix(CUSTOM_PREFIX)
    breaches = finding.breaches or 0
    if breaches >= BREACHES_MAX:
        said = _said(label, finding.value, gate)
        message = f"{said}, {breaches} answers in a row; {_UNBUDGETED}"
        return replace(finding, verdict="Fail", reason=GateReason.BeyondLimits, message=message)
    if answer is None:
        return finding
    if answer.value is None:
        message = f"{label} cannot be read: {answer.error}; it holds the step and fails nobody"
        return replace(finding, verdict="Error", reason=GateReason.SourceFailed, message=message)
    if look.now - answer.asked_at > STALE_INTERVALS * gate.interval_seconds:
        message = f"{label} was last read at {_asked_at(answer)}, more than {STALE_INTERVALS:g} intervals ago"
        return replace(finding, verdict="Error", reason=GateReason.SourceStale, message=message)
    said = _said(label, answer.value, gate)
    if breaches > 0:
        message = f"{said}, {breaches} of {BREACHES_MAX} answers in a row that fail the gate; {_UNBUDGETED}"
        return replace(finding, verdict="NotYet", reason=GateReason.BeyondLimitsOnce, message=message)
    if not _is_of_cohort(look, answer):
        return replace(finding, message=f"{said}, but that was before the present weight; {_UNBUDGETED}")
    return replace(finding, verdict="Pass", reason=GateReason.WithinLimits, message=f"{said}; {_UNBUDGETED}")


def _remembered(look: Look, gate: CustomPolicy) -> tuple[int, str | None]:
    """Breaches in a row and the time of the last counted answer, as far as they are this trial's and these limits'."""
    before = look.previous
    if before is None or before.checked_at is None:
        return 0, None
    of_trial = _is_of_trial(look, timestamps.seconds(before.checked_at))
    of_limits = before.limit is None or before.limit in (gate.minimum, gate.maximum)
    return (before.breaches or 0 if of_trial and of_limits else 0), before.checked_at


def _is_new(answer: CustomAnswer, checked_at: str | None) -> bool:
    """Whether the answer has not been counted; compared as status writes it, to the millisecond."""
    return checked_at is None or timestamps.seconds(_asked_at(answer)) > timestamps.seconds(checked_at)


def _is_of_trial(look: Look, at: float) -> bool:
    """Whether it was after the first cohort began: what an earlier trial left in status is not this candidate's."""
    opened = [cohort.opened_at for cohort in look.evidence.cohorts.values()]
    return bool(opened) and at >= min(opened)


def _asked_at(answer: CustomAnswer) -> str:
    return timestamps.text(answer.asked_at)


def _is_of_cohort(look: Look, answer: CustomAnswer) -> bool:
    """Whether it was asked for after the cohort of now began."""
    return look.current is not None and answer.asked_at >= look.current.opened_at


def _limit(value: float, gate: CustomPolicy) -> float | None:
    """The limit that the value is beyond; None where it lies within both."""
    if gate.minimum is not None and value < gate.minimum:
        return gate.minimum
    if gate.maximum is not None and value > gate.maximum:
        return gate.maximum
    return None


def _shown_limit(value: float | None, gate: CustomPolicy) -> float | None:
    beyond = _limit(value, gate) if value is not None else None
    if beyond is not None:
        return beyond
    return gate.minimum if gate.minimum is not None else gate.maximum


def _said(label: str, value: float | None, gate: CustomPolicy) -> str:
    if value is None:
        return f"{label} was beyond its limits"
    beyond = _limit(value, gate)
    if beyond is None:
        return f"{label} is {value:.6g}, within its limits"
    which = f"below min {beyond:.6g}" if value < beyond else f"above max {beyond:.6g}"
    return f"{label} is {value:.6g}, {which}"

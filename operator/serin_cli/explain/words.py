"""A status in plain words: what was seen, what it means, how sure it is, how long it will take, what to do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from serin_cli.explain.pace import Pace
from serin_cli.explain.reasons import paragraph
from serin_operator.api.deployment import GateStatus, ModelDeploymentStatus
from serin_operator.decide.gate_policies import (
    ACCURACY,
    AGREEMENT,
    AVAILABILITY,
    CUSTOM_PREFIX,
    DATA_DRIFT,
    ERROR_RATE,
    LATENCY,
    PREDICTION_DRIFT,
    REGRESSION_ERROR,
    SCHEMA,
)
from serin_operator.decide.judge.findings import log10_needed, ten_to
from serin_operator.decide.judge.reasons import GateReason

_SHARES = (ACCURACY, AGREEMENT, ERROR_RATE, SCHEMA)
_DRIFT = (DATA_DRIFT, PREDICTION_DRIFT)
_OF_WATCH = (GateReason.RevisionReady, GateReason.RevisionUnavailable, GateReason.RevisionCrashes)
"""Reasons of availability that no trial gives."""
_NEVER = (GateReason.LikelyWorse, GateReason.LikelyDrifted, GateReason.UnderMinimum)
"""Of an estimate that lies beyond the limit: more samples of the same kind lead to no Pass."""


@dataclass(frozen=True)
class GateWords:
    """One gate, each line a name and a text."""

    heading: str
    verdict: str
    sentence: str
    """The operator's own."""
    meaning: str
    """Two sentences."""
    lines: tuple[tuple[str, str], ...]


def is_of_watch(status: ModelDeploymentStatus) -> bool:
    """Whether the gates speak of a revision that was promoted: its availability is asked in other words."""
    return any(gate.reason in _OF_WATCH for gate in status.gates)


def gate_words(gate: GateStatus, pace: Pace, *, watched: bool = False) -> GateWords:
    """Explain one gate.

    Args:
        gate: as status has it.
        pace: of its samples.
        watched: whether it speaks of a promoted revision, which has no stable arm beside it.
    """
    mode = "decides" if gate.mode == "Enforce" else "only reports"
    numbers = _Numbers(gate, watched)
    lines = (
        ("seen", _seen(gate, numbers)),
        ("worst", _features(gate)),
        ("sure", "; ".join(_sure(gate, numbers))),
        ("can see", _can_see(gate, numbers)),
        ("time", "; ".join(_time(gate, pace, numbers))),
    )
    return GateWords(
        heading=f"{gate.name} ({mode}): {gate.verdict}, {gate.reason}",
        verdict=gate.verdict,
        sentence=gate.message,
        meaning=str(paragraph(gate.reason, gate.verdict)),
        lines=tuple((name, text) for name, text in lines if text),
    )


def headline(namespace: str, name: str, status: ModelDeploymentStatus) -> list[str]:
    """Where the deployment stands."""
    lines = [f"{namespace}/{name}: {status.phase.value if status.phase else 'no status yet'}"]
    if status.message:
        lines.append(status.message)
    stable, candidate, watch, back = status.stable, status.candidate, status.watch, status.last_rollback
    if candidate is not None:
        against = f" against {stable.revision}" if stable is not None else ""
        step = f"step {candidate.step + 1}" if candidate.step >= 0 else "before the first step"
        since = f", since {candidate.step_started_at}" if candidate.step_started_at else ""
        lines.append(f"On trial: {candidate.revision}{against}, {candidate.weight} % of requests, {step}{since}.")
    elif watch is not None:
        lines.append(f"Watched: {watch.revision}, promoted {watch.since}, until {watch.until}.")
    elif back is not None:
        why = "" if back.evidence in (status.message or "") else f": {back.evidence}"
        lines.append(f"Last rollback: from {back.from_} to {back.to} by {back.gate} at {back.time}{why}.")
    if not status.gates:
        lines.append("No gate has spoken: there has been no trial, or spec.gates names none.")
    return lines


def minutes_words(minutes: float) -> str:
    """A length of time as a person says it."""
    if minutes < 1.0:
        return "less than a minute"
    for unit, size, limit in (("minute", 1.0, 90.0), ("hour", 60.0, 36.0 * 60.0)):
        if minutes < limit:
            number = round(minutes / size)
            return f"about {number} {unit}{'' if number == 1 else 's'}"
    return f"about {minutes / 1440.0:,.0f} days"


@dataclass(frozen=True)
class _Numbers:
    """How one gate's numbers are written."""

    gate: GateStatus
    watched: bool

    @property
    def are_shares(self) -> bool:
        """Whether its value is a share. Latency is a quantile in a trial, and a share of slow requests in a watch."""
        return self.gate.name in _SHARES or (self.gate.name == LATENCY and self.watched)

    @property
    def are_rises(self) -> bool:
        """Whether bound and limit are rises of the error relative to stable's."""
        return self.gate.name == REGRESSION_ERROR and not self.watched

    def level(self, value: float) -> str:
        """An estimate, or a limit of one."""
        if self.gate.name in _DRIFT:
            return f"PSI {value:.3f}"
        if self.are_shares:
            return f"{100 * value:.2f} %"
        return _seconds(value) if self.gate.name == LATENCY else f"{value:.4g}"

    def loss(self, value: float) -> str:
        """A difference of two estimates, or a limit of one."""
        if self.gate.name in _DRIFT:
            return f"PSI {value:.3f}"
        if self.are_shares:
            return f"{100 * value:.2f} points"
        if self.are_rises:
            return f"{100 * value:.1f} %"
        return f"{100 * value:.2f} points" if self.gate.name == LATENCY else f"{value:.4g}"

    def limit(self, value: float) -> str:
        """The threshold: a level, or what is allowed as a loss against stable."""
        of_level = self.watched or self.gate.name in (AGREEMENT, ERROR_RATE, LATENCY)
        if of_level or (self.gate.name == ACCURACY and self.gate.reason == GateReason.BelowMinimum):
            return self.level(value)
        if self.gate.name == SCHEMA and self.gate.features:
            return f"{self.loss(value)} above the share in training"
        if self.are_rises:
            return f"{self.loss(value)} above stable's"
        return self.loss(value)


def _seconds(value: float) -> str:
    return f"{1000 * value:g} ms" if value < 1.0 else f"{value:g} s"


def _seen(gate: GateStatus, numbers: _Numbers) -> str:
    if gate.value is None or gate.name == AVAILABILITY:
        return ""
    if gate.name.startswith(CUSTOM_PREFIX):
        limit = f", limit {gate.limit:.6g}" if gate.limit is not None else ""
        return f"{gate.value:.6g}{limit}"
    if gate.name == AGREEMENT:
        parts = [f"{numbers.level(gate.value)} of the copies answered alike"]
    else:
        parts = [f"{'revision' if numbers.watched else 'candidate'} {numbers.level(gate.value)}"]
    if gate.reference is not None:
        parts.append(f"{_reference(gate, numbers)} {numbers.level(gate.reference)}")
    if gate.limit is not None:
        at_least = " at least" if gate.name == AGREEMENT else ""
        parts.append(f"limit {numbers.limit(gate.limit)}{at_least}")
    return ", ".join(parts) + _samples(gate, numbers)


def _reference(gate: GateStatus, numbers: _Numbers) -> str:
    if numbers.watched:
        return "the trial showed"
    return "stable off its own training by" if gate.name in _DRIFT else "stable"


def _samples(gate: GateStatus, numbers: _Numbers) -> str:
    if gate.samples is None:
        return ""
    return (
        f", from {gate.samples:,.0f} samples{'' if numbers.watched or gate.name == AGREEMENT else ' of the candidate'}"
    )


def _features(gate: GateStatus) -> str:
    return ", ".join(f"{feature.name} {feature.value:.3f}" for feature in gate.features or ())


def _sure(gate: GateStatus, numbers: _Numbers) -> Iterator[str]:
    if gate.name.startswith(CUSTOM_PREFIX):
        yield f"{gate.breaches or 0} of 3 breaches in a row; outside the error budget"
        return
    if gate.log10_e is not None and gate.budget:
        needed = f"evidence against it {ten_to(gate.log10_e)} of {ten_to(log10_needed(gate.budget))} needed to fail"
        if numbers.watched:
            yield f"{needed}, so that false alarms stay as rare as falseAlarmsPerYear says"
        else:
            yield f"{needed}; its share of the budget is {100 * gate.budget:.2g} %"
    if gate.bound is not None and gate.verdict in ("NotYet", "Pass"):
        yield from _bound(gate, gate.bound, numbers)


def _bound(gate: GateStatus, bound: float, numbers: _Numbers) -> Iterator[str]:
    """What is not excluded; a Pass says as much of what is allowed in its own sentence."""
    if numbers.watched:
        yield f"{numbers.level(bound)} at worst since the promotion, but for a chance of 1 in 20"
    elif gate.name == AGREEMENT:
        yield f"an agreement as low as {numbers.level(bound)} is not excluded"
    elif gate.name == LATENCY:
        yield f"a quantile of up to {numbers.level(bound)} is not excluded"
    elif gate.verdict == "NotYet":
        # What errorRate allows is a level, and its bound a rise on top of stable's.
        told = gate.limit is not None and gate.name != ERROR_RATE
        allowed = f", {numbers.loss(gate.limit or 0.0)} is allowed" if told else ""
        yield f"{_kind(gate)} of up to {numbers.loss(bound)} is not excluded{allowed}"


def _kind(gate: GateStatus) -> str:
    if gate.name in _DRIFT:
        return "a drift"
    if gate.name == SCHEMA:
        return "a share of violations beyond training"
    return "a rise" if gate.name in (ERROR_RATE, REGRESSION_ERROR) else "a loss"


def _can_see(gate: GateStatus, numbers: _Numbers) -> str:
    if gate.smallest_drop is None:
        return ""
    smallest = gate.smallest_drop
    if numbers.watched:
        return f"so much traffic reveals what lies {numbers.loss(smallest)} beyond the limit"
    if gate.name == AGREEMENT:
        return f"so many copies reveal other answers in {100 * smallest:.2f} % of them, and no fewer"
    if gate.name == LATENCY:
        return (
            f"the smallest rise of the share of slow requests that so much traffic reveals is {numbers.loss(smallest)}"
        )
    if gate.name == SCHEMA:
        return f"the smallest share of violations that so many rows reveal is {100 * smallest:.2f} %"
    return f"the smallest {_kind(gate).partition(' ')[2]} that so much traffic reveals is {numbers.loss(smallest)}"


def _time(gate: GateStatus, pace: Pace, numbers: _Numbers) -> Iterator[str]:
    if pace.samples_per_minute is None or gate.name.startswith(CUSTOM_PREFIX) or gate.name == AVAILABILITY:
        return
    yield f"{pace.samples_per_minute:,.0f} samples a minute at this weight"
    if pace.pass_minutes is not None and pace.pass_minutes > 0.0:
        needed = f"{gate.needed:,.0f}" if gate.needed is not None else "enough"
        yield f"{needed} samples for a Pass in {minutes_words(pace.pass_minutes)}"
    elif gate.needed is None and gate.reason in _NEVER and not numbers.watched:
        yield "at the present estimate it never passes"
    if pace.fail_minutes is not None:
        yield f"a Fail in {minutes_words(pace.fail_minutes)} if the evidence grows as it has"

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
    PREDICTION_DRIFT,
    SCHEMA,
)
from serin_operator.decide.judge.findings import log10_needed, ten_to

_PERCENT = (ACCURACY, AGREEMENT, ERROR_RATE, SCHEMA)
_DRIFT = (DATA_DRIFT, PREDICTION_DRIFT)


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


def gate_words(gate: GateStatus, pace: Pace) -> GateWords:
    """Explain one gate."""
    mode = "decides" if gate.mode == "Enforce" else "only reports"
    lines = (
        ("seen", _seen(gate)),
        ("worst", _features(gate)),
        ("sure", _sure(gate)),
        ("can see", _can_see(gate)),
        ("time", _time(gate, pace)),
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


def _number(gate: GateStatus, value: float) -> str:
    return f"{100 * value:.2f} %" if gate.name in _PERCENT else f"{value:.4g}"


def _loss(gate: GateStatus, value: float) -> str:
    if gate.name in _DRIFT:
        return f"PSI {value:.3f}"
    return f"{100 * value:.2f} points" if gate.name in _PERCENT else f"{value:.4g}"


def _seen(gate: GateStatus) -> str:
    if gate.value is None or gate.name == AVAILABILITY:
        return ""
    parts = [f"candidate {_number(gate, gate.value)}"]
    if gate.reference is not None:
        parts.append(f"stable {_number(gate, gate.reference)}")
    if gate.limit is not None:
        parts.append(f"limit {_loss(gate, gate.limit)}")
    samples = f", from {gate.samples:,.0f} samples of the candidate" if gate.samples is not None else ""
    return ", ".join(parts) + samples


def _features(gate: GateStatus) -> str:
    return ", ".join(f"{feature.name} {feature.value:.3f}" for feature in gate.features or ())


def _sure(gate: GateStatus) -> str:
    if gate.name.startswith(CUSTOM_PREFIX):
        return f"{gate.breaches or 0} of 3 breaches in a row; outside the error budget"
    parts: list[str] = []
    if gate.log10_e is not None and gate.budget:
        parts.append(
            f"evidence against it {ten_to(gate.log10_e)} of {ten_to(log10_needed(gate.budget))} needed to fail; "
            f"its share of the budget is {100 * gate.budget:.2g} %"
        )
    if gate.verdict == "NotYet" and gate.bound is not None and gate.limit is not None:
        kind = "drift" if gate.name in _DRIFT else "loss"
        parts.append(
            f"a {kind} of up to {_loss(gate, gate.bound)} is not excluded, {_loss(gate, gate.limit)} is allowed"
        )
    return "; ".join(parts)


def _can_see(gate: GateStatus) -> str:
    if gate.smallest_drop is None:
        return ""
    kind = "drift" if gate.name in _DRIFT else "loss"
    return f"the smallest {kind} that so much traffic reveals is {_loss(gate, gate.smallest_drop)}"


def _time(gate: GateStatus, pace: Pace) -> str:
    return "; ".join(_time_parts(gate, pace))


def _time_parts(gate: GateStatus, pace: Pace) -> Iterator[str]:
    if pace.samples_per_minute is None:
        return
    yield f"{pace.samples_per_minute:,.0f} samples a minute at this weight"
    if pace.pass_minutes is not None and pace.pass_minutes > 0.0:
        needed = f"{gate.needed:,.0f}" if gate.needed is not None else "enough"
        yield f"{needed} samples for a Pass in {minutes_words(pace.pass_minutes)}"
    elif gate.needed is None and gate.value is not None:
        yield "at the present estimate it never passes"
    if pace.fail_minutes is not None:
        yield f"a Fail in {minutes_words(pace.fail_minutes)} if the evidence grows as it has"

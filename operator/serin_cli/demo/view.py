"""The live view: on a terminal a few tables drawn in place, elsewhere one line per change."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from serin_cli.demo.counts import UNANSWERED, Snapshot
from serin_cli.demo.state import Gate, State

BLOCKS = " ▁▂▃▄▅▆▇█"
BAR_WIDTH = 60
VERDICT_STYLES = {"Pass": "green", "Fail": "bold red", "NotYet": "yellow", "NoData": "dim", "Error": "red"}


def bar(weights: list[int], width: int = BAR_WIDTH) -> str:
    """The candidate's weight over time as blocks, the newest on the right; any weight above zero shows."""
    shown = weights[-width:]
    return "".join(BLOCKS[0 if weight <= 0 else max(1, round(weight / 100 * 8))] for weight in shown).rjust(width)


def split(state: State) -> str:
    """Who answers which share, in words."""
    if state.stable is None:
        return "nothing answers yet"
    if state.candidate is None:
        return f"{state.stable} 100 %"
    return f"{state.stable} {100 - state.weight} % | {state.candidate} {state.weight} %"


def render(title: str, state: State, counted: Snapshot, names: dict[str, str], weights: list[int]) -> RenderableType:
    """The whole view.

    Args:
        title: the chapter of the demo.
        state: the ModelDeployment.
        counted: the load so far.
        names: what people call a revision, such as v2.
        weights: the candidate's weight, look by look.
    """
    head = Table.grid(padding=(0, 2))
    head.add_column(style="bold")
    head.add_column()
    head.add_row("phase", f"{state.phase or '-'}{_step(state)}")
    head.add_row("traffic", split(state))
    head.add_row("weight", Text(bar(weights), style="cyan"))
    head.add_row("message", Text(state.message or "-"))
    return Panel(Group(head, _gates(state), _arms(counted, names)), title=title, title_align="left")


def line(state: State, counted: Snapshot, names: dict[str, str]) -> str:
    """The view in one line, for a log."""
    words = [f"{state.phase or '-'}{_step(state)}", _named(split(state), names)]
    words += [_gate_words(gate) for gate in state.gates]
    words.append(f"{counted.requests} requests, {counted.failed} failed")
    return " · ".join(words) + f" · {_named(state.message, names)}"


def changed(state: State) -> tuple[object, ...]:
    """What must differ for a new line to be worth it: counts and estimates always do."""
    return (state.phase, state.stable, state.candidate, state.weight, tuple(gate.verdict for gate in state.gates))


def _named(text: str, names: dict[str, str]) -> str:
    for revision, name in names.items():
        text = text.replace(revision, name)
    return text


def _step(state: State) -> str:
    return f", step {state.step + 1}" if state.candidate is not None and state.step >= 0 and state.weight < 100 else ""


def _gates(state: State) -> Table:
    table = Table(expand=True, box=None, padding=(0, 1))
    for title in ("gate", "value", "stable's", "bound", "limit", "samples", "needed", "log10 E", "verdict"):
        table.add_column(title, justify="left" if title in ("gate", "verdict") else "right")
    for gate in state.gates:
        table.add_row(
            gate.name,
            _number(gate.value),
            _number(gate.reference),
            _number(gate.bound),
            _number(gate.limit),
            _number(gate.samples, 0),
            _number(gate.needed, 0),
            _number(gate.log10_e, 2),
            Text(gate.verdict, style=VERDICT_STYLES.get(gate.verdict, "")),
        )
    return table


def _arms(counted: Snapshot, names: dict[str, str]) -> Table:
    table = Table(expand=True, box=None, padding=(0, 1))
    for title in ("revision", "requests", "failed", "right", "p50", "p99", "labels", "refused"):
        table.add_column(title, justify="left" if title == "revision" else "right")
    for revision, arm in counted.arms.items():
        known = names.get(revision, "")
        table.add_row(
            "unanswered" if revision == UNANSWERED else f"{known} {revision}".strip(),
            f"{arm.requests:,}",
            Text(f"{arm.failures:,}", style="bold red" if arm.failures else "green"),
            "-" if arm.accuracy is None else f"{arm.accuracy:.1%}",
            f"{arm.p50_ms:.0f} ms",
            f"{arm.p99_ms:.0f} ms",
            f"{arm.labels_posted:,}",
            f"{arm.labels_refused:,}",
        )
    return table


def _gate_words(gate: Gate) -> str:
    numbers = "" if gate.value is None else f" {gate.value:.3f}"
    against = "" if gate.reference is None else f" vs {gate.reference:.3f}"
    return f"{gate.name} {gate.verdict}{numbers}{against}"


def _number(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"

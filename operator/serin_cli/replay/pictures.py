"""Evidence over time, from records."""

from __future__ import annotations

from collections.abc import Sequence

from serin_cli.plots import svg
from serin_cli.replay.again import Replayed
from serin_operator.decide.judge.findings import log10_needed


def picture(kept: Sequence[Replayed]) -> str:
    """SVG text: log10 of the evidence of each gate in each record, and what it needs to fail."""
    trials = [one for one in kept if one.recorded.status.candidate is not None]
    began = trials[0].seen.now if trials else 0.0
    series: dict[str, list[tuple[float, float]]] = {}
    needed: dict[str, float] = {}
    for one in trials:
        for gate in one.recorded.status.gates:
            if gate.log10_e is not None and gate.budget:
                series.setdefault(gate.name, []).append(((one.seen.now - began) / 60.0, gate.log10_e))
                needed[gate.name] = log10_needed(gate.budget)
    panel = svg.lines("log10 of the evidence against the candidate, by gate", series, needed)
    name = kept[0].seen.name if kept else "no records"
    return svg.picture(f"{name}: evidence over time", [panel])

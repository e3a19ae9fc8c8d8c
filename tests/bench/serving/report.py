"""From what was measured to tables and targets. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.bench.serving.load import Measured

SERIN = "serin"
ORACLES = ("mlserver", "mlserver-0", "kserve")
"""The two servers that speak the same protocol; Serin is held against the better of them."""


@dataclass(frozen=True)
class Cell:
    """A model, rows a request and connections."""

    model: str
    rows: int
    connections: int

    @property
    def name(self) -> str:
        """`linear-1-16`."""
        return f"{self.model}-{self.rows}-{self.connections}"


@dataclass(frozen=True)
class Process:
    """What a server took for one model."""

    cold_start_seconds: float
    cold_start_cpu_seconds: float
    memory_mb: float


@dataclass
class Run:
    """All that was measured."""

    cells: dict[Cell, dict[str, Measured]] = field(default_factory=dict)
    processes: dict[str, dict[str, Process]] = field(default_factory=dict)
    """By model, then by server."""
    troubles: list[str] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "cells": [
                {**asdict(cell), "server": name, **asdict(measured)}
                for cell, found in self.cells.items()
                for name, measured in found.items()
            ],
            "processes": [
                {"model": model, "server": name, **asdict(process)}
                for model, found in self.processes.items()
                for name, process in found.items()
            ],
            "targets": [asdict(target) for target in targets(self)],
            "troubles": self.troubles,
        }


@dataclass(frozen=True)
class Target:
    """One thing that must hold."""

    name: str
    wanted: str
    found: str
    held: bool


def targets(run: Run) -> list[Target]:
    """What was to be shown, as far as the run can say."""
    found: list[Target] = []
    for cell, measured in run.cells.items():
        found += _of_cell(cell, measured)
    for model, started in run.processes.items():
        found += _of_processes(model, started)
    return found


def tables(run: Run) -> str:
    """Markdown: each cell by server, what the processes took, and the targets."""
    parts = [
        _table(
            ("model", "rows", "connections", "server", "requests/s", "p50 ms", "p99 ms", "CPU µs", "Serin's ratio"),
            _cell_rows(run),
        ),
        _table(("model", "server", "cold start s", "of a core s", "memory MB (PSS)"), _process_rows(run)),
        _table(
            ("target", "wanted", "found", "held"),
            ((target.name, target.wanted, target.found, "yes" if target.held else "NO") for target in targets(run)),
        ),
    ]
    if run.troubles:
        parts.append("Troubles:\n" + "\n".join(f"- {trouble}" for trouble in run.troubles))
    return "\n\n".join(parts) + "\n"


def _of_cell(cell: Cell, measured: dict[str, Measured]) -> list[Target]:
    ours = measured.get(SERIN)
    peers = {name: peer for name, peer in measured.items() if not name.startswith(SERIN)}
    if ours is None or not peers:
        return []
    ahead = ours.requests_per_second / max(peer.requests_per_second for peer in peers.values())
    found = [_at_least(f"{cell.name}: requests/s against the best of all", ahead, 1)]
    oracles = [peer for name, peer in peers.items() if name in ORACLES]
    if not oracles or cell.rows != 1:
        return found
    ratio = ours.requests_per_second / max(peer.requests_per_second for peer in oracles)
    wanted = _wanted(cell)
    if wanted:
        found.append(_at_least(f"{cell.name}: requests/s against MLServer and KServe", ratio, wanted))
    if cell.model == "linear" and cell.connections > 1:
        tail = min(peer.p99_ms for peer in oracles) / ours.p99_ms
        found.append(_at_least(f"{cell.name}: their p99 against ours", tail, 7))
        cpu = min(peer.cpu_us for peer in oracles) / ours.cpu_us
        found.append(_at_least(f"{cell.name}: their CPU a request against ours", cpu, 8))
    return found


def _wanted(cell: Cell) -> float:
    if cell.connections == 1:
        return 2
    if cell.model == "linear":
        return 15 if cell.connections >= 64 else 10
    return 50 if cell.model == "forest" else 0


def _of_processes(model: str, started: dict[str, Process]) -> list[Target]:
    ours = started.get(SERIN)
    if ours is None:
        return []
    seconds = ours.cold_start_seconds
    found = [Target(f"{model}: exec to first answer", "≤ 0.5 s", f"{seconds:.2f} s", seconds <= 0.5)]
    oracles = [process.memory_mb for name, process in started.items() if name in ORACLES]
    if oracles:
        found.append(_at_least(f"{model}: their memory against ours", min(oracles) / ours.memory_mb, 2))
    return found


def _at_least(name: str, ratio: float, wanted: float) -> Target:
    return Target(name, f"≥ {wanted:g}×", f"{ratio:.1f}×", ratio >= wanted)


def _cell_rows(run: Run) -> Iterable[tuple[str, ...]]:
    for cell, measured in run.cells.items():
        ours = measured.get(SERIN)
        for name, each in measured.items():
            ratio = (
                "" if ours is None or name == SERIN else f"{ours.requests_per_second / each.requests_per_second:.1f}×"
            )
            yield (
                cell.model,
                str(cell.rows),
                str(cell.connections),
                name + (f" ({each.failed} failed)" if each.failed else ""),
                f"{each.requests_per_second:,.0f}",
                f"{each.p50_ms:.2f}",
                f"{each.p99_ms:.2f}",
                f"{each.cpu_us:.0f}",
                ratio,
            )


def _process_rows(run: Run) -> Iterable[tuple[str, ...]]:
    for model, started in run.processes.items():
        for name, process in started.items():
            seconds = f"{process.cold_start_seconds:.2f}", f"{process.cold_start_cpu_seconds:.2f}"
            yield model, name, *seconds, f"{process.memory_mb:.0f}"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)

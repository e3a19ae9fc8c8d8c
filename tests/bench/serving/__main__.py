"""Serin's full server beside its peers, in one run: `python -m tests.bench.serving [--only NAME] [--cells TEXT]`.

Each server loads the same joblib model (Serin its bundle) and answers the same requests of Open Inference Protocol
v2 on loopback; in each cell they are called in turn, so that what else the machine does meets all of them. Serin
runs as a candidate's pod in a trial: metrics, signed ids, bins on two profiles, stats and a cohort in each request.
It ends with 1 where a target does not hold or a server could not be measured.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import statistics
import sys
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path

from tests.bench.serving import environments, processes, report, servers
from tests.bench.serving.load import Measured, measure
from tests.bench.serving.models import MODELS, ROWS, Served, prepare
from tests.bench.serving.report import Cell, Process, Run
from tests.bench.serving.servers import SERIN, SETUPS, Setup, Started

CONNECTIONS = (1, 16, 64)
START_SECONDS = 5
"""About what a server takes to start, for telling how long the whole takes."""


def main() -> int:
    """Measure and print; 1 where a target does not hold."""
    wishes = _parser().parse_args()
    chosen = {name: setup for name, setup in SETUPS.items() if not wishes.only or name in (*wishes.only, SERIN)}
    if wishes.against is not None:
        chosen["serin-other"] = servers.serin(wishes.against.resolve())
    cells = [cell for cell in _cells() if _is_chosen(cell, wishes.cells)]
    _tell(f"{len(cells)} cells and {len(chosen)} servers: about {_minutes(cells, chosen, wishes):.0f} minutes")
    run = Run()
    wrk = environments.wrk()
    with tempfile.TemporaryDirectory() as scratch:
        for number, name in enumerate(dict.fromkeys(cell.model for cell in cells)):
            model = prepare(name, Path(scratch) / name)
            if number == 0:
                _write_byte_code(model, chosen, Path(scratch))
            mine = [cell for cell in cells if cell.model == name]
            _measure_model(run, wrk, model, mine, chosen, wishes.seconds, wishes.rounds, Path(scratch))
    sys.stdout.write(report.tables(run))
    if wishes.json:
        wishes.json.write_text(json.dumps(run.document(), indent=2))
    return int(bool(run.troubles) or not all(target.held for target in report.targets(run)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", choices=sorted(SETUPS), help="this peer beside Serin; repeatable")
    parser.add_argument(
        "--cells",
        action="append",
        help="cells whose name is like this: linear-1-16, forest-*-64; may be given repeatedly",
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=1, help="measurements of each cell, of which the median counts")
    parser.add_argument("--against", type=Path, help="another checkout of Serin, measured beside this one")
    parser.add_argument("--json", type=Path, help="write the figures there")
    return parser


def _cells() -> list[Cell]:
    return [Cell(model, rows, connections) for model in MODELS for rows in ROWS for connections in CONNECTIONS]


def _is_chosen(cell: Cell, patterns: list[str] | None) -> bool:
    return not patterns or any(fnmatch.fnmatch(cell.name, pattern) for pattern in patterns)


def _minutes(cells: list[Cell], chosen: dict[str, Setup], wishes: argparse.Namespace) -> float:
    started = (len({cell.model for cell in cells}) + 1) * len(chosen)
    return (len(cells) * len(chosen) * wishes.rounds * (wishes.seconds + 2) + START_SECONDS * started) / 60


def _write_byte_code(model: Served, chosen: dict[str, Setup], scratch: Path) -> None:
    for name, setup in chosen.items():
        # What goes wrong here does so again where it is told.
        with suppress(RuntimeError), servers.running(name, setup, model, scratch / f"first-{name}"):
            pass


def _measure_model(
    run: Run,
    wrk: str,
    model: Served,
    cells: list[Cell],
    chosen: dict[str, Setup],
    seconds: float,
    rounds: int,
    scratch: Path,
) -> None:
    with ExitStack() as stack:
        started = []
        for name, setup in chosen.items():
            _tell(f"{model.name}: starting {name}")
            try:
                place = servers.running(name, setup, model, scratch / f"{model.name}-{name}")
                started.append(stack.enter_context(place))
            except RuntimeError as error:
                run.troubles.append(f"{name} with {model.name}: {error}")
        for cell in cells:
            run.cells[cell] = _measure_cell(run, wrk, model, cell, started, seconds, rounds)
        run.processes[model.name] = {
            server.name: Process(
                server.cold_start_seconds, server.cold_start_cpu_seconds, processes.memory_mb(server.pid)
            )
            for server in started
        }


def _measure_cell(
    run: Run, wrk: str, model: Served, cell: Cell, started: list[Started], seconds: float, rounds: int
) -> dict[str, Measured]:
    found: dict[str, list[Measured]] = {}
    for _ in range(rounds):
        for server in started:
            try:
                each = measure(wrk, server, model.requests[cell.rows], cell.connections, seconds)
            except (OSError, RuntimeError) as error:
                run.troubles.append(f"{server.name} in {cell.name}: {error}")
                continue
            found.setdefault(server.name, []).append(each)
            _tell(
                f"{cell.name} {server.name}: {each.requests_per_second:,.0f}/s, p99 {each.p99_ms:.1f} ms, "
                f"CPU {each.cpu_us:.0f} µs"
            )
    return {name: _median(measured) for name, measured in found.items()}


def _median(measured: list[Measured]) -> Measured:
    return Measured(
        requests_per_second=statistics.median(each.requests_per_second for each in measured),
        p50_ms=statistics.median(each.p50_ms for each in measured),
        p99_ms=statistics.median(each.p99_ms for each in measured),
        cpu_us=statistics.median(each.cpu_us for each in measured),
        failed=sum(each.failed for each in measured),
    )


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())

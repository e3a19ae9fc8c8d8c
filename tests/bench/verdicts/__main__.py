"""`python -m tests.bench.verdicts`: the table of false rollbacks and of detection; fails when a bound is broken."""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import sys
import time
from dataclasses import asdict
from pathlib import Path

from tests.bench.simulate_rollouts import RUNS, SEEDS
from tests.bench.verdicts.cases import BY_NAME, CASES
from tests.bench.verdicts.kept import CACHE, Kept
from tests.bench.verdicts.series import NAIVE_RUNS, NaiveRow, Row, broken, jobs_of, make, naive_rows, rows_of


def main(arguments: list[str] | None = None) -> int:
    """The command; 1 where a bound is broken."""
    options = _options(arguments)
    names = options.cases or [case.name for case in CASES]
    begun = time.monotonic()

    def report(text: str) -> None:
        sys.stderr.write(f"{time.monotonic() - begun:.0f} s: {text}\n")
        sys.stderr.flush()

    naive = list(naive_rows(names, options.seeds[0], options.naive_runs, options.processes))
    jobs, kept = jobs_of(names, options.seeds, options.runs, tuple(options.gates)), Kept(options.kept)
    make(jobs, kept, options.processes, options.seconds, report)
    rows = rows_of(jobs, kept)
    if options.out:
        _write(options.out, rows, naive)
    failures = [text for text in map(broken, rows) if text is not None]
    print(table(rows, naive))
    print(f"\n{sum(row.runs for row in rows)} roll-outs in {time.monotonic() - begun:.0f} s")
    print("\n".join(failures) or "every bound holds")
    return 1 if failures else 0


def table(rows: list[Row], naive: list[NaiveRow]) -> str:
    """The rows as Markdown, one per case, all seeds together."""
    common = {row.case: row for row in naive}
    lines = [
        "| case | runs | rolled back (by seed) | by | promoted | held | rows until then | naive A | naive B |",
        "| --- | ---: | --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name in dict.fromkeys(row.case for row in rows):
        mine = [row for row in rows if row.case == name]
        runs, back = sum(row.runs for row in mine), sum(row.rolled_back for row in mine)
        by_seed = ", ".join(f"{row.rolled_back / row.runs:.3f}" for row in mine)
        gates: dict[str, int] = {}
        for row in mine:
            for gate, count in row.gates.items():
                gates[gate] = gates.get(gate, 0) + count
        found = [(row.rows, row.rolled_back) for row in mine if row.rolled_back]
        mean = sum(each * count for each, count in found) / back if back else 0.0
        blameless = BY_NAME[name].blameless
        lines.append(
            f"| {name} | {runs} | {back / runs:.3f} ({by_seed}) "
            f"| {', '.join(f'{gate} {count}' for gate, count in sorted(gates.items()))} "
            f"| {sum(row.promoted for row in mine) / runs:.3f} | {sum(row.held for row in mine) / runs:.3f} "
            f"| {'' if blameless else f'{mean:.0f}'} | {_common(common.get(name))} |"
        )
    return "\n".join(lines)


def _common(row: NaiveRow | None) -> str:
    if row is None or not row.runs:
        return " | "
    return (
        f"{row.windowed / row.runs:.2f}, {row.windowed_rows:.0f} | "
        f"{row.cumulative / row.runs:.2f}, {row.cumulative_rows:.0f}"
    )


def _write(path: Path, rows: list[Row], naive: list[NaiveRow]) -> None:
    document = {"rows": [asdict(row) for row in rows], "naive": [asdict(row) for row in naive]}
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False))


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS, help="roll-outs per case and seed")
    parser.add_argument("--naive-runs", type=int, default=NAIVE_RUNS, help="roll-outs per case for the common gates")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--cases", nargs="*", choices=list(BY_NAME), metavar="CASE", help="names; all by default")
    parser.add_argument("--gates", nargs="*", default=[], help="only these gates judge; all of the case by default")
    parser.add_argument("--processes", type=int, default=multiprocessing.cpu_count())
    parser.add_argument("--seconds", type=float, default=math.inf, help="stop then; the table is of what was made")
    parser.add_argument("--kept", type=Path, default=CACHE, help="where roll-outs are kept, to be gone on with")
    parser.add_argument("--out", type=Path, help="keep the rows in this file as JSON")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    raise SystemExit(main())

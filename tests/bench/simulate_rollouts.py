"""Thousands of simulated roll-outs through the real `decide`: how often is a blameless candidate rolled back?

Run it with `make bench` or `python -m tests.bench.simulate_rollouts`. Every run is seeded by its place, so the
numbers are the same however many processes share the work. It fails when a bound is broken.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from scipy.special import betaincinv
from tests.support.world import Behaviour, Traffic, World, a_served_world, a_spec, uri

SEEDS = (11, 23, 47)
RUNS = 2000
TICK_SECONDS = 10.0
FALSE_ROLLBACKS_MAX = 0.05
LONG_RUNS = 1000
CONFIDENCE = 0.99
"""Of the one-sided binomial bound by which a small run is judged."""

Ending = Literal["Promoted", "RolledBack", "Undecided"]


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    name: str
    sentence: str
    accuracy: tuple[float, float] = (0.95, 0.95)
    """Of stable and candidate."""
    traffic: Traffic = field(default_factory=lambda: Traffic(requests_per_second=120.0))
    gates: dict[str, Any] = field(default_factory=lambda: {"accuracy": {}, "errorRate": {}})
    error_rate: float = 0.002
    labels_max: float = math.inf
    """A candidate that is not found before it has this many labels counts as not found."""
    steps: tuple[tuple[int, str], ...] = ((5, "1m"), (25, "1m"), (50, "1m"))
    tick_seconds: float = TICK_SECONDS
    blameless: bool = True
    found_min: float = 0.0
    """Share of bad candidates that must be found before `labels_max`."""


@dataclass(frozen=True)
class Outcome:
    """How one roll-out ended."""

    ending: Ending
    labels: float
    """Of the candidate, until then."""
    simulated_seconds: float
    passes: int


@dataclass(frozen=True)
class Row:
    """All roll-outs of one case under one seed."""

    case: str
    seed: int
    runs: int
    rolled_back: int
    promoted: int
    undecided: int
    within_labels: int
    """Rolled back before the candidate had `labels_max` labels."""
    median_labels: float
    median_minutes: float
    passes: int
    blameless: bool
    found_min: float


CASES = (
    Case("plain", "two equal models at 95 %"),
    Case(
        "harder",
        "equal models, and the traffic gets harder during the ramp: 95 → 85 %",
        traffic=Traffic(requests_per_second=120.0, harder_by=0.10, harder_over_seconds=200.0),
    ),
    Case(
        "late errors",
        "equal models at 90 %; a label that says right comes at once, one that says wrong 30 s late in the mean",
        accuracy=(0.90, 0.90),
        traffic=Traffic(requests_per_second=120.0, delay_wrong_seconds=30.0),
        gates={"accuracy": {"labelDelay": "1m"}, "errorRate": {}},
    ),
    Case(
        "batches",
        "equal models at 90 %; requests of 16 rows that go wrong together (correlation 0.5)",
        accuracy=(0.90, 0.90),
        traffic=Traffic(requests_per_second=120.0, rows=16, correlation=0.5),
    ),
    Case(
        "10 points, held",
        "90 % against 80 % at 10 % of the traffic: found within 600 labels of the candidate",
        accuracy=(0.90, 0.80),
        traffic=Traffic(requests_per_second=50.0),
        labels_max=600.0,
        steps=((10, "30m"),),
        tick_seconds=1.0,
        blameless=False,
        found_min=0.99,
    ),
    Case(
        "10 points, ramp",
        "the same while the weight climbs 5, 25, 50: a label at 50 % tells half as much, so no bound is set",
        accuracy=(0.90, 0.80),
        traffic=Traffic(requests_per_second=20.0),
        labels_max=600.0,
        tick_seconds=1.0,
        blameless=False,
    ),
)


def a_trial(case: Case, seed: int) -> World:
    """A served world in which the case's candidate is asked for."""
    models = {
        uri(1): Behaviour(case.accuracy[0], case.error_rate),
        uri(2): Behaviour(case.accuracy[1], case.error_rate),
    }
    steps = [{"weight": weight, "for": duration} for weight, duration in case.steps]
    spec = a_spec(1, rollout={"steps": steps, "deadline": "1h"}, gates=case.gates)
    world = a_served_world(spec=spec, models=models, seed=seed, traffic=replace(case.traffic))
    world.change(spec | {"model": {"uri": uri(2)}})
    return world


def roll_out(case: Case, seed: int) -> Outcome:
    """One roll-out until it is promoted, rolled back or out of time."""
    world = a_trial(case, seed)
    first, begun, passes = world.stable, world.now, 0
    while True:
        plan = world.step()
        passes += 1
        ending = _ending(world, first)
        if ending is not None:
            candidate = next(name for name in world.revisions if name != first)
            return Outcome(ending, world.labelled.get(candidate, 0.0), world.now - begun, passes)
        started = world.status.candidate is not None and world.status.candidate.step_started_at is not None
        world.pass_time(case.tick_seconds if started else max(1.0, plan.retry_after_seconds or 1.0))


def _ending(world: World, first: str) -> Ending | None:
    if world.stable != first:
        return "Promoted"
    if world.status.rejected:
        return "RolledBack"
    return "Undecided" if world.status.phase == "Paused" else None


def simulate(case: Case, seed: int, outcomes: Iterable[Outcome]) -> Row:
    """The row that these outcomes make."""
    ended = list(outcomes)
    back = [outcome for outcome in ended if outcome.ending == "RolledBack"]
    return Row(
        case=case.name,
        seed=seed,
        runs=len(ended),
        rolled_back=len(back),
        promoted=sum(outcome.ending == "Promoted" for outcome in ended),
        undecided=sum(outcome.ending == "Undecided" for outcome in ended),
        within_labels=sum(outcome.labels <= case.labels_max for outcome in back),
        median_labels=_median(outcome.labels for outcome in ended),
        median_minutes=_median(outcome.simulated_seconds / 60 for outcome in ended),
        passes=sum(outcome.passes for outcome in ended),
        blameless=case.blameless,
        found_min=case.found_min,
    )


def broken(row: Row) -> str | None:
    """What is wrong with a row, or None.

    The share of a long series must itself keep the bound. A short one, as the unit tests run it, must only not
    prove the contrary: there bad luck alone can lie beyond it.
    """
    long = row.runs >= LONG_RUNS
    if row.blameless:
        low = row.rolled_back / row.runs if long else lower_bound(row.rolled_back, row.runs)
        if low > FALSE_ROLLBACKS_MAX:
            return f"{row.case}: at least {low:.1%} of blameless candidates are rolled back"
        return None
    high = row.within_labels / row.runs if long else upper_bound(row.within_labels, row.runs)
    if high < row.found_min:
        return f"{row.case}: at most {high:.1%} are found in time"
    return None


def lower_bound(hits: int, runs: int) -> float:
    """Clopper and Pearson's one-sided bound: the share is at least this, with CONFIDENCE."""
    return 0.0 if hits == 0 else float(betaincinv(hits, runs - hits + 1, 1 - CONFIDENCE))


def upper_bound(hits: int, runs: int) -> float:
    """The same from above."""
    return 1.0 if hits == runs else float(betaincinv(hits + 1, runs - hits, CONFIDENCE))


def _median(values: Iterable[float]) -> float:
    ordered = sorted(values)
    return ordered[len(ordered) // 2] if ordered else math.nan


def _one(job: tuple[int, int]) -> Outcome:
    case, seed = job
    return roll_out(CASES[case], seed)


def all_rows(runs: int, seeds: Iterable[int], processes: int, report: Callable[[str], None]) -> Iterator[Row]:
    """Row after row; `report` is told how far it is."""
    with multiprocessing.Pool(processes) as pool:
        for seed in seeds:
            for index, case in enumerate(CASES):
                jobs = [(index, seed * 1_000_003 + run) for run in range(runs)]
                outcomes = []
                for outcome in pool.imap_unordered(_one, jobs, chunksize=20):
                    outcomes.append(outcome)
                    if len(outcomes) % 100 == 0:
                        report(f"{case.name}, seed {seed}: {len(outcomes)} of {runs}")
                yield simulate(case, seed, outcomes)


def table(rows: list[Row]) -> str:
    """The rows for people."""
    lines = [
        f"{'case':<17} {'seed':>4} {'runs':>5} {'rolled back':>11} {'promoted':>9} {'undecided':>9} {'in time':>8}"
    ]
    lines[0] += f" {'labels':>7} {'minutes':>7}"
    for row in rows:
        in_time = "" if row.blameless else f"{row.within_labels / row.runs:.1%}"
        lines.append(
            f"{row.case:<17} {row.seed:>4} {row.runs:>5} {row.rolled_back / row.runs:>11.2%} "
            f"{row.promoted / row.runs:>9.1%} {row.undecided / row.runs:>9.1%} {in_time:>8} "
            f"{row.median_labels:>7.0f} {row.median_minutes:>7.1f}"
        )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """The command; 1 where a bound is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS, help="roll-outs per case and seed")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--processes", type=int, default=multiprocessing.cpu_count())
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    options = parser.parse_args(arguments)
    begun = time.monotonic()

    def report(text: str) -> None:
        sys.stderr.write(f"\r\x1b[K{text}, {time.monotonic() - begun:.0f} s" if sys.stderr.isatty() else "")
        sys.stderr.flush()

    rows = []
    for row in all_rows(options.runs, options.seeds, options.processes, report):
        rows.append(row)
        report("")
        sys.stderr.write(f"{row.case}, seed {row.seed}: done after {time.monotonic() - begun:.0f} s\n")
    seconds, passes = time.monotonic() - begun, sum(row.passes for row in rows)
    failures = [text for text in map(broken, rows) if text is not None]
    if options.json:
        print(json.dumps({"rows": [asdict(row) for row in rows], "seconds": seconds, "broken": failures}, indent=2))
    else:
        print(table(rows))
        each = seconds * options.processes / max(1, passes)
        print(f"\n{passes} decisions in {seconds:.0f} s on {options.processes} processes: {each * 1e3:.2f} ms for one,")
        print("the world around it included.")
        for case in CASES:
            print(f"  {case.name}: {case.sentence}")
        print("\n".join(failures) or "every bound holds")
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main())

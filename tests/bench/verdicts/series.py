"""Many roll-outs of each case, each seeded by its place, and the bounds that they must keep."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from tests.bench.simulate_rollouts import (
    CONFIDENCE,
    FALSE_ROLLBACKS_MAX,
    LONG_RUNS,
    lower_bound,
    upper_bound,
)
from tests.bench.verdicts.cases import BY_NAME, Case
from tests.bench.verdicts.naive import Naive
from tests.bench.verdicts.rollouts import Outcome, roll_out

NAIVE_RUNS = 200


@dataclass(frozen=True)
class Job:
    """One roll-out to be made."""

    case: str
    seed: int
    gates: tuple[str, ...]
    """Which of the case's gates judge; empty for all."""


@dataclass(frozen=True)
class Row:
    """All roll-outs of one case under one seed."""

    case: str
    seed: int
    runs: int
    rolled_back: int
    promoted: int
    held: int
    rows: float
    """That the candidate had served until it was rolled back, in the mean; until the end where none was."""
    gates: dict[str, int]
    """How many each gate sent back."""


@dataclass(frozen=True)
class NaiveRow:
    """What the two common gates would have done in roll-outs that nothing ends early."""

    case: str
    runs: int
    windowed: int
    windowed_rows: float
    cumulative: int
    cumulative_rows: float


def chosen(job: Job) -> Case:
    """The case with the gates of the job alone."""
    case = BY_NAME[job.case]
    if not job.gates:
        return case
    return replace(case, gates={name: gate for name, gate in case.gates.items() if name in job.gates})


def one(job: Job) -> Outcome:
    """The roll-out of a job."""
    return roll_out(chosen(job), job.seed)


def one_naive(job: Job) -> tuple[float | None, float | None]:
    """When the two common gates say stop, in rows, where nothing but availability is judged."""
    naive = Naive()
    roll_out(replace(BY_NAME[job.case], gates={}), job.seed, naive.look)
    return naive.windowed_at, naive.cumulative_at


def summed(case: str, seed: int, outcomes: Iterable[Outcome]) -> Row:
    """The row that these outcomes make."""
    ended = list(outcomes)
    back = [outcome for outcome in ended if outcome.ending == "RolledBack"]
    return Row(
        case=case,
        seed=seed,
        runs=len(ended),
        rolled_back=len(back),
        promoted=sum(outcome.ending == "Promoted" for outcome in ended),
        held=sum(outcome.ending == "Held" for outcome in ended),
        rows=_mean(outcome.rows for outcome in back or ended),
        gates=dict(Counter(outcome.gate for outcome in back)),
    )


def rows_of(
    cases: Iterable[str],
    seeds: Iterable[int],
    runs: int,
    processes: int,
    gates: tuple[str, ...],
    report: Callable[[str], None],
) -> Iterator[Row]:
    """Row after row; `report` is told how far it is."""
    names = list(cases)
    with multiprocessing.Pool(processes) as pool:
        for seed in seeds:
            for name in names:
                jobs = [Job(name, seed * 1_000_003 + run, gates) for run in range(runs)]
                outcomes = []
                for outcome in pool.imap_unordered(one, jobs, chunksize=5):
                    outcomes.append(outcome)
                    if len(outcomes) % 50 == 0:
                        back = sum(done.ending == "RolledBack" for done in outcomes)
                        report(f"{name}, seed {seed}: {len(outcomes)} of {runs}, {back} rolled back")
                yield summed(name, seed, outcomes)


def naive_rows(cases: Iterable[str], seed: int, runs: int, processes: int) -> Iterator[NaiveRow]:
    """The same traffic before the two common gates."""
    with multiprocessing.Pool(processes) as pool:
        for name in cases:
            jobs = [Job(name, seed * 1_000_003 + run, ()) for run in range(runs)]
            stops = pool.map(one_naive, jobs, chunksize=5)
            windowed = [rows for rows, _ in stops if rows is not None]
            cumulative = [rows for _, rows in stops if rows is not None]
            yield NaiveRow(name, runs, len(windowed), _mean(windowed), len(cumulative), _mean(cumulative))


def broken(row: Row) -> str | None:
    """What is wrong with a row, or None."""
    case, long = BY_NAME[row.case], row.runs >= LONG_RUNS
    if case.blameless:
        low = row.rolled_back / row.runs if long else lower_bound(row.rolled_back, row.runs)
        if low > FALSE_ROLLBACKS_MAX:
            return f"{row.case}: at least {low:.1%} of blameless candidates are rolled back"
        return None
    high = row.rolled_back / row.runs if long else upper_bound(row.rolled_back, row.runs)
    if high < case.found_min:
        return f"{row.case}: at most {high:.1%} of bad candidates are found ({CONFIDENCE:.0%} sure)"
    if row.rows > case.rows_max and long:
        return f"{row.case}: found after {row.rows:.0f} rows in the mean, {case.rows_max:.0f} are allowed"
    return None


def _mean(values: Iterable[float]) -> float:
    kept = list(values)
    return sum(kept) / len(kept) if kept else 0.0

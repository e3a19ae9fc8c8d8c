"""Many roll-outs of each case, each seeded by its place, and the bounds that they must keep."""

from __future__ import annotations

import multiprocessing
import time
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
from tests.bench.verdicts.kept import Kept, Place
from tests.bench.verdicts.naive import Naive
from tests.bench.verdicts.rollouts import Outcome, roll_out

NAIVE_RUNS = 200
RUNS_IN_TURN = 20
SEED_APART = 1_000_003
"""Between the first roll-outs of two seeds that follow each other: more than any series has."""


@dataclass(frozen=True)
class Job:
    """One roll-out to be made."""

    case: str
    seed: int
    gates: tuple[str, ...]
    """Which of the case's gates judge; empty for all."""

    @property
    def place(self) -> Place:
        """By which its outcome is kept."""
        return self.case, self.seed, self.gates


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


def one(job: Job) -> tuple[Job, Outcome]:
    """The roll-out of a job."""
    return job, roll_out(chosen(job), job.seed)


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


def jobs_of(cases: Iterable[str], seeds: Iterable[int], runs: int, gates: tuple[str, ...]) -> list[Job]:
    """All roll-outs of a series, a few of each case and seed in turn: one that is ended early has some of all."""
    places = [(seed, name) for seed in seeds for name in cases]
    blocks = range(0, runs, RUNS_IN_TURN)
    return [
        Job(name, seed * SEED_APART + run, gates)
        for begin in blocks
        for seed, name in places
        for run in range(begin, min(begin + RUNS_IN_TURN, runs))
    ]


def make(jobs: list[Job], kept: Kept, processes: int, seconds: float, report: Callable[[str], None]) -> None:
    """Make the roll-outs that were not made yet, until they are all there or the time is over."""
    missing = [job for job in jobs if kept.get(job.place) is None]
    report(f"{len(jobs) - len(missing)} of {len(jobs)} roll-outs were made before")
    ends, back = time.monotonic() + seconds, 0
    with multiprocessing.Pool(processes) as pool:
        for count, (job, outcome) in enumerate(pool.imap_unordered(one, missing, chunksize=5), start=1):
            kept.keep(job.place, outcome)
            back += outcome.ending == "RolledBack"
            if count % 50 == 0:
                report(f"{count} of {len(missing)}, {back} rolled back; now {job.case}, seed {job.seed // SEED_APART}")
            if time.monotonic() > ends:
                return


def rows_of(jobs: list[Job], kept: Kept) -> list[Row]:
    """A row for each case and seed, of the roll-outs that were made."""
    made: dict[tuple[str, int], list[Outcome]] = {}
    for job in jobs:
        if (outcome := kept.get(job.place)) is not None:
            made.setdefault((job.case, job.seed // SEED_APART), []).append(outcome)
    return [summed(case, seed, outcomes) for (case, seed), outcomes in made.items()]


def naive_rows(cases: Iterable[str], seed: int, runs: int, processes: int) -> Iterator[NaiveRow]:
    """The same traffic before the two common gates."""
    with multiprocessing.Pool(processes) as pool:
        for name in cases:
            jobs = [Job(name, seed * SEED_APART + run, ()) for run in range(runs)]
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

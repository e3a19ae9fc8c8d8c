"""A small version of `make bench`: whole roll-outs through decide, judged by honest binomial bounds."""

from __future__ import annotations

import pytest
from tests.bench.simulate_rollouts import (
    CASES,
    FALSE_ROLLBACKS_MAX,
    Outcome,
    broken,
    lower_bound,
    roll_out,
    simulate,
    table,
    upper_bound,
)
from tests.support.quick import slow

BY_NAME = {case.name: case for case in CASES}


@pytest.mark.parametrize("runs", [5, slow(60)])
def test_blameless_candidates_are_promoted(runs: int) -> None:
    case = BY_NAME["plain"]
    row = simulate(case, 5, (roll_out(case, 5_000 + run) for run in range(runs)))
    assert broken(row) is None, table([row])
    assert row.promoted / row.runs >= 0.8, table([row])


@pytest.mark.parametrize("runs", [3, slow(40)])
def test_a_ten_point_drop_is_found_in_time(runs: int) -> None:
    case = BY_NAME["10 points, held"]
    row = simulate(case, 5, (roll_out(case, 5_000 + run) for run in range(runs)))
    assert broken(row) is None, table([row])
    assert row.promoted == 0, table([row])


def test_a_run_is_the_same_whenever_it_is_repeated() -> None:
    assert roll_out(BY_NAME["10 points, held"], 7) == roll_out(BY_NAME["10 points, held"], 7)


@pytest.mark.parametrize(
    ("name", "rolled_back", "runs", "is_broken"),
    [
        ("plain", 100, 2000, False),
        ("plain", 101, 2000, True),
        ("plain", 5, 60, False),
        ("plain", 9, 60, True),
        ("10 points, held", 2000, 2000, False),
        ("10 points, held", 1980, 2000, False),
        ("10 points, held", 1979, 2000, True),
        ("10 points, ramp", 0, 2000, False),
    ],
)
def test_a_long_series_keeps_the_bound_itself_and_a_short_one_may_have_bad_luck(
    name: str, rolled_back: int, runs: int, is_broken: bool
) -> None:
    back = [Outcome("RolledBack", 100.0, 60.0, 30)] * rolled_back
    rest = [Outcome("Promoted", 100.0, 60.0, 30)] * (runs - rolled_back)
    assert (broken(simulate(BY_NAME[name], 1, back + rest)) is not None) is is_broken


def test_a_rollback_that_took_too_many_labels_is_not_in_time() -> None:
    late = [Outcome("RolledBack", 601.0, 60.0, 30)] * 100
    assert broken(simulate(BY_NAME["10 points, held"], 1, late)) is not None


def test_the_bounds_are_those_of_clopper_and_pearson() -> None:
    assert lower_bound(0, 100) == 0.0
    assert upper_bound(100, 100) == 1.0
    assert lower_bound(5, 100) < FALSE_ROLLBACKS_MAX < upper_bound(5, 100)
    assert lower_bound(100, 100) == pytest.approx(0.01 ** (1 / 100)), "all of n: the n-th root of what may go wrong"

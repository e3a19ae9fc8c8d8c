"""A small version of `python -m tests.bench.verdicts`, judged by honest binomial bounds, and what it is made of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.bench.verdicts.cases import BY_NAME, CASES, Case, a_model
from tests.bench.verdicts.kept import Kept
from tests.bench.verdicts.naive import Naive, psi
from tests.bench.verdicts.rollouts import Outcome, restart, roll_out
from tests.bench.verdicts.series import SEED_APART, broken, jobs_of, rows_of, summed
from tests.support.counting import Slots, label_sums
from tests.support.quick import slow
from tests.support.rows import Counter, Drawn, Rows, a_profile, draw
from tests.support.rows_world import a_served_rows_world
from tests.support.world import a_spec, uri

RUNS = 8
SHORT_SECONDS = 900.0
SMOKE = [case if case.name == "one feature +3 sd" else slow(case) for case in CASES if case.smoke]


@pytest.mark.parametrize("case", SMOKE, ids=lambda case: case.name)
def test_a_short_series_does_not_break_the_bound(case: Case) -> None:
    short = replace(case, seconds=SHORT_SECONDS, steps=((5, "5m"), (10, "3m"), (25, "3m"), (50, "3m")))
    row = summed(case.name, 5, (roll_out(short, 5_000 + run) for run in range(RUNS)))
    assert broken(row) is None, row


def test_a_run_is_the_same_whenever_it_is_repeated() -> None:
    case = replace(BY_NAME["operator restarts"], seconds=300.0)
    assert roll_out(case, 7) == roll_out(case, 7)


@pytest.mark.parametrize(
    ("name", "rolled_back", "runs", "rows", "is_broken"),
    [
        ("identical", 100, 2000, 900.0, False),
        ("identical", 101, 2000, 900.0, True),
        ("identical", 3, 20, 900.0, False),
        ("identical", 6, 20, 900.0, True),
        ("accuracy −10", 2000, 2000, 256.0, False),
        ("accuracy −10", 2000, 2000, 257.0, True),
        ("accuracy −10", 1979, 2000, 256.0, True),
        ("accuracy −10", 20, 20, 257.0, False),
    ],
)
def test_a_long_series_keeps_the_bound_itself_and_a_short_one_may_have_bad_luck(
    name: str, rolled_back: int, runs: int, rows: float, is_broken: bool
) -> None:
    back = [Outcome("RolledBack", "accuracy", rows, rows, 30)] * rolled_back
    rest = [Outcome("Held", "", 5400.0, 5400.0, 120)] * (runs - rolled_back)
    assert (broken(summed(name, 1, back + rest)) is not None) is is_broken


def test_a_series_that_was_ended_goes_on_with_what_it_had(tmp_path: Path) -> None:
    first, second = jobs_of(["identical"], [5], 2, ())
    Kept(tmp_path).keep(first.place, Outcome("Held", "", 5400.0, 5000.0, 120))
    with next(tmp_path.iterdir()).open("a") as file:
        file.write('\n["identical", 5000016, [], {"ending": "Pro')
    again = Kept(tmp_path)
    assert (again.get(first.place), again.get(second.place)) == (Outcome("Held", "", 5400.0, 5000.0, 120), None)
    again.keep(second.place, Outcome("Promoted", "", 5400.0, 5000.0, 120))
    assert [(row.runs, row.promoted) for row in rows_of([first, second], Kept(tmp_path))] == [(2, 1)]


def test_a_series_takes_a_few_of_each_case_and_seed_in_turn() -> None:
    jobs = jobs_of(["identical", "batches"], [5, 7], 25, ())
    assert len(set(jobs)) == 100
    assert {(job.case, job.seed // SEED_APART) for job in jobs[:80]} == {
        (case, seed) for case in ("identical", "batches") for seed in (5, 7)
    }


def test_rows_of_one_request_are_alike_and_weigh_one_together() -> None:
    rows = Rows(features=3, batched=1.0, batch_rows=16, alike=0.5)
    drawn = draw(np.random.default_rng(1), rows, a_model(0.9), 0.9, 3000)
    assert drawn.weights.sum() == pytest.approx(3000)
    requests = drawn.correct.reshape(3000, 16)
    # The variance of a mean of 16 with correlation .5 is (1 + 15 · .5) / 16 of that of one.
    assert requests.mean(axis=1).var() / (0.9 * 0.1) == pytest.approx((1 + 15 * 0.5) / 16, rel=0.1)
    first = drawn.features[:, 0].reshape(3000, 16)
    assert first.mean(axis=1).var() == pytest.approx((1 + 15 * 0.5) / 16, rel=0.1)


def test_half_of_the_rows_come_in_batches() -> None:
    rows = Rows(batched=0.5, batch_rows=16)
    drawn = draw(np.random.default_rng(1), rows, a_model(0.9), 0.9, 20_000)
    assert (drawn.weights < 1.0).mean() == pytest.approx(0.5, abs=0.02)
    assert len(drawn.weights) / 20_000 == pytest.approx(rows.rows_per_request, rel=0.03)


def test_a_profile_errs_as_one_of_so_many_rows_does() -> None:
    """A bin of N/K of N rows has a true share with variance p(1 − p)/N."""
    draws = np.random.default_rng(1)
    rows = Rows(features=200, training_rows=1000)
    profile = a_profile(draws, rows)
    counter = Counter(profile)
    live = draws.standard_normal((10_000, 200))
    counted = counter.count(Drawn(live, np.zeros(len(live)), np.ones(len(live), bool), np.ones(len(live))))
    first = counted.features.reshape(200, 11)[:, 0] / 10_000
    assert first.mean() == pytest.approx(0.1, abs=0.002)
    assert first.var() == pytest.approx(0.09 / 1000 + 0.09 / 10_000, rel=0.25)


def test_missing_values_have_the_last_bin_and_are_told_as_missing() -> None:
    rows = Rows(features=2)
    counter = Counter(a_profile(np.random.default_rng(1), rows))
    gone = Drawn(np.full((4, 2), np.nan), np.zeros(4), np.ones(4, bool), np.full(4, 0.5))
    assert counter.count(gone).features.reshape(2, 11)[:, 10].tolist() == [2.0, 2.0]
    assert counter.quality(gone).missing.tolist() == [2.0, 2.0]


def test_slots_double_where_there_would_be_too_many_and_lose_nothing() -> None:
    slots = Slots()
    for second in range(0, 1200, 4):
        slots.predicted(second, 1.0)
        slots.labelled(second, "a", label_sums(1.0, 1.0))
    told = slots.counts()
    assert slots.seconds == 32
    assert len(told) <= 48
    assert sum(slot.predictions for slot in told) == 300.0
    assert sum(slot.labels["a"].labelled for slot in told) == 300.0
    assert all(slot.start % slots.seconds == 0 for slot in told)


def test_callers_count_once_in_each_cohort() -> None:
    case = BY_NAME["heavy callers"]
    assert case.callers is not None
    spec = a_spec(
        1,
        rollout={"steps": [{"weight": 50, "for": "1h"}]},
        traffic={"parentRefs": [{"name": "public"}], "stickiness": {"cookie": "serin"}},
    )
    world = a_served_rows_world(spec=spec, callers=case.callers, traffic=replace(case.traffic_of))
    world.change(spec | {"model": {"uri": uri(2)}})
    assert world.run(lambda world: world.cohort() is not None, seconds=60)
    for _ in range(100):
        world.pass_time(30.0)
    counted = sum(counts.callers for counts in world.counts.values())
    assert 100 < counted <= case.callers.number
    assert counted == sum(counts.requests for counts in world.counts.values())


def test_what_a_restart_forgets_is_gone_and_what_it_keeps_is_not() -> None:
    case = BY_NAME["identical"]
    seen = []
    for forgets in (False, True):
        world = a_served_rows_world(spec=a_spec(1), traffic=replace(case.traffic_of))
        world.change(a_spec(2))
        assert world.run(lambda world: world.cohort() is not None, seconds=60)
        for _ in range(3):
            world.pass_time(30.0)
            world.step()
        restart(world, forgets=forgets)
        evidence = world.observe().evidence
        assert evidence is not None
        seen.append(evidence.total("candidate").requests > 0)
    assert seen == [True, False]


def test_the_common_gates_roll_an_equal_model_back() -> None:
    naive = Naive()
    roll_out(replace(BY_NAME["identical"], gates={}, seconds=SHORT_SECONDS), 3, naive.look)
    assert naive.windowed_at is not None


def test_psi_is_zero_for_equal_shares_and_grows_with_the_shift() -> None:
    reference = np.full(10, 100.0)
    assert psi(reference, np.full(10, 3.0)) == pytest.approx(0.0)
    assert psi(reference, np.array([6.0] + [3.0] * 8 + [0.0])) > psi(reference, np.array([4.0] + [3.0] * 8 + [2.0])) > 0

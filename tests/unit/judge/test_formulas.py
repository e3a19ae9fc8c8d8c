"""The formulas against slow, independent ways to compute the same numbers."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import betainc, betaln

from serin_operator.decide.judge import formulas
from serin_operator.decide.judge.formulas import Difference, Stratum

BELOW = [
    # hits, n, limit
    (0.0, 450.0, 0.01),
    (3.0, 700.0, 0.01),
    (80.0, 100.0, 0.9),
    (95.0, 100.0, 0.9),
    (0.0, 1.0, 0.5),
    (12.5, 17.25, 0.8),
    (860.0, 1000.0, 0.9),
]


def chance(hits: int, n: int, rate: float) -> float:
    """Of so many hits in n that are hits at that rate."""
    return math.comb(n, hits) * rate**hits * (1.0 - rate) ** (n - hits)


@pytest.mark.parametrize(("hits", "n", "limit"), BELOW)
def test_the_floor_equals_its_mixture_integrated_numerically(hits, n, limit):
    def ratio(p):
        return math.exp(hits * math.log(p / limit) + (n - hits) * (math.log1p(-p) - math.log1p(-limit)))

    peak = min(limit, max(hits / n, 1e-9))
    slow, _ = quad(ratio, 0.0, limit, points=[peak], limit=200)
    assert formulas.below_log_e(hits, n, limit) == pytest.approx(math.log(slow / limit), abs=1e-7)


@pytest.mark.parametrize(("hits", "n", "limit"), BELOW)
def test_the_floor_equals_scipy_betaln(hits, n, limit):
    a, b = hits + 1.0, n - hits + 1.0
    slow = np.log(betainc(a, b, limit)) + betaln(a, b) - np.log(limit)
    slow -= hits * np.log(limit) + (n - hits) * np.log1p(-limit)
    assert formulas.below_log_e(hits, n, limit) == pytest.approx(slow, rel=1e-9)


def test_golden_numbers_do_not_move():
    assert formulas.below_log_e(0.0, 450.0, 0.01) == pytest.approx(3.005544, abs=1e-6)
    assert formulas.below_log_e(80.0, 100.0, 0.9) == pytest.approx(2.239223, abs=1e-6)
    block, before = Stratum(40.0, 50.0, 92.0, 100.0), Stratum(81.0, 100.0, 182.0, 200.0)
    assert formulas.two_arm_log_e(block, before) == pytest.approx(2.062173, abs=1e-6)
    assert formulas.half_width(17_000.0, formulas.tau(0.02, 0.05), 0.05) == pytest.approx(0.021205, abs=1e-6)


def test_no_request_without_error_is_enough_to_exclude_one_percent_within_seven_hundred():
    needed = next(n for n in range(1, 2000) if formulas.below_log_e(0.0, n, 0.01) >= math.log(40.0))
    assert needed == 535


def test_the_two_arm_factor_is_a_likelihood_ratio_in_plain_numbers():
    p_c, p_s = 82.0 / 102.0, 183.0 / 202.0
    p_0 = (50.0 * p_c + 100.0 * p_s) / 150.0
    slow = chance(40, 50, p_c) * chance(92, 100, p_s)
    slow /= chance(40, 50, p_0) * chance(92, 100, p_0)
    fast = formulas.two_arm_log_e(Stratum(40.0, 50.0, 92.0, 100.0), Stratum(81.0, 100.0, 182.0, 200.0))
    assert fast == pytest.approx(math.log(slow), rel=1e-9)


@pytest.mark.parametrize(
    ("n_c", "n_s", "before"),
    [
        (3, 5, Stratum(1.0, 10.0, 9.0, 10.0)),
        (1, 9, Stratum(80.0, 100.0, 95.0, 100.0)),
        (6, 2, Stratum(0.0, 3.0, 40.0, 40.0)),
    ],
)
@pytest.mark.parametrize("rate", [0.02, 0.5, 0.9, 0.99])
def test_the_mean_of_a_block_is_at_most_one_when_the_candidate_is_not_worse(n_c, n_s, before, rate):
    for better in (0.0, 0.5):
        candidate_rate = rate + better * (1.0 - rate)
        mean = sum(
            chance(c, n_c, candidate_rate)
            * chance(s, n_s, rate)
            * math.exp(formulas.two_arm_log_e(Stratum(c, n_c, s, n_s), before))
            for c, s in itertools.product(range(n_c + 1), range(n_s + 1))
        )
        assert mean <= 1.0 + 1e-12


@pytest.mark.parametrize("true_rate", [0.9, 0.95, 1.0])
def test_the_mean_of_the_floor_is_at_most_one_at_or_above_the_limit(true_rate):
    n = 40
    mean = sum(chance(h, n, true_rate) * math.exp(formulas.below_log_e(h, n, 0.9)) for h in range(n + 1))
    assert mean <= 1.0 + 1e-12


def test_rows_of_one_request_that_stand_or_fall_together_keep_the_mean_at_one():
    # a request of 4 rows, all right or all wrong: each row weighs 1/4, so the factor is that of one row
    before = Stratum(80.0, 100.0, 95.0, 100.0)
    mean = sum(
        (0.9 if c else 0.1)
        * chance(s, 9, 0.9)
        * math.exp(formulas.two_arm_log_e(Stratum(4 * c / 4, 1.0, s, 9.0), before))
        for c in (0, 1)
        for s in range(10)
    )
    assert mean <= 1.0 + 1e-12


def test_nothing_is_bet_before_anything_is_known_or_where_an_arm_is_missing():
    assert formulas.two_arm_log_e(Stratum(0, 500, 500, 500), Stratum(0, 0, 0, 0)) == 0.0
    assert formulas.two_arm_log_e(Stratum(1, 5, 0, 0), Stratum(1, 10, 9, 10)) == 0.0
    assert formulas.two_arm_log_e(Stratum(5, 5, 1, 5), Stratum(9, 10, 1, 10)) == 0.0


def test_the_stratified_difference_sees_through_simpsons_paradox():
    # equal accuracy in each cohort, but the candidate's rows come mostly from the hard one
    strata = [Stratum(95.0, 100.0, 1805.0, 1900.0), Stratum(850.0, 1000.0, 850.0, 1000.0)]
    difference = formulas.stratified(strata, 0.02)
    assert difference is not None
    assert difference.drop == pytest.approx(0.0, abs=1e-12)
    pooled = (95.0 + 850.0) / 1100.0 - (1805.0 + 850.0) / 2900.0
    assert pooled < -0.05


def test_one_cohort_gives_the_plain_difference_and_its_variance():
    difference = formulas.stratified([Stratum(80.0, 100.0, 450.0, 500.0)], 0.02)
    p_c, p_s = 80.5 / 101.0, 450.5 / 501.0
    variance = p_c * (1 - p_c) / 100.0 + p_s * (1 - p_s) / 500.0
    assert isinstance(difference, Difference)
    assert (difference.candidate, difference.stable) == pytest.approx((0.8, 0.9))
    assert difference.information == pytest.approx(1.0 / variance)


def test_a_spotless_candidate_is_as_uncertain_as_one_at_the_limit():
    difference = formulas.stratified([Stratum(100.0, 100.0, 895.5, 900.0)], 0.02)
    assert difference is not None
    at_limit = 896.0 / 901.0 - 0.02
    assert 1.0 / difference.information >= at_limit * (1.0 - at_limit) / 100.0


def test_all_right_in_both_arms_still_has_a_variance():
    difference = formulas.stratified([Stratum(30.0, 30.0, 300.0, 300.0)], 0.02)
    assert difference is not None
    assert math.isfinite(difference.information)
    assert formulas.stratified([Stratum(1.0, 1.0, 0.0, 0.0)], 0.02) is None


@pytest.mark.parametrize("level", [0.05, 0.025, 0.005])
@pytest.mark.parametrize("limit", [0.005, 0.02, 0.2])
def test_the_sequence_is_tuned_to_where_it_just_excludes_the_limit(limit, level):
    best = formulas.tau(limit, level)
    information = formulas.information_for(limit, best, level)
    assert formulas.half_width(information, best, level) == pytest.approx(limit, rel=1e-5)
    for other in (0.5 * best, 2.0 * best):
        assert formulas.half_width(information, other, level) > limit


def test_the_width_needs_information_and_falls_with_it():
    assert formulas.half_width(0.0, 100.0, 0.05) == math.inf
    widths = [formulas.half_width(10.0**k, 1000.0, 0.05) for k in range(8)]
    assert widths == sorted(widths, reverse=True)
    assert formulas.information_for(0.0, 100.0, 0.05) == math.inf

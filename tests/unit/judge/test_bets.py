"""What a bet on bins is made of: whether values lie higher or lower is learnt before the shape of a difference."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import ndtri
from tests.support.quick import slow

from serin_operator.decide.judge import bets, bin_formulas

EDGES = ndtri(np.arange(1, 10) / 10)
WHERE = bin_formulas.layout([11])
"""Ten equally full bins and the one of missing values."""
RISING = bets.order([11], missing=False, classes=0)


def counted(draws: np.random.Generator, samples: int, shift: float) -> np.ndarray:
    places = np.searchsorted(EDGES, draws.standard_normal(samples) + shift)
    return np.bincount(places, minlength=11).astype(float)


def log_e(seed: int, looks: int, shift: float) -> float:
    """After looks of five requests of the candidate and 95 of stable."""
    draws = np.random.default_rng(seed)
    candidate, stable, total = np.zeros(11), np.zeros(11), np.zeros((bets.BETS, 1))
    for _ in range(looks):
        new_c, new_s = counted(draws, 5, shift), counted(draws, 95, 0.0)
        total += bets.two_arm_log_e(new_c, new_s, candidate, stable, WHERE, RISING)
        candidate, stable = candidate + new_c, stable + new_s
    return float(bets.hedged(total)[0])


def test_half_a_standard_deviation_is_proven_by_a_hundred_requests():
    found = [log_e(seed, 20, 0.5) for seed in range(60)]
    assert np.median(found) > 5.5, "about ln 250; the shares of all bins alone would bring half of it"


def test_a_gross_shift_is_proven_at_the_third_look_and_often_at_the_second():
    assert np.quantile([log_e(seed, 3, 3.0) for seed in range(60)], 0.1) > 12.0
    assert np.median([log_e(seed, 2, 3.0) for seed in range(60)]) > 6.0


@pytest.mark.parametrize("trials", [100, slow(1600)])
def test_where_nothing_differs_the_mean_of_the_e_values_is_at_most_one(trials: int) -> None:
    found = np.exp([log_e(seed, 20, 0.0) for seed in range(trials)])
    assert found.mean() < 1.0 + 3.0 * found.std() / math.sqrt(trials)
    assert (found >= 20.0).mean() <= 0.05


def test_scores_are_the_normal_quantiles_of_middle_ranks():
    shares = np.array([0.2, 0.3, 0.5])
    scores = bets.order([3], missing=False, classes=0).scores(shares, bin_formulas.layout([3]))
    assert scores.tolist() == pytest.approx(ndtri([0.1, 0.35, 0.75]).tolist())


def test_missing_values_have_no_place_in_the_order():
    """Of two features of two bins and one of missing values, and predictions of two bins."""
    widths, shares = [3, 3, 2], np.array([0.25, 0.25, 0.5, 0.9, 0.1, 0.0, 0.5, 0.5])
    scores = bets.order(widths, missing=True, classes=0).scores(shares, bin_formulas.layout(widths))
    expected = [*ndtri([0.25, 0.75]), 0.0, *ndtri([0.45, 0.95]), 0.0, *ndtri([0.25, 0.75])]
    assert scores.tolist() == pytest.approx(expected)


def test_the_first_of_two_classes_is_surest_where_the_score_is_lowest():
    widths = [3, 4]
    scores = bets.order(widths, missing=True, classes=2).scores(np.full(7, 0.25), bin_formulas.layout(widths))
    assert scores[3:].tolist() == pytest.approx(ndtri([0.375, 0.125, 0.625, 0.875]).tolist())


def test_a_feature_without_any_ordered_bin_has_no_scores_and_brings_no_evidence_of_shifts():
    where, rising = bin_formulas.layout([1, 1]), bets.order([1, 1], missing=True, classes=0)
    assert rising.scores(np.ones(2), where).tolist() == [0.0, pytest.approx(0.0)]
    found = bets.two_arm_log_e(np.ones(2), np.ones(2), np.zeros(2), np.zeros(2), where, rising)
    assert np.abs(found).max() < 1e-12


def test_the_stakes_are_one_wealth():
    assert sum(bets.STAKES) == pytest.approx(1.0)
    assert bets.hedged(np.zeros((bets.BETS, 3))).tolist() == pytest.approx([0.0] * 3)

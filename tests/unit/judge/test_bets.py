"""What a bet on bins is made of: whether values lie higher or lower is learnt before the shape of a difference."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from serin_operator.decide.judge import bin_formulas

EDGES = ndtri(np.arange(1, 10) / 10)
WHERE = bin_formulas.layout([11])
"""Ten equally full bins and the one of missing values."""


def counted(draws: np.random.Generator, samples: int, shift: float) -> np.ndarray:
    places = np.searchsorted(EDGES, draws.standard_normal(samples) + shift)
    return np.bincount(places, minlength=11).astype(float)


def log_e(seed: int, looks: int, shift: float) -> float:
    """After looks of five requests of the candidate and 95 of stable."""
    draws = np.random.default_rng(seed)
    candidate, stable, total = np.zeros(11), np.zeros(11), np.zeros((bin_formulas.BETS, 1))
    for _ in range(looks):
        new_c, new_s = counted(draws, 5, shift), counted(draws, 95, 0.0)
        total += bin_formulas.two_arm_bins_log_e(new_c, new_s, candidate, stable, WHERE)
        candidate, stable = candidate + new_c, stable + new_s
    return float(bin_formulas.hedged(total)[0])


def test_half_a_standard_deviation_is_proven_by_a_hundred_requests():
    found = [log_e(seed, 20, 0.5) for seed in range(60)]
    assert np.median(found) > 5.5, "about ln 250; the shares of all bins alone would bring half of it"


def test_a_gross_shift_is_proven_at_the_third_look_and_often_at_the_second():
    assert np.quantile([log_e(seed, 3, 3.0) for seed in range(60)], 0.1) > 12.0
    assert np.median([log_e(seed, 2, 3.0) for seed in range(60)]) > 6.0


def test_where_nothing_differs_the_mean_of_the_e_values_is_at_most_one():
    found = np.exp([log_e(seed, 20, 0.0) for seed in range(400)])
    assert found.mean() < 1.0 + 3.0 * found.std() / 20
    assert (found >= 20.0).mean() <= 0.05


def test_middle_ranks_have_mean_zero_and_rise():
    ranks = bin_formulas._ranks(np.array([0.2, 0.3, 0.5]), bin_formulas.layout([3]))
    assert abs(float(ranks @ np.array([0.2, 0.3, 0.5]))) < 1e-12
    assert (np.diff(ranks) > 0.0).all()

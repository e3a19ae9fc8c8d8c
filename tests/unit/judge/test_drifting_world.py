"""Traffic that drifts while the weight climbs: the candidate's samples are late ones, stable's early ones."""

from __future__ import annotations

import numpy as np
import pytest

from serin_contract.profile import NumericFeature, PredictionBins, Profile
from serin_operator.decide.judge import drifted
from serin_operator.decide.judge.bin_formulas import psi_star, standardised

PROFILE = Profile(
    features=[NumericFeature("x", [0.0], [5000.0, 5000.0, 0.0])],
    prediction=PredictionBins("classification", ["a"], [], [10_000.0]),
    rows=10_000,
)
EARLY, LATE = (0.5, 0.5), (0.8, 0.2)
"""Shares of the two bins, as callers send them to either arm."""


def counts(samples: float, shares: tuple[float, float]) -> np.ndarray:
    return np.array([samples * shares[0], samples * shares[1], 0.0])


def counted(arm: list[np.ndarray]) -> drifted.Counted:
    return drifted.Counted(drifted.axes(PROFILE)["features"], np.array(arm))


def psi(arm: list[np.ndarray], mix: list[float] | None = None) -> float:
    """PSI* of the arm off its own profile, under that mix of cohorts or its own."""
    seen = counted(arm)
    counts = seen.whole if mix is None else seen.weighed(mix)
    return float(psi_star(standardised([(counts, seen.axis.reference)], seen.axis.layout))[0])


def test_pooled_the_candidate_seems_off_its_profile_and_stable_not():
    candidate, stable = [counts(50, EARLY), counts(500, LATE)], [counts(950, EARLY), counts(500, LATE)]
    assert psi(candidate) > 0.2
    assert psi(stable) < 0.2


def test_under_the_candidates_mix_of_cohorts_both_are_off_alike():
    candidate, stable = [counts(50, EARLY), counts(500, LATE)], [counts(950, EARLY), counts(500, LATE)]
    assert psi(stable, mix=[50.0, 500.0]) == pytest.approx(psi(candidate), rel=0.05)
    assert counted(stable).samples == 1450.0, "what it counted is said as it is"


def test_one_cohort_is_what_it_is_whatever_the_mix():
    assert psi([counts(300, LATE)], mix=[7.0]) == pytest.approx(psi([counts(300, LATE)]))


def test_a_cohort_without_samples_of_an_arm_weighs_nothing():
    assert psi([counts(0, EARLY), counts(500, LATE)], mix=[50.0, 500.0]) == pytest.approx(psi([counts(500, LATE)]))
    assert psi([counts(300, LATE)], mix=[0.0]) == 0.0

"""The statistics of bins: known values, and what they do over many looks, where all is well and where it is not.

Each stream is seeded. The rates are those of the published comparison of rules: 120 looks, a candidate at a tenth of
the traffic, one of the features moved by so many standard deviations.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import ndtri
from tests.support.quick import examples, slow

from serin_operator.decide.judge import bets, bin_formulas, formulas
from serin_operator.decide.judge.bin_formulas import layout, psi_star, standardised

Floats = NDArray[np.float64]
ALPHA = 0.05
BINS = 11
EDGES = ndtri(np.linspace(0.1, 0.9, 9))


# Known values


def star(c: list[float], s: list[float], *, widths: tuple[int, ...] | None = None) -> Floats:
    where = layout(widths or (len(c),))
    return psi_star(standardised([(np.array(c), np.array(s))], where))


def test_psi_is_the_textbook_sum_less_its_bias():
    c, s = [300.0, 700.0], [5000.0, 5000.0]
    p, q = [300.5 / 1001, 700.5 / 1001], [0.5, 0.5]
    whole = sum((a - b) * math.log(a / b) for a, b in zip(p, q, strict=True))
    assert star(c, s)[0] == pytest.approx(whole - (1 / 1000 + 1 / 10_000))


def test_a_bin_that_neither_arm_has_seen_is_no_bin():
    assert star([30.0, 70.0, 0.0], [500.0, 500.0, 0.0])[0] == star([30.0, 70.0], [500.0, 500.0])[0]
    assert star([30.0, 70.0, 0.0], [500.0, 400.0, 100.0])[0] > star([30.0, 70.0], [500.0, 500.0])[0]


def test_an_empty_bin_has_a_price_that_falls_with_the_samples():
    small, large = star([0.0, 10.0], [1.0, 1000.0])[0], star([0.0, 10_000.0], [1000.0, 1_000_000.0])[0]
    assert 0.0 <= small < 0.1
    assert 0.0 < large < 0.01


def test_features_stand_side_by_side():
    c, s = [10.0, 20.0, 5.0, 5.0, 20.0], [100.0, 200.0, 100.0, 100.0, 100.0]
    found = star(c, s, widths=(2, 3))
    assert found.tolist() == [star(c[:2], s[:2])[0], star(c[2:], s[2:])[0]]


def test_an_arm_without_a_count_has_no_drift_and_no_information():
    where = layout((2, 2))
    pair = standardised([(np.array([5.0, 5.0, 0.0, 0.0]), np.full(4, 50.0))], where)
    assert psi_star(pair)[1] == 0.0
    assert bin_formulas.psi_information(pair, 0.2)[1] == 0.0
    assert pair.samples.tolist() == [pytest.approx(10 * 100 / 110), 0.0]
    assert math.isinf(bin_formulas.half_widths(bin_formulas.psi_information(pair, 0.2), 0.2, 0.05)[1])


def test_a_ramp_through_changing_traffic_is_no_difference():
    """Both arms see the same in each cohort; pooled, the candidate's rows would be the later ones."""
    early, late = np.array([900.0, 100.0]), np.array([100.0, 900.0])
    cohorts = [(0.05 * early, 0.95 * early), (0.5 * late, 0.5 * late)]
    where = layout((2,))
    pooled = standardised([(sum(c for c, _ in cohorts), sum(s for _, s in cohorts))], where)
    assert psi_star(pooled)[0] > 0.3
    assert psi_star(standardised(cohorts, where))[0] == pytest.approx(0.0, abs=0.01)


def test_psi_star_has_no_bias_and_the_variance_that_its_interval_takes():
    draws = np.random.default_rng(3)
    p, q = np.full(10, 0.1), np.full(10, 0.1)
    p[:2] += (0.05, -0.05)
    where, found, information = layout((10,)), [], 0.0
    for _ in range(400):
        pair = standardised([(draws.multinomial(400, p) * 1.0, draws.multinomial(4000, q) * 1.0)], where)
        used = bin_formulas.psi_information(pair, 0.0542)[0]
        found.append(psi_star(pair)[0])
        information = used
    true = float(((p - q) * np.log(p / q)).sum())
    assert true == pytest.approx(0.055, abs=0.002)
    assert np.mean(found) == pytest.approx(true, abs=0.004)
    assert np.std(found) * math.sqrt(information) == pytest.approx(1.0, abs=0.15)


def test_half_widths_are_those_of_the_scalar_formula():
    information = np.array([30.0, 1000.0, 0.0])
    expected = [formulas.half_width(one, formulas.tau(0.2, 0.05), 0.05) for one in information]
    assert bin_formulas.half_widths(information, 0.2, 0.05).tolist() == pytest.approx(expected)


@given(st.floats(10.0, 1e5), st.integers(2, 40), st.floats(0.01, 2.0))
def test_samples_for_is_the_inverse_of_the_information(samples, bins, maximum):
    information = 1.0 / (2.0 * (bins - 1) / samples**2 + 4.0 * maximum / samples)
    assert bin_formulas.samples_for(information, bins, maximum) == pytest.approx(samples, rel=1e-6)


def test_more_samples_prove_a_smaller_psi():
    found = [bets.smallest_psi(n, 11, math.log(1000.0)) for n in (0.0, 50.0, 200.0, 5000.0)]
    assert found[0] == math.inf
    assert found[1:] == sorted(found[1:], reverse=True)
    assert found[-1] < 0.02


def test_the_mean_of_e_values():
    log_e = np.log([1.0, 3.0, 8.0])
    assert bin_formulas.mean_log_e(log_e) == pytest.approx(math.log(4.0))
    judged = np.array([True, False, True])
    assert bin_formulas.mean_log_e(log_e, judged) == pytest.approx(math.log(4.5))
    assert bin_formulas.mean_log_e(log_e, judged, 3) == pytest.approx(math.log(3.0)), "cautious"
    assert bin_formulas.mean_log_e(log_e, np.zeros(3, dtype=bool)) == formulas.LOG_SMALLEST
    assert bin_formulas.mean_log_e(np.array([5000.0, 0.0])) == pytest.approx(5000.0 - math.log(2.0))


# Exactness: the mean of an e-value under its null is at most 1, whatever the shares


def outcomes(n: int, bins: int) -> list[tuple[int, ...]]:
    if bins == 1:
        return [(n,)]
    return [(first, *rest) for first in range(n + 1) for rest in outcomes(n - first, bins - 1)]


def chance(counts: tuple[int, ...], shares: Floats) -> float:
    ways = math.factorial(sum(counts)) / math.prod(math.factorial(count) for count in counts)
    return float(ways * np.prod(shares ** np.array(counts)))


@examples(25)
@given(
    st.lists(st.floats(0.02, 1.0), min_size=3, max_size=3),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.lists(st.integers(0, 30), min_size=6, max_size=6),
)
def test_a_block_of_two_equal_arms_has_a_mean_of_at_most_one(shares, sizes, before):
    p, where, rising = np.array(shares) / sum(shares), layout((3,)), bets.order((3,), missing=False, classes=0)
    c_before, s_before = np.array(before[:3], dtype=float), np.array(before[3:], dtype=float)
    mean = sum(
        chance(c, p)
        * chance(s, p)
        * np.exp(
            bets.two_arm_log_e(np.array(c, dtype=float), np.array(s, dtype=float), c_before, s_before, where, rising)[
                :, 0
            ]
        )
        for c in outcomes(sizes[0], 3)
        for s in outcomes(sizes[1], 3)
    )
    assert (mean <= 1.0 + 1e-9).all(), "each bet alone, and so their mean"


@examples(25)
@given(st.lists(st.integers(1, 200), min_size=3, max_size=3), st.integers(1, 8), st.floats(0.0, 0.5))
def test_rows_drawn_from_the_profile_itself_have_a_mean_of_at_most_one(reference, n, tolerance):
    counted, where = np.array(reference, dtype=float), layout((3,))
    q = counted / counted.sum()
    mean = sum(
        chance(c, q) * math.exp(bin_formulas.profile_log_e(np.array(c, dtype=float), counted, where, tolerance)[0])
        for c in outcomes(n, 3)
    )
    assert mean <= 1.0


@examples(30)
@given(st.lists(st.integers(0, 60), min_size=4, max_size=4), st.floats(0.01, 0.5))
def test_no_distribution_in_the_null_is_likelier_than_the_supremum(live, tolerance):
    """Against a search over the whole ball."""
    reference, where = np.array([400.0, 300.0, 200.0, 100.0]), layout((4,))
    counts = np.array(live, dtype=float)
    if counts.sum() == 0:
        return
    q = reference / reference.sum()
    log_e = bin_formulas.profile_log_e(counts, reference, where, tolerance)[0]
    n = counts.sum()
    best = bin_formulas._mixture(counts, np.array([n]), (reference + 0.5) / (1000.0 + 2.0), where)[0] - log_e
    spread = bin_formulas.chdtri(3.0, bin_formulas.PROFILE_ERROR) / 2000.0
    radius = (math.sqrt(tolerance / 2.0) + math.sqrt(spread)) ** 2
    draws = np.random.default_rng(int(n))
    candidates = np.vstack([draws.dirichlet(40.0 * q, size=200), draws.dirichlet(counts + 0.5, size=200)])
    inside = candidates[(q * np.log(q / candidates)).sum(axis=1) <= radius]
    assert (inside == 0.0).sum() == 0
    assert all((counts * np.log(p)).sum() <= best + 1e-9 for p in inside)


# Over many looks


@dataclass
class Stream:
    """Rows of independent normal features; what both arms see at once, and what the candidate alone sees."""

    features: int = 13
    rows: int = 32
    """Of the candidate at each look; stable gets so many times more."""
    times: int = 4
    batch: int = 1
    within: float = 0.0
    """Correlation of the rows of one request."""
    level: Callable[[np.random.Generator, int], float] = lambda _draws, _look: 0.0
    """What the world adds to each feature at a look."""
    row_weight: float | None = None
    """What each row counts; None for 1/m in a request of m rows."""
    shift: float = 0.0
    """Standard deviations by which the candidate's first feature is off."""

    def arm(self, draws: np.random.Generator, rows: int, level: Floats, shift: float) -> Floats:
        requests = max(1, rows // self.batch)
        own = draws.standard_normal((requests, self.batch, self.features))
        shared = draws.standard_normal((requests, 1, self.features))
        values = math.sqrt(self.within) * shared + math.sqrt(1.0 - self.within) * own + level
        values[:, :, 0] += shift
        places = np.searchsorted(EDGES, values.reshape(-1, self.features), side="right")
        flat = (places + BINS * np.arange(self.features)).ravel()
        weight = 1.0 / self.batch if self.row_weight is None else self.row_weight
        return np.bincount(flat, minlength=BINS * self.features) * weight


def _ar(share: float) -> Callable[[np.random.Generator, int], float]:
    """A slow level of autocorrelation 0.9 that makes up so much of the variance."""
    state = {"level": 0.0}

    def level(draws: np.random.Generator, look: int) -> float:
        before = 0.0 if look == 0 else state["level"]
        state["level"] = 0.9 * before + math.sqrt(share * (1.0 - 0.81)) * draws.standard_normal()
        return state["level"]

    return level


def _time_of_day(_draws: np.random.Generator, _look: int) -> float:
    return 0.5


def crossed(stream: Stream, seed: int, *, reference: int = 10_000, looks: int = 120) -> dict[str, float]:
    """The candidate's rows at which each rule first fired, by its name; at most ALPHA may where nothing differs."""
    draws, where = np.random.default_rng(seed), layout((BINS,) * stream.features)
    rising = bets.order((BINS,) * stream.features, missing=False, classes=0)
    trained = np.concatenate([[*draws.multinomial(reference, [0.1] * 10), 0.0] for _ in range(stream.features)]).astype(
        float
    )
    c, s, log_e = np.zeros(where.bins), np.zeros(where.bins), np.zeros((bets.BETS, stream.features))
    fired: dict[str, float] = {}
    for look in range(looks):
        level = np.full(stream.features, stream.level(draws, look))
        new_c = stream.arm(draws, stream.rows, level, stream.shift)
        new_s = stream.arm(draws, stream.times * stream.rows, level, 0.0)
        log_e += bets.two_arm_log_e(new_c, new_s, c, s, where, rising)
        c, s = c + new_c, s + new_s
        rows, apart = stream.rows * (look + 1.0), psi_star(standardised([(c, s)], where)).max()
        if bin_formulas.mean_log_e(bets.hedged(log_e)) >= -math.log(ALPHA):
            fired.setdefault("stable", rows)
            if apart >= 0.1:
                fired.setdefault("stable and PSI", rows)
        if look % 10 == 9 or stream.shift:
            for name, tolerance in (("profile", 0.0), ("strict", 0.1)):
                against = bin_formulas.profile_log_e(c, trained, where, tolerance)
                if name not in fired and bin_formulas.mean_log_e(against) >= -math.log(ALPHA):
                    fired[name] = rows
        if stream.shift and {"stable and PSI", "profile"} <= fired.keys():
            break
    return fired


NULLS = [
    ("few rows a look, a small profile", Stream(rows=8), 1000),
    slow("many rows a look, and a tiny profile", Stream(rows=80), 150),
    slow("64 features", Stream(features=64, rows=8), 10_000),
    slow("requests of 16 rows that are much alike", Stream(batch=16, within=0.5), 10_000),
    slow("requests of 32 rows that are nearly the same", Stream(batch=32, within=0.9), 10_000),
]


@pytest.mark.parametrize(("sentence", "stream", "reference"), NULLS)
def test_nothing_fires_where_nothing_differs(sentence, stream, reference):
    runs = [crossed(stream, seed, reference=reference) for seed in range(12)]
    for rule in ("stable", "profile", "strict"):
        assert sum(rule in run for run in runs) <= 1, (sentence, rule)


@pytest.mark.parametrize(
    ("sentence", "level", "seeds"),
    [
        slow("a slow level of 2 % of the variance", _ar(0.02), 12),
        slow("a slow level of 10 % of the variance", _ar(0.10), 12),
        ("a time of day that moves all features by half a standard deviation", _time_of_day, 5),
        slow("a time of day, more often", _time_of_day, 12),
    ],
)
def test_what_moves_both_arms_is_no_difference_between_them(sentence, level, seeds):
    runs = [crossed(Stream(level=level), seed) for seed in range(seeds)]
    assert sum("stable" in run for run in runs) <= 1, sentence


def test_rows_of_one_request_that_counted_whole_would_fire_without_cause():
    """Why each row of a request of m rows weighs 1/m: the same streams, with each row as a sample of its own."""
    alike = Stream(batch=16, within=0.5, row_weight=1.0)
    assert sum("stable" in crossed(alike, seed) for seed in range(5)) >= 4


@pytest.mark.parametrize(
    ("shift", "rows_max"),
    [
        (3.0, 24),
        (1.0, 64),
        (0.5, 240),
    ],
)
def test_a_moved_feature_is_found_within_so_many_rows(shift, rows_max):
    runs = [crossed(Stream(rows=8, times=9, shift=shift), seed) for seed in range(9)]
    assert all("stable and PSI" in run for run in runs)
    assert np.median([run["stable and PSI"] for run in runs]) <= rows_max


def test_a_shift_that_nobody_cares_about_is_proven_and_still_fails_nobody():
    """A quarter of a standard deviation is a PSI of 0.06: in time the arms surely differ, and by less than 0.1."""
    runs = [crossed(Stream(rows=80, shift=0.25), seed, looks=60) for seed in range(5)]
    assert sum("stable" in run for run in runs) >= 4
    assert sum("stable and PSI" in run for run in runs) <= 1
    assert sum("strict" in run for run in runs) == 0

"""The statistics of bins, each in one function: arrays in, arrays out, sources named.

Counts are sums in which each row of a request of m rows weighs 1/m, as in `formulas`. All features of one profile
stand in one flat array, one after the other; a `Layout` says where each begins, so that hundreds of features cost
a few array operations. Throughout F is the number of features, B that of all bins together, K that of one feature.

Sources: population stability index and its mean and variance without drift, Yurdakul 2018 (PSI is about
(1/n + 1/N) times a chi-square of K − 1 degrees of freedom); multinomial e-process, arXiv 2011.03567, made composite
by universal inference, 1912.11436; mean of e-values, 1912.06116. The arms' bets against each other are in `bets`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri, gammaln

from serin_operator.decide.judge import formulas

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

CONCENTRATIONS = (3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
"""Of the Dirichlet mixture around the profile: near 3 it bets on gross shifts, near 1000 on small ones."""
PROFILE_ERROR = 1e-4
"""Chance that the training rows are so odd a sample that some feature's true distribution lies outside its ball.

Spread over the features, and small beside every share of the budget.
"""
HALVINGS = 26
"""Of the bisection: the mixing share is found to 2^-26."""
SMALLEST = 1e-300


@dataclass(frozen=True, eq=False)
class Layout:
    """Where each feature's bins lie in a flat array."""

    widths: NDArray[np.int64]
    """Bins of each feature, at least 1; shape [F]."""
    starts: NDArray[np.int64]
    """Place of each feature's first bin; shape [F]."""

    @cached_property
    def bins(self) -> int:
        """B, of all features together."""
        return int(self.widths.sum())

    def sums(self, flat: Floats) -> Floats:
        """Sum over each feature's bins: [..., B] to [..., F]."""
        return np.add.reduceat(flat, self.starts, axis=-1)

    def spread(self, values: Floats) -> Floats:
        """A value of each feature at each of its bins: [..., F] to [..., B]."""
        return values.repeat(self.widths, axis=-1)


def layout(widths: Sequence[int] | NDArray[np.int64]) -> Layout:
    """The layout of features with that many bins each, which must be at least one feature."""
    counts = np.array(widths, dtype=np.int64)
    return Layout(counts, np.concatenate(([0], np.cumsum(counts)[:-1])))


@dataclass(frozen=True, eq=False)
class Pair:
    """Two arms standardised to one mix of cohorts."""

    layout: Layout
    candidate: Floats
    """Share of each bin; shape [B], 0 where an arm has nothing."""
    stable: Floats
    candidate_n: Floats
    """Effective samples of each feature, shape [F]: the share's variance is p(1−p) over this."""
    stable_n: Floats

    def of(self, features: slice, bins: slice, where: Layout) -> Pair:
        """Some features alone, which lie there and there in the arrays of shape [F] and [B]."""
        return Pair(where, self.candidate[bins], self.stable[bins], self.candidate_n[features], self.stable_n[features])

    @cached_property
    def samples(self) -> Floats:
        """1/(1/n + 1/N) of each feature, 0 where an arm has nothing; shape [F]."""
        both = np.minimum(self.candidate_n, self.stable_n) > formulas.WEIGHT_MIN
        with np.errstate(divide="ignore"):
            return np.where(both, 1.0 / (1.0 / self.candidate_n + 1.0 / self.stable_n), 0.0)


def standardised(cohorts: Sequence[tuple[Floats, Floats]] | Floats, where: Layout) -> Pair:
    """Both arms' shares per bin under the same mix of cohorts.

    Weights w = n_c n_s / (n_c + n_s) per cohort and feature (Mantel-Haenszel, as in `formulas.stratified`): traffic
    that changes while the weights ramp is in both arms alike and shows no difference. The effective size of an arm
    is (Σw)² / Σ(w²/n), with which the variance of a share is p(1−p)/n as for one sample.

    Args:
        cohorts: counts of candidate and stable, each of shape [B]; or all of them, of shape [cohorts, 2, B].
        where: their layout.
    """
    arms = np.asarray(cohorts, dtype=np.float64).reshape(-1, 2, where.bins)
    candidate, stable = arms[:, 0], arms[:, 1]
    n_c, n_s = where.sums(candidate), where.sums(stable)
    both = np.minimum(n_c, n_s) > formulas.WEIGHT_MIN
    safe_c, safe_s = np.where(both, n_c, 1.0), np.where(both, n_s, 1.0)
    w = np.where(both, safe_c * safe_s / (safe_c + safe_s), 0.0)
    weight = w.sum(axis=0)
    divisor = where.spread(np.where(weight > 0.0, weight, 1.0))
    return Pair(
        where,
        (where.spread(w / safe_c) * candidate).sum(axis=0) / divisor,
        (where.spread(w / safe_s) * stable).sum(axis=0) / divisor,
        _effective(weight, (w * w / safe_c).sum(axis=0)),
        _effective(weight, (w * w / safe_s).sum(axis=0)),
    )


def _effective(weight: Floats, spread: Floats) -> Floats:
    return np.where(weight > 0.0, weight * weight / np.where(spread > 0.0, spread, 1.0), 0.0)


def psi_star(pair: Pair) -> Floats:
    """The population stability index of each feature less what chance alone makes of it; shape [F].

    Σ (p − q) ln(p/q) over counts with ½ added to each bin (Jeffreys, so that an empty bin has a finite price that
    falls with the samples), less (K − 1)(1/n + 1/N), its mean where nothing differs (Yurdakul 2018); not below 0.
    Bins that neither arm has seen are no bins: they are left out of the sum and of K. 0 where an arm has nothing.
    """
    where = pair.layout
    used = (pair.candidate > 0.0) | (pair.stable > 0.0)
    half = np.where(used, 0.5, 0.0)
    bins = where.sums(used.astype(np.float64))
    p = _shares(pair.candidate, pair.candidate_n, half, bins, where)
    q = _shares(pair.stable, pair.stable_n, half, bins, where)
    psi = where.sums(np.where(used, (p - q) * np.log(p / q), 0.0))
    n = pair.samples
    bias = np.maximum(bins - 1.0, 0.0) / np.where(n > 0.0, n, 1.0)
    return np.where(n > 0.0, np.maximum(0.0, psi - bias), 0.0)


def _shares(share: Floats, n: Floats, half: Floats, bins: Floats, where: Layout) -> Floats:
    smoothed = (share * where.spread(n) + half) / where.spread(np.maximum(n + 0.5 * bins, 0.5))
    return np.where(half > 0.0, np.maximum(smoothed, SMALLEST), 1.0)


def psi_information(pair: Pair, maximum: float) -> Floats:
    """1 / variance of PSI* where the true index is at its limit; 0 where an arm has nothing; shape [F].

    n·PSI is near a non-central chi-square of K − 1 degrees of freedom and non-centrality n·PSI, n = 1/(1/n + 1/N),
    so its variance is 2(K − 1)/n² + 4·PSI/n. At the limit, as for rates: a candidate that has shown no difference
    yet must not look certain.
    """
    used = (pair.candidate > 0.0) | (pair.stable > 0.0)
    degrees = np.maximum(pair.layout.sums(used.astype(np.float64)) - 1.0, 1.0)
    n = np.where(pair.samples > 0.0, pair.samples, 1.0)
    return np.where(pair.samples > 0.0, 1.0 / (2.0 * degrees / (n * n) + 4.0 * maximum / n), 0.0)


def half_widths(information: Floats, maximum: float, level: float) -> Floats:
    """`formulas.half_width` of each feature, tuned to where a PSI of the limit is just excluded; shape [F]."""
    tau = formulas.tau(maximum, level)
    known = np.where(information > 0.0, information, 1.0)
    log_term = np.log1p(known / tau) - 2.0 * math.log(min(1.0, 2.0 * level))
    return np.where(information > 0.0, np.sqrt((known + tau) * log_term) / known, math.inf)


def samples_for(information: float, bins: float, maximum: float) -> float:
    """The 1/(1/n + 1/N) at which `psi_information` reaches that much: the inverse, by the root of its square."""
    if not math.isfinite(information):
        return math.inf
    at_limit = 2.0 * maximum * information
    return at_limit + math.sqrt(at_limit * at_limit + 2.0 * max(bins - 1.0, 1.0) * information)


def profile_log_e(counts: Floats, reference: Floats, where: Layout, tolerance: float) -> Floats:
    """Natural log of the e-value of each feature against "within `tolerance` of the profile"; shape [F].

    E = M(c) / sup Π p_k^{c_k} over p with KL(q̂‖p) ≤ ρ, ρ = (√(tolerance/2) + √(χ²_{K−1,1−β}/(2N)))². M is the
    mixture of Dirichlet-multinomial likelihoods centred at the profile, over CONCENTRATIONS with equal weights: the
    multinomial e-process of arXiv 2011.03567. Divided by the largest likelihood in the null it holds against all of
    the null at once (universal inference, 1912.11436). The null's first term is the tolerance as PSI, of which KL is
    about half; the second is the sampling error of the profile's own N rows (Wilks), with β = PROFILE_ERROR / F.
    It needs the sums alone, so it survives a restart.

    By Lagrange the supremum is at p = (1 − t)·c/n + t·q̂ for some t in [0, 1], and KL(q̂‖p) falls in t: one
    bisection for all features, which ends on the side of the larger likelihood and so never flatters E.

    Args:
        counts: live counts, shape [B].
        reference: the profile's counts, shape [B].
        where: the layout of both.
        tolerance: PSI up to which a difference is none.
    """
    n, rows = where.sums(counts), where.sums(reference)
    able = (n > formulas.WEIGHT_MIN) & (rows > 0.0)
    live = counts / where.spread(np.where(able, n, 1.0))
    q = reference / where.spread(np.where(rows > 0.0, rows, 1.0))
    degrees = np.maximum(where.widths - 1.0, 1.0)
    spread = chdtri(degrees, PROFILE_ERROR / len(where.widths)) / (2.0 * np.maximum(rows, 1.0))
    radius = (math.sqrt(max(0.0, tolerance) / 2.0) + np.sqrt(spread)) ** 2
    p = _nearest(live, q, radius, where)
    likelihood = where.sums(np.where(counts > 0.0, counts * np.log(np.maximum(p, SMALLEST)), 0.0))
    centre = (reference + 0.5) / where.spread(rows + 0.5 * where.widths)
    return np.where(able, _mixture(counts, n, centre, where) - likelihood, 0.0)


def _nearest(live: Floats, q: Floats, radius: Floats, where: Layout) -> Floats:
    """The likeliest p for the live shares with KL(q‖p) at most the radius."""
    own = np.where(q > 0.0, q * np.log(np.maximum(q, SMALLEST)), 0.0)
    low, high = np.zeros(len(where.widths)), np.ones(len(where.widths))
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        p = live + where.spread(middle) * (q - live)
        outside = where.sums(own - q * np.log(np.maximum(p, SMALLEST))) > radius
        low, high = np.where(outside, middle, low), np.where(outside, high, middle)
    return live + where.spread(low) * (q - live)


def _mixture(counts: Floats, n: Floats, centre: Floats, where: Layout) -> Floats:
    """Log of the mean over CONCENTRATIONS of the Dirichlet-multinomial likelihood of the sequence; shape [F]."""
    seen = np.flatnonzero(counts > 0.0)
    terms = []
    for concentration in CONCENTRATIONS:
        prior = concentration * centre[seen]
        rises = np.zeros_like(counts)
        rises[seen] = gammaln(prior + counts[seen]) - gammaln(prior)
        terms.append(where.sums(rises) + gammaln(concentration) - gammaln(concentration + n))
    stacked = np.stack(terms)
    top = stacked.max(axis=0)
    return np.asarray(top + np.log(np.exp(stacked - top).mean(axis=0)), dtype=np.float64)


def mean_log_e(log_e: Floats, judged: Flags | None = None, features: int | None = None) -> float:
    """Natural log of the mean of e-values, itself one under any dependence between them (arXiv 1912.06116).

    Args:
        log_e: natural logs, shape [F].
        judged: which of them to add; all of them where None.
        features: the number to divide by; those that were added where None. To divide by more is cautious.
    """
    kept = log_e if judged is None else log_e[judged]
    number = len(kept) if features is None else features
    if len(kept) == 0 or number == 0:
        return formulas.LOG_SMALLEST
    top = float(kept.max())
    total = math.log(float(np.exp(kept - top).sum()))
    return max(formulas.LOG_SMALLEST, top + total - math.log(number))

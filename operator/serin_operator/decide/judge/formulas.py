"""The statistics, each in one function: floats in, floats out, sources named.

Throughout, `hits` and `n` are sums in which each row of a request of m rows weighs 1/m, so that a whole
request weighs 1. They need not be whole numbers. That keeps the tests exact whatever binds the rows of one
request together: for factors f with mean at most 1 and weights that sum to at most 1, Hölder's inequality
gives E[Π f^w] ≤ Π E[f]^w ≤ 1. What is assumed is that *requests* are independent of each other given their
cohort.

Sources: safe 2x2 test, arXiv 2106.02693 (two-sample e-variable for Bernoulli streams), strata multiply,
2302.11401; mixture method for one proportion and tuning of τ, 1810.08240; asymptotic confidence sequence,
2103.06476.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, cython_special, gammaln

Floats = NDArray[np.float64]

LOG_SMALLEST = -690.0
"""Natural log that stands for "no evidence at all": e^-690 is still a number."""

LN10 = math.log(10.0)

WEIGHT_MIN = 1e-6
"""A stratum with less weight in an arm than this holds nothing but rounding."""


@dataclass(frozen=True)
class Stratum:
    """Hits and weight of both arms in one cohort."""

    candidate_hits: float
    candidate_n: float
    stable_hits: float
    stable_n: float


@dataclass(frozen=True)
class Difference:
    """Hit rates of both arms, standardised to the same mix of cohorts, and how far they lie apart."""

    candidate: float
    stable: float
    drop: float
    """stable − candidate: positive where the candidate is worse."""
    information: float
    """1 / variance of the drop."""


def two_arm_log_e(block: Stratum, before: Stratum) -> float:
    """Natural log of one block's factor against "the candidate hits at least as often as stable".

    arXiv 2106.02693: with p_c, p_s guessed from earlier blocks alone (means of Beta(1,1) posteriors) and
    p_0 = (n_c p_c + n_s p_s) / (n_c + n_s), the factor is Π Bern(p_c)·Bern(p_s) / Bern(p_0) over both arms.
    Its mean is at most 1 wherever the true rates are equal, whatever they are, since weighted by n the
    means of the two arms' terms average exactly 1 (AM-GM does the rest); betting only on p_c < p_s keeps
    that where the candidate is truly better. So the shared rate may move from block to block and the split
    may change.

    Args:
        block: what was added since the last look.
        before: sums of the same cohort before that.
    """
    n_c, n_s = block.candidate_n, block.stable_n
    if n_c <= 0 or n_s <= 0:
        return 0.0
    p_c = (before.candidate_hits + 1.0) / (before.candidate_n + 2.0)
    p_s = (before.stable_hits + 1.0) / (before.stable_n + 2.0)
    if p_c >= p_s:
        return 0.0
    p_0 = (n_c * p_c + n_s * p_s) / (n_c + n_s)
    return (
        block.candidate_hits * math.log(p_c / p_0)
        + max(0.0, n_c - block.candidate_hits) * math.log((1.0 - p_c) / (1.0 - p_0))
        + block.stable_hits * math.log(p_s / p_0)
        + max(0.0, n_s - block.stable_hits) * math.log((1.0 - p_s) / (1.0 - p_0))
    )


def margin_log_e(block: Stratum, before: Stratum, margin: float) -> float:
    """Natural log of one block's factor against "the candidate hits at most `margin` less often than stable".

    As `two_arm_log_e`, with the pair of the null that is nearest to the guesses in the place of p_0: (x − margin, x),
    x the least of n_c KL(p_c‖x − margin) + n_s KL(p_s‖x) (arXiv 2203.09785: the null is convex, so the ratio to its
    nearest pair has a mean of at most 1 against all of it). No bet unless the guesses lie further apart than that.
    """
    n_c, n_s = block.candidate_n, block.stable_n
    p_c = (before.candidate_hits + 1.0) / (before.candidate_n + 2.0)
    p_s = (before.stable_hits + 1.0) / (before.stable_n + 2.0)
    if n_c <= 0 or n_s <= 0 or p_c >= p_s - margin:
        return 0.0
    low, high = p_c + margin, p_s
    for _ in range(40):
        x = 0.5 * (low + high)
        y = x - margin
        rises = n_c * (y - p_c) / (y * (1.0 - y)) + n_s * (x - p_s) / (x * (1.0 - x)) > 0.0
        low, high = (low, x) if rises else (x, high)
    x = 0.5 * (low + high)
    y = x - margin
    return (
        block.candidate_hits * math.log(p_c / y)
        + max(0.0, n_c - block.candidate_hits) * math.log((1.0 - p_c) / (1.0 - y))
        + block.stable_hits * math.log(p_s / x)
        + max(0.0, n_s - block.stable_hits) * math.log((1.0 - p_s) / (1.0 - x))
    )


def below_log_e(hits: float, n: float, limit: float) -> float:
    """Natural log of the e-value against "each hit has probability at least `limit`".

    The mixture of likelihood ratios p^h (1−p)^(n−h) / limit^h (1−limit)^(n−h) over p uniform on (0, limit): a
    Beta(1,1) prior cut off at the limit, which makes the integral an incomplete beta function. Each ratio
    with p < limit has mean at most 1 for every true probability of `limit` or more, at every n. It needs
    the sums alone, so it survives a restart. Falls in hits for a given n, so counting an unknown as a hit
    is cautious.
    """
    if n <= 0 or limit <= 0:
        return 0.0
    limit = min(limit, 1.0 - 1e-9)
    hits = min(max(hits, 0.0), n)
    misses = n - hits
    # The same function as for arrays, without what an array costs: bisections ask for it very often.
    below = float(cython_special.betainc(hits + 1.0, misses + 1.0, limit))
    if below <= 0.0:
        return LOG_SMALLEST
    log_beta = math.lgamma(hits + 1.0) + math.lgamma(misses + 1.0) - math.lgamma(n + 2.0)
    log_null = hits * math.log(limit) + misses * math.log1p(-limit)
    return max(LOG_SMALLEST, math.log(below) + log_beta - math.log(limit) - log_null)


def below_log_e_each(hits: Floats, n: Floats, limit: Floats) -> Floats:
    """`below_log_e` of many proportions at once; all of shape [k]."""
    limit = np.minimum(np.maximum(limit, 0.0), 1.0 - 1e-9)
    asked = (n > 0.0) & (limit > 0.0)
    limit, n = np.where(asked, limit, 0.5), np.where(asked, n, 1.0)
    hits = np.minimum(np.maximum(hits, 0.0), n)
    misses = n - hits
    below = betainc(hits + 1.0, misses + 1.0, limit)
    log_beta = gammaln(hits + 1.0) + gammaln(misses + 1.0) - gammaln(n + 2.0)
    log_null = hits * np.log(limit) + misses * np.log1p(-limit)
    log_below = np.log(np.maximum(below, 1e-300))
    log_e = np.where(below > 0.0, log_below + log_beta - np.log(limit) - log_null, LOG_SMALLEST)
    return np.where(asked, np.maximum(LOG_SMALLEST, log_e), 0.0)


def stratified(strata: Iterable[Stratum], limit: float) -> Difference | None:
    """The difference over all cohorts that hold both arms, or None where none does.

    Mantel-Haenszel weights w = n_c n_s / (n_c + n_s) compare the arms inside each cohort only, so a traffic
    mix that changes while the weights ramp does not look like a difference (Simpson's paradox). The variance
    is Σ w² (v_c/n_c + v_s/n_s) / (Σ w)², with v = p(1−p) at p = (hits + ½)/(n + 1) (Jeffreys), never 0. A
    request counts once however many rows it has, which can only overstate its variance.

    The candidate's v is at least that of a candidate which lies `limit` below stable (the variance under the
    hypothesis to be excluded, as in Farrington and Manning's test). Without it a bad candidate that makes no
    mistake in its first hundred rows would look certain: measured, 13 in 100 passed instead of 5.
    """
    weight = candidate = stable = variance = 0.0
    for stratum in strata:
        n_c, n_s = stratum.candidate_n, stratum.stable_n
        if min(n_c, n_s) < WEIGHT_MIN:
            continue
        w = n_c * n_s / (n_c + n_s)
        p_c, p_s = _smoothed(stratum.candidate_hits, n_c), _smoothed(stratum.stable_hits, n_s)
        at_limit = max(0.0, p_s - limit)
        v_c = max(p_c * (1.0 - p_c), at_limit * (1.0 - at_limit))
        weight += w
        candidate += w * min(1.0, stratum.candidate_hits / n_c)
        stable += w * min(1.0, stratum.stable_hits / n_s)
        variance += w * w * (v_c / n_c + p_s * (1.0 - p_s) / n_s)
    if weight <= 0.0 or variance <= 0.0:
        return None
    candidate, stable = candidate / weight, stable / weight
    return Difference(candidate, stable, stable - candidate, weight * weight / variance)


def log_weight(order: int) -> float:
    """The natural log of 1/(j(j+1)) for the j-th cohort, counted from 1: these sum to 1 over however many cohorts come.

    How many there will be is not known when a trial begins, since a changed policy or a repaired route opens one
    more. The first, in which a bad candidate is to be found with the fewest callers, holds half.
    """
    return -math.log(order * (order + 1))


def pooled(factors: Iterable[float], *, sticky: bool) -> float:
    """Natural log of a gate's e-value from those of its cohorts, as natural logs in the order in which they opened.

    Multiplied, or where callers return the strongest at its part of the budget (`apart` says why); that of no
    evidence where there is no cohort and callers return.
    """
    if not sticky:
        return math.fsum(factors)
    weighted = (factor + log_weight(order) for order, factor in enumerate(factors, start=1))
    return max(weighted, default=LOG_SMALLEST)


def _smoothed(hits: float, n: float) -> float:
    """A rate that is neither 0 nor 1."""
    return (min(hits, n) + 0.5) / (n + 1.0)


@lru_cache(maxsize=64)
def best_ratio(level: float) -> float:
    """The r = I/τ at which the confidence sequence is narrowest: r = ln(1+r) + 2 ln(1/2·level)."""
    log_term = -2.0 * math.log(min(1.0, 2.0 * level))
    ratio = 1.0 + log_term
    for _ in range(60):
        ratio = math.log1p(ratio) + log_term
    return max(ratio, 1e-3)


def tau(limit: float, level: float) -> float:
    """The mixing parameter that makes the sequence narrowest where a loss of `limit` is just excluded.

    There the half-width equals `limit` at I = (r+1)/limit² with r of `best_ratio`, so τ = I/r: it hangs on
    the policy alone, never on data, as it must.
    """
    ratio = best_ratio(level)
    return (ratio + 1.0) / (ratio * limit * limit)


def half_width(information: float, tau_: float, level: float) -> float:
    """One-sided half-width of the confidence sequence: true at all looks together but for `level`.

    √((I+τ)(ln(1+I/τ) + 2 ln(1/2·level))) / I: the two-sided normal-mixture sequence of arXiv 2103.06476 (its
    theorem 2.2, written in information I) at twice the level, of which one side is read. Asymptotic: it is
    not to be trusted below about a hundred samples per arm.
    """
    if information <= 0.0:
        return math.inf
    log_term = math.log1p(information / tau_) - 2.0 * math.log(min(1.0, 2.0 * level))
    return math.sqrt((information + tau_) * log_term) / information


def information_for(width: float, tau_: float, level: float) -> float:
    """The information at which the half-width falls to `width`; infinite where width is not positive."""
    if width <= 0.0:
        return math.inf
    low, high = 0.0, 1.0 / (width * width)
    while half_width(high, tau_, level) > width:
        low, high = high, 2.0 * high
    for _ in range(24):
        middle = 0.5 * (low + high)
        if half_width(middle, tau_, level) > width:
            low = middle
        else:
            high = middle
    return high

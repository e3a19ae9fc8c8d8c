"""Bets on bins: the e-process of two arms that should draw from one distribution.

Each bet guesses, before a block of counts is seen, how both arms share the bins; several bets hold parts of one wealth.
Most faults shift a feature: an ordered bet names a shift beforehand, in standard deviations of the feature at its
normal scores, and so pays nothing for learning it. One bet learns a difference of any shape instead.

Sources: k-sample e-variable, arXiv 2106.02693; tests by normal scores, van der Waerden 1952, which against a shift are
never less efficient than those by the mean (Chernoff and Savage 1958). Notation as in `bin_formulas`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from serin_operator.decide.judge import bin_formulas, formulas
from serin_operator.decide.judge.bin_formulas import Flags, Floats, Layout

SHIFTS = (0.5, -0.5, 1.0, -1.0, 2.5, -2.5)
"""What the ordered bets say of the candidate less stable: about what a PSI of 0.25, of 1, and a gross fault are."""
STAKES = (0.12, 0.2, 0.2, 0.2, 0.2, 0.04, 0.04)
"""Part of the wealth that each bet holds: the one on any shape, then those on SHIFTS. A gross fault needs little."""
BETS = len(STAKES)
TOGETHER = 32.0
"""How strongly the bet on any shape draws an arm to what both did, shifted as the arm has shown, in samples."""
LEVEL = 4.0
"""How strongly it draws that shift to none, in samples."""
SHIFT_MAX = 3.0
_MIDDLE_MIN = 1e-6


@dataclass(frozen=True, eq=False)
class Order:
    """In which order the bins of each feature stand for rising values."""

    places: NDArray[np.int64]
    """The bins of each feature from its lowest values to its highest; shape [B]."""
    ordered: Flags
    """Bins that have a place in it: all but that of missing values; shape [B]."""

    def scores(self, shares: Floats, where: Layout) -> Floats:
        """The normal quantile of each bin's middle rank among the ordered ones of its feature, 0 for others."""
        kept = np.where(self.ordered, shares, 0.0)[self.places]
        whole = where.spread(np.maximum(where.sums(kept), bin_formulas.SMALLEST))
        below = np.cumsum(kept)
        before = where.spread(below[where.starts] - kept[where.starts])
        middle = np.clip((below - before - 0.5 * kept) / whole, _MIDDLE_MIN, 1.0 - _MIDDLE_MIN)
        scores = np.empty_like(middle)
        scores[self.places] = ndtri(middle)
        return np.where(self.ordered, scores, 0.0)


def order(widths: Sequence[int], *, missing: bool, classes: int) -> Order:
    """The order of a profile's bins.

    Bins of numbers rise, and the last of each feature holds what is missing. Categories stand as the profile has them,
    the most frequent first: a shift along them is a poor guess, and as valid as any. Of two classes the first is
    surest at the lowest scores of the model, so its bins of rising confidence stand in reverse.

    Args:
        widths: bins of each feature, the predictions last.
        missing: whether the last bin of each feature but the predictions holds what is missing.
        classes: of the predictions; 0 for a regressor.
    """
    whole = sum(widths)
    places, ordered = np.arange(whole), np.ones(whole, dtype=np.bool_)
    if missing:
        ordered[np.cumsum(widths[:-1]) - 1] = False
    if classes == 2:
        first = whole - widths[-1]
        places[first : first + widths[-1] // 2] = places[first : first + widths[-1] // 2][::-1]
    return Order(places, ordered)


def two_arm_log_e(
    candidate: Floats, stable: Floats, candidate_before: Floats, stable_before: Floats, where: Layout, rising: Order
) -> Floats:
    """Natural log of one block's factor against "both arms draw from one distribution"; shape [BETS, F].

    Π (p_c/p_0)^{Δc} (p_s/p_0)^{Δs}, with p_c, p_s guessed from earlier blocks alone and p_0 = (n_c p_c + n_s p_s) /
    (n_c + n_s): the k-sample e-variable of arXiv 2106.02693. Weighted by n the arms' factors average exactly 1 under
    any shared distribution, and the mean of their product is then at most 1 (AM-GM), so the traffic may move from
    block to block and the split may change. Any guess made before the block keeps it exact. `hedged` reads the bets
    as one.

    Args:
        candidate: what was added to the candidate's bins since the last look, shape [B].
        stable: the same of stable.
        candidate_before: sums of the same cohort before that.
        stable_before: the same of stable.
        where: the layout of all four.
        rising: the order of their bins.
    """
    n_c, n_s = where.sums(candidate), where.sums(stable)
    both = (n_c > 0.0) & (n_s > 0.0)
    if not both.any():
        return np.zeros((BETS, len(where.widths)))
    arms = np.stack([candidate_before, stable_before])
    before = where.sums(arms)
    pooled = (candidate_before + stable_before + 0.5) / where.spread(before[0] + before[1] + 0.5 * where.widths)
    scores = rising.scores(pooled, where)
    split = before[0] / np.maximum(before[0] + before[1], bin_formulas.SMALLEST)
    shaped = _shaped(arms, before, pooled, scores, where)
    shifted = _shifted(np.stack([1.0 - split, -split]), pooled, scores, where)
    p_c, p_s = np.concatenate([shaped[:, np.newaxis], shifted], axis=1)
    p_0 = p_s + where.spread(n_c / np.where(both, n_c + n_s, 1.0)) * (p_c - p_s)
    logs = candidate * np.log(p_c / p_0) + stable * np.log(p_s / p_0)
    return np.where(both, np.add.reduceat(logs, where.starts, axis=1), 0.0)


def hedged(log_e: Floats) -> Floats:
    """Natural log of each feature's wealth, of which every bet held its stake; shape [F].

    Args:
        log_e: sums of `two_arm_log_e` over blocks, shape [BETS, F] or flat.
    """
    rows = log_e.reshape(BETS, -1)
    top = rows.max(axis=0, initial=formulas.LOG_SMALLEST)
    return np.asarray(top + np.log(np.array(STAKES) @ np.exp(rows - top)), dtype=np.float64)


def smallest_psi(samples: float, bins: float, log_e: float) -> float:
    """About the smallest PSI of any shape that so many samples, as 1/(1/n + 1/N), can prove; infinite without any.

    The e-process gains near n·PSI/2, half the PSI being the Kullback-Leibler rate, and pays about (K − 1)/2 ·
    ln(1 + n/TOGETHER) for having to learn the shares first, and the logarithm of its stake. A shift is proven sooner.
    """
    if samples <= 0.0:
        return math.inf
    learning = 0.5 * max(bins - 1.0, 1.0) * math.log1p(samples / TOGETHER) - math.log(STAKES[0])
    return 2.0 * (log_e + learning) / samples


def _shaped(arms: Floats, n: Floats, pooled: Floats, scores: Floats, where: Layout) -> Floats:
    """Shares for each arm by what it has shown, of any shape, drawn to both arms' shifted as it has shown; [2, B]."""
    shift = np.clip(where.sums(arms * scores) / (n + LEVEL), -SHIFT_MAX, SHIFT_MAX)
    drawn = _normed(pooled * np.exp(where.spread(shift) * scores), where)
    return np.asarray((arms + TOGETHER * drawn) / where.spread(n + TOGETHER), dtype=np.float64)


def _shifted(parts: Floats, pooled: Floats, scores: Floats, where: Layout) -> Floats:
    """Shares for each arm by each of SHIFTS, of which those parts are the arm's; shape [2, len(SHIFTS), B]."""
    exponents = np.array(SHIFTS)[:, np.newaxis] * (where.spread(parts) * scores)[:, np.newaxis]
    return _normed(pooled * np.exp(exponents), where)


def _normed(weights: Floats, where: Layout) -> Floats:
    """Weights that sum to 1 in each feature; shape [..., B]."""
    return np.asarray(weights / where.spread(where.sums(weights)), dtype=np.float64)

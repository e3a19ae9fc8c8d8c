"""Tell two samples of rows apart: by a classifier that learns to, and by the distance of their kernel means.

Both look at whole rows, so they find what the bins of single features cannot, such as columns that no longer go
together. Both are pure: rows and a seed in, a finding out.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, rankdata
from sklearn.ensemble import HistGradientBoostingClassifier

from serin_bundle.errors import BundleError

Rows = NDArray[np.float64]

ITERATIONS = 40
ROWS_MIN = 40
AUC_MIN = 0.55
ALPHA = 0.01
PERMUTATIONS = 100
PERMUTATIONS_AT_ONCE = 512
MMD_RUNS_MAX = 20
"""Each look takes more permutations to be able to alarm; at this one they take about half a minute."""


class AucFinding(msgspec.Struct, frozen=True):
    """How well a classifier tells the rows apart that it did not learn from."""

    auc: float
    """0.5: not at all; 1: always."""
    p_value: float
    importances: list[float]
    """Of each column: how far, in AUC, it tells the rows apart by itself; from 0 to 0.5."""
    z: float = 0.0
    """Of the AUC: about standard normal where nothing differs."""


class MmdFinding(msgspec.Struct, frozen=True):
    """How far apart the kernel means of the rows are."""

    mmd_squared: float
    p_value: float
    """From permutations, so never under 1 / (permutations + 1)."""


def domain_auc(candidate_rows: Rows, stable_rows: Rows, seed: int) -> AucFinding:
    """Learn on half of the rows to tell which side they are from, and test on the other half.

    z = (AUC − ½) / √((n0 + n1 + 1) / (12 n0 n1)), the large-sample law of the Mann-Whitney statistic, over the
    test rows alone.

    Args:
        candidate_rows: shape [n0, d]; NaN is missing.
        stable_rows: shape [n1, d].
        seed: of the halves and of the classifier.

    Raises:
        BundleError: the widths differ, or a side has fewer than 40 rows.
    """
    rows, sides = _joined(candidate_rows, stable_rows)
    random = np.random.default_rng(seed)
    # Of each side one half, so that no half lacks a side.
    train = np.concatenate([random.permutation(np.flatnonzero(sides == side))[::2] for side in (0, 1)])
    test = np.setdiff1d(np.arange(len(rows)), train)
    model = HistGradientBoostingClassifier(max_iter=ITERATIONS, early_stopping=False, random_state=seed)
    model.fit(rows[train], sides[train])
    ones = int(sides[test].sum())
    zeros = len(test) - ones
    auc = _auc(model.decision_function(rows[test]), sides[test])
    z = (auc - 0.5) / math.sqrt((zeros + ones + 1) / (12 * zeros * ones))
    importances = [abs(_auc(np.nan_to_num(column, nan=-np.inf), sides) - 0.5) for column in rows.T]
    return AucFinding(auc=auc, p_value=float(norm.sf(z)), importances=importances, z=z)


def domain_mmd(candidate_rows: Rows, stable_rows: Rows, seed: int, permutations: int = PERMUTATIONS) -> MmdFinding:
    """Compare kernel means, for embeddings and images; a Gaussian kernel as wide as the median distance.

    Gretton et al. 2012, biased statistic, with permutations of the sides. Time and memory are quadratic.

    Args:
        candidate_rows: shape [n0, d].
        stable_rows: shape [n1, d].
        seed: of the permutations.
        permutations: how many; no p-value is under 1 / (permutations + 1).

    Raises:
        BundleError: the widths differ, a value is missing, or a side has fewer than 40 rows.
    """
    rows, sides = _joined(candidate_rows, stable_rows)
    if np.isnan(rows).any():
        raise BundleError("the distance of kernel means takes no missing values; use the classifier")
    squares = (rows * rows).sum(axis=1)
    distances = np.maximum(squares[:, None] + squares[None, :] - 2.0 * rows @ rows.T, 0.0)
    width = float(np.median(distances[np.triu_indices(len(rows), 1)]))
    kernel = np.exp(-distances / (width or 1.0))
    weights = np.where(sides == 1, 1.0 / sides.sum(), -1.0 / (len(sides) - sides.sum()))
    random = np.random.default_rng(seed)
    found, exceeded = float(weights @ kernel @ weights), 0
    for start in range(0, permutations, PERMUTATIONS_AT_ONCE):
        size = min(PERMUTATIONS_AT_ONCE, permutations - start)
        shuffled = np.array([random.permutation(weights) for _ in range(size)])
        exceeded += int((((shuffled @ kernel) * shuffled).sum(axis=1) >= found).sum())
    return MmdFinding(mmd_squared=found, p_value=(1 + exceeded) / (1 + permutations))


def alarm_below(run: int) -> float:
    """The p-value under which the k-th run alarms: .01 · 6 / (π² k²), which adds up to .01 over all runs."""
    return ALPHA * 6.0 / (math.pi * run) ** 2


def alarms(finding: AucFinding, run: int) -> bool:
    """Whether the k-th run alarms: its p-value is small enough, and AUC ≥ .55."""
    return finding.p_value < alarm_below(run) and finding.auc >= AUC_MIN


def permutations_needed(run: int) -> int:
    """As many as let the k-th run alarm though one of them lies as far apart by chance.

    Raises:
        BundleError: they would be too many.
    """
    if run > MMD_RUNS_MAX:
        raise BundleError(f"kernel means can be compared {MMD_RUNS_MAX} times; with a new candidate count from 1 again")
    return math.ceil(2.0 / alarm_below(run))


def _joined(candidate_rows: Rows, stable_rows: Rows) -> tuple[Rows, NDArray[np.int64]]:
    if candidate_rows.ndim != 2 or stable_rows.ndim != 2 or candidate_rows.shape[1] != stable_rows.shape[1]:
        raise BundleError(f"rows of shapes {candidate_rows.shape} and {stable_rows.shape} cannot be compared")
    if min(len(candidate_rows), len(stable_rows)) < ROWS_MIN:
        raise BundleError(
            f"there are {len(candidate_rows)} and {len(stable_rows)} rows; each side needs at least {ROWS_MIN}"
        )
    sides = np.concatenate([np.ones(len(candidate_rows), np.int64), np.zeros(len(stable_rows), np.int64)])
    return np.concatenate([candidate_rows, stable_rows]).astype(np.float64), sides


def _auc(scores: NDArray[np.float64], sides: NDArray[np.int64]) -> float:
    ones = int(sides.sum())
    ranks = rankdata(scores)
    return float((ranks[sides == 1].sum() - ones * (ones + 1) / 2) / (ones * (len(sides) - ones)))

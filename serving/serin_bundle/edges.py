"""Where the bins of a column of numbers begin."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

ROWS_PER_BIN = 30
"""A bin should expect at least so many training rows, or its share is mostly noise."""

ROWS_OF_TWO_BINS = 30
"""From so many rows there are two bins, however few that leaves to each: one bin would show no drift at all."""

HEAVY_BINS = 2.0
"""A value is heavy, and has a bin of its own, where it fills as many equally full bins."""


def quantile_edges(values: Numbers, bins_max: int) -> Numbers:
    """Unique inner edges, rising, of about equally full bins; fewer where a bin would hold under 30 values.

    A heavy value, such as the zero of a column that is mostly zero, gets a bin of its own, and where there are no
    more values than bins each is one. Edges are values that occur, and the smallest is none of them: so no bin is
    empty, as interpolated edges would make it where only a few values occur.

    Args:
        values: shape [n], without missing ones.
        bins_max: how many bins there may be.
    """
    bins = min(bins_max, max(len(values) // ROWS_PER_BIN, 2 if len(values) >= ROWS_OF_TWO_BINS else 1))
    if bins < 2:
        return np.empty(0)
    distinct, counts = np.unique(values, return_counts=True)
    if len(distinct) <= bins:
        return _full(distinct[1:], values)
    places = np.flatnonzero(counts >= HEAVY_BINS * len(values) / bins)
    heavy = places[np.argsort(-counts[places], kind="stable")][: (bins - 1) // 2]
    rest = values if not len(heavy) else values[~np.isin(values, distinct[heavy])]
    # A heavy value takes two edges, its own and that of what follows.
    parts = max(1, bins - 2 * len(heavy))
    edges = np.quantile(rest, np.arange(1, parts) / parts, method="higher")
    after = heavy[heavy + 1 < len(distinct)] + 1
    return _full(np.unique(np.concatenate([edges, distinct[heavy], distinct[after]])), values)


def _full(edges: Numbers, values: Numbers) -> Numbers:
    """Those edges between which at least half as many values lie as a bin should have."""
    ordered = np.sort(values)
    below = np.searchsorted(ordered, edges, side="left")
    kept: list[float] = []
    last = 0
    for edge, before in zip(edges.tolist(), below.tolist(), strict=True):
        if min(before - last, len(ordered) - before) >= ROWS_PER_BIN // 2:
            kept.append(edge)
            last = before
    return np.array(kept, dtype=np.float64)

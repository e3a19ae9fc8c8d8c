"""Build the reference profile: bins of the training rows and of the out-of-fold predictions."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serin_bundle.folds import OutOfFold
from serin_bundle.table import Table
from serin_contract.profile import (
    BINS_MAX,
    CATEGORIES_MAX,
    CategoryFeature,
    Feature,
    NumericFeature,
    PredictionBins,
    Profile,
)

ROWS_PER_BIN = 30
"""A bin should expect at least so many training rows, or its share is mostly noise."""

CONFIDENCE_BINS_MAX = 4
"""Per class: ten classes make forty bins already."""


def build_profile(table: Table, predictions: OutOfFold, classes: list[str | int | float | bool]) -> Profile:
    """The profile of training rows and out-of-fold predictions; `classes` is empty for a regressor."""
    features: list[Feature] = []
    for index, column in enumerate(table.columns):
        values = table.matrix[:, index]
        if column.datatype == "BYTES":
            features.append(category_feature(column.name, values.tolist()))
        else:
            features.append(numeric_feature(column.name, values.astype(np.float64)))
    return Profile(features=features, prediction=_prediction_bins(predictions, classes), rows=len(table.matrix))


def numeric_feature(name: str, values: NDArray[np.float64]) -> NumericFeature:
    """Bins of one numeric column; NaN is missing."""
    present = values[~np.isnan(values)]
    edges = quantile_edges(present, BINS_MAX)
    places = np.searchsorted(edges, values, side="right")
    places[np.isnan(values)] = len(edges) + 1
    return NumericFeature(
        name=name,
        edges=edges.tolist(),
        counts=np.bincount(places, minlength=len(edges) + 2).astype(np.float64).tolist(),
        minimum=float(present.min()) if len(present) else None,
        maximum=float(present.max()) if len(present) else None,
    )


def category_feature(name: str, values: list[Any]) -> CategoryFeature:
    """Bins of one column of texts: the most frequent ones, the others together, and the missing."""
    counted = Counter(value for value in values if value is not None)
    ranked = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    top, rest = ranked[:CATEGORIES_MAX], ranked[CATEGORIES_MAX:]
    missing = len(values) - counted.total()
    counts = [count for _, count in top] + [sum(count for _, count in rest), missing]
    return CategoryFeature(
        name=name, categories=[category for category, _ in top], counts=[float(count) for count in counts]
    )


def quantile_edges(values: NDArray[np.float64], bins_max: int) -> NDArray[np.float64]:
    """Unique inner edges of about equally full bins, fewer where a bin would hold under 30 values.

    Edges are values that occur, and the smallest is none of them: so no bin is empty, as interpolated edges
    would make it where only a few values occur.
    """
    bins = min(bins_max, len(values) // ROWS_PER_BIN)
    if bins < 2:
        return np.empty(0)
    edges: NDArray[np.float64] = np.unique(np.quantile(values, np.arange(1, bins) / bins, method="higher"))
    inner: NDArray[np.float64] = edges[edges > values.min()]
    return inner


def _prediction_bins(predictions: OutOfFold, classes: list[str | int | float | bool]) -> PredictionBins:
    if not classes:
        values = predictions.values.astype(np.float64)
        edges = quantile_edges(values, BINS_MAX)
        places = np.searchsorted(edges, values, side="right")
        return _counted("regression", [], edges, places)
    index = {label: place for place, label in enumerate(classes)}
    predicted = np.array([index[label] for label in predictions.values.tolist()], dtype=np.int64)
    edges = np.empty(0)
    places = predicted
    if predictions.confidence is not None:
        bins = max(1, len(predicted) // (ROWS_PER_BIN * len(classes)))
        edges = quantile_edges(predictions.confidence, min(CONFIDENCE_BINS_MAX, bins))
        inner = np.searchsorted(edges, predictions.confidence, side="right")
        places = predicted * (len(edges) + 1) + inner
    return _counted("classification", classes, edges, places)


def _counted(
    kind: Any, classes: list[str | int | float | bool], edges: NDArray[np.float64], places: NDArray[np.int64]
) -> PredictionBins:
    empty = PredictionBins(kind=kind, classes=classes, edges=edges.tolist(), counts=[])
    counts = np.bincount(places, minlength=empty.bins).astype(np.float64)
    assert math.isclose(counts.sum(), len(places))
    return PredictionBins(kind=kind, classes=classes, edges=edges.tolist(), counts=counts.tolist())

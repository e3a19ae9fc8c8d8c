"""Build the reference profile: bins of the training rows and of the out-of-fold predictions."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from serin_bundle.chunks import Rows, RowSample, chunks_of
from serin_bundle.edges import ROWS_PER_BIN, quantile_edges
from serin_bundle.errors import BundleError
from serin_bundle.features import FeatureTally, plan_features
from serin_bundle.folds import OutOfFold
from serin_bundle.table import Table, Values, read_chunk
from serin_contract.bundle import Column
from serin_contract.profile import BINS_MAX, Feature, PredictionBins, Profile

CONFIDENCE_BINS_MAX = 4
"""Per class: ten classes make forty bins already."""

SAMPLE_ROWS = 100_000
"""Of how many rows the bins of rows in chunks are planned on."""

ERROR_QUANTILE = 0.995
PSI_NOISE = 0.99

Classes = list[str | int | float | bool]


def build_profile(table: Table, predictions: OutOfFold, classes: Classes, labels: Values | None = None) -> Profile:
    """The profile of training rows and out-of-fold predictions.

    Args:
        table: the training rows.
        predictions: of these rows.
        classes: of a classifier in the model's order; empty for a regressor.
        labels: the true values; a regressor's error is clipped by them.
    """
    tally = FeatureTally(plan_features(table), table.columns)
    tally.add(table.matrix)
    return _profile(tally, predictions, classes, labels)


def build_profile_from_chunks(
    rows: Rows, columns: list[Column], predictions: OutOfFold, classes: Classes, labels: Values | None = None
) -> Profile:
    """The profile of rows that do not fit in memory, which are read twice.

    The first time a sample of them says where bins begin, the second time all are counted.

    Args:
        rows: a file, or a function that yields chunks.
        columns: of the model.
        predictions: of the rows that the model was tested on, which may be fewer.
        classes: as in `build_profile`.
        labels: the true values of the rows that were predicted.

    Raises:
        BundleError: the rows cannot be read, do not have the columns, or are not the same the second time.
    """
    sample, sampled = RowSample(SAMPLE_ROWS), 0
    for chunk in chunks_of(rows):
        matrix = read_chunk(chunk, columns)
        sample.add(matrix)
        sampled += len(matrix)
    chosen = sample.rows()
    if chosen is None:
        raise BundleError("the chunks hold no row")
    tally = FeatureTally(plan_features(Table(columns=columns, matrix=chosen)), columns)
    del chosen, sample
    for chunk in chunks_of(rows):
        tally.add(read_chunk(chunk, columns))
    if tally.rows != sampled:
        raise BundleError(
            f"there were {sampled} rows the first time and {tally.rows} the second: give a file, or a function that "
            "yields all chunks each time it is called"
        )
    return _profile(tally, predictions, classes, labels)


def psi_smallest(counts: list[float]) -> float | None:
    """The smallest PSI that a profile with these counts can show, however many live rows come.

    Between the training rows and their own distribution, N times the PSI is about chi-squared with k − 1 degrees of
    freedom, k bins of which are not empty (Yurdakul 2018); what lies under the 99 % quantile of it is noise of the
    training rows.

    Returns:
        None where fewer than two bins have rows: then no change shows.
    """
    filled, rows = sum(count > 0 for count in counts), sum(counts)
    return float(chi2.ppf(PSI_NOISE, filled - 1)) / rows if filled > 1 else None


def _profile(tally: FeatureTally, predictions: OutOfFold, classes: Classes, labels: Values | None) -> Profile:
    features: list[Feature] = tally.features()
    clip = None if classes or labels is None else _error_clip(predictions, labels)
    return Profile(features, _prediction_bins(predictions, classes), rows=tally.rows, error_clip=clip)


def _error_clip(predictions: OutOfFold, labels: Values) -> float | None:
    errors = np.abs(predictions.values.astype(np.float64) - labels.astype(np.float64))
    clip = float(np.quantile(errors, ERROR_QUANTILE, method="higher"))
    return clip if clip > 0.0 and math.isfinite(clip) else None


def _prediction_bins(predictions: OutOfFold, classes: Classes) -> PredictionBins:
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


def _counted(kind: Any, classes: Classes, edges: NDArray[np.float64], places: NDArray[np.int64]) -> PredictionBins:
    empty = PredictionBins(kind=kind, classes=classes, edges=edges.tolist(), counts=[])
    counts = np.bincount(places, minlength=empty.bins).astype(np.float64)
    assert math.isclose(counts.sum(), len(places))
    return msgspec.structs.replace(empty, counts=counts.tolist())

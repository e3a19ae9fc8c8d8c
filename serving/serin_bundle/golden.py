"""Golden rows: training rows with the answers that the written model file gives, the server's self-test."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serin_bundle.errors import BundleError
from serin_bundle.table import Table
from serin_contract.bundle import Golden

GOLDEN_ROWS_MAX = 1024


def choose_rows(labels: NDArray[Any], count: int, task: str) -> NDArray[np.int64]:
    """Indices of about `count` rows, rising: the same ones each time, and of a classifier every class."""
    order = np.random.default_rng(0).permutation(len(labels))
    if task == "regression" or count >= len(labels):
        return np.sort(order[:count])
    chosen: list[int] = []
    by_class = [order[labels[order] == label] for label in np.unique(labels)]
    # Row by row through the classes: a rare class runs out and the others fill its places.
    for place in range(max(len(rows) for rows in by_class)):
        chosen.extend(int(rows[place]) for rows in by_class if place < len(rows))
        if len(chosen) >= count:
            break
    return np.sort(np.array(chosen[: max(count, len(by_class))], dtype=np.int64))


def build_golden(model: Any, original: Any, table: Table, rows: NDArray[np.int64], *, proba: bool) -> Golden:
    """Answer the chosen rows with the model as it was read back from its file.

    Args:
        model: the model that was read back.
        original: the caller's model, which must answer alike.
        table: the training rows.
        rows: indices of the chosen ones.
        proba: whether probabilities are recorded too.

    Raises:
        BundleError: the model cannot answer an array of the served type, or answers another than it was.
    """
    matrix = table.matrix[rows]
    try:
        with warnings.catch_warnings():
            # The model may have been fitted on a data frame; the server puts columns in order by itself.
            warnings.filterwarnings("ignore", message="X does not have valid feature names")
            predictions = np.asarray(model.predict(matrix))
            expected = np.asarray(original.predict(matrix))
            probabilities = np.asarray(model.predict_proba(matrix), dtype=np.float64) if proba else None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BundleError(
            f"the model cannot predict from a plain array of type {matrix.dtype}: {error}. "
            "Select columns by their number, not by their name, and fit on the types that callers send"
        ) from error
    if predictions.shape != (len(rows),):
        raise BundleError(f"the model answers shape {predictions.shape[1:]} a row; one value is served")
    if predictions.tolist() != expected.tolist():
        raise BundleError("the model answers otherwise after it was written and read back")
    return Golden(
        rows=[[_cell(value) for value in row] for row in matrix.tolist()],
        predictions=predictions.tolist(),
        probabilities=None if probabilities is None else probabilities.tolist(),
    )


def _cell(value: Any) -> str | int | float | bool | None:
    """A value as JSON can say it: what is missing is null."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    cell: str | int | float | bool = value
    return cell

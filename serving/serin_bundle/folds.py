"""Out-of-fold predictions: what the model would answer on rows that it was not trained on."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.model_selection import KFold, StratifiedKFold

from serin_bundle.errors import BundleError

FOLDS_MAX = 5


class OutOfFold(msgspec.Struct, frozen=True):
    """Predictions of models that had not seen the row."""

    values: NDArray[Any]
    """Shape [n]: classes, or values of a regressor."""
    confidence: NDArray[np.float64] | None
    """Shape [n]: the largest probability; None where the model gives none."""
    folds: int


def predict_out_of_fold(model: Any, matrix: NDArray[Any], labels: NDArray[Any], task: str) -> OutOfFold:
    """Fit a copy of the model per fold and predict the rows left out.

    Every fold has its own fit and both kinds of answer come from it. Copies without a fixed random state get
    one, so that the same inputs give the same predictions.

    Raises:
        BundleError: there are too few rows for two folds, or a copy cannot be fitted.
    """
    folds = _fold_count(labels, task)
    splitter = (KFold if task == "regression" else StratifiedKFold)(folds, shuffle=True, random_state=0)
    values = np.empty(len(labels), dtype=np.float64 if task == "regression" else labels.dtype)
    confidence = np.ones(len(labels)) if hasattr(model, "predict_proba") else None
    for train, test in splitter.split(np.zeros(len(labels)), labels):
        copy = _fixed(clone(model))
        try:
            copy.fit(matrix[train], labels[train])
            values[test] = copy.predict(matrix[test])
            if confidence is not None:
                confidence[test] = copy.predict_proba(matrix[test]).max(axis=1)
        except (ValueError, TypeError) as error:
            raise BundleError(f"the model cannot be fitted on a part of X and y: {error}") from error
    return OutOfFold(values=values, confidence=confidence, folds=folds)


def _fold_count(labels: NDArray[Any], task: str) -> int:
    if task == "regression":
        smallest, what = len(labels), "X"
    else:
        classes, counts = np.unique(labels, return_counts=True)
        smallest, what = int(counts.min()), f"class {classes[counts.argmin()].item()!r}"
    if smallest < 2:
        raise BundleError(f"{what} has {smallest} row; out-of-fold predictions need at least two")
    return min(FOLDS_MAX, smallest)


def _fixed(model: Any) -> Any:
    open_states = {
        name: 0
        for name, value in model.get_params().items()
        if value is None and (name == "random_state" or name.endswith("__random_state"))
    }
    return model.set_params(**open_states)

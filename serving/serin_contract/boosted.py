"""Models of XGBoost and LightGBM in the libraries' own formats, answered as scikit-learn's models are.

The packager proves the golden rows on the very object that the server answers with. A library is imported only where
a model of it is loaded; neither format holds code, and boosted_trees checks what is in them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from serin_contract.boosted_trees import checked
from serin_contract.bundle import LIGHTGBM_FILE, XGBOOST_FILE, Signature

Matrix = NDArray[Any]


class Boosted:
    """One booster, one thread a call."""

    def __init__(self, booster: Any, signature: Signature) -> None:
        self._booster = booster
        self._classifies = signature.task == "classification"
        self.n_features_in_ = len(signature.columns)
        self.classes_ = np.array(signature.classes) if self._classifies else None

    def predict(self, matrix: Matrix) -> NDArray[Any]:
        """The classes or values of m rows of shape [m, d]."""
        if self.classes_ is None:
            return np.asarray(self._raw(matrix))
        chosen: NDArray[Any] = self.classes_[self.predict_proba(matrix).argmax(axis=1)]
        return chosen

    def predict_proba(self, matrix: Matrix) -> NDArray[Any]:
        """Shape [m, k], in the order of the classes."""
        raw = np.asarray(self._raw(matrix))
        return raw if raw.ndim == 2 else np.stack([1.0 - raw, raw], axis=1)

    def _raw(self, matrix: Matrix) -> Any:
        raise NotImplementedError


class XGBoost(Boosted):
    """A booster of XGBoost, answering with as many rounds as its best iteration says."""

    def _raw(self, matrix: Matrix) -> Any:
        best = self._booster.attr("best_iteration")
        rounds = (0, 0) if best is None else (0, int(best) + 1)
        return self._booster.inplace_predict(matrix, iteration_range=rounds, validate_features=False)


class LightGBM(Boosted):
    """A booster of LightGBM."""

    def _raw(self, matrix: Matrix) -> Any:
        return self._booster.predict(matrix, num_threads=1)


def load(file: str, data: bytes, signature: Signature) -> Boosted:
    """Load a booster whose hash was checked.

    Raises:
        ImportError: the library is not installed.
        ValueError: the file is no such model, or not the one of the signature.
    """
    width, classes = len(signature.columns), len(signature.classes)
    groups = classes if classes > 2 else 1
    if file == XGBOOST_FILE:
        import xgboost

        booster = xgboost.Booster({"nthread": 1})
        booster.load_model(bytearray(checked("XGBoost", data, width, groups)))
        booster.set_param({"nthread": 1})
        return XGBoost(booster, signature)
    if file == LIGHTGBM_FILE:
        import lightgbm

        text = checked("LightGBM", data, width, groups).decode()
        return LightGBM(lightgbm.Booster(model_str=text), signature)
    raise ValueError(f"{file} is no file of a booster")

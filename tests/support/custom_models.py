"""Classes as a user's own image has them, for SERIN_MODEL_CLASS."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin


class Threshold:
    """Says `dark` above a number that its bytes hold, and `light` below."""

    def __init__(self, data: bytes) -> None:
        self._limit = float(json.loads(data)["limit"])

    def predict(self, rows: Any) -> list[str]:
        return ["dark" if row[0] > self._limit else "light" for row in rows]

    def predict_proba(self, rows: Any) -> Any:
        dark = (np.asarray(rows)[:, 0] > self._limit).astype(float)
        return np.stack([dark, 1 - dark], axis=1)


class Short(Threshold):
    """Forgets the last row of a batch of several."""

    def predict(self, rows: Any) -> list[str]:
        return super().predict(rows)[: max(1, len(rows) - 1)]


class Refusing:
    """Does not start."""

    def __init__(self, _data: bytes) -> None:
        raise RuntimeError("no such accelerator")


class Silent:
    """Has nothing to say."""

    def __init__(self, _data: bytes) -> None:
        pass


class ThresholdTrainer(ClassifierMixin, BaseEstimator):
    """What trains a Threshold: a type that no safe format holds."""

    def fit(self, rows: Any, labels: Any) -> ThresholdTrainer:
        self.classes_ = np.unique(labels)
        self.limit_ = float(np.mean([row[0] for row in rows]))
        self.n_features_in_ = np.asarray(rows).shape[1]
        return self

    @property
    def data(self) -> bytes:
        return json.dumps({"limit": self.limit_}).encode()

    def predict(self, rows: Any) -> Any:
        return np.array(Threshold(self.data).predict(rows))

    def predict_proba(self, rows: Any) -> Any:
        return Threshold(self.data).predict_proba(rows)

"""Load a model by the runtime's own allow-list and answer rows with it."""

from __future__ import annotations

import io
import time
import warnings
import zipfile
from typing import Any

import msgspec
import numpy as np
import skops.io
from numpy.typing import NDArray
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline

from serin_contract.boosted import Boosted
from serin_contract.bundle import FILE_BYTES_MAX, Signature
from serin_contract.ids import Prediction
from serin_contract.model_types import MODEL_TYPES_ALLOWED
from serin_contract.startup import StartupReason
from serin_serving.errors import RefusedError, RequestError
from serin_serving.layout import Layout, Matrix
from serin_serving.trees import check_trees

INLINE_SECONDS_MAX = 0.002
"""A model slower than this for 1 or 64 rows runs on a worker thread, so that the loop goes on answering."""

_ARGMAX_TYPES = (
    ExtraTreesClassifier,
    GaussianNB,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    LinearDiscriminantAnalysis,
    LogisticRegression,
    MLPClassifier,
    RandomForestClassifier,
)
_TIE = 1e-9
_TIMING_ROWS = (1, 64)
_TIMING_RUNS = 3


class Answers(msgspec.Struct, frozen=True):
    """What the model answered for m rows."""

    values: list[Prediction]
    """The predicted class or value of each row."""
    score: NDArray[np.float64]
    """Shape [m]: the largest probability (1 where the model gives none), or the value of a regressor."""
    classes: NDArray[np.int64] | None = None
    """Shape [m]: index of the predicted class in the signature; None for a regressor."""
    probabilities: NDArray[np.float64] | None = None
    """Shape [m, k], contiguous, in the signature's order of classes."""

    def part(self, start: int, stop: int) -> Answers:
        """The answers of the rows from `start` up to `stop`."""
        return Answers(
            values=self.values[start:stop],
            score=self.score[start:stop],
            classes=None if self.classes is None else self.classes[start:stop],
            probabilities=None if self.probabilities is None else self.probabilities[start:stop],
        )


class Model:
    """One loaded model. `answer` may be called from one thread at a time."""

    def __init__(self, estimator: Any, signature: Signature) -> None:
        self.signature = signature
        self.layout = Layout(signature.columns)
        self._estimator = estimator
        self._class_index = {label: index for index, label in enumerate(signature.classes)}
        self._by_argmax = _predicts_by_argmax(estimator)
        self.takes_gaps = self._takes_gaps()

    def answer(self, matrix: Matrix) -> Answers:
        """Predict m rows of shape [m, d].

        Raises:
            RequestError: scikit-learn does not take these values; the sentence is its own, cut short.
        """
        try:
            return self._regress(matrix) if self.signature.task == "regression" else self._classify(matrix)
        except ValueError as error:
            reason = (str(error).splitlines() or [""])[0][:200]
            raise RequestError(400, f"the model does not take these values: {reason}") from error

    def is_slow(self, rows: Matrix) -> bool:
        """Whether one call takes so long that it must leave the event loop, measured on these rows."""
        for count in _TIMING_ROWS:
            sample = np.resize(rows, (count, rows.shape[1]))
            if min(self._seconds(sample) for _ in range(_TIMING_RUNS)) > INLINE_SECONDS_MAX:
                return True
        return False

    def _classify(self, matrix: Matrix) -> Answers:
        probabilities = None
        if self.signature.probabilities:
            found = self._estimator.predict_proba(matrix)
            # FP64 holds an FP32 exactly, while FP32 printed short would read back as another double.
            probabilities = np.ascontiguousarray(found, dtype=np.float64)
        if probabilities is not None and self._by_argmax and _is_clear(probabilities):
            indices = probabilities.argmax(axis=1)
            values = [self.signature.classes[index] for index in indices]
        else:
            values = self._estimator.predict(matrix).tolist()
            indices = np.array([self._class_index[value] for value in values], dtype=np.int64)
        score = np.ones(len(values)) if probabilities is None else probabilities.max(axis=1)
        return Answers(values=values, score=score, classes=indices, probabilities=probabilities)

    def _regress(self, matrix: Matrix) -> Answers:
        values = np.asarray(self._estimator.predict(matrix), dtype=np.float64)
        if not np.isfinite(values).all():
            raise RequestError(500, "the model answered a value that is no finite number")
        return Answers(values=values.tolist(), score=values)

    def _takes_gaps(self) -> bool:
        try:
            self.answer(self.layout.gaps())
        except RequestError:
            return False
        # A probe with an odd row may fail in any way; such rows are then simply asked about one by one.
        except Exception:  # noqa: BLE001
            return False
        return True

    def _seconds(self, sample: Matrix) -> float:
        started = time.perf_counter()
        self.answer(sample)
        return time.perf_counter() - started


def load_model(data: bytes, signature: Signature) -> Model:
    """Load a skops file whose hash was checked.

    Raises:
        RefusedError: it holds a type outside the allow-list (ModelTypeRefused), or cannot be read, is
            damaged, or is not the model that the signature describes (BundleInvalid).
    """
    try:
        _check_archive(data)
        untrusted = sorted(set(skops.io.get_untrusted_types(data=data)) - set(MODEL_TYPES_ALLOWED))
    except (ValueError, TypeError, KeyError, AttributeError, ImportError, zipfile.BadZipFile) as error:
        raise RefusedError(StartupReason.BundleInvalid, f"the model file cannot be read: {error}") from error
    if untrusted:
        raise RefusedError(
            StartupReason.ModelTypeRefused,
            f"the model holds types that this server does not load: {', '.join(untrusted)}",
        )
    estimator = _construct(data)
    check_trees(estimator)
    return adopt(estimator, signature)


def adopt(estimator: Any, signature: Signature) -> Model:
    """Serve what was loaded.

    Raises:
        RefusedError: it is not the model that the signature describes (BundleInvalid).
    """
    _check_signature(estimator, signature)
    if hasattr(estimator, "get_params"):
        _run_on_one_core(estimator)
    return Model(estimator, signature)


def _construct(data: bytes) -> Any:
    try:
        # A model of another version may still be right: the golden rows decide, not the warning.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return skops.io.loads(data, trusted=list(MODEL_TYPES_ALLOWED))
    # Whatever a file makes of skops or scikit-learn while it is read, the answer is that it cannot be served.
    except Exception as error:
        raise RefusedError(StartupReason.BundleInvalid, f"the model file cannot be loaded: {error}") from error


def _check_archive(data: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > FILE_BYTES_MAX:
            raise ValueError("it unpacks to more than 4 GiB")


def _check_signature(estimator: Any, signature: Signature) -> None:
    width = getattr(estimator, "n_features_in_", None)
    if width is not None and width != len(signature.columns):
        raise RefusedError(
            StartupReason.BundleInvalid,
            f"the model takes {width} columns and the signature names {len(signature.columns)}",
        )
    if signature.task == "regression":
        return
    classes = getattr(estimator, "classes_", None)
    if classes is None or classes.tolist() != signature.classes:
        raise RefusedError(StartupReason.BundleInvalid, "the signature's classes are not those of the model")
    if signature.probabilities and not hasattr(estimator, "predict_proba"):
        raise RefusedError(StartupReason.BundleInvalid, "the signature promises probabilities; the model has none")


def _run_on_one_core(estimator: Any) -> None:
    """Threads inside a call gain nothing in a pod of one core and add up floats in a random order."""
    jobs = [name for name in estimator.get_params() if name == "n_jobs" or name.endswith("__n_jobs")]
    estimator.set_params(**dict.fromkeys(jobs, 1))
    for part in getattr(estimator, "estimators_", []) if jobs else []:
        if hasattr(part, "n_jobs"):
            part.n_jobs = 1


def _predicts_by_argmax(estimator: Any) -> bool:
    """Whether `predict` is the class of the largest probability, which saves a second pass.

    Only types of which that is known: others choose by a threshold or by scores in another order.
    """
    final = estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator
    return type(final) in _ARGMAX_TYPES or isinstance(final, Boosted)


def _is_clear(probabilities: NDArray[np.float64]) -> bool:
    """Whether no row has two classes so close that rounding could order their scores otherwise."""
    if probabilities.shape[1] < 2:
        return False
    ordered = np.partition(probabilities, -2, axis=1)
    return bool((ordered[:, -1] - ordered[:, -2] > _TIE).all())

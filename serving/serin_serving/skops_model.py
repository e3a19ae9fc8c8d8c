"""scikit-learn's own models: loaded from skops by the runtime's own allow-list."""

from __future__ import annotations

import io
import warnings
import zipfile
from typing import Any, ClassVar

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
from serin_contract.model_types import MODEL_TYPES_ALLOWED
from serin_contract.startup import StartupReason
from serin_contract.stats import Runtime
from serin_serving.errors import RefusedError
from serin_serving.layout import Matrix
from serin_serving.model import Answers, Model
from serin_serving.trees import check_trees

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


class SkopsModel(Model):
    """A scikit-learn estimator, or what has the shape of one."""

    runtime: ClassVar[Runtime] = "skops"

    def __init__(self, estimator: Any, signature: Signature) -> None:
        super().__init__(signature)
        self._estimator = estimator
        self._by_argmax = _predicts_by_argmax(estimator)

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
            indices = np.array([self.class_index[value] for value in values], dtype=np.int64)
        score = np.ones(len(values)) if probabilities is None else probabilities.max(axis=1)
        return Answers(values=values, score=score, classes=indices, probabilities=probabilities)

    def _values(self, matrix: Matrix) -> NDArray[np.float64]:
        return np.asarray(self._estimator.predict(matrix), dtype=np.float64)


def load_skops(data: bytes, signature: Signature) -> SkopsModel:
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
    return adopt(SkopsModel, estimator, signature)


def adopt(kind: type[SkopsModel], estimator: Any, signature: Signature) -> SkopsModel:
    """Serve what was loaded.

    Raises:
        RefusedError: it is not the model that the signature describes (BundleInvalid).
    """
    _check_signature(estimator, signature)
    if hasattr(estimator, "get_params"):
        _run_on_one_core(estimator)
    return kind(estimator, signature)


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

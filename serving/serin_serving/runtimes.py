"""What runs a model, as the name of its file in the bundle says.

skops, XGBoost and LightGBM files hold no code. A pickle does, and so does a class of the image: the first only runs
where the spec allows it and pins the digest, the second only where the image names it.
"""

from __future__ import annotations

import importlib
import io
import logging
import warnings
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from serin_contract import boosted, labels
from serin_contract.bundle import CUSTOM_FILE, JOBLIB_FILE, LIGHTGBM_FILE, XGBOOST_FILE, Signature
from serin_contract.startup import StartupReason
from serin_contract.stats import Runtime
from serin_serving.errors import RefusedError
from serin_serving.model import Model
from serin_serving.settings import Code
from serin_serving.skops_model import SkopsModel, adopt

_LIBRARIES = {XGBOOST_FILE: "xgboost", LIGHTGBM_FILE: "lightgbm"}
_log = logging.getLogger(__name__)


class _XGBoostModel(SkopsModel):
    runtime: ClassVar[Runtime] = "xgboost"


class _LightGBMModel(SkopsModel):
    runtime: ClassVar[Runtime] = "lightgbm"


class _PickledModel(SkopsModel):
    runtime: ClassVar[Runtime] = "pickle"


class _CustomModel(SkopsModel):
    runtime: ClassVar[Runtime] = "custom"


def load(file: str, data: bytes, signature: Signature, code: Code) -> Model:
    """Load a model by what runs it.

    Args:
        file: one of MODEL_FILES but that of skops.
        data: what is in it; its hash was checked.
        signature: of the model.
        code: what may run.

    Raises:
        RefusedError: it must not be loaded here (ModelTypeRefused), or is not what it should be (BundleInvalid).
    """
    if file == JOBLIB_FILE:
        return adopt(_PickledModel, _unpickled(data, allowed=code.allows_pickle), signature)
    if file == CUSTOM_FILE:
        return adopt(_CustomModel, _Custom(_made(data, code.model_class), signature), signature)
    return adopt(_XGBoostModel if file == XGBOOST_FILE else _LightGBMModel, _boosted(file, data, signature), signature)


def _boosted(file: str, data: bytes, signature: Signature) -> Any:
    library = _LIBRARIES[file]
    try:
        return boosted.load(file, data, signature)
    except ImportError as error:
        raise _refused(
            f"the model needs {library}, which this image has not; set spec.serving.image to one that has it"
        ) from error
    except ValueError as error:
        raise RefusedError(StartupReason.BundleInvalid, f"{file}: {error}") from error
    # The libraries' own errors derive from nothing narrower.
    except Exception as error:
        raise _unloadable(file, error) from error


def _unpickled(data: bytes, *, allowed: bool) -> Any:
    if not allowed:
        raise _refused(
            f"{JOBLIB_FILE} is a pickle, and to load it runs code of whoever made it; set spec.model.allowPickle and "
            "pin spec.model.digest if you made it, or package the model as skops"
        )
    import joblib

    _log.warning("loading a pickle: code of whoever made the bundle runs now")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return joblib.load(io.BytesIO(data))
    # A pickle may raise anything.
    except Exception as error:
        raise _unloadable(JOBLIB_FILE, error) from error


def _made(data: bytes, named: str) -> Any:
    """An object of the image's own class.

    Raises:
        RefusedError: the image names no class, or it cannot be made.
    """
    module, _, name = named.partition(":")
    if not module or not name:
        raise _refused(
            f"{CUSTOM_FILE} needs an image whose {labels.ENV_MODEL_CLASS} names a class as module:Class; set "
            "spec.serving.image to it"
        )
    try:
        made = getattr(importlib.import_module(module), name)(data)
    # It is the user's own code and may raise anything.
    except Exception as error:
        raise _unloadable(named, error) from error
    if not callable(getattr(made, "predict", None)):
        raise _refused(f"{named} has no method predict(rows)")
    return made


class _Custom:
    """An object of the user's own, in the shape that Model asks."""

    def __init__(self, made: Any, signature: Signature) -> None:
        self._made = made
        self._regresses = signature.task == "regression"
        self.classes_ = None if self._regresses else np.array(signature.classes)
        if signature.probabilities and not callable(getattr(made, "predict_proba", None)):
            raise RefusedError(StartupReason.BundleInvalid, "the signature promises probabilities; the class has none")
        self._shape = (len(signature.classes),)

    def predict(self, matrix: NDArray[Any]) -> NDArray[Any]:
        """The labels of m rows."""
        return self._checked(np.asarray(self._made.predict(matrix)), (len(matrix),))

    def predict_proba(self, matrix: NDArray[Any]) -> NDArray[Any]:
        """Shape [m, k]."""
        return self._checked(np.asarray(self._made.predict_proba(matrix)), (len(matrix), *self._shape))

    def _checked(self, found: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
        # Too few answers for a batch would hand one caller's to another.
        if found.shape != shape:
            raise TypeError(f"the class answered shape {found.shape}, not {shape}")
        return found


def _refused(message: str) -> RefusedError:
    return RefusedError(StartupReason.ModelTypeRefused, message)


def _unloadable(what: str, error: Exception) -> RefusedError:
    reason = (str(error).splitlines() or [""])[0][:200]
    return RefusedError(
        StartupReason.BundleInvalid, f"{what} cannot be loaded: {type(error).__name__}: {reason}".rstrip(": ")
    )

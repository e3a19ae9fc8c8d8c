"""Which file a model is written to, and what answers when it is read back as the server reads it."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from typing import Any

import joblib
import msgspec

from serin_bundle.errors import BundleError
from serin_bundle.model_file import dump_model, load_model
from serin_contract import boosted
from serin_contract.bundle import (
    CUSTOM_FILE,
    JOBLIB_FILE,
    LIGHTGBM_FILE,
    MODEL_FILE,
    XGBOOST_FILE,
    Signature,
)


class Custom(msgspec.Struct, frozen=True):
    """A model that a class in an image of the user's own reads."""

    make: Callable[[bytes], Any]
    """The class, as SERIN_MODEL_CLASS names it there."""
    data: bytes
    """What it is made of."""


class Runtime(msgspec.Struct, frozen=True):
    """A model as it was written."""

    file: str
    """One of MODEL_FILES."""
    data: bytes
    make: Callable[[bytes], Any] | None = None

    def read_back(self, signature: Signature) -> Any:
        """What the server will answer with.

        Raises:
            BundleError: it cannot be read.
        """
        if self.file == MODEL_FILE:
            return load_model(self.data)
        try:
            if self.file == JOBLIB_FILE:
                # These bytes were written a moment ago, by this process.
                return joblib.load(io.BytesIO(self.data))
            if self.make is not None:
                return self.make(self.data)
            return boosted.load(self.file, self.data, signature)
        # The user's own code may raise anything, and so may the libraries.
        except Exception as error:
            raise BundleError(f"{self.file} cannot be read back: {error}") from error


def check_kind(model: Any) -> None:
    """Tell a booster from an estimator.

    Raises:
        BundleError: it is a booster, which does not know how it was trained.
    """
    library = type(model).__module__.partition(".")[0]
    if library in ("xgboost", "lightgbm") and type(model).__name__ == "Booster":
        raise BundleError(
            f"a Booster of {library} does not say how it was trained, and its quality is measured by training copies; "
            "fit and package one of the library's estimators, such as "
            + ("XGBClassifier or XGBRegressor" if library == "xgboost" else "LGBMClassifier or LGBMRegressor")
        )


def choose(model: Any, *, allow_pickle: bool, custom: Custom | None) -> Runtime:
    """Write the model in the safest format that holds it.

    Raises:
        BundleError: none does, or none that is allowed.
    """
    if custom is not None:
        return Runtime(CUSTOM_FILE, custom.data, custom.make)
    library = type(model).__module__.partition(".")[0]
    if library == "xgboost":
        return Runtime(XGBOOST_FILE, _xgboost(model))
    if library == "lightgbm":
        return Runtime(LIGHTGBM_FILE, _lightgbm(model))
    try:
        return Runtime(MODEL_FILE, dump_model(model))
    except BundleError as error:
        if not allow_pickle:
            raise BundleError(
                f"{error}. With allow_pickle (`serin package --write-pickle`) it is written as a pickle, which "
                "the server loads only where spec.model.allowPickle is set"
            ) from error
    buffer = io.BytesIO()
    try:
        joblib.dump(model, buffer)
    # Whatever a part of the model makes of being pickled, it cannot be packaged.
    except Exception as error:
        raise BundleError(f"the model cannot be pickled: {error}") from error
    return Runtime(JOBLIB_FILE, buffer.getvalue())


def _xgboost(model: Any) -> bytes:
    missing = getattr(model, "missing", math.nan)
    if not (isinstance(missing, float) and math.isnan(missing)):
        raise BundleError("the model takes another value than NaN for a missing one, which its file does not say")
    return bytes(model.get_booster().save_raw("json"))


def _lightgbm(model: Any) -> bytes:
    # Without parameters of the training, that hold the number of threads of this machine.
    text: str = model.booster_.model_to_string()
    return (text.partition("\nend of trees")[0] + "\nend of trees\n").encode()

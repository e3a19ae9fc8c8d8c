"""The self-test: golden rows answered as recorded, by whatever model was loaded."""

from __future__ import annotations

import platform

import numpy as np

from serin_contract.bundle import Golden
from serin_contract.startup import StartupReason
from serin_contract.stats import Runtime
from serin_serving.errors import RefusedError, RequestError
from serin_serving.layout import Layout, Matrix
from serin_serving.model import Answers, Model

_LIBRARIES: dict[Runtime, tuple[str, ...]] = {
    "onnx": ("onnxruntime",),
    "skops": ("python", "scikit-learn", "numpy"),
    "xgboost": ("numpy",),
    "lightgbm": ("numpy",),
    "pickle": ("python", "scikit-learn", "numpy"),
    "custom": ("python", "numpy"),
}
"""Whose version may explain another answer."""


def self_test(model: Model, golden: Golden, versions: dict[str, str]) -> Matrix:
    """Answer the golden rows and compare; returns them as the model was fed them.

    Raises:
        RefusedError: there are none, or an answer differs from the recorded one (SelfTestFailed).
    """
    if not golden.rows or len(golden.rows) != len(golden.predictions):
        raise RefusedError(StartupReason.BundleInvalid, "the golden rows are missing or without predictions")
    try:
        matrix = _golden_matrix(golden, model.layout)
        answers = model.answer(matrix)
    except RequestError as error:
        raise _failed(error.sentence, versions, model.runtime) from error
    except RefusedError:
        raise
    # Another version of a library, and a class of the user's own, may fail in any way. The text could quote a row.
    except Exception as error:
        what = f"the model failed over the golden rows: {type(error).__name__}"
        raise _failed(what, versions, model.runtime) from error
    row = _first_difference(answers, golden)
    if row is not None:
        raise _failed(f"golden row {row} is not answered as recorded", versions, model.runtime)
    return matrix


def _golden_matrix(golden: Golden, layout: Layout) -> Matrix:
    if any(len(row) != layout.width for row in golden.rows):
        raise RefusedError(StartupReason.BundleInvalid, "a golden row has not the signature's columns")
    return layout.from_rows(golden.rows)


def _first_difference(answers: Answers, golden: Golden) -> int | None:
    """The first row whose answer differs; None where all agree within the recorded tolerance."""
    wrong = np.zeros(len(golden.rows), dtype=np.bool_)
    if answers.classes is None:
        recorded = np.array(golden.predictions, dtype=np.float64)
        limit = golden.tolerance * np.maximum(1.0, np.abs(recorded))
        wrong |= ~(np.abs(answers.score - recorded) <= limit)
    else:
        pairs = zip(answers.values, golden.predictions, strict=True)
        wrong |= np.array([answered != expected for answered, expected in pairs])
    if answers.probabilities is not None and golden.probabilities is not None:
        expected = np.array(golden.probabilities, dtype=np.float64)
        if expected.shape != answers.probabilities.shape:
            return 0
        wrong |= ~(np.abs(answers.probabilities - expected).max(axis=1) <= golden.tolerance)
    return int(np.argmax(wrong)) if wrong.any() else None


def _failed(what: str, versions: dict[str, str], runtime: Runtime) -> RefusedError:
    differences = [
        f"{library} {versions[library]} trained and {here} serves"
        for library in _LIBRARIES[runtime]
        if library in versions and (here := _version(library)) != versions[library]
    ]
    return RefusedError(StartupReason.SelfTestFailed, "; ".join([what, *differences]))


def _version(library: str) -> str:
    if library == "python":
        return platform.python_version()
    # Imported only here, where a test failed: see `about`.
    import importlib.metadata

    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return "none"

"""Make a bundle of a fitted model and the rows it was trained on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec
import numpy as np
from numpy.typing import NDArray
from sklearn import metrics
from sklearn.base import BaseEstimator, is_classifier, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from serin_bundle.chunks import Rows
from serin_bundle.compile import compile_model, uncompiled
from serin_bundle.errors import BundleError
from serin_bundle.folds import OutOfFold, predict_out_of_fold
from serin_bundle.golden import GOLDEN_ROWS_MAX, build_golden, choose_rows
from serin_bundle.manifest import digest_of, encode, encode_manifest, write_bundle
from serin_bundle.profile import build_profile, build_profile_from_chunks
from serin_bundle.runtimes import Custom, Runtime, check_kind, choose
from serin_bundle.table import Table, read_labels, read_table
from serin_contract import profile as profiles
from serin_contract.bundle import (
    GOLDEN_FILE,
    MANIFEST_FILE,
    METRICS_FILE,
    MODEL_FILE,
    PROFILE_FILE,
    SIGNATURE_FILE,
    CompilePolicy,
    Golden,
    Signature,
)
from serin_contract.compiled import Compiled
from serin_contract.http import PROFILE_BYTES_MAX

Task = Literal["classification", "regression"]

_name = re.compile(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?\Z")


class PackagedBundle(msgspec.Struct, frozen=True):
    """A bundle that was written."""

    path: Path
    digest: str
    """What `spec.model.digest` pins."""
    metrics: dict[str, Any]
    """Out-of-fold quality of the model, as in metrics.json."""
    compiled: Compiled
    """What came of compiling it to ONNX, as in compiled.json."""


def package(
    model: Any,
    X: Any,  # noqa: N803 — the names of scikit-learn
    y: Any,
    out: str | Path,
    *,
    name: str,
    feature_names: Sequence[str] | None = None,
    task: Task | None = None,
    golden_rows: int = 32,
    profile_rows: Rows | None = None,
    allow_pickle: bool = False,
    custom: Custom | None = None,
    onnx: CompilePolicy = "auto",
) -> PackagedBundle:
    """Write a bundle of the model to the directory `out`.

    The same inputs give the same digest. Quality and prediction bins are measured out of fold: copies of the
    model are fitted without the rows that they predict, so packaging takes about five fits.

    Args:
        model: a fitted scikit-learn classifier or regressor, or a pipeline that ends in one; or one of XGBoost's or
            LightGBM's estimators, which are written in the libraries' own formats.
        X: the training rows, shape [n, d]: a numpy array, or a data frame of pandas or polars.
        y: the n labels or values.
        out: a directory that does not exist, is empty or holds this very bundle.
        name: of the model: lower-case letters, digits, '-' and '.'.
        feature_names: of the d columns; a data frame brings its own.
        task: what the model does, where scikit-learn does not know.
        golden_rows: how many rows the server answers before it gets ready.
        profile_rows: all training rows, where X and y are a random sample of them because they do not fit in
            memory: a CSV or Parquet file, or a function that yields chunks (arrays or data frames) each time it is
            called. The bins of the features are counted on them, those of the predictions on X.
        allow_pickle: whether a model that no safe format holds is written as a pickle. Serving it takes
            `spec.model.allowPickle` and a pinned digest.
        custom: the class that answers in an image of yours, in place of the model, and what it reads.
        onnx: whether the model is compiled to ONNX, which answers far faster and is kept only if it answers alike:
            `auto` tries, `never` does not, `require` fails where it cannot be done.

    Raises:
        BundleError: the model or the data cannot be packaged; the text says why and what to do.
    """
    if not _name.match(name):
        raise BundleError("name must be lower-case letters, digits, '-' and '.', at most 63 characters")
    if not 1 <= golden_rows <= GOLDEN_ROWS_MAX:
        raise BundleError(f"golden_rows must be from 1 to {GOLDEN_ROWS_MAX}")
    task = _task(model, task)
    table = read_table(X, feature_names)
    labels = read_labels(y, len(table.matrix), task)
    if onnx not in get_args(CompilePolicy):
        raise BundleError(f"onnx must be 'auto', 'never' or 'require', not {onnx!r}")
    runtime = choose(model, allow_pickle=allow_pickle, custom=custom)
    files, quality = _contents(model, runtime, table, labels, task, golden_rows, profile_rows)
    compiled = _compile(runtime, files, table, labels, golden_rows, onnx)
    files[MANIFEST_FILE] = encode_manifest(name, files)
    write_bundle(Path(out), files)
    return PackagedBundle(Path(out), digest_of(files[MANIFEST_FILE]), quality, compiled)


def _compile(
    runtime: Runtime,
    files: dict[str, bytes],
    table: Table,
    labels: NDArray[Any],
    golden_rows: int,
    policy: CompilePolicy,
) -> Compiled:
    """Add the compiled model to the files, from what they already say."""
    signature = msgspec.json.decode(files[SIGNATURE_FILE], type=Signature)
    golden = msgspec.json.decode(files[GOLDEN_FILE], type=Golden)
    rows = choose_rows(labels, golden_rows, signature.task)
    if runtime.file != MODEL_FILE:
        compiled, made = uncompiled(f"what runs {runtime.file} is not compiled", policy)
    else:
        compiled, made = compile_model(runtime.read_back(signature), table, signature, golden, rows, policy)
    files |= made
    return compiled


def _contents(
    model: Any,
    runtime: Runtime,
    table: Table,
    labels: NDArray[Any],
    task: Task,
    golden_rows: int,
    profile_rows: Rows | None,
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """The files but the manifest, and the metrics."""
    signature = _signature(model, table, task)
    _check_labels(labels, signature)
    rows = choose_rows(labels, golden_rows, task)
    golden = build_golden(runtime.read_back(signature), model, table, rows, proba=signature.probabilities)
    predictions = predict_out_of_fold(model, table.matrix, labels, task)
    if profile_rows is None:
        built = build_profile(table, predictions, signature.classes, labels)
    else:
        built = build_profile_from_chunks(profile_rows, table.columns, predictions, signature.classes, labels)
    profile = profiles.encode(built)
    if len(profile) > PROFILE_BYTES_MAX:
        raise BundleError(f"the profile has {len(profile)} bytes and may have {PROFILE_BYTES_MAX}: too many columns")
    quality = _metrics(predictions, labels, task)
    files = {
        runtime.file: runtime.data,
        PROFILE_FILE: profile,
        SIGNATURE_FILE: encode(signature),
        GOLDEN_FILE: encode(golden),
        METRICS_FILE: encode(quality),
    }
    return files, quality


def _task(model: Any, task: Task | None) -> Task:
    check_kind(model)
    if not isinstance(model, BaseEstimator) or not hasattr(model, "predict"):
        raise BundleError(f"the model must be a scikit-learn estimator that predicts, not {type(model).__name__}")
    try:
        check_is_fitted(model)
    except NotFittedError:
        raise BundleError("the model is not fitted; call fit(X, y) first") from None
    found: Task | None = "classification" if is_classifier(model) else "regression" if is_regressor(model) else None
    if task is not None and task not in ("classification", "regression"):
        raise BundleError(f"task must be 'classification' or 'regression', not {task!r}")
    if found is not None and task is not None and task != found:
        raise BundleError(f"the model does {found}, not {task}")
    answer = found or task
    if answer is None:
        raise BundleError("scikit-learn does not know if this model classifies or regresses: give `task`")
    return answer


def _signature(model: Any, table: Table, task: Task) -> Signature:
    width = getattr(model, "n_features_in_", len(table.columns))
    if width != len(table.columns):
        raise BundleError(f"the model takes {width} columns and X has {len(table.columns)}")
    if task == "regression":
        return Signature(task=task, columns=table.columns)
    classes = np.asarray(getattr(model, "classes_", None)).tolist()
    if not isinstance(classes, list) or not all(isinstance(label, (str, int, float)) for label in classes):
        raise BundleError("the model's classes must be one list of texts, numbers or booleans")
    return Signature(
        task=task,
        columns=table.columns,
        classes=classes,
        probabilities=hasattr(model, "predict_proba"),
    )


def _check_labels(labels: NDArray[Any], signature: Signature) -> None:
    if signature.task == "regression":
        return
    unknown = sorted({str(label) for label in labels.tolist()} - {str(label) for label in signature.classes})
    strange = set(labels.tolist()) - set(signature.classes)
    if strange and not unknown:
        raise BundleError("y and the model's classes look alike but differ in type, as 1 and '1' do")
    if strange:
        raise BundleError(f"y has labels that the model does not know: {', '.join(unknown[:5])}")


def _metrics(predictions: OutOfFold, labels: NDArray[Any], task: Task) -> dict[str, Any]:
    found: dict[str, Any] = {"measured": "out of fold", "folds": predictions.folds, "rows": len(labels)}
    if task == "regression":
        found["mae"] = float(metrics.mean_absolute_error(labels, predictions.values))
        found["rmse"] = float(metrics.root_mean_squared_error(labels, predictions.values))
        found["r2"] = float(metrics.r2_score(labels, predictions.values))
    else:
        found["accuracy"] = float(np.mean(labels == predictions.values))
        found["balanced_accuracy"] = float(metrics.balanced_accuracy_score(labels, predictions.values))
    return found

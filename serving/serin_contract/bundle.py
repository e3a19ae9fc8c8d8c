"""The bundle: a directory with a model, its profile, signature, golden rows, metrics and a manifest.

`digest` is the SHA-256 of the manifest's bytes, and the manifest holds the SHA-256 and size of every other
file: who has checked the digest and the files knows every byte before anything is parsed.
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec

MANIFEST_FILE = "manifest.json"
MODEL_FILE = "model.skops"
XGBOOST_FILE = "model.xgboost.json"
LIGHTGBM_FILE = "model.lightgbm.txt"
JOBLIB_FILE = "model.joblib"
"""A pickle: to load it runs code of whoever made it."""
CUSTOM_FILE = "model.custom"
"""Bytes that mean something to a class in the serving image, and nothing to Serin."""
MODEL_FILES = (MODEL_FILE, XGBOOST_FILE, LIGHTGBM_FILE, JOBLIB_FILE, CUSTOM_FILE)
"""A bundle has exactly one of them, and its name says what runs the model."""
PROFILE_FILE = "profile.json"
SIGNATURE_FILE = "signature.json"
GOLDEN_FILE = "golden.json"
METRICS_FILE = "metrics.json"
BUNDLE_FORMAT = 1
MANIFEST_BYTES_MAX = 1024 * 1024
FILE_BYTES_MAX = 4 * 1024**3
FETCHED_BYTES_MAX = 8 * 1024**3
"""Of all files of a fetched bundle together, and of an archive that holds one."""
FETCHED_FILES_MAX = 1000

DIGEST_PATTERN = r"^sha256:[0-9a-f]{64}$"
_digest = re.compile(DIGEST_PATTERN)


CompilePolicy = Literal["auto", "never", "require"]
"""`auto` compiles, or serves what was compiled, where that is proven; `require` takes nothing else."""


class FileEntry(msgspec.Struct, frozen=True):
    """One file of the bundle."""

    sha256: str
    size: int
    """Bytes."""


class Manifest(msgspec.Struct, frozen=True):
    """What the bundle holds and what made it."""

    name: str
    files: dict[str, FileEntry]
    """By path relative to the bundle, never absolute and never with `..`."""
    versions: dict[str, str]
    """Versions of Python and the libraries that trained the model."""
    format: int = BUNDLE_FORMAT


class Column(msgspec.Struct, frozen=True):
    """One input column."""

    name: str
    datatype: Literal["FP64", "FP32", "INT64", "INT32", "BOOL", "BYTES"]


class Signature(msgspec.Struct, frozen=True):
    """What the model takes and answers."""

    task: Literal["classification", "regression"]
    columns: list[Column]
    classes: list[str | int | float | bool] = []
    probabilities: bool = False
    """Whether the model answers probabilities beside classes."""


class Golden(msgspec.Struct, frozen=True):
    """Rows of the training data with the answers the model gave when it was packaged."""

    rows: list[list[str | int | float | bool | None]]
    predictions: list[str | int | float | bool]
    probabilities: list[list[float]] | None = None
    tolerance: float = 1e-6


MatrixType = Literal["float64", "float32", "int64", "int32", "bool", "object"]
_matrix_types: dict[str, MatrixType] = {
    "FP64": "float64",
    "FP32": "float32",
    "INT64": "int64",
    "INT32": "int32",
    "BOOL": "bool",
}


def matrix_type(columns: list[Column]) -> MatrixType:
    """The element type of the one array that the model is fed, in packaging as in serving.

    Columns of one numeric type keep it, mixed numbers become float64, and any text makes an array of objects:
    there a missing number is NaN and a missing text is None.
    """
    kinds = {column.datatype for column in columns}
    if "BYTES" in kinds:
        return "object"
    return _matrix_types[kinds.pop()] if len(kinds) == 1 else "float64"


def is_digest(text: str) -> bool:
    """Whether the text is `sha256:` and 64 hexadecimal digits."""
    return _digest.fullmatch(text) is not None

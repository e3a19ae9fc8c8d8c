"""Read training rows from an array or a data frame of any library into the form that the server uses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from serin_bundle.errors import BundleError
from serin_contract.bundle import Column, matrix_type

Datatype = Literal["FP64", "FP32", "INT64", "INT32", "BOOL", "BYTES"]
Values = NDArray[Any]


class Table(msgspec.Struct, frozen=True):
    """Rows as the model is fed them when it serves."""

    columns: list[Column]
    matrix: Values
    """Shape [n, d]; objects where a column is text: there None and NaN are missing."""


def read_table(data: Any, feature_names: Sequence[str] | None = None) -> Table:
    """Read an array of shape [n, d], or a data frame with `columns` and columns by name.

    Args:
        data: numpy array, or a data frame of pandas or polars.
        feature_names: names of the d columns; those of the data frame, or x0, x1, … where absent.

    Raises:
        BundleError: the shape, a name, a type or an infinite value is not accepted.
    """
    shape = getattr(data, "shape", None)
    if shape is None or len(shape) != 2:
        raise BundleError(f"X must be a 2-D numpy array or a data frame, not {type(data).__name__}")
    rows, width = int(shape[0]), int(shape[1])
    if rows == 0 or width == 0:
        raise BundleError(f"X has {rows} rows and {width} columns; it needs at least one of each")
    names, vectors = _vectors(data, width)
    names = _names(feature_names or names, width)
    read = [_read_column(name, vector) for name, vector in zip(names, vectors, strict=True)]
    columns = [Column(name, datatype) for name, (datatype, _) in zip(names, read, strict=True)]
    matrix: Values = np.empty((rows, width), dtype=matrix_type(columns))
    for index, (_, values) in enumerate(read):
        matrix[:, index] = values
    return Table(columns=columns, matrix=matrix)


def read_labels(labels: Any, rows: int, task: str) -> Values:
    """Read y as a vector of n labels or values.

    Raises:
        BundleError: it has another length or shape, or holds a missing or infinite value.
    """
    vector = np.asarray(labels)
    if vector.ndim == 2 and vector.shape[1] == 1:
        vector = vector[:, 0]
    if vector.ndim != 1:
        raise BundleError(f"y must have one label a row; it has shape {vector.shape}")
    if len(vector) != rows:
        raise BundleError(f"y has {len(vector)} labels and X has {rows} rows")
    missing = sum(_is_missing(value) for value in vector.tolist())
    if missing:
        raise BundleError(f"y has {missing} missing labels (NaN or None); drop those rows")
    if task == "regression":
        if vector.dtype.kind not in "iufb":
            raise BundleError(f"y must hold numbers for a regressor, not {vector.dtype}")
        vector = vector.astype(np.float64)
        if not np.isfinite(vector).all():
            raise BundleError("y holds an infinite value")
    return vector


def read_chunk(data: Any, columns: Sequence[Column]) -> Values:
    """Some rows of a table whose columns are known: by name from a data frame, by place from an array.

    Whole numbers become FP64 here, so that they can be missing in a chunk.

    Raises:
        BundleError: a column is absent, has another kind than it is known to have, or holds an infinite value.
    """
    shape = getattr(data, "shape", None)
    if shape is None or len(shape) != 2:
        raise BundleError(f"each chunk must be a 2-D numpy array or a data frame, not {type(data).__name__}")
    names, vectors = _vectors(data, int(shape[1]))
    if isinstance(data, np.ndarray) and len(names) == len(columns):
        names = [column.name for column in columns]
    found = dict(zip(names, vectors, strict=True))
    texts = any(column.datatype == "BYTES" for column in columns)
    matrix: Values = np.empty((int(shape[0]), len(columns)), dtype=object if texts else np.float64)
    for index, column in enumerate(columns):
        if column.name not in found:
            raise BundleError(f"a chunk of rows lacks the column {column.name!r}; it has {', '.join(names[:10])}")
        matrix[:, index] = _known_column(column, found[column.name])
    return matrix


def _known_column(column: Column, vector: Values) -> Values:
    datatype, values = _read_column(column.name, vector)
    if (datatype == "BYTES") == (column.datatype == "BYTES"):
        return values
    # A column of text can be empty in one chunk, and is then read as numbers.
    if values.dtype.kind == "f" and np.isnan(values).all():
        return np.full(len(values), None, dtype=object)
    kinds = ("text", "numbers") if datatype == "BYTES" else ("numbers", "text")
    raise BundleError(f"column {column.name!r} is {kinds[0]} in a chunk of rows and {kinds[1]} in X")


def _vectors(data: Any, width: int) -> tuple[list[str], list[Values]]:
    """Names and values of the columns."""
    if isinstance(data, np.ndarray):
        return [f"x{index}" for index in range(width)], [data[:, index] for index in range(width)]
    found = getattr(data, "columns", None)
    if found is None or not hasattr(data, "__getitem__"):
        raise BundleError(f"X must be a numpy array or a data frame, not {type(data).__name__}")
    names = list(found)
    try:
        return [str(name) for name in names], [np.asarray(data[name]) for name in names]
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise BundleError(f"the columns of X cannot be read by name: {type(error).__name__}") from error


def _names(names: Sequence[str], width: int) -> list[str]:
    found = [str(name) for name in names]
    if len(found) != width:
        raise BundleError(f"there are {len(found)} feature names and {width} columns")
    if len(set(found)) != width or not all(found):
        raise BundleError("feature names must be unique and not empty")
    return found


def _read_column(name: str, vector: Values) -> tuple[Datatype, Values]:
    kind, size = vector.dtype.kind, vector.dtype.itemsize
    if vector.ndim != 1:
        raise BundleError(f"column {name!r} is not one value a row")
    if kind == "f":
        if np.isinf(vector).any():
            raise BundleError(f"column {name!r} holds an infinite value")
        return ("FP32", vector.astype(np.float32)) if size <= 4 else ("FP64", vector.astype(np.float64))
    if kind == "b":
        return "BOOL", vector
    if kind in "iu":
        if size < 4 or (kind == "i" and size == 4):
            return "INT32", vector.astype(np.int32)
        if kind == "u" and size == 8:
            return "FP64", vector.astype(np.float64)
        return "INT64", vector.astype(np.int64)
    if kind in "OUT":
        return _read_objects(name, vector.tolist())
    raise BundleError(f"column {name!r} has type {vector.dtype}, which no model server can be sent")


def _read_objects(name: str, values: list[object]) -> tuple[Datatype, Values]:
    """A column of mixed objects: text, booleans or numbers, each with or without missing values."""
    present = [value for value in values if not _is_missing(value)]
    kinds = {type(value) for value in present}
    if all(isinstance(value, str) for value in present) and present:
        texts: Values = np.array([None if _is_missing(value) else str(value) for value in values], dtype=object)
        return "BYTES", texts
    if kinds == {bool} and len(present) == len(values):
        return "BOOL", np.array(values, dtype=np.bool_)
    if all(isinstance(value, (int, float, np.number)) for value in present):
        numbers = np.array(
            [math.nan if _is_missing(value) else float(value) for value in values],  # type: ignore[arg-type]
            dtype=np.float64,
        )
        return _read_column(name, numbers)
    found = ", ".join(sorted(kind.__name__ for kind in kinds))
    raise BundleError(f"column {name!r} mixes types or holds an unsupported one: {found}")


def _is_missing(value: object) -> bool:
    """None, NaN, NaT and the `NA` objects of data frame libraries."""
    if value is None:
        return True
    try:
        return bool(value != value)
    except (TypeError, ValueError):
        return True

"""Training rows in a file, and their labels, as the model that was fitted on them wants both."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serin_bundle import BundleError
from serin_bundle.chunks import chunks_of

_PARQUET = (".parquet", ".pq")

Rows = tuple[list[str], NDArray[Any], NDArray[Any]]
"""Names of d features, rows of shape [n, d], and n labels."""


def read_rows(path: Path, target: str, model: Any) -> Rows:
    """Feature names, rows and labels of a CSV file, or of a Parquet file, which gives the same for the same rows.

    Raises:
        BundleError: as of `read_csv` and `read_parquet`.
    """
    return (read_parquet if path.suffix in _PARQUET else read_csv)(path, target, model)


def read_csv(path: Path, target: str, model: Any) -> Rows:
    """Feature names, rows and labels of a CSV file, with columns in the model's order where it knows one.

    A column in which every cell is a number or empty becomes FP64, any other text. Labels take the type of the
    model's classes.

    Raises:
        BundleError: the file lacks a header, a row, the target or a column that the model needs.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.reader(file, strict=True))
    except (csv.Error, UnicodeDecodeError) as error:
        raise BundleError(f"{path} is no CSV file in UTF-8: {error}") from error
    if len(rows) < 2 or any(len(row) != len(rows[0]) for row in rows):
        raise BundleError(f"{path} needs a header and at least one row, all equally long")
    header = rows[0]
    names = _features(path, header, target, model)
    cells = {name: [row[index] for row in rows[1:]] for index, name in enumerate(header)}
    columns = [_column(cells[name]) for name in names]
    matrix = _matrix(
        [
            np.array(column) if column is not None else np.array([cell or None for cell in cells[name]], dtype=object)
            for name, column in zip(names, columns, strict=True)
        ]
    )
    return names, matrix, _labels(cells[target], getattr(model, "classes_", None))


def read_parquet(path: Path, target: str, model: Any) -> Rows:
    """The same of a Parquet file. Numbers and truth values become FP64, texts stay what they are.

    Raises:
        BundleError: as of `read_csv`; or a column is of another kind, such as times, lists or decimal numbers.
    """
    chunks = list(chunks_of(path))
    header = list(chunks[0].columns) if chunks else []
    if not chunks:
        raise BundleError(f"{path} needs at least one row")
    names = _features(path, header, target, model)
    matrix = _matrix([_typed(name, np.concatenate([np.asarray(chunk[name]) for chunk in chunks])) for name in names])
    labels = [value for chunk in chunks for value in np.asarray(chunk[target]).tolist()]
    cells = ["" if value is None or value != value else str(value) for value in labels]
    return names, matrix, _labels(cells, getattr(model, "classes_", None))


def _features(path: Path, header: list[str], target: str, model: Any) -> list[str]:
    """The columns that the model is fed, in its own order where it knows one."""
    if target not in header:
        raise BundleError(f"{path} has no column {target!r}; it has {', '.join(header[:10])}")
    known = getattr(model, "feature_names_in_", None)
    names = [str(name) for name in known] if known is not None else [n for n in header if n != target]
    if not names:
        raise BundleError(f"{path} has no column beside {target!r}")
    absent = [name for name in names if name not in header]
    if absent:
        raise BundleError(f"{path} lacks columns that the model was fitted on: {', '.join(absent[:5])}")
    return names


def _matrix(columns: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """The columns side by side: numbers, or objects where one is text."""
    numeric = all(column.dtype != object for column in columns)
    matrix: NDArray[Any] = np.empty((len(columns[0]), len(columns)), dtype=np.float64 if numeric else object)
    for index, column in enumerate(columns):
        matrix[:, index] = column
    return matrix


def _typed(name: str, column: NDArray[Any]) -> NDArray[Any]:
    """A column of Parquet in one of the two kinds that a CSV file can hold; an empty text is missing in both."""
    if column.dtype.kind in "iufb":
        return column.astype(np.float64)
    if column.dtype == object:
        values = column.tolist()
        if all(value is None or isinstance(value, str) for value in values):
            return np.array([value or None for value in values], dtype=object)
        if all(value is None or isinstance(value, bool) for value in values):
            return np.array([math.nan if value is None else value for value in values], dtype=np.float64)
    raise BundleError(f"the column {name!r} holds neither numbers nor texts; leave it out or turn it into one of them")


def _column(cells: Sequence[str]) -> list[float] | None:
    """The cells as numbers, NaN where empty; None where one is text."""
    try:
        numbers = [float(cell) if cell else math.nan for cell in cells]
    except ValueError:
        return None
    return numbers if any(not math.isnan(number) for number in numbers) else None


def _labels(cells: list[str], classes: Any) -> NDArray[Any]:
    if any(not cell for cell in cells):
        raise BundleError("the target column has empty cells; drop those rows")
    kind = "f" if classes is None else np.asarray(classes).dtype.kind
    if kind in "UOT":
        return np.array(cells)
    if kind == "b":
        return np.array([cell.lower() in ("true", "1") for cell in cells])
    numbers = _column(cells)
    if numbers is None:
        raise BundleError("the target column holds text and the model answers numbers")
    values = np.array(numbers)
    return values if kind == "f" else values.astype(np.asarray(classes).dtype)

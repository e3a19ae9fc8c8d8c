"""From a caller's numbers and texts to the one array that the model is fed. Pure.

A layout is made from the signature; the packager feeds the model by the same rule (`matrix_type`), so that a
served row has the element type of a trained one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serin_contract.bundle import Column, MatrixType, matrix_type
from serin_serving.errors import RequestError

Matrix = NDArray[Any]
"""Shape [m, d]: m rows in the signature's column order."""

_BOUNDS = {"int64": (-(2**63), 2**63 - 1), "int32": (-(2**31), 2**31 - 1)}


class Layout:
    """The columns of one model and the array type that it is fed."""

    def __init__(self, columns: list[Column]) -> None:
        self.columns = columns
        self.names = [column.name for column in columns]
        self.width = len(columns)
        self.type: MatrixType = matrix_type(columns)

    def from_numbers(self, numbers: Matrix) -> Matrix:
        """The model's array from a numeric array of shape [m, d].

        Raises:
            RequestError: the model takes text, or whole numbers or booleans where these are none.
        """
        if self.type == "object":
            return self.from_rows(numbers.tolist())
        if self.type in ("float64", "float32"):
            # A value beyond the range of FP32 becomes infinite and is then treated as such.
            with np.errstate(over="ignore"):
                return numbers.astype(self.type)
        return self._whole(numbers)

    def from_rows(self, rows: Sequence[Sequence[object]]) -> Matrix:
        """The model's array from m rows of d JSON values; null is a missing value.

        Raises:
            RequestError: a value does not fit its column; the sentence names the column, not the value.
        """
        return self.from_columns([[row[index] for row in rows] for index in range(self.width)])

    def from_columns(self, columns: Sequence[Sequence[object]]) -> Matrix:
        """The model's array from d columns of m JSON values each.

        Raises:
            RequestError: a value does not fit its column.
        """
        cells = [_cells(values, column) for values, column in zip(columns, self.columns, strict=True)]
        matrix: Matrix = np.empty((len(cells[0]), self.width), dtype=object)
        for index, values in enumerate(cells):
            matrix[:, index] = values
        if self.type == "object":
            return matrix
        if self.type in ("float64", "float32"):
            return self.from_numbers(matrix.astype(np.float64))
        if any(isinstance(value, float) for values in cells for value in values):
            raise RequestError(400, "a value is missing and this model takes none that is missing", "type_error")
        return self._whole(matrix)

    def has_gaps(self, matrix: Matrix) -> bool:
        """Whether a value is missing or infinite, so that the model itself must say if it takes the row."""
        if matrix.dtype.kind == "f":
            return not bool(np.isfinite(matrix).all())
        if matrix.dtype.kind != "O":
            return False
        return any(value is None or (isinstance(value, float) and not math.isfinite(value)) for value in matrix.flat)

    def gaps(self) -> Matrix:
        """One row in which everything is missing, where the type can say so; otherwise zeros."""
        row: Matrix = np.zeros((1, self.width), dtype=self.type)
        if self.type == "object":
            row[0, :] = [None if column.datatype == "BYTES" else math.nan for column in self.columns]
        elif self.type in ("float64", "float32"):
            row[:] = np.nan
        return row

    def _whole(self, numbers: Matrix) -> Matrix:
        if self.type == "bool":
            if numbers.dtype.kind not in "bO":
                raise RequestError(400, "this model takes booleans (BOOL) only", "type_error")
            return numbers.astype(np.bool_)
        if numbers.dtype.kind not in "iubO":
            raise RequestError(400, f"this model takes whole numbers ({self.type.upper()}) only", "type_error")
        lowest, highest = _BOUNDS[self.type]
        if numbers.size and (numbers.min() < lowest or numbers.max() > highest):
            raise RequestError(400, f"a number is outside the range of {self.type.upper()}", "type_error")
        return numbers.astype(self.type)


def _cells(values: Sequence[object], column: Column) -> Sequence[object]:
    """The values of one column as the model is fed them."""
    if column.datatype == "BYTES":
        if all(value is None or isinstance(value, str) for value in values):
            return values
        raise RequestError(400, f"column {column.name!r} takes text (BYTES)", "type_error")
    if column.datatype == "BOOL":
        if all(value is None or isinstance(value, bool) for value in values):
            return [math.nan if value is None else value for value in values]
        raise RequestError(400, f"column {column.name!r} takes booleans (BOOL)", "type_error")
    if column.datatype in ("INT64", "INT32"):
        return [_whole_number(value, column) for value in values]
    return [_number(value, column) for value in values]


def _number(value: object, column: Column) -> float:
    if value is None:
        return math.nan
    if isinstance(value, (int, float)):
        try:
            return float(value)
        except OverflowError:
            raise RequestError(400, f"a number in column {column.name!r} is too large", "type_error") from None
    raise RequestError(400, f"column {column.name!r} takes numbers ({column.datatype})", "type_error")


def _whole_number(value: object, column: Column) -> int | float:
    if value is None:
        return math.nan
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float) and math.isnan(value):
        return value
    raise RequestError(400, f"column {column.name!r} takes whole numbers ({column.datatype})", "type_error")

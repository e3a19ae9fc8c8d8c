"""What features are binned on: a column's numbers or texts, a text's length, or one number for the whole row. Pure."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from serin_contract.profile import CategoryFeature, Feature, NumberOf, NumericFeature, Profile
from serin_serving.layout import Matrix


class Reading(NamedTuple):
    """One quantity of a row."""

    columns: tuple[int, ...]
    """Indices of the columns that it is of: one, or all those whose numbers are put together."""
    of: NumberOf | None
    """None for a text itself."""


class Columns:
    """The columns of a model, and the quantities of its rows."""

    def __init__(self, names: list[str], text: list[bool]) -> None:
        self._index = {name: index for index, name in enumerate(names)}
        self._text = text

    def readings(self, profile: Profile) -> list[Reading | None]:
        """What each feature is of; None where the model has no such column, or one of another kind."""
        whole = [
            self._column(feature.source, is_text=False)
            for feature in profile.features
            if isinstance(feature, NumericFeature) and feature.of == "value"
        ]
        known = tuple(index for index in whole if index is not None)
        together = known if known and len(known) == len(whole) else None
        return [self._reading(feature, together) for feature in profile.features]

    def _reading(self, feature: Feature, together: tuple[int, ...] | None) -> Reading | None:
        if isinstance(feature, CategoryFeature):
            index = self._column(feature.name, is_text=True)
            return None if index is None else Reading((index,), None)
        if feature.of in ("norm", "mean"):
            return None if together is None else Reading(together, feature.of)
        index = self._column(feature.source, is_text=feature.of == "length")
        return None if index is None else Reading((index,), feature.of)

    def _column(self, name: str, *, is_text: bool) -> int | None:
        index = self._index.get(name)
        return index if index is not None and self._text[index] == is_text else None


def numbers(matrix: Matrix, readings: list[Reading]) -> Matrix:
    """Shape [readings, n], FP64, contiguous; NaN where one is missing.

    Args:
        matrix: rows of shape [n, d] as the model was fed them.
        readings: quantities that are numbers.
    """
    if all(reading.of == "value" for reading in readings):
        # Column by column, so that what is done with one column runs along many rows.
        return np.ascontiguousarray(matrix[:, [reading.columns[0] for reading in readings]].T, dtype=np.float64)
    found = np.empty((len(readings), len(matrix)))
    for place, reading in enumerate(readings):
        found[place] = _number(matrix, reading)
    return found


def _number(matrix: Matrix, reading: Reading) -> Matrix:
    if reading.of == "value":
        return matrix[:, reading.columns[0]].astype(np.float64)
    if reading.of == "length":
        texts = matrix[:, reading.columns[0]].tolist()
        return np.array([np.nan if text is None else len(text) for text in texts], dtype=np.float64)
    return _row_scalar(matrix[:, list(reading.columns)].astype(np.float64), norm=reading.of == "norm")


def _row_scalar(numbers: Matrix, *, norm: bool) -> Matrix:
    """As the contract's row_scalar, of many rows."""
    known = ~np.isnan(numbers)
    counts = known.sum(axis=1)
    # Numbers beyond all range make infinity, and opposite infinities no mean: both are counted as such.
    with np.errstate(over="ignore", invalid="ignore"):
        values = np.where(known, numbers, 0.0)
        found = np.sqrt((values * values).sum(axis=1)) if norm else values.sum(axis=1) / np.maximum(counts, 1)
        mantissa, exponent = np.frexp(np.where(counts > 0, found, np.nan))
        rounded: Matrix = np.ldexp(np.rint(mantissa * 2**24), exponent - 24)
    return rounded

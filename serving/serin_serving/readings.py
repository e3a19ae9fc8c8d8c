"""What features are binned on: a column's numbers or texts, a text's length, or one number for the whole row. Pure."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from serin_contract.profile import CategoryFeature, Feature, NumberOf, NumericFeature, Profile
from serin_contract.rows import lengths, row_scalars
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
        readings: quantities that are numbers, the columns' own first.
    """
    columns = [reading.columns[0] for reading in readings if reading.of == "value"]
    # Column by column, so that what is done with one column runs along many rows.
    values = np.ascontiguousarray(matrix[:, columns].T, dtype=np.float64)
    if len(columns) == len(readings):
        return values
    found = np.empty((len(readings), len(matrix)))
    found[: len(columns)] = values
    for place, reading in enumerate(readings[len(columns) :], start=len(columns)):
        if reading.of == "length":
            found[place] = lengths(matrix[:, reading.columns[0]].tolist())
        else:
            own = values if list(reading.columns) == columns else matrix[:, list(reading.columns)].T.astype(np.float64)
            found[place] = row_scalars("norm" if reading.of == "norm" else "mean", own)
    return found

"""Plan the features of a profile on some rows, and count any number of rows into them."""

from __future__ import annotations

from collections import Counter
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from serin_bundle.edges import quantile_edges
from serin_bundle.errors import BundleError
from serin_bundle.table import Table, Values
from serin_contract.bundle import Column
from serin_contract.profile import BINS_MAX, CATEGORIES_MAX, CategoryFeature, Feature, NumericFeature
from serin_contract.rows import lengths, row_scalars

NUMBERS_WIDE = 64
"""Of more columns of numbers the profile has the mean and the norm of the row, and few bins for each column."""

BINS_MAX_WIDE = 4

CATEGORIES_SHARE_MIN = 0.5
"""Where the listed texts are a smaller part of the rows, the column is free text and only its length is profiled."""


def plan_features(table: Table) -> list[Feature]:
    """The features of a profile without counts: bins for these rows, which all rows are then counted into.

    Raises:
        BundleError: a column has the name of a derived feature.
    """
    numbers = [column.name for column in table.columns if column.datatype != "BYTES"]
    wide = len(numbers) > NUMBERS_WIDE
    features: list[Feature] = []
    for index, column in enumerate(table.columns):
        values = table.matrix[:, index]
        if column.datatype == "BYTES":
            features.append(_text_feature(column.name, values.tolist()))
        else:
            features.append(_numeric(column.name, values.astype(np.float64), BINS_MAX_WIDE if wide else BINS_MAX))
    if wide:
        rows = _numbers(table.matrix, table.columns)
        features += [_numeric(f"{of}(row)", row_scalars(of, rows.T), of=of, column="") for of in _SCALARS]
    names = [feature.name for feature in features]
    twice = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
    if twice is not None:
        raise BundleError(f"column {twice!r} has the name of a feature that is derived; give it another name")
    return features


class FeatureTally:
    """Counts of rows in planned features. Counts of parts add up in any order and grouping."""

    def __init__(self, plan: list[Feature], columns: list[Column]) -> None:
        self._plan, self._columns = plan, columns
        self._index = {column.name: index for index, column in enumerate(columns)}
        self._counts = [np.zeros(feature.bins) for feature in plan]
        self._minimum = np.full(len(plan), np.inf)
        self._maximum = np.full(len(plan), -np.inf)
        self.rows = 0

    def add(self, matrix: Values) -> None:
        """Count rows of shape [n, d], columns in the known order."""
        self.rows += len(matrix)
        row = _numbers(matrix, self._columns) if any(_of(feature) in _SCALARS for feature in self._plan) else None
        for place, feature in enumerate(self._plan):
            if isinstance(feature, CategoryFeature):
                texts = matrix[:, self._index[feature.name]].tolist()
                self._counts[place] += _category_counts(feature.categories, texts)
                continue
            if feature.of in ("mean", "norm"):
                assert row is not None
                values = row_scalars(feature.of, row.T)
            elif feature.of == "length":
                values = np.array(lengths(matrix[:, self._index[feature.source]].tolist()))
            else:
                values = matrix[:, self._index[feature.source]].astype(np.float64)
            self._add_numbers(place, feature, values)

    def merge(self, other: FeatureTally) -> None:
        """Add the counts of another tally of the same plan."""
        self.rows += other.rows
        for mine, theirs in zip(self._counts, other._counts, strict=True):
            mine += theirs
        self._minimum = np.minimum(self._minimum, other._minimum)
        self._maximum = np.maximum(self._maximum, other._maximum)

    def features(self) -> list[Feature]:
        """The planned features with the counts of all rows."""
        return [self._counted(place, feature) for place, feature in enumerate(self._plan)]

    def _add_numbers(self, place: int, feature: NumericFeature, values: NDArray[np.float64]) -> None:
        missing = np.isnan(values)
        bins = np.searchsorted(feature.edges, values, side="right")
        bins[missing] = feature.bins - 1
        self._counts[place] += np.bincount(bins, minlength=feature.bins)
        # The norm of a row can be beyond all numbers; no range is told by it.
        finite = values[np.isfinite(values)]
        if len(finite):
            self._minimum[place] = min(self._minimum[place], finite.min())
            self._maximum[place] = max(self._maximum[place], finite.max())

    def _counted(self, place: int, feature: Feature) -> Feature:
        counts = self._counts[place].tolist()
        if isinstance(feature, CategoryFeature):
            return msgspec.structs.replace(feature, counts=counts)
        low, high = float(self._minimum[place]), float(self._maximum[place])
        seen = low <= high
        return msgspec.structs.replace(
            feature, counts=counts, minimum=low if seen else None, maximum=high if seen else None
        )


_SCALARS: tuple[Literal["mean", "norm"], ...] = ("mean", "norm")


def _of(feature: Feature) -> str | None:
    return feature.of if isinstance(feature, NumericFeature) else None


def _numeric(name: str, values: NDArray[np.float64], bins_max: int = BINS_MAX, **derived: Any) -> NumericFeature:
    edges = quantile_edges(values[np.isfinite(values)], bins_max)
    return NumericFeature(name=name, edges=edges.tolist(), counts=[], **derived)


def _text_feature(name: str, values: list[Any]) -> Feature:
    counted = Counter(value for value in values if value is not None)
    ranked = sorted(counted.items(), key=lambda item: (-item[1], item[0]))[:CATEGORIES_MAX]
    if len(counted) > CATEGORIES_MAX and sum(count for _, count in ranked) < CATEGORIES_SHARE_MIN * counted.total():
        return _numeric(f"length({name})", np.array(lengths(values)), of="length", column=name)
    return CategoryFeature(name=name, categories=[category for category, _ in ranked], counts=[])


def _category_counts(categories: list[str], values: list[Any]) -> NDArray[np.int64]:
    places: dict[Any, int] = {category: place for place, category in enumerate(categories)}
    places[None] = len(categories) + 1
    found = np.array([places.get(value, len(categories)) for value in values], dtype=np.int64)
    return np.bincount(found, minlength=len(categories) + 2)


def _numbers(matrix: Values, columns: list[Column]) -> NDArray[np.float64]:
    return matrix[:, [place for place, column in enumerate(columns) if column.datatype != "BYTES"]].astype(np.float64)

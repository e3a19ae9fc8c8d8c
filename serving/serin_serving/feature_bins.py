"""Count rows into the bins of the features of one or two profiles at once, in one pass over the values.

The edges of all profiles, and the limits beyond which a value counts as outside, cut each feature into fine bins.
Rows are counted in these alone; what is reported, such as a profile's own bins, are sums of fine bins.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from serin_contract.profile import CategoryFeature, Feature, NumericFeature, Profile
from serin_serving.layout import Matrix
from serin_serving.readings import Columns, Reading, numbers

Sums = NDArray[np.float64]
Places = NDArray[np.int64]

WIDENED = 0.1
"""A value is outside where it lies beyond the training range by more than this part of it."""


def weighed(places: Places, weights: Sums, size: int) -> Sums:
    """Sum of the weights per place; zeros where there are none."""
    # Without any weight numpy would count, and in whole numbers.
    sums: Sums = np.bincount(places, weights=weights, minlength=size).astype(np.float64, copy=False)
    return sums


class Tally:
    """Sums of fine bins by place."""

    def __init__(self, size: int, pairs: Iterable[tuple[int, int]]) -> None:
        """Take the number of places, and pairs of a fine bin and the place that it adds to."""
        found = np.array(list(pairs), dtype=np.int64).reshape(-1, 2)
        self._fine, self._places, self._size = found[:, 0], found[:, 1], size

    def of(self, fine: Sums) -> list[float]:
        """The sums, one for each place."""
        sums: list[float] = weighed(self._places, fine[self._fine], self._size).tolist()
        return sums


class Limits(NamedTuple):
    """The training range, widened: what is below the first or not below the second is outside."""

    low: float
    high: float


class NumericCuts:
    """The fine bins of one column of numbers: between its cuts, and one more, the last, for missing values."""

    def __init__(self, start: int, edges: Iterable[Iterable[float]], limits: Limits | None) -> None:
        self.start = start
        self.cuts = sorted({*(edge for some in edges for edge in some), *(limits or ())})
        self.missing = start + len(self.cuts) + 1
        self.end = self.missing + 1

    def bins(self, edges: list[float]) -> Iterable[tuple[int, int]]:
        """Each fine bin with its bin on these edges, which are all among the cuts."""
        # A fine bin holds its lower cut, so that cut says which bin it is part of.
        for place, lowest in enumerate([-math.inf, *self.cuts]):
            yield self.start + place, bisect_right(edges, lowest) if place else 0
        yield self.missing, len(edges) + 1

    def below(self, limits: Limits) -> range:
        """The fine bins of what is too small."""
        return range(self.start, self.start + self.cuts.index(limits.low) + 1)

    def above(self, limits: Limits) -> range:
        """The fine bins of what is too large."""
        return range(self.start + self.cuts.index(limits.high) + 1, self.missing)


class CategoryPlaces:
    """The fine bins of one column of texts: one for each category, then the others, then missing."""

    def __init__(self, start: int, categories: Iterable[list[str]]) -> None:
        listed = dict.fromkeys(name for some in categories for name in some)
        self.places: dict[object, int] = {name: start + place for place, name in enumerate(listed)}
        self.other = start + len(listed)
        self.missing = self.places[None] = self.other + 1
        self.end = self.missing + 1

    def bins(self, categories: list[str]) -> Iterable[tuple[int, int]]:
        """Each fine bin with its bin for these categories."""
        theirs = {name: place for place, name in enumerate(categories)}
        for name, fine in self.places.items():
            yield fine, len(categories) + 1 if name is None else theirs.get(str(name), len(categories))
        yield self.other, len(categories)

    def unseen(self, feature: CategoryFeature) -> Iterable[int]:
        """The fine bins of texts that training did not see."""
        if feature.counts[-2]:
            # Training saw more texts than are listed, and nobody knows which.
            return []
        known = set(feature.categories)
        return [self.other, *(fine for name, fine in self.places.items() if name is not None and name not in known)]

    def count(self, values: Iterable[object]) -> list[int]:
        """The fine bin of each value."""
        return [self.places.get(value, self.other) for value in values]


class FeatureBinner:
    """The fine bins of what the features of a model's rows are read from, and what is told by them.

    Features are matched by name. What is told keeps each profile's layout: a feature that the model lacks, or has
    as another kind, keeps its place and stays zero.
    """

    def __init__(self, profiles: list[Profile], columns: Columns) -> None:
        """Take the profiles, the pod's own first, and the model's columns."""
        self._numeric: dict[Reading, NumericCuts] = {}
        self._category: dict[Reading, CategoryPlaces] = {}
        self.size = 0
        read: dict[Reading, list[Feature]] = {}
        for profile in profiles:
            for reading, feature in zip(columns.readings(profile), profile.features, strict=True):
                if reading is not None:
                    read.setdefault(reading, []).append(feature)
        own = dict(zip(columns.readings(profiles[0]), profiles[0].features, strict=True))
        # The columns' own numbers first, as they are read together.
        for reading, features in sorted(read.items(), key=lambda item: item[0].of != "value"):
            self._add(reading, features, own.get(reading))
        self._prepare()
        self.tallies = [self._bins(profile, columns) for profile in profiles]
        """Of each profile: its bins, all features one after the other."""
        self._quality(profiles[0], columns)

    def count(self, matrix: Matrix, weights: Sums) -> Sums:
        """Sum of the rows' weights per fine bin.

        Args:
            matrix: rows of shape [n, d] as the model was fed them.
            weights: 1/m of each row's request, shape [n].
        """
        places = [self._numeric_places(matrix)] if self._numeric else []
        places += [
            np.array(column.count(matrix[:, reading.columns[0]].tolist()), dtype=np.int64)
            for reading, column in self._category.items()
        ]
        if not places:
            return np.zeros(self.size)
        repeated = np.tile(weights, len(self._numeric) + len(self._category))
        return weighed(np.concatenate(places), repeated, self.size)

    def _add(self, reading: Reading, features: list[Feature], own: Feature | None) -> None:
        numeric = [feature for feature in features if isinstance(feature, NumericFeature)]
        if numeric:
            limits = _limits(own) if isinstance(own, NumericFeature) else None
            cuts = self._numeric[reading] = NumericCuts(self.size, (feature.edges for feature in numeric), limits)
            self.size = cuts.end
        else:
            listed = (feature.categories for feature in features if isinstance(feature, CategoryFeature))
            places = self._category[reading] = CategoryPlaces(self.size, listed)
            self.size = places.end

    def _prepare(self) -> None:
        columns = list(self._numeric.values())
        self._readings = list(self._numeric)
        self._start = np.array([[column.start] for column in columns], dtype=np.int64)
        self._missing = np.array([[column.missing] for column in columns], dtype=np.int64)
        levels = max((len(column.cuts) for column in columns), default=0)
        # Nothing is at least NaN, so columns with fewer cuts are filled with it.
        self._cuts = np.full((levels, len(columns), 1), np.nan)
        for place, column in enumerate(columns):
            self._cuts[: len(column.cuts), place, 0] = column.cuts

    def _numeric_places(self, matrix: Matrix) -> Places:
        values = numbers(matrix, self._readings)
        # Bytes where they can hold the number of cuts: this loop is most of what counting takes.
        passed = np.zeros(values.shape, dtype=np.uint8 if len(self._cuts) < 256 else np.int16)
        for cut in self._cuts:
            passed += (values >= cut).view(np.uint8)
        missing = np.isnan(values)
        places: Places = passed + self._start
        if missing.any():
            places = np.where(missing, self._missing, places)
        return places.ravel()

    def _bins(self, profile: Profile, columns: Columns) -> Tally:
        pairs: list[tuple[int, int]] = []
        start = 0
        for feature, column in self._counted(profile, columns):
            if isinstance(feature, NumericFeature) and isinstance(column, NumericCuts):
                pairs += [(fine, start + place) for fine, place in column.bins(feature.edges)]
            elif isinstance(feature, CategoryFeature) and isinstance(column, CategoryPlaces):
                pairs += [(fine, start + place) for fine, place in column.bins(feature.categories)]
            start += feature.bins
        return Tally(start, pairs)

    def _quality(self, profile: Profile, columns: Columns) -> None:
        missing: list[tuple[int, int]] = []
        unseen: list[tuple[int, int]] = []
        below: list[tuple[int, int]] = []
        above: list[tuple[int, int]] = []
        for place, (feature, column) in enumerate(self._counted(profile, columns)):
            if column is not None:
                missing.append((column.missing, place))
            if isinstance(feature, NumericFeature) and isinstance(column, NumericCuts):
                limits = _limits(feature)
                below += [(fine, place) for fine in (column.below(limits) if limits else ())]
                above += [(fine, place) for fine in (column.above(limits) if limits else ())]
            elif isinstance(feature, CategoryFeature) and isinstance(column, CategoryPlaces):
                unseen += [(fine, place) for fine in column.unseen(feature)]
        size = len(profile.features)
        self.missing, self.unseen = Tally(size, missing), Tally(size, unseen)
        self.below, self.above = Tally(size, below), Tally(size, above)
        self.counts_quality = bool(missing)
        """Whether the model has any feature of its own profile."""

    def _counted(
        self, profile: Profile, columns: Columns
    ) -> Iterable[tuple[Feature, NumericCuts | CategoryPlaces | None]]:
        """The profile's features, each with its fine bins, where it has any."""
        for reading, feature in zip(columns.readings(profile), profile.features, strict=True):
            if reading is None:
                yield feature, None
            else:
                yield feature, self._numeric.get(reading) or self._category.get(reading)


def _limits(feature: NumericFeature) -> Limits | None:
    if feature.minimum is None or feature.maximum is None:
        return None
    margin = WIDENED * feature.maximum - WIDENED * feature.minimum
    # Above is what is greater, and not equal.
    return Limits(feature.minimum - margin, math.nextafter(feature.maximum + margin, math.inf))

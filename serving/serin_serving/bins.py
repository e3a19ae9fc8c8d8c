"""Count rows into the bins of a profile. Pure: arrays in, sums out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from serin_contract.profile import CategoryFeature, NumericFeature, Profile, profile_hash
from serin_serving.layout import Matrix

Sums = NDArray[np.float64]


class Binner:
    """The bins of one profile for rows of one model.

    Features are matched by name. The sums keep the profile's layout: a feature that the model lacks, or has
    as another kind, keeps its place and stays zero. A predicted class that the profile lacks has no bin.
    """

    def __init__(
        self, profile: Profile, names: list[str], text: list[bool], classes: list[str | int | float | bool]
    ) -> None:
        self.hash = profile_hash(profile)
        self._numeric: list[tuple[int, int, NDArray[np.float64]]] = []
        self._category: list[tuple[int, int, dict[object, int]]] = []
        start = 0
        for feature in profile.features:
            index = names.index(feature.name) if feature.name in names else None
            if index is not None and text[index] == isinstance(feature, CategoryFeature):
                self._add(feature, start, index)
            start += feature.bins
        self.feature_bins = start
        self.prediction_bins = profile.prediction.bins
        self._score_edges = np.array(profile.prediction.edges, dtype=np.float64)
        theirs = {label: place for place, label in enumerate(profile.prediction.classes)}
        # A regressor has one row of bins; -1 marks a class that has none.
        self._class_place = np.array([theirs.get(label, -1) for label in classes] or [0], dtype=np.int64)
        self._comparable = bool(profile.prediction.classes) == bool(classes)

    def _add(self, feature: NumericFeature | CategoryFeature, start: int, index: int) -> None:
        if isinstance(feature, NumericFeature):
            self._numeric.append((start, index, np.array(feature.edges, dtype=np.float64)))
        else:
            places: dict[object, int] = {name: place for place, name in enumerate(feature.categories)}
            self._category.append((start, index, places))

    def count_features(self, matrix: Matrix, weights: Sums) -> Sums:
        """Sum of the rows' weights per bin, all features one after the other.

        Args:
            matrix: rows of shape [n, d] as the model was fed them.
            weights: 1/m of each row's request, shape [n].
        """
        places = [self._numeric_bins(matrix, *plan) for plan in self._numeric]
        places += [_category_bins(matrix, *plan) for plan in self._category]
        if not places:
            return np.zeros(self.feature_bins)
        repeated = np.tile(weights, len(places))
        return _sums(np.concatenate(places), repeated, self.feature_bins)

    def count_predictions(self, classes: NDArray[np.int64] | None, score: Sums, weights: Sums) -> Sums:
        """Sum of the rows' weights per prediction bin.

        Args:
            classes: index of the predicted class in the model's own order, shape [n]; None for a regressor.
            score: the confidence, or the predicted value, shape [n].
            weights: 1/m of each row's request, shape [n].
        """
        if not self._comparable:
            return np.zeros(self.prediction_bins)
        place = self._class_place[np.zeros(len(score), dtype=np.int64) if classes is None else classes]
        bins = np.searchsorted(self._score_edges, score, side="right")
        known = place >= 0
        places = (place * (len(self._score_edges) + 1) + bins)[known]
        return _sums(places, weights[known], self.prediction_bins)

    @staticmethod
    def _numeric_bins(matrix: Matrix, start: int, index: int, edges: Sums) -> NDArray[np.int64]:
        values = matrix[:, index].astype(np.float64)
        bins = np.searchsorted(edges, values, side="right")
        # Missing values have the last bin; searchsorted puts NaN one before it.
        bins[np.isnan(values)] = len(edges) + 1
        return bins + start


def _sums(places: NDArray[np.int64], weights: Sums, bins: int) -> Sums:
    sums: Sums = np.bincount(places, weights=weights, minlength=bins).astype(np.float64, copy=False)
    return sums


def _category_bins(matrix: Matrix, start: int, index: int, places: dict[object, int]) -> NDArray[np.int64]:
    other, missing = len(places), len(places) + 1
    bins = [missing if value is None else places.get(value, other) for value in matrix[:, index]]
    return np.array(bins, dtype=np.int64) + start

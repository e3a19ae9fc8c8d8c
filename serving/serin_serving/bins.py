"""Count the rows of a cohort into the bins of the pod's own profile and of stable's."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from serin_contract.profile import PredictionBins, Profile, profile_hash
from serin_contract.stats import BinCounts, QualityCounts
from serin_serving.feature_bins import FeatureBinner, Sums, weighed
from serin_serving.layout import Matrix
from serin_serving.model import Answers
from serin_serving.readings import Columns

FOLD_REQUESTS = 64
FOLD_ROWS = 512
FOLD_CELLS = 2**15
"""Rows wait until they come from as many requests, or are as many, or as many values, or until someone reads.

One fold costs little more than one row. All callers wait while it lasts, and it is where the slowest answers come from:
the more wait for it, the less each costs, and the longer it holds up.
"""


class PredictionBinner:
    """The prediction bins of one profile for the answers of one model. A class that the profile lacks has no bin."""

    def __init__(self, bins: PredictionBins, classes: list[str | int | float | bool]) -> None:
        self.size = bins.bins
        self._edges = np.array(bins.edges, dtype=np.float64)
        theirs = {label: place for place, label in enumerate(bins.classes)}
        # A regressor has one row of bins; -1 marks a class that has none.
        self._class_place = np.array([theirs.get(label, -1) for label in classes] or [0], dtype=np.int64)
        self._comparable = bool(bins.classes) == bool(classes)

    def count(self, classes: NDArray[np.int64] | None, score: Sums, weights: Sums) -> Sums:
        """Sum of the rows' weights per prediction bin.

        Args:
            classes: index of the predicted class in the model's own order, shape [n]; None for a regressor.
            score: the confidence, or the predicted value, shape [n].
            weights: 1/m of each row's request, shape [n].
        """
        if not self._comparable:
            return np.zeros(self.size)
        place = self._class_place[np.zeros(len(score), dtype=np.int64) if classes is None else classes]
        bins = np.searchsorted(self._edges, score, side="right")
        known = place >= 0
        places = (place * (len(self._edges) + 1) + bins)[known]
        return weighed(places, weights[known], self.size)


class Binner:
    """All that rows of one model are counted on: its own profile and, on a candidate's pod, stable's."""

    def __init__(
        self,
        own: Profile,
        stable: Profile | None,
        names: list[str],
        text: list[bool],
        classes: list[str | int | float | bool],
    ) -> None:
        profiles = [own] if stable is None else [own, stable]
        self.hashes = [profile_hash(profile) for profile in profiles]
        self.features = FeatureBinner(profiles, Columns(names, text))
        self.predictions = [PredictionBinner(profile.prediction, classes) for profile in profiles]
        self.fold_rows = max(1, min(FOLD_ROWS, FOLD_CELLS // max(1, len(names))))
        self.numbers = sum(sum(feature.bins for feature in profile.features) for profile in profiles)
        """How many numbers a cohort's bins and quality come to in the stats."""
        self.numbers += sum(binner.size for binner in self.predictions) + 4 * len(own.features)


class CohortBins:
    """Rows of one cohort, folded lazily."""

    def __init__(self, binner: Binner) -> None:
        self._binner = binner
        self._fine = np.zeros(binner.features.size)
        self._predictions = [np.zeros(predictions.size) for predictions in binner.predictions]
        self._rows = 0.0
        self._waiting: list[tuple[Matrix, Answers]] = []
        self._waiting_rows = 0

    def add(self, matrix: Matrix, answers: Answers) -> None:
        """Take the m rows of one request; each weighs 1/m."""
        self._waiting.append((matrix, answers))
        self._waiting_rows += len(matrix)
        if self._waiting_rows >= self._binner.fold_rows or len(self._waiting) >= FOLD_REQUESTS:
            self._fold()

    def counts(self) -> tuple[BinCounts, BinCounts | None]:
        """The bins on the own profile and on stable's, where there is one."""
        self._fold()
        found = [
            BinCounts(profile_hash=name, features=features.of(self._fine), prediction=prediction.tolist())
            for name, features, prediction in zip(
                self._binner.hashes, self._binner.features.tallies, self._predictions, strict=True
            )
        ]
        return found[0], found[1] if len(found) > 1 else None

    def quality(self) -> QualityCounts | None:
        """What was wrong with the features' values; None where the model has none of its own profile's features."""
        self._fold()
        features = self._binner.features
        if not features.counts_quality:
            return None
        return QualityCounts(
            profile_hash=self._binner.hashes[0],
            rows=self._rows,
            missing=features.missing.of(self._fine),
            unseen=features.unseen.of(self._fine),
            below=features.below.of(self._fine),
            above=features.above.of(self._fine),
        )

    def _fold(self) -> None:
        if not self._waiting:
            return
        matrix = np.concatenate([rows for rows, _ in self._waiting])
        score = np.concatenate([answers.score for _, answers in self._waiting])
        classes = None
        if self._waiting[0][1].classes is not None:
            classes = np.concatenate([answers.classes for _, answers in self._waiting if answers.classes is not None])
        sizes = np.array([len(rows) for rows, _ in self._waiting])
        weights = np.repeat(1 / sizes, sizes)
        self._fine += self._binner.features.count(matrix, weights)
        for sums, predictions in zip(self._predictions, self._binner.predictions, strict=True):
            sums += predictions.count(classes, score, weights)
        # Each request weighs 1.
        self._rows += len(self._waiting)
        self._waiting.clear()
        self._waiting_rows = 0

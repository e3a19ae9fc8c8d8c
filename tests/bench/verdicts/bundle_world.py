"""A world in which real models answer real rows, counted by the serving pods' own binner."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tests.support.counting import Bins, Numbers, Quality
from tests.support.rows import Drawn
from tests.support.rows_world import RowsWorld

from serin_contract.profile import Profile
from serin_serving.bins import Binner, CohortBins
from serin_serving.model import Answers

Shift = Callable[[np.random.Generator, Numbers], Numbers]
"""What happens to rows of shape [n, d] before a model sees them."""


@dataclass(frozen=True)
class Served:
    """One model with its profile, and the rows that callers may send."""

    model: Any
    profile: Profile
    matrix: Numbers
    """Shape [n, d]."""
    labels: NDArray[Any]
    in_order: bool = False
    """Whether rows come as they stand, first to last, and not by chance."""

    @property
    def is_classifier(self) -> bool:
        """Whether it answers classes."""
        return bool(self.profile.prediction.classes)

    def answer(self, matrix: Numbers, labels: NDArray[Any]) -> Drawn:
        """What the model makes of the rows; each is a request of its own."""
        weights = np.ones(len(matrix))
        if not self.is_classifier:
            values = np.asarray(self.model.predict(matrix), dtype=np.float64)
            errors = np.abs(values - labels)
            if self.profile.error_clip is not None:
                errors = np.minimum(errors, self.profile.error_clip)
            return Drawn(matrix, values, np.zeros(len(matrix), dtype=bool), weights, errors=errors)
        chances = self.model.predict_proba(matrix)
        classes = chances.argmax(axis=1)
        correct = self.model.classes_[classes] == labels
        return Drawn(matrix, chances.max(axis=1), correct, weights, classes=classes)


class BundleCounter:
    """Counts rows with the serving pods' own code; each row is a request of its own."""

    def __init__(self, served: Served) -> None:
        profile = served.profile
        names = [feature.name for feature in profile.features]
        self._binner = Binner(profile, None, names, [False] * len(names), profile.prediction.classes)
        self._counted: tuple[Drawn, CohortBins] | None = None

    def count(self, rows: Drawn) -> Bins:
        """Rows per bin."""
        own, _ = self._bins(rows).counts()
        return Bins(own.profile_hash, np.array(own.features), np.array(own.prediction))

    def each_row(self, rows: Drawn) -> Numbers:
        """The same in one row, features first and then predictions."""
        counted = self.count(rows)
        return np.concatenate([counted.features, counted.prediction])

    def quality(self, rows: Drawn) -> Quality:
        """What training did not know."""
        found = self._bins(rows).quality()
        assert found is not None, "the model has the features of its own profile"
        missing, below, above = (np.array(values) for values in (found.missing, found.below, found.above))
        return Quality(found.profile_hash, found.rows, missing, below, above)

    def _bins(self, rows: Drawn) -> CohortBins:
        if self._counted is None or self._counted[0] is not rows:
            bins = CohortBins(self._binner)
            for place in range(len(rows.weights)):
                one = slice(place, place + 1)
                classes = rows.classes[one] if rows.classes is not None else None
                bins.add(rows.features[one], Answers([0], rows.scores[one], classes))
            self._counted = (rows, bins)
        return self._counted[1]


@dataclass
class BundleWorld(RowsWorld):
    """Both arms serve the same model; what its pods see may differ between the arms."""

    served_by: Served | None = None
    candidate_shift: Shift | None = None
    shared_shift: Shift | None = None
    taken: int = 0
    """Rows that have come, where they come in order."""

    def profile(self, revision: str) -> Profile:  # noqa: ARG002 — both serve the same one
        """Of the one model."""
        return self._served.profile

    def counter(self, revision: str) -> Any:
        """Of the one model."""
        if revision not in self._counters:
            self._counters[revision] = BundleCounter(self._served)  # type: ignore[assignment]
        return self._counters[revision]

    @property
    def _served(self) -> Served:
        assert self.served_by is not None, "a bundle world serves a bundle"
        return self.served_by

    def _count(self, revision: str, cohort: str, requests: int) -> None:
        behaviour = self.models[self.revisions[revision].spec.model.uri]
        served = self._served
        number = len(served.matrix)
        if served.in_order:
            # Both arms draw from the same stretch of the stream: the split is by chance, the time is not.
            stretch = (self.taken + np.arange(self._stretch())) % number
            places = self.draws.choice(stretch, size=requests)
        else:
            places = self.draws.integers(0, number, size=requests)
        matrix = served.matrix[places].astype(np.float64)
        for shift in (self.shared_shift, self._own_shift(revision)):
            matrix = shift(self.draws, matrix) if shift is not None else matrix
        self._answered(revision, cohort, behaviour, requests, 0, served.answer(matrix, served.labels[places]))

    def _own_shift(self, revision: str) -> Shift | None:
        candidate = self.status.candidate
        return self.candidate_shift if candidate is not None and candidate.revision == revision else None

    def _stretch(self) -> int:
        return max(1, round(self.traffic.requests_per_second * 30))

    def pass_time(self, seconds: float) -> None:
        """The stream goes on, too, once it is split."""
        super().pass_time(seconds)
        if self.cohort() is not None:
            self.taken += round(self.traffic.requests_per_second * seconds)

"""What the pods of a simulated revision count, and the callers who make them count it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serin_contract import startup
from serin_contract.stats import (
    LATENCY_BOUNDS_SECONDS,
    SLOT_SECONDS_MIN,
    SLOTS_MAX,
    BinCounts,
    CohortStats,
    LabelCounts,
    QualityCounts,
    SlotCounts,
)

Numbers = NDArray[np.float64]

LABEL_SUMS = 5
"""labelled, correct, error, error squared, its square: the fields of LabelCounts in their order."""


@dataclass
class Behaviour:
    """How the pods of one model behave, and how good it is."""

    accuracy: float = 0.95
    error_rate: float = 0.0
    ready_after_seconds: float = 2.0
    never_ready: bool = False
    crashes_after_seconds: float | None = None
    refuses: startup.StartupFailure | None = None
    latency_seconds: float = 0.02
    """The median of the time to answer."""
    latency_spread: float = 0.0
    """Standard deviation of the logarithm of that time."""
    error_scale: float | None = None
    """Of a regressor: the standard deviation of its errors, which are normal; its accuracy means nothing then."""
    shifts: Mapping[int, float] = field(default_factory=dict)
    """By place of the feature: by how many standard deviations this model's pods alone see it moved."""
    missing: Mapping[int, float] = field(default_factory=dict)
    """By place of the feature: the share of values that this model's pods alone do not get."""
    score_shift: float = 0.0
    """By how many standard deviations its prediction score lies off what it was at training."""


@dataclass
class Traffic:
    """Requests per second, rows in each, and how labels come back."""

    requests_per_second: float = 100.0
    rows: int = 1
    correlation: float = 0.0
    """Of the correctness of the rows of one request."""
    label_share: float = 1.0
    delay_right_seconds: float = 0.0
    delay_wrong_seconds: float = 0.0
    harder_by: float = 0.0
    """How much accuracy every model loses from start to end of the trial."""
    harder_over_seconds: float = 600.0


@dataclass
class Slots:
    """Predictions and labels by the time of the prediction; slots double where there would be too many."""

    seconds: int = SLOT_SECONDS_MIN
    predictions: dict[int, float] = field(default_factory=dict)
    labels: dict[int, dict[str, Numbers]] = field(default_factory=dict)
    told: dict[int, SlotCounts] = field(default_factory=dict)
    """The slots that have not changed since they were told."""

    def predicted(self, at: float, weight: float) -> None:
        """So much weight was predicted at that time."""
        start = self._touched(at)
        self.predictions[start] = self.predictions.get(start, 0.0) + weight
        self.labels.setdefault(start, {})
        self._make_room()

    def labelled(self, at: float, revision: str, sums: Numbers) -> None:
        """Labels came for what that revision predicted at that time."""
        start = self._touched(at)
        by_revision = self.labels.setdefault(start, {})
        by_revision[revision] = by_revision.get(revision, 0.0) + sums
        self._make_room()

    def counts(self) -> list[SlotCounts]:
        """As the pod tells them."""
        for start in self.labels.keys() - self.told.keys():
            labels = {revision: LabelCounts(*sums.tolist()) for revision, sums in self.labels[start].items()}
            self.told[start] = SlotCounts(start, self.predictions.get(start, 0.0), labels)
        return [self.told[start] for start in sorted(self.told)]

    def _touched(self, at: float) -> int:
        start = int(at) // self.seconds * self.seconds
        self.told.pop(start, None)
        return start

    def _make_room(self) -> None:
        while len(self.labels) > SLOTS_MAX:
            predictions, labels = self.predictions, self.labels
            self.seconds *= 2
            self.predictions, self.labels, self.told = {}, {}, {}
            for start, by_revision in labels.items():
                wider = self._touched(start)
                if start in predictions:
                    self.predictions[wider] = self.predictions.get(wider, 0.0) + predictions[start]
                merged = self.labels.setdefault(wider, {})
                for revision, sums in by_revision.items():
                    merged[revision] = merged.get(revision, 0.0) + sums


@dataclass
class Bins:
    """Rows on the edges of one profile."""

    profile_hash: str
    features: Numbers
    prediction: Numbers

    def counts(self) -> BinCounts:
        """As the pod tells them."""
        return BinCounts(self.profile_hash, self.features.tolist(), self.prediction.tolist())


@dataclass
class Quality:
    """Values outside what training knew, by feature."""

    profile_hash: str
    rows: float
    missing: Numbers
    below: Numbers
    above: Numbers

    def counts(self) -> QualityCounts:
        """As the pod tells them; numbers alone, so nothing is unseen."""
        return QualityCounts(
            self.profile_hash,
            self.rows,
            self.missing.tolist(),
            [0.0] * len(self.missing),
            self.below.tolist(),
            self.above.tolist(),
        )


@dataclass
class Counts:
    """What one revision's pods counted in one cohort."""

    requests: int = 0
    predictions: float = 0.0
    rows: int = 0
    refused: int = 0
    callers: int = 0
    repeated: int = 0
    latency: NDArray[np.int64] = field(
        default_factory=lambda: np.zeros(len(LATENCY_BOUNDS_SECONDS) + 1, dtype=np.int64)
    )
    labels: dict[str, list[float]] = field(default_factory=dict)
    slots: Slots = field(default_factory=Slots)
    own: Bins | None = None
    stable: Bins | None = None
    quality: Quality | None = None

    def answered(self, requests: int, refused: int, rows: int) -> None:
        """So many requests were answered, of which the refused ones got no prediction."""
        self.requests += requests
        self.refused += refused
        self.predictions += requests - refused
        self.rows += rows

    def labelled(self, at: float, revision: str, sums: Numbers) -> None:
        """Labels came for what that revision predicted at that time."""
        before = self.labels.setdefault(revision, [0.0] * LABEL_SUMS)
        self.labels[revision] = [a + b for a, b in zip(before, sums.tolist(), strict=True)]
        self.slots.labelled(at, revision, sums)

    def stats(self) -> CohortStats:
        """As a pod tells them."""
        return CohortStats(
            requests=self.requests,
            predictions=self.predictions,
            rows=self.rows,
            refused=self.refused,
            latency=self.latency.tolist(),
            labels={name: LabelCounts(*sums) for name, sums in self.labels.items()},
            callers=self.callers,
            repeated=self.repeated,
            slot_seconds=self.slots.seconds,
            slots=self.slots.counts(),
            quality=self.quality.counts() if self.quality is not None else None,
            own_bins=self.own.counts() if self.own is not None else None,
            stable_bins=self.stable.counts() if self.stable is not None else None,
        )


@dataclass
class Pending:
    """Labels of one batch that are still on their way."""

    due: Numbers
    """Times in rising order."""
    revision: str
    cohort: str
    predicted_at: float
    sums: Numbers
    """What each label adds, shape [n, LABEL_SUMS]."""
    posted: int = 0


def label_sums(labelled: float, correct: float, errors: Any = None) -> Numbers:
    """What so many labels add; `errors` are the absolute errors of a regressor, one for each label."""
    if errors is None:
        return np.array([labelled, correct, 0.0, 0.0, 0.0])
    return np.array([labelled, 0.0, errors.sum(), (errors**2).sum(), (errors**4).sum()])


def latency_counts(draws: np.random.Generator, behaviour: Behaviour, requests: int) -> NDArray[np.int64]:
    """Requests by bucket of LATENCY_BOUNDS_SECONDS."""
    counts = np.zeros(len(LATENCY_BOUNDS_SECONDS) + 1, dtype=np.int64)
    if not behaviour.latency_spread:
        counts[bisect_left(LATENCY_BOUNDS_SECONDS, behaviour.latency_seconds)] = requests
        return counts
    seconds = draws.lognormal(np.log(behaviour.latency_seconds), behaviour.latency_spread, size=requests)
    places = np.searchsorted(LATENCY_BOUNDS_SECONDS, seconds, side="left")
    return np.bincount(places, minlength=len(counts))

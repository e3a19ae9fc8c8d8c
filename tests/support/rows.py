"""Rows that simulated callers send, drawn at once for many requests and counted as a pod counts them.

Every feature is a standard normal variable at training, and so is the model's score, of which a classifier of two
classes makes its answer: the class by its sign, the confidence by its distance from zero.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from serin_contract.profile import Feature, NumericFeature, PredictionBins, Profile, profile_hash
from tests.support.counting import Behaviour, Bins, Numbers, Quality

BINS = 10
CONFIDENCE_BINS = 4
OUT_OF_RANGE = 0.1
"""Part of the training range by which a number may lie outside it."""


@dataclass(frozen=True)
class Rows:
    """What is in a request."""

    features: int = 13
    batched: float = 0.5
    """Part of the rows that come in requests of `batch_rows`."""
    batch_rows: int = 16
    alike: float = 0.5
    """Correlation of each feature, of the score and of the correctness within one request."""
    moved: dict[int, float] = field(default_factory=dict)
    """By place of the feature: by how many standard deviations both arms see it moved."""
    moving: dict[int, float] = field(default_factory=dict)
    """Likewise, but little by little: so far from the start of the split to its end."""
    absent: float = 0.0
    """Part of the values that are missing, at training and in the requests of both arms."""
    training_rows: int = 10_000

    @property
    def rows_per_request(self) -> float:
        """In the mean."""
        return 1.0 + (self.batch_rows - 1) * self.batch_chance

    def at(self, part: float) -> Rows:
        """The rows when that part of the time has gone by."""
        if not self.moving:
            return self
        moved = {place: self.moved.get(place, 0.0) + part * by for place, by in self.moving.items()}
        return replace(self, moved=self.moved | moved, moving={})

    @property
    def batch_chance(self) -> float:
        """Chance that a request is one of `batch_rows`."""
        single = (1.0 - self.batched) * self.batch_rows
        return self.batched / (self.batched + single)


@dataclass
class Drawn:
    """The rows of some requests."""

    features: Numbers
    """Shape [n, features]; NaN where missing."""
    scores: Numbers
    correct: NDArray[np.bool_]
    weights: Numbers
    """1/m for each row of a request of m."""
    classes: NDArray[np.int64] | None = None
    """Of a real classifier, whose scores are confidences; a simulated one answers by the sign of its score."""
    errors: Numbers | None = None
    """Of a regressor: absolute errors, clipped as its pods clip them."""


def draw(draws: np.random.Generator, rows: Rows, behaviour: Behaviour, accuracy: float, requests: int) -> Drawn:
    """The rows of that many requests to the pods of one model."""
    batches = int(draws.binomial(requests, rows.batch_chance)) if rows.batched else 0
    singles, m = requests - batches, rows.batch_rows
    values = draws.standard_normal((singles + m * batches, rows.features + 1))
    chances = np.full(len(values), accuracy)
    if batches:
        shared = np.repeat(draws.standard_normal((batches, rows.features + 1)), m, axis=0)
        values[singles:] = math.sqrt(rows.alike) * shared + math.sqrt(1.0 - rows.alike) * values[singles:]
        chances[singles:] = np.repeat(alike_chances(draws, accuracy, rows.alike, batches), m)
    weights = np.ones(len(values))
    weights[singles:] = 1.0 / m
    return seen(draws, rows, behaviour, values, chances, weights)


def seen(
    draws: np.random.Generator,
    rows: Rows,
    behaviour: Behaviour,
    values: Numbers,
    chances: Numbers,
    weights: Numbers,
) -> Drawn:
    """Rows as the pods see them, once the world and what is wrong with the model have had their way.

    Args:
        draws: randomness.
        rows: what is in a request.
        behaviour: of the model.
        values: standard normal, shape [n, features + 1]; the last column is the score.
        chances: of a correct answer, shape [n].
        weights: shape [n].
    """
    for place, shift in rows.moved.items():
        values[:, place] += shift
    for place, shift in behaviour.shifts.items():
        values[:, place] += shift
    values[:, -1] += behaviour.score_shift
    features = values[:, :-1]
    if rows.absent:
        features[draws.random(features.shape) < rows.absent] = math.nan
    for place, share in behaviour.missing.items():
        features[draws.random(len(features)) < share, place] = math.nan
    return Drawn(features, values[:, -1], draws.random(len(values)) < chances, weights)


def alike_chances(draws: np.random.Generator, accuracy: float, alike: float, number: int) -> Numbers:
    """Chances of a correct answer that vary so that two answers under one of them have that correlation."""
    if not alike or not 0.0 < accuracy < 1.0:
        return np.full(number, accuracy)
    concentration = (1.0 - alike) / alike
    return draws.beta(accuracy * concentration, (1.0 - accuracy) * concentration, size=number)


def a_profile(draws: np.random.Generator, rows: Rows) -> Profile:
    """The profile of a training set of its own.

    The sample quantiles of N rows at k of K are those of the uniform order statistics, which are normalised sums of
    gamma variables: so the profile has exactly the sampling error of one built from N rows, without drawing them.
    """
    each = rows.training_rows / BINS
    missing = round(rows.absent * rows.training_rows)
    features: list[Feature] = [
        NumericFeature(
            name=f"x{place}",
            edges=_quantiles(draws, each, BINS).tolist(),
            counts=[each * (1.0 - rows.absent)] * BINS + [float(missing)],
            minimum=float(ndtri(draws.exponential() / rows.training_rows)),
            maximum=float(-ndtri(draws.exponential() / rows.training_rows)),
        )
        for place in range(rows.features)
    ]
    # Confidence is Φ(|score|), and so uniform on (½, 1): its quantiles, and then how many rows of each class have it.
    parts = np.cumsum(draws.gamma(rows.training_rows / CONFIDENCE_BINS, size=CONFIDENCE_BINS))
    edges = 0.5 + 0.5 * parts[:-1] / parts[-1]
    positive = draws.binomial(round(rows.training_rows / CONFIDENCE_BINS), 0.5, size=CONFIDENCE_BINS)
    negative = rows.training_rows / CONFIDENCE_BINS - positive
    prediction = PredictionBins(
        "classification", [0, 1], edges.tolist(), [*map(float, negative), *map(float, positive)]
    )
    return Profile(features=features, prediction=prediction, rows=rows.training_rows)


def _quantiles(draws: np.random.Generator, each: float, bins: int) -> Numbers:
    parts = np.cumsum(draws.gamma(each, size=bins))
    edges: Numbers = ndtri(parts[:-1] / parts[-1])
    return edges


class Counter:
    """Counts rows on the edges of one profile, many rows at once."""

    def __init__(self, profile: Profile) -> None:
        self.hash = profile_hash(profile)
        numeric = [feature for feature in profile.features if isinstance(feature, NumericFeature)]
        self._edges = np.array([feature.edges for feature in numeric]).T.copy()
        self._starts = np.arange(len(numeric)) * (BINS + 1)
        self._bins = len(numeric) * (BINS + 1)
        self._confidence_edges = np.array(profile.prediction.edges)
        lowest = np.array([feature.minimum for feature in numeric], dtype=np.float64)
        highest = np.array([feature.maximum for feature in numeric], dtype=np.float64)
        margin = OUT_OF_RANGE * (highest - lowest)
        self._lowest, self._highest = lowest - margin, highest + margin

    def places(self, rows: Drawn) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The bin of each value, shape [n, features], and of each prediction, shape [n]."""
        bins = (rows.features >= self._edges[:, None, :]).sum(axis=0)
        bins[np.isnan(rows.features)] = BINS
        confidence = np.searchsorted(self._confidence_edges, ndtr(np.abs(rows.scores)), side="right")
        return bins + self._starts, (rows.scores > 0.0) * CONFIDENCE_BINS + confidence

    def count(self, rows: Drawn) -> Bins:
        """Σ 1/m per bin."""
        features, predictions = self.places(rows)
        return Bins(
            self.hash,
            _sums(features.ravel(), rows.weights.repeat(features.shape[1]), self._bins),
            _sums(predictions, rows.weights, 2 * CONFIDENCE_BINS),
        )

    def each_row(self, rows: Drawn) -> Numbers:
        """Rows per bin, features first and then predictions, whatever request they came in."""
        features, predictions = self.places(rows)
        places = np.concatenate([features.ravel(), predictions + self._bins])
        return _sums(places, np.ones(len(places)), self._bins + 2 * CONFIDENCE_BINS)

    def quality(self, rows: Drawn) -> Quality:
        """Σ 1/m of what training did not know."""
        weights = rows.weights
        return Quality(
            self.hash,
            float(weights.sum()),
            weights @ np.isnan(rows.features),
            weights @ (rows.features < self._lowest),
            weights @ (rows.features > self._highest),
        )


def _sums(places: NDArray[np.int64], weights: Numbers, bins: int) -> Numbers:
    sums: Numbers = np.bincount(places, weights=weights, minlength=bins).astype(np.float64, copy=False)
    return sums

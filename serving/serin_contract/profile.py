"""The reference profile: what the training data and the model's outputs looked like, as bins and counts.

Bins of a numeric feature are half-open: value v falls in bin `bisect_right(edges, v)`, and one bin more, the
last, holds missing values. A category has a bin per listed value, then `other`, then `missing`.
"""

from __future__ import annotations

import hashlib
from typing import Literal

import msgspec

PROFILE_FORMAT = 1
BINS_MAX = 10
CATEGORIES_MAX = 20


class NumericFeature(msgspec.Struct, frozen=True, tag="numeric", tag_field="kind"):
    """A feature of numbers."""

    name: str
    edges: list[float]
    """Inner edges, rising; k edges make k + 1 bins and the missing bin."""
    counts: list[float]
    minimum: float | None = None
    maximum: float | None = None

    @property
    def bins(self) -> int:
        """How many bins this feature has, the missing one included."""
        return len(self.edges) + 2


class CategoryFeature(msgspec.Struct, frozen=True, tag="category", tag_field="kind"):
    """A feature of strings from a known set."""

    name: str
    categories: list[str]
    counts: list[float]

    @property
    def bins(self) -> int:
        """How many bins this feature has, `other` and the missing one included."""
        return len(self.categories) + 2


Feature = NumericFeature | CategoryFeature


class PredictionBins(msgspec.Struct, frozen=True):
    """Bins of the model's outputs, counted on out-of-fold predictions.

    For a classifier: class × confidence, class by class; for a regressor: bins of the predicted value.
    """

    kind: Literal["classification", "regression"]
    classes: list[str | int | float | bool]
    """Class labels in the model's order; empty for a regressor."""
    edges: list[float]
    """Inner edges of the confidence (its largest probability) or of the value."""
    counts: list[float]

    @property
    def bins(self) -> int:
        """How many prediction bins there are."""
        return max(1, len(self.classes)) * (len(self.edges) + 1)


class Profile(msgspec.Struct, frozen=True):
    """The whole profile of one bundle."""

    features: list[Feature]
    prediction: PredictionBins
    rows: int
    error_clip: float | None = None
    """Of a regressor: the 99.5 % quantile of the absolute error of out-of-fold predictions; None where unknown."""
    format: int = PROFILE_FORMAT


def encode(profile: Profile) -> bytes:
    """The profile as JSON; equal profiles give equal bytes."""
    return msgspec.json.encode(profile, order="deterministic")


def profile_hash(profile: Profile) -> str:
    """Sixteen hexadecimal digits of the encoded profile's SHA-256: bins merge only where it is equal."""
    return hashlib.sha256(encode(profile)).hexdigest()[:16]


def decode(data: bytes) -> Profile:
    """Read a profile.

    Raises:
        ValueError: the bytes are no profile of this format, or its counts do not fit its bins.
    """
    try:
        profile = msgspec.json.decode(data, type=Profile)
    except msgspec.MsgspecError as error:
        raise ValueError(f"not a reference profile: {error}") from error
    if profile.format != PROFILE_FORMAT:
        raise ValueError(f"profile format {profile.format} is not the one read here ({PROFILE_FORMAT})")
    for feature in profile.features:
        if len(feature.counts) != feature.bins:
            raise ValueError(f"feature {feature.name!r} has {len(feature.counts)} counts for {feature.bins} bins")
    if len(profile.prediction.counts) != profile.prediction.bins:
        raise ValueError("the prediction counts do not fit the prediction bins")
    return profile

"""The reference profile: what the training data and the model's outputs looked like, as bins and counts.

Bins of a numeric feature are half-open: value v falls in bin `bisect_right(edges, v)`, and one bin more, the
last, holds missing values. A category has a bin per listed value, then `other`, then `missing`.

A numeric feature can be derived. `NumericFeature.of` says from what, and the server computes the same float64:

- `value`: the number in the column.
- `length`: how many characters (Unicode code points, `len` of a Python string) the text in the column has. An
  empty text has length 0; a missing text has a missing length.
- `mean` and `norm`: of the whole row, over the columns of all numeric features of this profile whose `of` is
  `value`; `row_scalar` defines them. A model that lacks one of these columns, or has it as text, has no such
  value for any row: the feature is not counted.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Literal

import msgspec

PROFILE_FORMAT = 1
BINS_MAX = 10
CATEGORIES_MAX = 20


NumberOf = Literal["value", "length", "norm", "mean"]
"""What of the input a numeric feature is; the module says how each is computed."""


# Defaults are left out, so that a profile without derived features has the same bytes, and so the same hash, as one
# of a writer that knows of none.
class NumericFeature(msgspec.Struct, frozen=True, tag="numeric", tag_field="kind", omit_defaults=True):
    """A feature of numbers: a column's own, or derived from a text or from the whole row."""

    name: str
    edges: list[float]
    """Inner edges, rising; k edges make k + 1 bins and the missing bin."""
    counts: list[float]
    minimum: float | None = None
    maximum: float | None = None
    of: NumberOf = "value"
    column: str | None = None
    """The column that the values come from; None: the one named as the feature; empty: the whole row."""

    @property
    def bins(self) -> int:
        """How many bins this feature has, the missing one included."""
        return len(self.edges) + 2

    @property
    def source(self) -> str:
        """Name of the column that the values come from; empty where it is the whole row."""
        return self.name if self.column is None else self.column


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


def row_scalar(of: Literal["mean", "norm"], values: Sequence[float]) -> float:
    """The mean, or the Euclidean norm, of the numbers of a row that are not missing.

    Args:
        of: which of the two.
        values: the row's numbers in float64, truth values as 0 and 1; NaN is missing.

    Returns:
        The value rounded to 24 binary digits, so that the order of adding does not show: the norms of normalised
        vectors are all 1 then. NaN, which is missing, where every number is.
    """
    present = [value for value in values if not math.isnan(value)]
    if not present:
        return math.nan
    if of == "mean":
        return _single(sum(present) / len(present))
    return _single(math.sqrt(sum(value * value for value in present)))


def _single(value: float) -> float:
    if not math.isfinite(value):
        return value
    mantissa, exponent = math.frexp(value)
    try:
        return math.ldexp(round(mantissa * 2**24), exponent - 24)
    except OverflowError:
        return math.copysign(math.inf, value)


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
        _check_source(feature)
        if len(feature.counts) != feature.bins:
            raise ValueError(f"feature {feature.name!r} has {len(feature.counts)} counts for {feature.bins} bins")
    if len(profile.prediction.counts) != profile.prediction.bins:
        raise ValueError("the prediction counts do not fit the prediction bins")
    return profile


def _check_source(feature: Feature) -> None:
    if isinstance(feature, NumericFeature) and (feature.of in ("mean", "norm")) != (feature.source == ""):
        raise ValueError(f"feature {feature.name!r} is the {feature.of} of column {feature.source!r}: that cannot be")

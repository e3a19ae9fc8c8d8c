"""What features read from whole rows and texts, of many rows at once: training and serving compute the very same."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

ROUNDED_BITS = 24
"""As `profile.row_scalar` defines."""


def row_scalars(of: Literal["mean", "norm"], values: Numbers) -> Numbers:
    """`profile.row_scalar` of every row.

    Args:
        of: which of the two.
        values: shape [d, n], column by column: what is done with one column then runs along many rows; NaN is missing.

    Returns:
        Shape [n]; NaN where every number of the row is missing.
    """
    counts: NDArray[np.int64] | int = len(values)
    missing = np.isnan(values)
    if missing.any():
        counts = len(values) - missing.sum(axis=0)
        values = np.where(missing, 0.0, values)
    # Numbers beyond all range make infinity, and opposite infinities no mean: both are told as such.
    with np.errstate(over="ignore", invalid="ignore"):
        norm = of == "norm"
        found = np.sqrt(np.einsum("ij,ij->j", values, values)) if norm else values.sum(axis=0) / np.maximum(counts, 1)
        mantissa, exponent = np.frexp(np.where(np.equal(counts, 0), np.nan, found))
        rounded: Numbers = np.ldexp(np.rint(mantissa * 2**ROUNDED_BITS), exponent - ROUNDED_BITS)
    return rounded


def lengths(texts: Iterable[str | None]) -> list[float]:
    """Characters of each text; NaN where it is missing."""
    return [math.nan if text is None else float(len(text)) for text in texts]

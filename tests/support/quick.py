"""What the quick look of `make check` leaves to `make test`: rows of tables, and most examples of properties."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings

FULL = 100
"""Examples of a property that names no number, where nothing is left out."""


def slow(*row: Any) -> Any:
    """A row for `parametrize` that the quick look leaves out."""
    return pytest.param(*row, marks=pytest.mark.slow)


def examples(number: int) -> settings:
    """Settings of a property with so many examples; the quick look tries as small a part of them as of all others."""
    return settings(max_examples=max(1, number * settings().max_examples // FULL))

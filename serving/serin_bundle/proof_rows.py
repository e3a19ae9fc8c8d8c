"""Rows on which two forms of one model are held against each other: trained ones, and ones near them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from serin_bundle.table import Table, Values
from serin_contract.bundle import Column
from serin_contract.compiled import ColumnTakes

SAMPLE_ROWS = 1500
NOISY_COPIES = 3
NOISE = 0.1
"""Of a column's standard deviation."""
ODD_SHARE = 0.1
"""Of the cells that change to another text, another truth or a missing value."""
_UNSEEN = "\x00unseen"


def proof_rows(table: Table, takes: list[ColumnTakes]) -> Values:
    """A sample of the training rows, copies of it with noise, and one with what is odd and still answered.

    The same rows each time, in the element type of the table.
    """
    random = np.random.default_rng(0)
    chosen = np.sort(random.permutation(len(table.matrix))[:SAMPLE_ROWS])
    sample = table.matrix[chosen]
    copies = [sample]
    for copy in range(NOISY_COPIES + 1):
        rows = sample.copy()
        for index, column in enumerate(table.columns):
            rows[:, index] = _noisy(rows[:, index], column, random)
            if copy == NOISY_COPIES:
                _make_odd(rows, index, column, takes[index], random)
        copies.append(rows)
    return np.concatenate(copies)


def _noisy(values: Values, column: Column, random: Any) -> Values:
    changed: Values = random.random(len(values)) < ODD_SHARE
    if column.datatype in ("BYTES", "BOOL"):
        mixed: Values = np.where(changed, values[random.permutation(len(values))], values)
        return mixed
    numbers = values.astype(np.float64)
    if column.datatype in ("INT64", "INT32"):
        # Towards the middle, so that no number leaves the range of its type.
        fewer: Values = values - np.where(changed, np.sign(numbers), 0.0).astype(values.dtype)
        return fewer
    known = numbers[~np.isnan(numbers)]
    noise: Values = NOISE * (known.std() if len(known) else 0.0) * random.normal(size=len(numbers))
    return numbers + noise


def _make_odd(rows: Values, index: int, column: Column, takes: ColumnTakes, random: Any) -> None:
    odd = random.random(len(rows)) < ODD_SHARE
    if column.datatype == "BYTES":
        if takes.texts is None:
            rows[odd, index] = _UNSEEN
        odd = random.random(len(rows)) < ODD_SHARE
    if takes.missing:
        rows[odd, index] = None if column.datatype == "BYTES" else math.nan

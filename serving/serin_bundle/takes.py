"""Find out which odd values a model answers and which it refuses, by asking it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from serin_bundle.errors import BundleError
from serin_bundle.table import Table, Values
from serin_contract.compiled import ColumnTakes

TEXTS_MAX = 1000

_BEYOND_FLOAT32 = 1e300
_UNSEEN = "\x00unseen"


def takes_of(model: Any, table: Table, row: Values, categories: Iterable[str]) -> list[ColumnTakes]:
    """What each column of the model takes beside values like those of the training rows.

    Args:
        model: a fitted model.
        table: the training rows.
        row: shape [1, d], a row that the model answers.
        categories: texts that the model may know beside those of the training rows.

    Raises:
        BundleError: a column takes certain texts only, and too many.
    """
    texts = [index for index, column in enumerate(table.columns) if column.datatype == "BYTES"]
    numbers = [index for index in range(len(table.columns)) if index not in set(texts)]
    floats = numbers if table.matrix.dtype.kind in "fO" else []

    def asked(columns: list[int], *values: Any) -> set[int]:
        return _taken(lambda chosen, value: _answers(model, row, chosen, value), columns, values)

    missing = asked(floats, math.nan) | asked(texts, None)
    infinite, beyond = asked(floats, math.inf, -math.inf), asked(floats, _BEYOND_FLOAT32, -_BEYOND_FLOAT32)
    any_text = asked(texts, _UNSEEN)
    return [
        ColumnTakes(
            missing=index in missing,
            infinite=index in infinite,
            beyond_float32=index in beyond or index not in floats,
            texts=_known(model, table, row, index, categories) if index in texts and index not in any_text else None,
        )
        for index in range(len(table.columns))
    ]


def _taken(answers: Callable[[list[int], Any], bool], columns: list[int], values: tuple[Any, ...]) -> set[int]:
    """The columns in which all of the values are answered; asked one by one only where they differ."""
    if not columns or all(answers(columns, value) for value in values):
        return set(columns)
    return {index for index in columns if all(answers([index], value) for value in values)}


def _answers(model: Any, row: Values, columns: list[int], value: Any) -> bool:
    asked = row.copy()
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        asked[:, columns] = value
        try:
            model.predict(asked)
        except (ValueError, TypeError):
            return False
    return True


def _known(model: Any, table: Table, row: Values, index: int, categories: Iterable[str]) -> list[str]:
    """The texts that the model takes in a column in which it does not take any."""
    found = {text for text in table.matrix[:, index].tolist() if text is not None} | set(categories)
    if len(found) > TEXTS_MAX:
        raise BundleError(
            f"column {table.columns[index].name!r} takes only texts that the model was trained on, and there are more "
            f"than {TEXTS_MAX}"
        )
    return [text for text in sorted(found) if _answers(model, row, [index], text)]

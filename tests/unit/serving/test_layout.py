from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from serin_contract.bundle import Column
from serin_serving.errors import RequestError
from serin_serving.layout import Layout
from serin_serving.oip import decode_infer

NUMBERS = [Column("a", "FP64"), Column("b", "FP64")]
MIXED = [Column("size", "FP64"), Column("shade", "BYTES"), Column("count", "INT64"), Column("old", "BOOL")]


def one(shape: list[int], data: Any, datatype: str = "FP64", name: str = "x") -> dict[str, Any]:
    return {"name": name, "shape": shape, "datatype": datatype, "data": data}


def decode(columns: list[Column], *inputs: dict[str, Any]) -> Any:
    import orjson

    return decode_infer(orjson.dumps({"inputs": inputs}), Layout(columns)).matrix


TAKEN: dict[str, tuple[list[Column], list[dict[str, Any]], Any, str]] = {
    "flat data in row order": (NUMBERS, [one([2, 2], [1, 2, 3, 4])], [[1, 2], [3, 4]], "float64"),
    "nested data": (NUMBERS, [one([2, 2], [[1, 2.5], [3, 4]])], [[1, 2.5], [3, 4]], "float64"),
    "whole numbers for a model of FP64": (NUMBERS, [one([1, 2], [1, 2], "INT64")], [[1, 2]], "float64"),
    "booleans for a model of FP64": (NUMBERS, [one([1, 2], [True, False], "BOOL")], [[1, 0]], "float64"),
    "null as a missing value": (NUMBERS, [one([1, 2], [1, None])], [[1, math.nan]], "float64"),
    "null among whole numbers": (NUMBERS, [one([1, 2], [None, 2], "INT32")], [[math.nan, 2]], "float64"),
    "columns by name in another order": (
        NUMBERS,
        [one([2], [3, 4], name="b"), one([2, 1], [[1], [2]], name="a")],
        [[1, 3], [2, 4]],
        "float64",
    ),
    "a single column of shape [m]": ([Column("a", "FP64")], [one([3], [1, 2, 3])], [[1], [2], [3]], "float64"),
    "FP32 for a model of FP32": ([Column("a", "FP32")], [one([1, 1], [0.1], "FP32")], [[np.float32(0.1)]], "float32"),
    "whole numbers for a model of INT32": ([Column("a", "INT32")], [one([1, 1], [7], "INT64")], [[7]], "int32"),
    "booleans for a model of BOOL": ([Column("a", "BOOL")], [one([1, 1], [True], "BOOL")], [[True]], "bool"),
    "mixed columns as one tensor": (
        MIXED, [one([1, 4], [1.5, "dark", 3, True], "BYTES")], [[1.5, "dark", 3, True]], "object"
    ),
    "mixed columns with what is missing": (
        MIXED,
        [
            one([1], [None], name="size"),
            one([1], [None], "BYTES", "shade"),
            one([1], [3], "INT64", "count"),
            one([1], [False], "BOOL", "old"),
        ],
        [[math.nan, None, 3, False]],
        "object",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TAKEN)
def test_it_takes(name: str) -> None:
    columns, inputs, expected, kind = TAKEN[name]
    matrix = decode(columns, *inputs)
    assert str(matrix.dtype) == kind
    for row, wanted in zip(matrix.tolist(), expected, strict=True):
        for cell, value in zip(row, wanted, strict=True):
            assert cell == value or (cell != cell and value != value)


REFUSED: dict[str, tuple[list[Column], list[dict[str, Any]], str]] = {
    "fractions for a model of whole numbers": ([Column("a", "INT64")], [one([1, 1], [1.5])], "whole numbers"),
    "a gap for a model of whole numbers": ([Column("a", "INT64")], [one([1, 1], [None], "INT64")], "whole numbers"),
    "a number beyond INT32": ([Column("a", "INT32")], [one([1, 1], [2**40], "INT64")], "outside the range"),
    "numbers for a model of booleans": ([Column("a", "BOOL")], [one([1, 1], [1], "INT64")], "booleans"),
    "a number where text belongs": (MIXED, [one([1, 4], [1.5, 7, 3, True], "BYTES")], "column 'shade' takes text"),
    "text where a number belongs": (MIXED, [one([1, 4], ["1", "a", 3, True], "BYTES")], "column 'size' takes numbers"),
    "a fraction where a whole number belongs": (MIXED, [one([1, 4], [1, "a", 3.5, True], "BYTES")], "column 'count'"),
    "a column of another length": (NUMBERS, [one([2], [1, 2], name="a"), one([1], [1], name="b")], "[2] or [2, 1]"),
    "a column named twice": (NUMBERS, [one([1], [1], name="a"), one([1], [1], name="a")], "missing: b"),
    "a boolean tensor with numbers": (NUMBERS, [one([1, 2], [1, 0], "BOOL")], "no BOOL"),
    "an object in the data": (NUMBERS, [one([1, 2], [{}, 1])], "no number"),
    "data that are no list": (NUMBERS, [one([1, 2], "12")], "no list `data`"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_it_refuses(name: str) -> None:
    columns, inputs, part = REFUSED[name]
    with pytest.raises(RequestError) as caught:
        decode(columns, *inputs)
    assert caught.value.status == 400
    assert part in caught.value.sentence

"""What the short way reads it reads as the long way does, and what it does not read it leaves to it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from serin_contract.bundle import Column
from serin_serving import oip, plain_tensor
from serin_serving.errors import RequestError
from serin_serving.layout import Layout

WIDTH = 3
LAYOUTS = {kind: Layout([Column(str(index), kind) for index in range(WIDTH)]) for kind in ("FP64", "FP32", "INT64")}


def tensor(data: Any, **changes: Any) -> dict[str, Any]:
    return {"name": "x", "shape": [2, WIDTH], "datatype": "FP64", "data": data, **changes}


FLAT = [1.5, 2, 3, 4, 5, 6]
READ = {
    "a flat list": tensor(FLAT),
    "nested lists": tensor([FLAT[:3], FLAT[3:]]),
    "another datatype of floats": tensor(FLAT, datatype="FP32"),
    "booleans among floats, which count as numbers": tensor([1.5, True, False, 1, 1, 1]),
}


@pytest.mark.parametrize("name", READ)
def test_it_reads(name: str) -> None:
    found = plain_tensor.read([READ[name]], LAYOUTS["FP64"])
    expected, _ = oip._matrix([READ[name]], LAYOUTS["FP64"])
    assert found is not None
    assert found.dtype == expected.dtype
    assert found.tobytes() == expected.tobytes()
    assert found.shape == expected.shape


LEFT: dict[str, Any] = {
    "whole numbers only": tensor([1, 2, 3, 4, 5, 6]),
    "a gap": tensor([None, *FLAT[1:]]),
    "a text among numbers": tensor(["1.5", *FLAT[1:]]),
    "a datatype of whole numbers": tensor(FLAT, datatype="INT64"),
    "a datatype that is a list": tensor(FLAT, datatype=[]),
    "no name": tensor(FLAT, name=""),
    "a name that is too long": tensor(FLAT, name="x" * 1025),
    "no shape": tensor(FLAT, shape=None),
    "a shape of one number": tensor(FLAT, shape=[6]),
    "a shape with a boolean": tensor(FLAT[:3], shape=[True, WIDTH]),
    "no rows": tensor([], shape=[0, WIDTH]),
    "more rows than there may be": tensor([1.5] * 3 * 4097, shape=[4097, WIDTH]),
    "another width": tensor(FLAT, shape=[3, 2]),
    "too few values": tensor(FLAT[:5]),
    "nested lists of another shape": tensor([FLAT[:2], FLAT[2:4], FLAT[4:]]),
    "uneven lists": tensor([FLAT[:2], FLAT[2:]]),
    "data that are no list": tensor("1.5"),
}


@pytest.mark.parametrize("name", LEFT)
def test_it_leaves_to_the_long_way(name: str) -> None:
    assert plain_tensor.read([LEFT[name]], LAYOUTS["FP64"]) is None


@pytest.mark.parametrize("kind", ["FP32", "INT64"])
def test_it_leaves_other_models_to_the_long_way(kind: str) -> None:
    assert plain_tensor.read([tensor(FLAT)], LAYOUTS[kind]) is None


def test_it_leaves_two_tensors_to_the_long_way() -> None:
    assert plain_tensor.read([tensor(FLAT), tensor(FLAT)], LAYOUTS["FP64"]) is None


@given(
    some.lists(some.one_of(some.floats(allow_nan=False, allow_infinity=False), some.integers()), min_size=6, max_size=6)
)
def test_any_numbers_are_read_as_the_long_way_reads_them(values: list[float]) -> None:
    body = json.dumps({"inputs": [tensor(values)]}).encode()
    try:
        request = oip.decode_infer(body, LAYOUTS["FP64"])
    except RequestError:
        # A whole number that no double holds.
        return
    expected = np.array([float(value) for value in json.loads(body)["inputs"][0]["data"]])
    assert request.matrix.ravel().tobytes() == expected.tobytes()
    assert not request.is_finite or np.isfinite(request.matrix).all()

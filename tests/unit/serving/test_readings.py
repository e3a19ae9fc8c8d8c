from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serin_contract.profile import CategoryFeature, Feature, NumericFeature, PredictionBins, Profile, row_scalar
from serin_serving.bins import Binner, CohortBins
from serin_serving.model import Answers
from serin_serving.readings import Columns, Reading, numbers


def number(name: str, **changes: Any) -> NumericFeature:
    values: dict[str, Any] = {"edges": [2.0], "counts": [0.0] * 3, "minimum": 0.0, "maximum": 4.0}
    return NumericFeature(name, **{**values, **changes})


def text(name: str) -> CategoryFeature:
    return CategoryFeature(name, ["x"], [1.0, 0.0, 0.0])


def profile(*features: Feature) -> Profile:
    return Profile(list(features), PredictionBins("regression", [], [], [0.0]), rows=0)


COLUMNS = Columns(["a", "b", "words"], [False, False, True])

READINGS: dict[str, tuple[list[Feature], list[Reading | None]]] = {
    "a column of numbers": ([number("b")], [Reading((1,), "value")]),
    "a column of numbers under another name": ([number("x", column="b")], [Reading((1,), "value")]),
    "a column of texts": ([text("words")], [Reading((2,), None)]),
    "the length of a text": ([number("long", of="length", column="words")], [Reading((2,), "length")]),
    "the length of a number": ([number("a", of="length")], [None]),
    "the number of a text": ([number("words")], [None]),
    "the texts of a column of numbers": ([text("a")], [None]),
    "a column that the model lacks": ([number("c"), text("d")], [None, None]),
    "the norm of the row's numbers": (
        [number("b"), number("a"), number("size", of="norm", column="")],
        [Reading((1,), "value"), Reading((0,), "value"), Reading((1, 0), "norm")],
    ),
    "the mean where the model lacks a column": (
        [number("a"), number("c"), number("middle", of="mean", column="")],
        [Reading((0,), "value"), None, None],
    ),
    "the mean of no numbers": ([text("words"), number("middle", of="mean", column="")], [Reading((2,), None), None]),
}


@pytest.mark.parametrize("name", READINGS)
def test_a_feature_is_read_from(name: str) -> None:
    features, expected = READINGS[name]
    assert COLUMNS.readings(profile(*features)) == expected


# Whole numbers add up exactly, in whatever order.
cells = st.one_of(st.integers(-1000, 1000).map(float), st.sampled_from([math.nan, math.inf, 0.0]))
rows = st.integers(1, 40).flatmap(
    lambda width: st.lists(st.lists(cells, min_size=width, max_size=width), min_size=1, max_size=6)
)


@given(rows, st.sampled_from(["mean", "norm"]))
def test_the_scalars_of_a_row_are_those_of_the_contract(drawn: list[list[float]], of: Literal["mean", "norm"]) -> None:
    found = numbers(np.array(drawn), [Reading(tuple(range(len(drawn[0]))), of)])[0]
    np.testing.assert_array_equal(found, [row_scalar(of, row) for row in drawn])


@given(st.integers(1, 768), st.integers(0, 1000))
def test_normalised_vectors_have_one_norm(width: int, seed: int) -> None:
    vectors = np.random.default_rng(seed).normal(size=(3, width))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    assert numbers(vectors, [Reading(tuple(range(width)), "norm")]).tolist() == [[1.0, 1.0, 1.0]]


LENGTHS = {"an empty text": ("", 0), "four characters": ("äöü😀", 4), "no text": (None, math.nan)}


@pytest.mark.parametrize("name", LENGTHS)
def test_the_length_of(name: str) -> None:
    value, expected = LENGTHS[name]
    found = numbers(np.array([[value]], dtype=object), [Reading((0,), "length")])[0, 0]
    assert found == expected or (math.isnan(found) and math.isnan(expected))


def test_lengths_and_scalars_are_counted_like_any_number() -> None:
    own = profile(
        number("a"),
        number("b", edges=[], counts=[0.0] * 2),
        number("words", of="length"),
        number("size", of="norm", column=""),
    )
    matrix = np.array([[3.0, 4.0, "long text"], [0.0, 0.0, ""], [math.nan, math.nan, None]], dtype=object)
    bins = CohortBins(Binner(own, None, ["a", "b", "words"], [False, False, True], []))
    for row in matrix:
        bins.add(row.reshape(1, 3), Answers([0.0], np.zeros(1)))
    assert bins.counts()[0].features == [1, 1, 1, 2, 1, 1, 1, 1, 1, 1, 1]
    quality = bins.quality()
    assert quality is not None
    assert (quality.missing, quality.above) == ([1, 1, 1, 1], [0, 0, 1, 1])

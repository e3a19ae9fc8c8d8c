from __future__ import annotations

import math
from bisect import bisect_right
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serin_bundle.edges import quantile_edges
from serin_bundle.features import FeatureTally, plan_features
from serin_bundle.folds import OutOfFold
from serin_bundle.profile import build_profile
from serin_bundle.table import read_table
from serin_contract.profile import BINS_MAX, CATEGORIES_MAX, CategoryFeature, Feature, NumericFeature


def features(data: Any) -> list[Feature]:
    table = read_table(data)
    tally = FeatureTally(plan_features(table), table.columns)
    tally.add(table.matrix)
    return tally.features()


columns = st.lists(
    st.one_of(st.just(math.nan), st.floats(-1e6, 1e6), st.integers(0, 3).map(float)), min_size=1, max_size=400
)


@given(columns)
def test_training_rows_fall_in_the_bins_of_the_contract(values: list[float]) -> None:
    [feature] = features(np.array([values]).T)
    assert isinstance(feature, NumericFeature)
    expected = [0.0] * feature.bins
    for value in values:
        expected[-1 if math.isnan(value) else bisect_right(feature.edges, value)] += 1
    assert feature.counts == expected
    assert feature.edges == sorted(set(feature.edges))
    assert len(feature.edges) < BINS_MAX
    assert all(feature.counts[:-1]) or not any(feature.counts[:-1])


EDGES = {
    "ten bins of many rows": (np.arange(1000.0), 9),
    "five bins of 178 rows": (np.arange(178.0), 4),
    "two bins of fifty rows": (np.arange(50.0), 1),
    "one bin of fewer rows": (np.arange(29.0), 0),
    "ten bins of ten values": (np.arange(1000.0) % 10, 9),
    "a bin of the zeros, and of the rest": (np.where(np.arange(1000) < 700, 0.0, np.arange(1000.0)), 8),
    "two bins of a yes and a no": (np.array([0.0, 1.0] * 200), 1),
    "one bin of a constant": (np.ones(300), 0),
    "no bins of nothing": (np.empty(0), 0),
}


@pytest.mark.parametrize("name", EDGES)
def test_there_are_edges_for(name: str) -> None:
    values, count = EDGES[name]
    assert len(quantile_edges(values, BINS_MAX)) == count


def test_the_most_frequent_texts_have_a_bin_of_their_own() -> None:
    values = [f"t{index:02}" for index in range(25) for _ in range(30 - index)] + [None] * 3
    [feature] = features(np.array([values], dtype=object).T)
    assert isinstance(feature, CategoryFeature)
    assert feature.categories == [f"t{index:02}" for index in range(CATEGORIES_MAX)]
    assert feature.counts[-2:] == [sum(30 - index for index in range(20, 25)), 3]
    assert sum(feature.counts) == len(values)


@given(st.integers(2, 4), st.integers(2, 300), st.booleans())
def test_predictions_are_counted_class_by_class(classes: int, rows: int, sure: bool) -> None:
    rng = np.random.default_rng(rows)
    predicted = rng.integers(0, classes, rows)
    confidence = None if sure else rng.uniform(0.5, 1, rows)
    table = read_table(np.zeros((rows, 1)))
    found = build_profile(table, OutOfFold(predicted, confidence, 2), list(range(classes))).prediction
    width = len(found.edges) + 1
    per_class = [sum(found.counts[start : start + width]) for start in range(0, len(found.counts), width)]
    assert per_class == np.bincount(predicted, minlength=classes).tolist()
    assert found.bins == len(found.counts)


TYPES = {
    "float64": (np.zeros((2, 1)), "FP64"),
    "float32": (np.zeros((2, 1), np.float32), "FP32"),
    "float16": (np.zeros((2, 1), np.float16), "FP32"),
    "int64": (np.zeros((2, 1), np.int64), "INT64"),
    "uint32": (np.zeros((2, 1), np.uint32), "INT64"),
    "uint64": (np.zeros((2, 1), np.uint64), "FP64"),
    "int8": (np.zeros((2, 1), np.int8), "INT32"),
    "bool": (np.zeros((2, 1), np.bool_), "BOOL"),
    "text": (np.array([["a"], ["b"]]), "BYTES"),
    "objects of text and None": (np.array([["a"], [None]], object), "BYTES"),
    "objects of numbers and None": (np.array([[1], [None]], object), "FP64"),
    "objects of booleans": (np.array([[True], [False]], object), "BOOL"),
    "objects of nothing": (np.array([[None], [None]], object), "FP64"),
}


@pytest.mark.parametrize("name", TYPES)
def test_a_column_is_read_as(name: str) -> None:
    data, expected = TYPES[name]
    assert [column.datatype for column in read_table(data).columns] == [expected]

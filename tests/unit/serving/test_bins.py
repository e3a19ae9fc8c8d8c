from __future__ import annotations

import math
from bisect import bisect_right
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serin_contract.profile import CategoryFeature, Feature, NumericFeature, PredictionBins, Profile
from serin_contract.stats import BinCounts, QualityCounts
from serin_serving.bins import FOLD_REQUESTS, Binner, CohortBins, PredictionBinner
from serin_serving.model import Answers

values = st.one_of(st.floats(allow_nan=True), st.integers(-5, 5).map(float))
edges = st.lists(st.integers(-5, 5).map(float), unique=True, max_size=9).map(sorted)
texts = st.lists(st.sampled_from("abcdef"), unique=True, max_size=5)


def numeric(name: str, inner: list[float], low: float | None = None, high: float | None = None) -> NumericFeature:
    return NumericFeature(name, inner, [0.0] * (len(inner) + 2), low, high)


def category(name: str, listed: list[str], others: float = 0.0) -> CategoryFeature:
    return CategoryFeature(name, listed, [*([1.0] * len(listed)), others, 0.0])


def profile(*features: Feature) -> Profile:
    return Profile(list(features), PredictionBins("regression", [], [], [0.0]), rows=0)


def counted(own: Profile, stable: Profile | None, columns: dict[str, list[Any]], *, rows_each: int = 1) -> CohortBins:
    """The bins of these columns; a column with a text is one of texts."""
    text = [any(isinstance(value, str) for value in column) for column in columns.values()]
    matrix = np.array(list(columns.values()), dtype=object if any(text) else np.float64).T
    bins = CohortBins(Binner(own, stable, list(columns), text, []))
    for start in range(0, len(matrix), rows_each):
        rows = matrix[start : start + rows_each]
        bins.add(rows, Answers([0.0] * len(rows), np.zeros(len(rows))))
    return bins


def own_bins(own: Profile, **columns: list[Any]) -> list[float]:
    return counted(own, None, columns).counts()[0].features


def quality(own: Profile, **columns: list[Any]) -> QualityCounts:
    found = counted(own, None, columns).quality()
    assert found is not None
    return found


def expected_numeric(inner: list[float], column: list[float]) -> list[float]:
    sums = [0.0] * (len(inner) + 2)
    for value in column:
        sums[-1 if math.isnan(value) else bisect_right(inner, value)] += 1
    return sums


@given(edges, edges, st.lists(values, min_size=1, max_size=40))
def test_a_value_falls_in_the_bin_of_the_contract_on_either_profile(
    ours: list[float], theirs: list[float], column: list[float]
) -> None:
    own, stable = profile(numeric("a", ours, -1, 2)), profile(numeric("a", theirs, -3, 3))
    found, others = counted(own, stable, {"a": column}).counts()
    assert found.features == expected_numeric(ours, column)
    assert others is not None
    assert others.features == expected_numeric(theirs, column)


@given(texts, texts, st.lists(st.one_of(st.none(), st.sampled_from("abcdefgh")), max_size=40))
def test_a_text_falls_in_the_bin_of_the_contract_on_either_profile(
    ours: list[str], theirs: list[str], column: list[str | None]
) -> None:
    column = [*column, "z"]
    bins = counted(profile(category("a", ours)), profile(category("a", theirs)), {"a": column}).counts()
    for listed, found in zip((ours, theirs), bins, strict=True):
        assert found is not None
        others = sum(value is not None and value not in listed for value in column)
        assert found.features == [*(column.count(name) for name in listed), others, column.count(None)]


@given(st.lists(st.floats(0, 10, exclude_max=True), min_size=1, max_size=40))
def test_equal_bins_count_like_numpys_histogram(column: list[float]) -> None:
    found = own_bins(profile(numeric("a", [2.0, 4.0, 6.0, 8.0], 1.0, 7.0)), a=column)
    assert found[:-1] == np.histogram(column, bins=5, range=(0, 10))[0].tolist()
    assert found[-1] == 0


@pytest.mark.parametrize("edges", [253, 254, 255, 256, 600])
def test_a_feature_may_have_more_bins_than_a_byte_can_count(edges: int) -> None:
    column = [-0.5, 0.5, edges - 1.5, edges - 0.5]
    found = own_bins(profile(numeric("a", [float(place) for place in range(edges)], 0.0, float(edges))), a=column)
    assert {place for place, count in enumerate(found) if count} == {0, 1, edges - 1, edges}


@given(st.integers(1, 7), st.integers(1, 2 * FOLD_REQUESTS))
def test_each_row_weighs_one_part_of_its_request(rows_each: int, requests: int) -> None:
    column = [float(place % 5) for place in range(rows_each * requests)]
    bins = counted(profile(numeric("a", [2.0], 1.0, 3.0)), None, {"a": column}, rows_each=rows_each)
    found = bins.quality()
    assert found is not None
    assert sum(bins.counts()[0].features) == pytest.approx(requests)
    assert found.rows == requests
    assert found.below[0] == pytest.approx(column.count(0.0) / rows_each)
    assert found.above[0] == pytest.approx(column.count(4.0) / rows_each)


def test_the_layout_is_the_profiles_whatever_the_model_has() -> None:
    own = profile(numeric("gone", [0.0]), numeric("a", [0.0]), category("b", ["x"]), numeric("c", []))
    # `gone` is not in the model, `b` is text in the profile and a number in the model.
    found = own_bins(own, c=[1.0], b=[2.0], a=[3.0])
    assert found == [0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0]
    assert quality(own, c=[math.nan], b=[2.0], a=[3.0]).missing == [0, 0, 0, 1]


COLUMNS: dict[str, tuple[Feature, list[Any], list[float]]] = {
    "a constant column": (numeric("a", [], 3, 3), [3.0, 3.0, 4.0, math.nan], [3, 1]),
    "a column that is mostly zero": (numeric("a", [0.5], 0, 9), [0.0, 0.0, 0.0, 7.0], [3, 1, 0]),
    "a column that training never saw filled": (numeric("a", []), [math.nan, 1.0], [1, 1]),
    "infinities": (numeric("a", [0.0], -1, 1), [-math.inf, math.inf], [1, 1, 0]),
    "texts beyond the listed ones": (category("a", ["x"]), ["x", "y", None], [1, 1, 1]),
    "a column of texts that training never saw filled": (category("a", []), ["x", None], [1, 1]),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_the_bins_of(name: str) -> None:
    feature, column, expected = COLUMNS[name]
    assert own_bins(profile(feature), a=column) == expected


QUALITY: dict[str, tuple[Feature, list[Any], tuple[float, float, float, float]]] = {
    "values within the range": (numeric("a", [5.0], 0, 10), [0.0, 5.0, 10.0], (0, 0, 0, 0)),
    "values a tenth of the range outside": (numeric("a", [5.0], 0, 10), [-1.0, 11.0], (0, 0, 0, 0)),
    "values farther outside": (numeric("a", [5.0], 0, 10), [-1.0001, 11.0001, 12.0], (0, 0, 1, 2)),
    "infinities": (numeric("a", [5.0], 0, 10), [-math.inf, math.inf], (0, 0, 1, 1)),
    "missing numbers": (numeric("a", [5.0], 0, 10), [math.nan, 1.0], (1, 0, 0, 0)),
    "other values of a constant column": (numeric("a", [], 3, 3), [3.0, 2.999, 3.001, math.nan], (1, 0, 1, 1)),
    "numbers where training saw none": (numeric("a", []), [1.0, math.nan], (1, 0, 0, 0)),
    "a range as wide as floats are": (numeric("a", [], -1.7e308, 1.7e308), [-1.7e308, 1e308, math.inf], (0, 0, 0, 1)),
    "texts that are listed": (category("a", ["x", "y"]), ["x", "y"], (0, 0, 0, 0)),
    "texts that training never saw": (category("a", ["x"]), ["x", "y", "z", None], (1, 2, 0, 0)),
    "texts where training saw more than are listed": (category("a", ["x"], others=3), ["x", "y", None], (1, 0, 0, 0)),
}


@pytest.mark.parametrize("name", QUALITY)
def test_the_quality_of(name: str) -> None:
    feature, column, expected = QUALITY[name]
    found = quality(profile(feature), a=column)
    assert (found.missing[0], found.unseen[0], found.below[0], found.above[0]) == expected
    assert found.rows == len(column)


def test_quality_is_told_by_the_own_profile_alone() -> None:
    own, stable = profile(numeric("a", [], 0, 10), category("b", ["x"])), profile(numeric("a", [], 5, 6))
    found = counted(own, stable, {"a": [0.0, 10.0], "b": ["x", "y"]}).quality()
    assert found is not None
    assert (found.below, found.above, found.unseen) == ([0, 0], [0, 0], [0, 1])


def test_a_model_without_features_of_its_profile_has_no_quality() -> None:
    assert counted(profile(numeric("gone", [])), None, {"a": [1.0]}).quality() is None


PREDICTIONS = {
    "class by class in the profile's order": (["no", "yes"], ["yes", "no"], [0.5], [0, 1], [0.2, 0.9], [0, 1, 1, 0]),
    "a class that the profile lacks in no bin": (["no"], ["no", "maybe"], [0.5], [0, 1], [0.5, 0.9], [0, 1]),
    "equal numbers as one class": ([0, 1], [False, True], [], [1], [1.0], [0, 1]),
    "nothing where the other is a regressor": ([], ["no"], [0.5], [0], [0.2], [0, 0]),
}


@pytest.mark.parametrize("name", PREDICTIONS)
def test_predictions_are_counted(name: str) -> None:
    theirs, ours, inner, classes, score, expected = PREDICTIONS[name]
    bins = PredictionBins("classification" if theirs else "regression", theirs, inner, [])
    found = PredictionBinner(bins, ours).count(np.array(classes), np.array(score), np.ones(len(classes)))
    assert found.tolist() == expected


def test_values_of_a_regressor_are_counted_on_its_edges() -> None:
    binner = PredictionBinner(PredictionBins("regression", [], [0.0, 10.0], []), [])
    assert binner.count(None, np.array([-1.0, 0.0, 20.0]), np.full(3, 0.25)).tolist() == [0.25, 0.25, 0.25]


def test_nothing_counted_is_a_row_of_zeros() -> None:
    bins = CohortBins(Binner(profile(numeric("a", [0.0])), None, ["a"], [False], []))
    assert bins.counts()[0] == BinCounts(bins.counts()[0].profile_hash, [0, 0, 0], [0])

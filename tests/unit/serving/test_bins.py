from __future__ import annotations

import math
from bisect import bisect_right

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serin_contract.profile import CategoryFeature, Feature, NumericFeature, PredictionBins, Profile
from serin_serving.bins import Binner

values = st.one_of(st.floats(allow_nan=True), st.integers(-5, 5).map(float))
edges = st.lists(st.integers(-5, 5).map(float), unique=True, max_size=9).map(sorted)


def numeric(name: str, inner: list[float]) -> NumericFeature:
    return NumericFeature(name, inner, [0.0] * (len(inner) + 2))


def category(name: str, texts: list[str]) -> CategoryFeature:
    return CategoryFeature(name, texts, [0.0] * (len(texts) + 2))


def profile(features: list[Feature], classes: list[str | int | float | bool], inner: list[float]) -> Profile:
    kind = "classification" if classes else "regression"
    bins = max(1, len(classes)) * (len(inner) + 1)
    return Profile(features, PredictionBins(kind, classes, inner, [0.0] * bins), rows=0)


@given(edges, st.lists(values, min_size=1, max_size=40))
def test_a_value_falls_in_the_bin_of_the_contract(inner: list[float], column: list[float]) -> None:
    expected = [0.0] * (len(inner) + 2)
    for value in column:
        expected[-1 if math.isnan(value) else bisect_right(inner, value)] += 0.5
    binner = Binner(profile([numeric("a", inner)], [], []), ["a"], [False], [])
    found = binner.count_features(np.array(column).reshape(-1, 1), np.full(len(column), 0.5))
    assert found.tolist() == expected


@given(st.lists(st.floats(0, 10, exclude_max=True), min_size=1, max_size=40))
def test_equal_bins_count_like_numpys_histogram(column: list[float]) -> None:
    binner = Binner(profile([numeric("a", [2.0, 4.0, 6.0, 8.0])], [], []), ["a"], [False], [])
    found = binner.count_features(np.array(column).reshape(-1, 1), np.ones(len(column)))
    assert found[:-1].tolist() == np.histogram(column, bins=5, range=(0, 10))[0].tolist()
    assert found[-1] == 0


def test_texts_fall_in_their_own_bin_in_other_or_in_missing() -> None:
    binner = Binner(profile([category("shade", ["dark", "light"])], [], []), ["shade"], [True], [])
    column = np.array([["dark"], ["light"], ["dark"], ["red"], [None]], dtype=object)
    assert binner.count_features(column, np.ones(5)).tolist() == [2, 1, 1, 1]


def test_the_layout_is_the_profiles_whatever_the_model_has() -> None:
    features: list[Feature] = [numeric("gone", [0.0]), numeric("a", [0.0]), category("b", ["x"]), numeric("c", [])]
    binner = Binner(profile(features, [], []), ["c", "b", "a"], [False, False, False], [])
    found = binner.count_features(np.array([[1.0, 2.0, 3.0]]), np.ones(1))
    # `gone` is not in the model, `b` is text in the profile and a number in the model.
    assert found.tolist() == [0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0]


PREDICTIONS = {
    "class by class in the profile's order": (["no", "yes"], ["yes", "no"], [0.5], [0, 1], [0.2, 0.9], [0, 1, 1, 0]),
    "a class that the profile lacks in no bin": (["no"], ["no", "maybe"], [0.5], [0, 1], [0.5, 0.9], [0, 1]),
    "equal numbers as one class": ([0, 1], [False, True], [], [1], [1.0], [0, 1]),
    "nothing where the other is a regressor": ([], ["no"], [0.5], [0], [0.2], [0, 0]),
}


@pytest.mark.parametrize("name", PREDICTIONS)
def test_predictions_are_counted(name: str) -> None:
    theirs, ours, inner, classes, score, expected = PREDICTIONS[name]
    binner = Binner(profile([], theirs, inner), [], [], ours)
    found = binner.count_predictions(np.array(classes), np.array(score), np.ones(len(classes)))
    assert found.tolist() == expected


def test_values_of_a_regressor_are_counted_on_its_edges() -> None:
    binner = Binner(profile([], [], [0.0, 10.0]), [], [], [])
    assert binner.count_predictions(None, np.array([-1.0, 0.0, 20.0]), np.full(3, 0.25)).tolist() == [0.25, 0.25, 0.25]

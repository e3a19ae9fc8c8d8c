"""Profiles of rows that come in chunks."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_diabetes, load_wine
from sklearn.linear_model import Ridge, RidgeClassifier

from serin_bundle import BundleError, inspect, package
from serin_bundle.chunks import Frame, Rows, RowSample
from serin_bundle.features import FeatureTally, plan_features
from serin_bundle.folds import OutOfFold
from serin_bundle.profile import build_profile, build_profile_from_chunks, psi_smallest
from serin_bundle.table import read_table
from serin_contract import profile as profiles
from serin_contract.bundle import Column
from serin_contract.profile import CategoryFeature, NumericFeature, row_scalar
from serin_contract.rows import row_scalars

PREDICTIONS = OutOfFold(np.arange(60.0), None, 2)
COLUMNS = [Column("size", "FP64"), Column("shade", "BYTES")]


def table(rows: int, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    size, shade = rng.normal(size=rows).astype(object), rng.choice(np.array(["red", "blue", None], object), rows)
    size[::7] = None
    return np.array([size, shade], dtype=object).T


def in_chunks(rows: Any, size: int) -> Rows:
    def chunks() -> Iterator[Any]:
        for start in range(0, len(rows), size):
            yield rows[start : start + size]

    return chunks


@pytest.mark.parametrize("size", [1000, 64, 7])
def test_rows_in_chunks_have_the_profile_of_the_same_rows_in_memory(size: int) -> None:
    rows = table(700)
    whole = build_profile(read_table(rows, ["size", "shade"]), PREDICTIONS, [])
    assert build_profile_from_chunks(in_chunks(rows, size), COLUMNS, PREDICTIONS, []) == whole


samples = st.lists(st.integers(0, 400), min_size=1, max_size=5)


@given(samples, st.integers(1, 300), st.randoms(use_true_random=False))
def test_samples_of_parts_merge_to_the_same_in_any_order(sizes: list[int], rows_max: int, random: Any) -> None:
    def sample(part: int) -> RowSample:
        found = RowSample(rows_max, seed=part)
        found.add(np.full((sizes[part], 1), part) + np.arange(sizes[part]).reshape(-1, 1) / 1000)
        return found

    def merged(order: list[int]) -> Any:
        first, *rest = [sample(part) for part in order]
        for other in rest:
            first.merge(other)
        return first.rows()

    def merged_from_the_right(order: list[int]) -> Any:
        *rest, last = [sample(part) for part in order]
        for other in reversed(rest):
            other.merge(last)
            last = other
        return last.rows()

    order = list(range(len(sizes)))
    expected = merged(order)
    assert len(expected) == min(rows_max, sum(sizes))
    assert np.array_equal(merged_from_the_right(order), expected)
    random.shuffle(order)
    assert np.array_equal(merged(order), expected)


@given(st.lists(st.integers(1, 200), min_size=2, max_size=4))
def test_counts_of_parts_add_up_to_the_counts_of_all(sizes: list[int]) -> None:
    parts = [read_table(table(size, seed).astype(object), ["size", "shade"]) for seed, size in enumerate(sizes)]
    rows = np.concatenate([table(size, seed) for seed, size in enumerate(sizes)])
    plan = plan_features(read_table(rows, ["size", "shade"]))
    whole = FeatureTally(plan, COLUMNS)
    whole.add(np.concatenate([part.matrix for part in parts]))
    tallies = [FeatureTally(plan, COLUMNS) for _ in parts]
    for tally, part in zip(tallies, parts, strict=True):
        tally.add(part.matrix)
    for other in tallies[1:]:
        tallies[0].merge(other)
    assert tallies[0].features() == whole.features()


def test_a_few_sampled_rows_plan_bins_that_are_about_equally_full() -> None:
    sample = RowSample(5000)
    values = np.random.default_rng(1).exponential(size=200_000).reshape(-1, 1)
    for start in range(0, len(values), 10_000):
        sample.add(values[start : start + 10_000])
    tally = FeatureTally(plan_features(read_table(sample.rows())), [Column("x0", "FP64")])
    tally.add(values)
    assert np.array(tally.features()[0].counts[:-1]) == pytest.approx(20_000, rel=0.15)


WRONG = {
    "an iterator that ends": (lambda: iter(()), "hold no row"),
    "a list": ([np.zeros((2, 2))], "a function that yields chunks"),
    "a chunk that is no table": (lambda: [[1, 2]], "2-D numpy array or a data frame, not list"),
    "a column too few": (lambda: [Frame({"size": np.zeros(1)}, 1)], "lacks the column 'shade'; it has size"),
    "text among numbers": (lambda: [np.array([["big", "red"]], object)], "'size' is text in a chunk of rows and"),
    "an infinite value": (lambda: [np.array([[np.inf, "red"]], object)], "'size' holds an infinite value"),
    "a file that is not there": ("gone.csv", "cannot be read as CSV"),
}


@pytest.mark.parametrize("name", WRONG)
def test_rows_are_refused_for(name: str) -> None:
    rows, part = WRONG[name]
    with pytest.raises(BundleError, match=part):
        build_profile_from_chunks(rows, COLUMNS, PREDICTIONS, [])


def test_chunks_that_run_out_are_told() -> None:
    chunks = iter([table(50)])
    with pytest.raises(BundleError, match="50 rows the first time and 0 the second"):
        build_profile_from_chunks(lambda: chunks, COLUMNS, PREDICTIONS, [])


def test_a_model_is_packaged_with_the_profile_of_a_file(tmp_path: Path) -> None:
    wine = load_wine()
    with (tmp_path / "all.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["cultivar", *wine.feature_names])
        for _ in range(10):
            writer.writerows([label, *row] for row, label in zip(wine.data.tolist(), wine.target, strict=True))
    model = RidgeClassifier().fit(wine.data, wine.target)
    made = package(
        model,
        wine.data,
        wine.target,
        tmp_path / "wine",
        name="wine",
        feature_names=wine.feature_names,
        profile_rows=tmp_path / "all.csv",
    )
    profile = inspect(made.path).profile
    assert profile is not None
    assert profile.rows == 1780
    assert {sum(feature.counts) for feature in profile.features} == {1780}
    assert sum(profile.prediction.counts) == 178


def test_the_error_of_a_regressor_is_clipped_at_what_few_rows_exceed(tmp_path: Path) -> None:
    rows, values = load_diabetes(return_X_y=True)
    made = package(Ridge().fit(rows, values), rows, values, tmp_path / "d", name="d")
    profile = inspect(made.path).profile
    assert profile is not None
    assert profile.error_clip is not None
    assert 2 * made.metrics["rmse"] < profile.error_clip < 4 * made.metrics["rmse"]


def test_many_different_texts_are_profiled_by_their_length() -> None:
    rows = np.array([["x" * (index % 40) + f"{index:03}"] for index in range(400)] + [[None]], object)
    [feature] = build_profile(read_table(rows, ["note"]), PREDICTIONS, []).features
    assert isinstance(feature, NumericFeature)
    assert (feature.name, feature.of, feature.column) == ("length(note)", "length", "note")
    assert (feature.minimum, feature.maximum, feature.counts[-1]) == (3.0, 42.0, 1.0)


def test_few_texts_among_many_rows_stay_a_category() -> None:
    rows = np.array([["common"] if index % 3 else [f"rare{index}"] for index in range(300)], object)
    [feature] = build_profile(read_table(rows), PREDICTIONS, []).features
    assert isinstance(feature, CategoryFeature)


def test_a_wide_row_has_its_mean_and_norm_too() -> None:
    rows = np.random.default_rng(0).normal(size=(200, 65))
    rows[3] = np.nan
    rows[5, :40] = np.nan
    profile = build_profile(read_table(rows), PREDICTIONS, [])
    assert [feature.name for feature in profile.features[-2:]] == ["mean(row)", "norm(row)"]
    assert {len(feature.counts) for feature in profile.features[:-2]} == {5}
    for feature in profile.features[-2:]:
        assert isinstance(feature, NumericFeature)
        assert feature.source == ""
        assert feature.counts[-1] == 1.0
    assert profiles.decode(profiles.encode(profile)) == profile
    for of in ("mean", "norm"):
        for scaled in (rows, 1e60 * rows):
            expected = [row_scalar(of, row.tolist()) for row in scaled]
            assert row_scalars(of, scaled.T) == pytest.approx(expected, nan_ok=True), "beyond the range of FP32 as well"


NOISE = {
    "of two bins of fifty rows": ([25.0, 25.0, 0.0], 6.63 / 50),
    "of ten bins of ten million": ([1e6] * 10, 21.67 / 1e7),
    "of one bin, which shows nothing": ([50.0, 0.0], None),
}


@pytest.mark.parametrize("name", NOISE)
def test_the_smallest_psi(name: str) -> None:
    counts, expected = NOISE[name]
    assert psi_smallest(counts) == (None if expected is None else pytest.approx(expected, rel=0.01))

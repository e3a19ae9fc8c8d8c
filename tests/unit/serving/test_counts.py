from __future__ import annotations

from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serin_contract.http import STATS_BYTES_MAX
from serin_contract.profile import Feature, NumericFeature, PredictionBins, Profile
from serin_contract.stats import LATENCY_BOUNDS_SECONDS, SLOTS_MAX, PodStats, encode
from serin_serving.bins import FOLD_ROWS, Binner
from serin_serving.counts import Counts, Error, cohorts_that_fit, valid_cohort
from serin_serving.model import Answers

PROFILE = Profile(
    [NumericFeature("a", [0.0], [0.0, 0.0, 0.0])], PredictionBins("classification", [0, 1], [], [0.0, 0.0]), rows=0
)


def counts(kept: int = 3) -> Counts:
    return Counts(Binner(PROFILE, None, ["a"], [False], [0, 1]), kept)


def snapshot(counted: Counts) -> PodStats:
    return counted.snapshot("r", "pod", "start")


def predict(counted: Counts, cohort: str, rows: int, now: float = 0.0) -> None:
    answers = Answers([1] * rows, np.ones(rows), np.ones(rows, dtype=np.int64))
    counted.predicted(cohort, np.ones((rows, 1)), answers, now)


OUTCOMES = {
    "an answer": (200, (1, 0, 0)),
    "a refusal": (422, (1, 1, 0)),
    "a failure": (503, (1, 0, 1)),
}


@pytest.mark.parametrize("name", OUTCOMES)
def test_a_request_counts_as(name: str) -> None:
    status, expected = OUTCOMES[name]
    counted = counts()
    counted.answered("c", status, 0.001, 0)
    cohort = snapshot(counted).cohorts["c"]
    assert (cohort.requests, cohort.refused, cohort.failed) == expected


LATENCIES = {
    "the first bound": (0.001, 0),
    "just above it": (0.0011, 1),
    "the last bound": (10.0, 32),
    "ever": (99, 33),
}


@pytest.mark.parametrize("name", LATENCIES)
def test_the_bucket_of(name: str) -> None:
    seconds, bucket = LATENCIES[name]
    counted = counts()
    counted.answered("c", 200, seconds, 0)
    assert snapshot(counted).cohorts["c"].latency.index(1) == bucket


def test_a_person_finds_the_bound_that_he_would_choose() -> None:
    chosen = {0.001, 0.002, 0.005, 0.01, 0.02, 0.025, 0.05, 0.1, 0.2, 0.25, 0.5, 1, 2, 2.5, 5, 10}
    assert chosen <= set(LATENCY_BOUNDS_SECONDS)
    rises = [above / below for below, above in pairwise(LATENCY_BOUNDS_SECONDS)]
    assert min(rises) > 1
    assert max(rises) < 1.43


def test_a_refused_request_counts_once_in_the_latencies_and_once_in_the_reasons() -> None:
    counted = counts()
    counted.answered("c", 400, 0.001, 0, malformed="shape")
    counted.answered("c", 400, 0.001, 0, malformed="shape")
    counted.answered("c", 413, 0.001, 0)
    counted.answered("c", 500, 0.001, 0)
    counted.answered("c", 200, 0.001, 0)
    cohort = snapshot(counted).cohorts["c"]
    assert (cohort.requests, sum(cohort.latency)) == (5, 5)
    assert cohort.malformed == {"shape": 2, "other": 1}


def test_the_watched_cohort_outlives_any_number_of_late_labels_and_older_cohorts() -> None:
    counted = counts(kept=2)
    name = f"watch.{'r' * 63}.12.{'n' * 32}"
    assert valid_cohort([name.encode()]) == name
    predict(counted, name, 1, now=1000.5)
    for turn in range(100):
        counted.labelled(f"trial.{turn}.a", "r-1", 1.0, True, predicted_at=turn)
    predict(counted, name, 1, now=2000.5)
    assert snapshot(counted).cohorts[name].predictions == 2


@given(st.lists(st.integers(1, FOLD_ROWS), min_size=1, max_size=8))
def test_every_request_weighs_one_however_many_rows_it_has(sizes: list[int]) -> None:
    counted = counts()
    for rows in sizes:
        predict(counted, "c", rows)
    cohort = snapshot(counted).cohorts["c"]
    assert cohort.own_bins is not None
    assert (cohort.predictions, cohort.rows) == (len(sizes), sum(sizes))
    assert sum(cohort.own_bins.features) == pytest.approx(len(sizes))
    assert cohort.own_bins.prediction == pytest.approx([0, len(sizes)])


def test_the_cohort_with_the_oldest_newest_prediction_is_dropped() -> None:
    counted = counts(kept=2)
    predict(counted, "old", 1, now=1)
    predict(counted, "new", 1, now=2)
    predict(counted, "old", 1, now=3)
    predict(counted, "newest", 1, now=4)
    assert list(snapshot(counted).cohorts) == ["old", "newest"]
    assert snapshot(counted).cohorts_dropped == 1


def test_a_dropped_cohort_never_comes_back() -> None:
    counted = counts(kept=1)
    predict(counted, "old", 1, now=1)
    predict(counted, "new", 1, now=2)
    predict(counted, "old", 1, now=3)
    assert list(snapshot(counted).cohorts) == ["new"]


def test_a_late_label_pushes_no_living_cohort_out() -> None:
    counted = counts(kept=1)
    predict(counted, "living", 1, now=100)
    counted.labelled("ancient", "r-0", 1.0, True, predicted_at=5)
    assert list(snapshot(counted).cohorts) == ["living"]
    assert snapshot(counted).cohorts_dropped == 1


def test_labels_are_kept_by_the_revision_that_predicted() -> None:
    counted = counts()
    counted.labelled("c", "r-1", 0.5, True, predicted_at=1)
    counted.labelled("c", "r-2", 1.0, False, predicted_at=1)
    labels = snapshot(counted).cohorts["c"].labels
    assert (labels["r-1"].labelled, labels["r-1"].correct) == (0.5, 0.5)
    assert (labels["r-2"].labelled, labels["r-2"].correct) == (1.0, 0.0)


@given(
    st.lists(
        st.tuples(st.integers(0, 5_000), st.sampled_from(["", "r-1", "r-2"]), st.integers(1, 16), st.floats(0, 9)),
        max_size=120,
    )
)
def test_the_slots_sum_to_the_totals(happened: list[tuple[int, str, int, float]]) -> None:
    counted = counts()
    predict(counted, "c", 1, now=0)
    for at, revision, rows, error in happened:
        if revision:
            counted.labelled("c", revision, 1 / rows, Error(error, 5), predicted_at=at)
        else:
            predict(counted, "c", rows, now=at)
    cohort = snapshot(counted).cohorts["c"]
    assert len(cohort.slots) <= SLOTS_MAX
    assert all(slot.start % cohort.slot_seconds == 0 for slot in cohort.slots)
    assert sum(slot.predictions for slot in cohort.slots) == cohort.predictions
    for revision, total in cohort.labels.items():
        parts = [slot.labels[revision] for slot in cohort.slots if revision in slot.labels]
        for field, value in msgspec.structs.asdict(total).items():
            assert sum(getattr(part, field) for part in parts) == pytest.approx(value)


FITTING = {"a narrow model": (200, 32), "a wide model": (60_000, 6), "a model wider than any": (10**7, 2)}


@pytest.mark.parametrize("name", FITTING)
def test_the_stats_have_room_for_the_cohorts_of(name: str) -> None:
    numbers, cohorts = FITTING[name]
    assert cohorts_that_fit(numbers) == cohorts


def test_a_document_of_as_many_cohorts_as_fit_is_no_longer_than_the_operator_reads() -> None:
    features: list[Feature] = [
        NumericFeature(f"feature {place}", [float(edge) for edge in range(9)], [0.0] * 11, 0, 9) for place in range(900)
    ]
    wide = Profile(features, PROFILE.prediction, rows=0)
    names = [feature.name for feature in features]
    binner = Binner(wide, msgspec.structs.replace(wide, rows=1), names, [False] * 900, [0, 1])
    counted = Counts(binner)
    rows = np.random.default_rng(0).normal(4, 10, size=(7, 900))
    answers = Answers([1] * 7, np.ones(7), np.ones(7, dtype=np.int64))
    fitting = cohorts_that_fit(binner.numbers)
    for turn in range(fitting + 2):
        cohort, begin = f"wine-12345678.{turn}.{'n' * 32}", turn * 1_000_000
        for at in range(begin, begin + 72 * 3600, 3600):
            counted.predicted(cohort, rows, answers, at)
            for revision in ("wine-12345678", "wine-87654321"):
                counted.labelled(cohort, revision, 1 / 7, Error(1 / 3, 5), predicted_at=at)
    document = snapshot(counted)
    assert len(document.cohorts) == fitting
    assert STATS_BYTES_MAX / 3 < len(encode(document)) < STATS_BYTES_MAX


COHORTS = {
    "one header": ([b"wine-2.1.ab_C"], "wine-2.1.ab_C"),
    "no header": ([], ""),
    "two headers": ([b"a", b"b"], ""),
    "a line break": ([b"a\n"], ""),
    "128 characters": ([b"a" * 128], "a" * 128),
    "129 characters": ([b"a" * 129], ""),
    "letters of another alphabet": (["é".encode()], ""),
}


@pytest.mark.parametrize("name", COHORTS)
def test_the_cohort_of(name: str) -> None:
    headers, expected = COHORTS[name]
    assert valid_cohort(headers) == expected

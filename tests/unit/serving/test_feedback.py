from __future__ import annotations

import math
from typing import Any

import pytest

from serin_contract import ids
from serin_contract.bundle import Signature
from serin_contract.keys import KeyRing, derive_ring
from serin_contract.profile import PredictionBins, Profile
from serin_serving.bins import Binner
from serin_serving.counts import Counts
from serin_serving.error_clip import ERROR_MAX, ErrorClip
from serin_serving.feedback import Feedback, FeedbackReason
from serin_serving.recent import Recent

NOW = 1_000_000
OTHER = derive_ring({"m2": b"3" * 32}, "m2", "uid-of-wine")
RETIRED = derive_ring({"m0": b"0" * 32}, "m0", "uid-of-wine")


def profile(error_clip: float | None = None) -> Profile:
    return Profile([], PredictionBins("regression", [], [], [0.0]), rows=0, error_clip=error_clip)


def pod(classes: Any = (0, 1), task: Any = "classification", clip: float | None = None) -> tuple[Feedback, Counts]:
    counts = Counts(Binner(profile(), None, [], [], []))
    error_clip = ErrorClip("wine-1", profile(clip), None)
    return Feedback(Signature(task, [], list(classes)), "wine-1", counts, Recent(64, 4), error_clip), counts


def regressor(clip: float | None = 10.0) -> tuple[Feedback, Counts]:
    return pod(classes=(), task="regression", clip=clip)


def item(ring: KeyRing, label: Any, predictions: Any = (0,), **changes: Any) -> dict[str, Any]:
    values = {"revision": "wine-1", "cohort": "c", "predicted_at": NOW, **changes}
    row = values.pop("row", 0)
    return {"id": ids.sign(ring, predictions=list(predictions), **values), "label": label, "row": row}


REFUSED: dict[str, tuple[Any, FeedbackReason]] = {
    "an item without an id": (lambda _ring: {"label": 0}, FeedbackReason.Malformed),
    "a label that is a list": (lambda ring: item(ring, [0]), FeedbackReason.Malformed),
    "a label that is null": (lambda ring: item(ring, None), FeedbackReason.Malformed),
    "a negative row": (lambda ring: item(ring, 0, row=-1), FeedbackReason.Malformed),
    "a row that is a text": (lambda ring: item(ring, 0, row="0"), FeedbackReason.Malformed),
    "an item that is a text": (lambda _ring: "x", FeedbackReason.Malformed),
    "a row beyond the request": (lambda ring: item(ring, 0, row=1), FeedbackReason.NoSuchRow),
    "an id of another deployment": (lambda _ring: item(OTHER, 0), FeedbackReason.NotOurs),
    "an id that is noise": (lambda _ring: {"id": "noise", "label": 0}, FeedbackReason.NotOurs),
    "an id under a key that is gone": (lambda _ring: item(RETIRED, 0), FeedbackReason.KeyRetired),
    "an id from the future": (lambda ring: item(ring, 0, predicted_at=NOW + 61), FeedbackReason.FromFuture),
    "a label of no class": (lambda ring: item(ring, 2), FeedbackReason.UnknownClass),
    "a text for a number": (lambda ring: item(ring, "0"), FeedbackReason.UnknownClass),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_refuses(ring: KeyRing, name: str) -> None:
    make, reason = REFUSED[name]
    feedback, counts = pod()
    receipt = feedback.take([make(ring)], ring, NOW)
    assert [refused.reason for refused in receipt.refused] == [reason]
    assert receipt.status == (403 if reason is FeedbackReason.NotOurs else 422)
    assert counts.labels_refused == {reason: 1}
    assert counts.snapshot("r", "p", "s").cohorts == {}


COUNTED: dict[str, tuple[Any, tuple[float, float]]] = {
    "a hit": (lambda ring: item(ring, 0), (1, 1)),
    "a miss": (lambda ring: item(ring, 1), (1, 0)),
    "one row of four": (lambda ring: item(ring, 1, (0, 1, 0, 0), row=1), (0.25, 0.25)),
    "a float equal to the class": (lambda ring: item(ring, 0.0), (1, 1)),
    "a boolean equal to the class": (lambda ring: item(ring, True, (1,)), (1, 1)),
    "an id of a minute's future": (lambda ring: item(ring, 0, predicted_at=NOW + 60), (1, 1)),
}


@pytest.mark.parametrize("name", COUNTED)
def test_it_counts(ring: KeyRing, name: str) -> None:
    make, expected = COUNTED[name]
    feedback, counts = pod()
    assert feedback.take([make(ring)], ring, NOW).accepted == 1
    labels = counts.snapshot("r", "p", "s").cohorts["c"].labels["wine-1"]
    assert (labels.labelled, labels.correct) == expected


def test_a_label_of_a_repeated_request_is_accepted_and_counts_nowhere(ring: KeyRing) -> None:
    feedback, counts = pod()
    repeated = item(ring, 0, weight=0.0)
    assert feedback.take([repeated], ring, NOW).accepted == 1
    assert feedback.take([repeated], ring, NOW).duplicates == 1
    assert counts.snapshot("r", "p", "s").cohorts == {}


def test_another_revisions_classes_are_its_own(ring: KeyRing) -> None:
    feedback, counts = pod()
    feedback.take([item(ring, "new", ("new",), revision="wine-2")], ring, NOW)
    assert counts.snapshot("r", "p", "s").cohorts["c"].labels["wine-2"].correct == 1


def test_a_text_never_equals_a_number_of_another_revision(ring: KeyRing) -> None:
    feedback, counts = pod()
    feedback.take([item(ring, "1", (1,), revision="wine-2")], ring, NOW)
    labels = counts.snapshot("r", "p", "s").cohorts["c"].labels["wine-2"]
    assert (labels.labelled, labels.correct) == (1, 0)


def test_other_spellings_of_an_id_are_duplicates(ring: KeyRing) -> None:
    # Of 64 lengths of revision two thirds leave bits in the last character that base64 ignores.
    spelled = 0
    for length in range(3, 9):
        feedback, _ = pod()
        first = item(ring, 0, revision="r" * length)
        feedback.take([first], ring, NOW)
        for last in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_":
            other = {**first, "id": first["id"][:-1] + last}
            receipt = feedback.take([other], ring, NOW)
            assert receipt.accepted == 0
            spelled += receipt.duplicates
    assert spelled > 6


def test_a_mixed_post_is_answered_item_by_item(ring: KeyRing) -> None:
    feedback, _ = pod()
    good = item(ring, 0)
    receipt = feedback.take([good, good, item(OTHER, 0), item(ring, 5)], ring, NOW)
    assert (receipt.status, receipt.accepted, receipt.duplicates) == (200, 1, 1)
    assert [(refused.index, refused.reason) for refused in receipt.refused] == [
        (2, FeedbackReason.NotOurs),
        (3, FeedbackReason.UnknownClass),
    ]


REGRESSORS: dict[str, tuple[Any, Any, tuple[float, float, float, float]]] = {
    "an exact prediction": ([1.5], 1.5, (1, 0, 0, 0)),
    "too low by three": ([1.5], 4.5, (1, 3, 9, 81)),
    "too high by three": ([4.5], 1.5, (1, 3, 9, 81)),
    "a whole number for a label": ([1.5], 3, (1, 1.5, 2.25, 5.0625)),
    "half a request": ([1.0, 9.0], 3.0, (0.5, 1, 2, 8)),
    "farther off than the clip": ([0.0], 11.0, (1, 10, 100, 10_000)),
    "far beyond the range of floats": ([-1.5e308], 1.5e308, (1, 10, 100, 10_000)),
}


@pytest.mark.parametrize("name", REGRESSORS)
def test_of_a_regressor_the_error_counts(ring: KeyRing, name: str) -> None:
    predictions, label, expected = REGRESSORS[name]
    feedback, counts = regressor()
    assert feedback.take([item(ring, label, predictions)], ring, NOW).accepted == 1
    cohort = counts.snapshot("r", "p", "s").cohorts["c"]
    sums = cohort.labels["wine-1"]
    assert (sums.labelled, sums.error, sums.error_2, sums.error_4) == expected
    assert (sums.correct, cohort.error_clip) == (0, 10)


REFUSED_BY_REGRESSORS: dict[str, tuple[float | None, Any, Any, FeedbackReason]] = {
    "a text": (10, [1.5], "1.5", FeedbackReason.NotANumber),
    "a boolean": (10, [1.5], True, FeedbackReason.NotANumber),
    "infinity": (10, [1.5], math.inf, FeedbackReason.NotANumber),
    "not a number": (10, [1.5], math.nan, FeedbackReason.NotANumber),
    "a whole number beyond the range of floats": (10, [1.5], 10**400, FeedbackReason.NotANumber),
    "a number for the prediction of a classifier": (10, ["red"], 1.5, FeedbackReason.NotANumber),
    "a label where the profile has no clip": (None, [1.5], 1.5, FeedbackReason.NoErrorClip),
    "a label where the clip is zero": (0.0, [1.5], 1.5, FeedbackReason.NoErrorClip),
}


@pytest.mark.parametrize("name", REFUSED_BY_REGRESSORS)
def test_a_regressor_refuses(ring: KeyRing, name: str) -> None:
    clip, predictions, label, reason = REFUSED_BY_REGRESSORS[name]
    feedback, counts = regressor(clip)
    assert [refused.reason for refused in feedback.take([item(ring, label, predictions)], ring, NOW).refused] == [
        reason
    ]
    assert counts.snapshot("r", "p", "s").cohorts == {}
    assert counts.labels_refused == {reason: 1}


def test_labels_of_both_arms_are_clipped_alike(ring: KeyRing) -> None:
    feedback, counts = regressor()
    for revision in ("wine-1", "wine-2"):
        feedback.take([item(ring, 99.0, [0.0], revision=revision, cohort="wine-2.3.a")], ring, NOW)
    labels = counts.snapshot("r", "p", "s").cohorts["wine-2.3.a"].labels
    assert labels["wine-1"] == labels["wine-2"]


CLIPS: dict[str, tuple[float | None, float | None, str, float | None]] = {
    "stable's pod in the trial of another": (3.0, 2.0, "wine-2.1.a", 3.0),
    "the candidate's pod in its own trial": (3.0, 2.0, "wine-1.1.a", 2.0),
    "the candidate's pod while it is watched": (3.0, 2.0, "watch.wine-1.1.a", 2.0),
    "a pod whose stable has no clip": (3.0, None, "wine-1.1.a", 3.0),
    "a pod with stable's clip alone": (None, 2.0, "wine-2.1.a", None),
    "a revision whose name begins alike": (3.0, 2.0, "wine-11.1.a", 3.0),
    "a clip whose fourth power is infinite": (1e300, None, "wine-2.1.a", ERROR_MAX),
}


@pytest.mark.parametrize("name", CLIPS)
def test_the_clip_is_that_of_the_stable_of_the_trial(name: str) -> None:
    own, stable, cohort, expected = CLIPS[name]
    assert ErrorClip("wine-1", profile(own), profile(stable)).of(cohort) == expected


def test_a_pod_without_a_stable_has_its_own_clip_in_every_cohort() -> None:
    clip = ErrorClip("wine-1", profile(3.0), None)
    assert [clip.of(cohort) for cohort in ("wine-1.1.a", "watch.wine-1.1.a", "wine-2.1.a")] == [3.0, 3.0, 3.0]


def test_huge_errors_leave_finite_sums(ring: KeyRing) -> None:
    feedback, counts = regressor(clip=1e300)
    feedback.take([item(ring, 1e308, [-1e308]) for _ in range(100)], ring, NOW)
    sums = counts.snapshot("r", "p", "s").cohorts["c"].labels["wine-1"]
    assert math.isfinite(sums.error_4)


def test_a_full_bucket_forgets_its_oldest_entry() -> None:
    recent = Recent(buckets=1, slots=3)
    assert [recent.add(name, 0) for name in (b"a", b"b", b"a", b"c")] == [True, True, False, True]
    assert recent.add(b"d", 0)
    assert recent.add(b"a", 0)
    assert not recent.add(b"d", 0)


def test_rows_of_one_prediction_are_remembered_apart() -> None:
    recent = Recent(buckets=4, slots=8)
    assert all(recent.add(b"a", row) for row in range(8))
    assert not any(recent.add(b"a", row) for row in range(8))

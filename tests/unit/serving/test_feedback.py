from __future__ import annotations

from typing import Any

import pytest

from serin_contract import ids
from serin_contract.bundle import Signature
from serin_contract.keys import KeyRing, derive_ring
from serin_contract.profile import PredictionBins, Profile
from serin_serving.bins import Binner
from serin_serving.counts import Counts
from serin_serving.feedback import Feedback, FeedbackReason
from serin_serving.recent import Recent

NOW = 1_000_000
OTHER = derive_ring({"m2": b"3" * 32}, "m2", "uid-of-wine")
RETIRED = derive_ring({"m0": b"0" * 32}, "m0", "uid-of-wine")


def pod(classes: Any = (0, 1), task: Any = "classification") -> tuple[Feedback, Counts]:
    profile = Profile([], PredictionBins("regression", [], [], [0.0]), rows=0)
    counts = Counts(Binner(profile, [], [], []), None)
    return Feedback(Signature(task, [], list(classes)), "wine-1", counts, Recent(64, 4)), counts


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


def test_a_regressor_takes_no_labels(ring: KeyRing) -> None:
    feedback, _ = pod(classes=(), task="regression")
    assert feedback.take([item(ring, 1.5, (1.5,))], ring, NOW).refused[0].reason is FeedbackReason.NotClassification


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

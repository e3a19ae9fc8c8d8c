"""Labels that come back: which prediction they are for, whether it was right, and whether they count.

A label equals a prediction as JSON values do: texts by their characters, numbers and booleans by their value
(1, 1.0 and true are equal; 1 and "1" are not). For a regressor the label is a number, and how far it lies from the
prediction counts.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Any, Literal

import msgspec
import orjson

from serin_contract import ids
from serin_contract.bundle import Signature
from serin_contract.ids import Prediction, PredictionId
from serin_contract.keys import KeyRing
from serin_serving.counts import Counts, Error
from serin_serving.error_clip import ErrorClip
from serin_serving.errors import RequestError
from serin_serving.recent import Recent

ITEMS_MAX = 1000
FUTURE_SECONDS_MAX = 60
"""Clocks of two nodes may differ by this much."""


class FeedbackReason(StrEnum):
    """Why a label was refused; the closed set of keys in the stats and in the metrics."""

    Malformed = "Malformed"
    """It is no object with a text `id`, a scalar `label` and, where given, a whole `row`."""
    NotOurs = "NotOurs"
    """The id is not signed under this deployment's keys."""
    KeyRetired = "KeyRetired"
    """The key that signed the id is gone."""
    FromFuture = "FromFuture"
    """The id says that its prediction is yet to be made."""
    NoSuchRow = "NoSuchRow"
    """The prediction had fewer rows."""
    UnknownClass = "UnknownClass"
    """The label is none of the classes of the revision that predicted."""
    NotANumber = "NotANumber"
    """The model answers numbers, and the label or the prediction is no finite one."""
    NoErrorClip = "NoErrorClip"
    """The model answers numbers, and its profile does not say at what an error is clipped."""


_SENTENCES = {
    FeedbackReason.Malformed: (
        "an item needs `id` (text), `label` (text, number or boolean) and may have `row` (a whole number)"
    ),
    FeedbackReason.NotOurs: "the prediction id was not given by this deployment",
    FeedbackReason.KeyRetired: "the key that signed this prediction id has been retired",
    FeedbackReason.FromFuture: "the prediction id says that its prediction is yet to be made",
    FeedbackReason.NoSuchRow: "the prediction has fewer rows than `row` says",
    FeedbackReason.UnknownClass: "the label is none of the classes of the model that predicted",
    FeedbackReason.NotANumber: "the model answers numbers; the label, and what was predicted, must be finite ones",
    FeedbackReason.NoErrorClip: (
        "the model's profile has no `error_clip`, without which one label could outweigh all; package the model anew"
    ),
}


class Item(msgspec.Struct, frozen=True):
    """One label as it was posted."""

    id: str
    label: str | int | float | bool
    row: int = 0


class RefusedItem(msgspec.Struct, frozen=True):
    """One label that does not count."""

    index: int
    """Its place in the posted list."""
    reason: FeedbackReason
    message: str


class Receipt(msgspec.Struct, frozen=True):
    """What became of the posted labels."""

    accepted: int
    duplicates: int
    refused: list[RefusedItem]

    @property
    def status(self) -> int:
        """200 where any label was taken or known; otherwise 422, or 403 where no id was ours."""
        if self.accepted or self.duplicates or not self.refused:
            return 200
        return 403 if all(item.reason is FeedbackReason.NotOurs for item in self.refused) else 422


def decode_items(body: bytes) -> list[object]:
    """The posted labels, each still to be checked.

    Raises:
        RequestError: the body is neither an object nor a list (400), or too long a list (413).
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestError(400, f"the body is not JSON: {error.msg} at character {error.pos}") from error
    items = [document] if isinstance(document, dict) else document
    if not isinstance(items, list) or not items:
        raise RequestError(400, "the body must be one label object or a list of them")
    if len(items) > ITEMS_MAX:
        raise RequestError(413, f"at most {ITEMS_MAX} labels may be posted at once; these are {len(items)}")
    return items


class Feedback:
    """Checks labels against their prediction ids and counts them."""

    def __init__(
        self, signature: Signature, revision: str, counts: Counts, recent: Recent, error_clip: ErrorClip
    ) -> None:
        self._classifies = signature.task == "classification"
        self._error_clip = error_clip
        self._classes = frozenset(signature.classes)
        self._revision = revision
        self._counts = counts
        self._recent = recent

    def take(self, items: list[object], ring: KeyRing, now: float) -> Receipt:
        """Check and count posted labels.

        Args:
            items: as decode_items gives them.
            ring: the keys in use.
            now: Unix time in seconds.
        """
        accepted, duplicates = 0, 0
        refused: list[RefusedItem] = []
        for index, item in enumerate(items):
            outcome = self._take(item, ring, now)
            if outcome == "accepted":
                accepted += 1
            elif outcome == "duplicate":
                duplicates += 1
            else:
                self._counts.label_refused(outcome)
                refused.append(RefusedItem(index, outcome, _SENTENCES[outcome]))
        return Receipt(accepted, duplicates, refused)

    def _take(self, document: object, ring: KeyRing, now: float) -> Literal["accepted", "duplicate"] | FeedbackReason:
        item = _item(document)
        if item is None:
            return FeedbackReason.Malformed
        try:
            claimed = ids.verify(ring, item.id)
        except ids.UnknownKeyError:
            return FeedbackReason.KeyRetired
        except ValueError:
            return FeedbackReason.NotOurs
        outcome = self._objection(claimed, item, now) or self._outcome(claimed, item)
        if isinstance(outcome, FeedbackReason):
            return outcome
        # What the id says and not its text: base64 has several spellings of the same bytes.
        identity = claimed.nonce + claimed.predicted_at.to_bytes(8, "big", signed=True)
        if not self._recent.add(identity, item.row):
            return "duplicate"
        if claimed.weight > 0:
            self._counts.labelled(
                claimed.cohort,
                claimed.revision,
                claimed.weight / claimed.rows,
                outcome,
                predicted_at=claimed.predicted_at,
            )
        return "accepted"

    def _objection(self, claimed: PredictionId, item: Item, now: float) -> FeedbackReason | None:
        if claimed.predicted_at > now + FUTURE_SECONDS_MAX:
            return FeedbackReason.FromFuture
        if item.row >= claimed.rows:
            return FeedbackReason.NoSuchRow
        return None

    def _outcome(self, claimed: PredictionId, item: Item) -> bool | Error | FeedbackReason:
        predicted = claimed.predictions[item.row]
        if not self._classifies:
            return _error(predicted, item.label, self._error_clip.of(claimed.cohort))
        # Another revision may have other classes, unknown to this pod: its labels are taken as they are.
        if claimed.revision == self._revision and item.label not in self._classes:
            return FeedbackReason.UnknownClass
        return predicted == item.label


def _error(predicted: Prediction, label: Prediction, clip: float | None) -> Error | FeedbackReason:
    if not _is_finite(predicted) or not _is_finite(label):
        return FeedbackReason.NotANumber
    if clip is None:
        return FeedbackReason.NoErrorClip
    # The difference of two finite numbers may be infinite; it is clipped.
    return Error(abs(float(predicted) - float(label)), clip)


def _is_finite(value: Prediction) -> bool:
    if isinstance(value, (str, bool)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def encode_receipt(receipt: Receipt) -> bytes:
    """The receipt as JSON; where everything was refused, with the `error` sentence of the first."""
    document: dict[str, Any] = msgspec.to_builtins(receipt)
    if receipt.status != 200:
        document["error"] = receipt.refused[0].message
    return orjson.dumps(document)


def _item(document: object) -> Item | None:
    try:
        item = msgspec.convert(document, Item, strict=True)
    except msgspec.ValidationError:
        return None
    return item if 0 <= item.row < ids.ROWS_MAX else None

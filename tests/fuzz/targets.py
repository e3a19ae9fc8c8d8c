"""What is fuzzed: each target takes any bytes, and raises only where the server would have a bug."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from serin_contract import callers, ids
from serin_contract.bundle import Column, Signature
from serin_contract.keys import derive_ring
from serin_contract.profile import PredictionBins, Profile
from serin_serving.bins import Binner
from serin_serving.counts import Counts
from serin_serving.error_clip import ErrorClip
from serin_serving.errors import RequestError
from serin_serving.feedback import Feedback, decode_items, encode_receipt
from serin_serving.layout import Layout
from serin_serving.oip import InferRequest, decode_infer
from serin_serving.oip_binary import decode_binary, json_length
from serin_serving.oip_grpc import decode_message
from serin_serving.oip_messages import ModelInferRequest
from serin_serving.predict import decode_predict
from serin_serving.raw_tensors import encode_raw
from serin_serving.recent import Recent
from serin_serving.respelling import infer_body

RING = derive_ring({"m1": b"1" * 32}, "m1", "uid")
PROFILE = Profile([], PredictionBins("regression", [], [], [0.0]), rows=0)
SENTENCE_CHARS_MAX = 3 * 1024
NOW = 1_800_000_000.0
LAYOUTS = (
    Layout([Column("a", "FP64"), Column("b", "FP64")]),
    Layout([Column("a", "FP32")]),
    Layout([Column("a", "INT64"), Column("b", "INT64")]),
    Layout([Column("a", "BOOL"), Column("b", "BOOL")]),
    Layout([Column("a", "FP64"), Column("b", "INT32"), Column("c", "BOOL")]),
    Layout([Column("a", "BYTES"), Column("b", "FP64")]),
)
Target = Callable[[bytes], None]


def infer(data: bytes) -> None:
    """The JSON of the protocol."""
    for layout in LAYOUTS:
        _reads(layout, lambda layout=layout: decode_infer(data, layout))


def binary(data: bytes) -> None:
    """JSON with binary tensors behind it; the first line says the length of the JSON."""
    header, _, body = data.partition(b"\n")
    for layout in LAYOUTS:
        _reads(layout, lambda layout=layout: decode_binary(body, json_length(header or None, len(body)), layout))


def message(data: bytes) -> None:
    """A ModelInferRequest."""
    request: Any = ModelInferRequest()
    try:
        request.ParseFromString(data)
    # Whatever the parser says, it is no message.
    except Exception:  # noqa: BLE001
        return
    for layout in LAYOUTS:
        _reads(layout, lambda layout=layout: decode_message(request, layout))


def predict(data: bytes) -> None:
    """Rows and columns for people."""
    for layout in LAYOUTS:
        _reads(layout, lambda layout=layout: decode_predict(data, layout))


def prediction_id(data: bytes) -> None:
    """Prediction ids and callers' cookies: none that is made up holds."""
    text = data.decode("latin-1")
    assert callers.caller_of(text, RING) is None
    try:
        claimed = ids.verify(RING, text)
    except ValueError:
        return
    raise AssertionError(f"an id of {claimed.rows} rows was forged")


def feedback(data: bytes) -> None:
    """Labels, under an id that holds: `ID` in the data stands for it."""
    counts = Counts(Binner(PROFILE, None, [], [], []))
    signature = Signature("classification", [], classes=["a", 1, True])
    labels = Feedback(signature, "r", counts, Recent(64), ErrorClip("r", PROFILE, None))
    made = ids.sign(RING, "r", "c", int(NOW), ["a", 1, 0.5])
    try:
        items = decode_items(data.replace(b"ID", made.encode()))
    except RequestError as error:
        _refusal(error)
        return
    receipt = labels.take(items, RING, NOW)
    assert receipt.accepted + receipt.duplicates + len(receipt.refused) == len(items)
    cohorts = counts.snapshot("r", "pod", "start").cohorts
    labelled = cohorts["c"].labels["r"].labelled if cohorts else 0.0
    assert round(labelled * 3) == receipt.accepted <= 3, "a row counted twice"
    orjson.loads(encode_receipt(receipt))


def _reads(layout: Layout, decode: Callable[[], InferRequest]) -> None:
    try:
        request = decode()
    except RequestError as error:
        _refusal(error)
        return
    rows, width = request.matrix.shape
    assert 0 < rows <= ids.ROWS_MAX
    assert width == layout.width
    body = infer_body(request, layout)
    if body is not None:
        again = decode_infer(body, layout)
        assert repr(again.matrix.tolist()) == repr(request.matrix.tolist()), "the mirror would send other rows"
    if layout.type == "object":
        encode_raw([value or "" for value in request.matrix[:, 0]], "BYTES")


def _refusal(error: RequestError) -> None:
    assert 400 <= error.status < 500
    assert 0 < len(error.sentence) <= SENTENCE_CHARS_MAX
    # It goes to the caller as JSON.
    orjson.dumps(error.sentence)


TARGETS: dict[str, Target] = {
    "infer": infer,
    "binary": binary,
    "message": message,
    "predict": predict,
    "prediction_id": prediction_id,
    "feedback": feedback,
}

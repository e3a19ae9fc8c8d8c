"""A mirrored request: what stable was asked and what it answered, for the candidate to compare at once.

A POST to the stats port of a candidate's pod, as MessagePack, with its MAC in a header. Callers never see the
candidate's answer, and stable never waits for it.
"""

from __future__ import annotations

import msgspec

from serin_contract import seals
from serin_contract.ids import Prediction
from serin_contract.keys import KeyRing

NONCE_BYTES = 12
BODY_BYTES_MAX = 1024 * 1024
"""A request with a larger body is not mirrored."""
MIRRORED_BYTES_MAX = 2 * 1024 * 1024
"""The whole message: the body and what was answered."""
AGE_SECONDS_MAX = 30.0
"""How far `sent_at` may lie from the receiver's clock, either way."""
_PERSON = b"serin-mirrored"


class Mirrored(msgspec.Struct, frozen=True):
    """One request of the shadow traffic."""

    cohort: str
    body: bytes
    """As the caller sent it."""
    predictions: list[Prediction]
    """Stable's answer: class or value for each of the m rows. Empty where stable failed: the candidate then
    counts the request, so that errors are counted over the same requests in both arms, and compares nothing."""
    sent_at: float
    """Unix time in seconds at which stable answered; an old one is refused, so that none counts twice."""
    nonce: bytes
    """NONCE_BYTES that tell two equal requests apart, and one from its repetition."""
    tolerance: float = 0.0
    """As in the order: two numbers a and b agree within tolerance · max(|a|, |b|)."""


def encode(mirrored: Mirrored, ring: KeyRing) -> tuple[bytes, str]:
    """The message, and the value of the header `http.MIRRORED_MAC_HEADER`: key id and MAC."""
    data = msgspec.msgpack.encode(mirrored)
    return data, seals.seal(data, ring, _PERSON)


def decode(data: bytes, mac: str, ring: KeyRing) -> Mirrored:
    """Read a message whose MAC holds.

    Raises:
        seals.ForgedError: it is not signed by us.
        ValueError: it is no mirrored request; the text never quotes it.
    """
    seals.check(data, mac, ring, _PERSON)
    try:
        return msgspec.msgpack.decode(data, type=Mirrored)
    except msgspec.MsgspecError as error:
        raise ValueError(f"not a mirrored request: {error}") from error

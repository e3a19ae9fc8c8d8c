"""Prediction ids: signed and self-contained, so that any pod can count a label without a store or a join.

An id belongs to one answered request and says what was predicted for each of its m rows, by which revision,
under which cohort and when. A label names the id and a row. The MAC is keyed BLAKE2b (RFC 7693) of 96 bits.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os

import msgspec

from serin_contract.keys import KeyRing

MAC_BYTES = 12
NONCE_BYTES = 8
NONCES_DRAWN = 256
ROWS_MAX = 4096
ID_CHARS_MAX = 96 * 1024
HEADER_CHARS_MAX = 1024
"""A longer id stands in the body only: proxies limit headers."""

Prediction = str | int | float | bool


class PredictionId(msgspec.Struct, frozen=True, array_like=True):
    """What an id says once its MAC holds."""

    key_id: str
    revision: str
    cohort: str
    """Empty where the request was not split: direct calls and probes count in no cohort."""
    predicted_at: int
    """Unix time in seconds."""
    predictions: list[Prediction]
    """The class or value answered for each row; m is its length."""
    nonce: bytes
    weight: float = 1.0
    """What the request counts, before 1/m: 0 where its caller was counted in this cohort already."""

    @property
    def rows(self) -> int:
        """m: how many rows the request had. Each weighs 1/m."""
        return len(self.predictions)


class UnknownKeyError(ValueError):
    """The id was signed under a key that this pod no longer has."""


_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(PredictionId)


def sign(
    ring: KeyRing, revision: str, cohort: str, predicted_at: int, predictions: list[Prediction], weight: float = 1.0
) -> str:
    """A fresh id for one answered request, URL-safe."""
    body = _encoder.encode(PredictionId(ring.current, revision, cohort, predicted_at, predictions, _nonce(), weight))
    text = binascii.b2a_base64(_mac(ring.signing_key(), body) + body, newline=False)
    return text.translate(_URL_SAFE).rstrip(b"=").decode()


def verify(ring: KeyRing, text: str) -> PredictionId:
    """What the id says.

    Raises:
        UnknownKeyError: its key is gone from the ring.
        ValueError: it is malformed, too long or not signed by us. The text never quotes the id.
    """
    if len(text) > ID_CHARS_MAX:
        raise ValueError(f"a prediction id has at most {ID_CHARS_MAX} characters")
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        body = data[MAC_BYTES:]
        claimed = _decoder.decode(body)
    except (ValueError, msgspec.MsgspecError) as error:
        raise ValueError("this is not a prediction id of Serin") from error
    key = ring.key(claimed.key_id)
    if key is None:
        raise UnknownKeyError("the key that signed this prediction id has been retired")
    if not hmac.compare_digest(_mac(key, body), data[:MAC_BYTES]):
        raise ValueError("the signature of this prediction id does not hold")
    return claimed


class _Nonces:
    """Random bytes, drawn from the system for many ids at once. Each is given out once, whichever thread asks."""

    def __init__(self) -> None:
        self._drawn: list[bytes] = []

    def __call__(self) -> bytes:
        try:
            return self._drawn.pop()
        except IndexError:
            more = os.urandom(NONCE_BYTES * NONCES_DRAWN)
            self._drawn += [more[start : start + NONCE_BYTES] for start in range(0, len(more), NONCE_BYTES)]
            return os.urandom(NONCE_BYTES)


_nonce = _Nonces()


def _mac(key: bytes, body: bytes) -> bytes:
    return hashlib.blake2b(body, key=key, digest_size=MAC_BYTES).digest()

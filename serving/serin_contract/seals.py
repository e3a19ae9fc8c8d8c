"""Seals of what the operator and pods send each other: a key id and a keyed BLAKE2b (RFC 7693), in one header."""

from __future__ import annotations

import base64
import hashlib
import hmac

from serin_contract.keys import KeyRing

SEAL_BYTES = 16


class ForgedError(ValueError):
    """The message was not sealed under a key of this deployment."""


def seal(data: bytes, ring: KeyRing, person: bytes) -> str:
    """The value of the header: key id and MAC.

    Args:
        data: the whole message.
        ring: whose current key seals.
        person: tells this use of the key from others; at most 16 bytes.
    """
    return f"{ring.current}.{_mac(ring.signing_key(), data, person)}"


def check(data: bytes, sealed: str, ring: KeyRing, person: bytes) -> None:
    """Raise ForgedError unless the message was sealed under a key of the ring, for this use."""
    key_id, _, claimed = sealed.partition(".")
    key = ring.key(key_id)
    # As bytes: a header may hold characters that cannot be compared in constant time as text.
    if key is None or not hmac.compare_digest(_mac(key, data, person).encode(), claimed.encode()):
        raise ForgedError("the signature of this message does not hold")


def _mac(key: bytes, data: bytes, person: bytes) -> str:
    digest = hashlib.blake2b(data, key=key, digest_size=SEAL_BYTES, person=person).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

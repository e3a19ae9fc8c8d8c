"""The key of one ModelDeployment: derived from the operator's master key, mounted as a file in its pods."""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac

import msgspec

KEY_BYTES = 32
KEY_ID_CHARS_MAX = 16


class KeyRing(msgspec.Struct, frozen=True):
    """The keys a pod accepts, and the one it signs with. Two stand here while a master is being rotated."""

    current: str
    keys: dict[str, str]
    """Key id to the key in base64."""

    def signing_key(self) -> bytes:
        """The key that new ids are signed with."""
        return _decoded(self.keys[self.current])

    def key(self, key_id: str) -> bytes | None:
        """The key of that id, or None where it is gone."""
        encoded = self.keys.get(key_id)
        return None if encoded is None else _decoded(encoded)


@functools.lru_cache(maxsize=16)
def _decoded(encoded: str) -> bytes:
    return base64.b64decode(encoded)


def derive_key(master: bytes, deployment_uid: str) -> bytes:
    """The key of the deployment with that UID: HKDF-SHA256 (RFC 5869) with an empty salt.

    Raises:
        ValueError: the master key is shorter than 32 bytes.
    """
    if len(master) < KEY_BYTES:
        raise ValueError(f"a master key has at least {KEY_BYTES} bytes; this one has {len(master)}")
    extracted = hmac.digest(b"\0" * hashlib.sha256().digest_size, master, "sha256")
    return hmac.digest(extracted, b"serin.dev/deployment/" + deployment_uid.encode() + b"\x01", "sha256")


def derive_ring(masters: dict[str, bytes], current: str, deployment_uid: str) -> KeyRing:
    """The ring of one deployment from the operator's masters by id."""
    keys = {
        key_id: base64.b64encode(derive_key(master, deployment_uid)).decode()
        for key_id, master in sorted(masters.items())
    }
    return KeyRing(current=current, keys=keys)


def encode(ring: KeyRing) -> bytes:
    """The ring as the JSON of a keys file."""
    return msgspec.json.encode(ring)


def decode(data: bytes) -> KeyRing:
    """Read a keys file.

    Raises:
        ValueError: it is no ring, or its current key is not among its keys. The text holds no key.
    """
    try:
        ring = msgspec.json.decode(data, type=KeyRing)
        lengths = {len(base64.b64decode(key, validate=True)) for key in ring.keys.values()}
    except (msgspec.MsgspecError, ValueError) as error:
        raise ValueError("the keys file is no JSON object with `current` and `keys`") from error
    if ring.current not in ring.keys:
        raise ValueError("the keys file names a current key that it does not hold")
    if lengths != {KEY_BYTES}:
        raise ValueError(f"every key in the keys file must have {KEY_BYTES} bytes")
    return ring

"""Remember what was counted, in a fixed table, so that what comes twice counts once: a label or a mirrored request."""

from __future__ import annotations

import hashlib
import os

import numpy as np

BUCKETS = 2**16
SLOTS = 32
"""With a million entries spread at random a bucket overflows its slots once in about ten thousand."""


class Recent:
    """A fixed table of 8-byte digests. In a full bucket the oldest entry makes room.

    In 16 MiB two million digests fit, and of the last million fewer than one in a thousand is forgotten; a
    smaller table keeps that proportion. The digests are keyed at random in each process, so no caller can aim
    at a bucket.
    """

    def __init__(self, buckets: int = BUCKETS, slots: int = SLOTS) -> None:
        self._key = os.urandom(16)
        self._table = np.zeros((buckets, slots), dtype=np.uint64)
        self._next = np.zeros(buckets, dtype=np.uint8)

    def add(self, identity: bytes, row: int = 0) -> bool:
        """Remember one row of what has this identity; False where it is remembered already."""
        digest = hashlib.blake2b(identity + row.to_bytes(4, "big"), key=self._key, digest_size=8).digest()
        # Zero marks an empty slot.
        value = np.uint64(int.from_bytes(digest, "big") or 1)
        bucket = int(value) % len(self._table)
        slots = self._table[bucket]
        if (slots == value).any():
            return False
        place = int(self._next[bucket])
        slots[place] = value
        self._next[bucket] = (place + 1) % len(slots)
        return True

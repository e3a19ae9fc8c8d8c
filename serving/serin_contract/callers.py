"""Callers that stay with their arm: a cookie with a bucket, drawn once, that the route reads.

A caller's bucket is one of 100, drawn evenly and kept for good. In a trial the candidate's audience is as many
buckets as its weight has percent, counted from an offset that each trial draws anew: it only grows while the
weight rises, and is empty once the weight is 0. The route sends a caller with a cookie to the arm of its bucket
and splits callers without one by weight; the server that answers such a caller draws a bucket of its own arm.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from collections.abc import Iterable

import msgspec

from serin_contract.keys import KeyRing

BUCKETS = 100
MAC_BYTES = 9
_ID_BYTES = 9
_PERSON = b"serin-caller"
MAX_AGE_SECONDS = 180 * 24 * 3600


class Stickiness(msgspec.Struct, frozen=True):
    """What the route tells the server in `http.STICKINESS_HEADER`."""

    cookie: str
    candidate: str
    """Revision on trial; empty where nothing is split."""
    offset: int
    weight: int


def header_value(stickiness: Stickiness) -> str:
    """`cookie;candidate;offset;weight`."""
    return f"{stickiness.cookie};{stickiness.candidate};{stickiness.offset};{stickiness.weight}"


def parse_header(value: str) -> Stickiness | None:
    """What the route tells, or None where it is malformed: callers can send this header where no route sets it."""
    parts = value.split(";")
    if len(parts) != 4 or not parts[0] or len(value) > 512:
        return None
    cookie, candidate, offset, weight = parts
    if not (offset.isascii() and offset.isdigit() and weight.isascii() and weight.isdigit()):
        return None
    if int(offset) >= BUCKETS or int(weight) > BUCKETS:
        return None
    return Stickiness(cookie, candidate, int(offset), int(weight))


def audience(offset: int, weight: int) -> tuple[int, ...]:
    """The candidate's buckets, rising; a larger weight only adds to them."""
    return tuple(sorted((offset + step) % BUCKETS for step in range(weight)))


def offset_of(candidate: str) -> int:
    """Where a trial's audience begins, so that not the same callers are always the first."""
    return int.from_bytes(hashlib.sha256(candidate.encode()).digest()[:4], "big") % BUCKETS


def cookie_pattern(cookie: str, buckets: Iterable[int]) -> str:
    """RE2 pattern of a Cookie header whose cookie of that name has one of the buckets."""
    wanted = "|".join(f"{bucket:02d}" for bucket in buckets)
    return f"^(.*; *)?{cookie}=({wanted})\\..*$"


def draw(stickiness: Stickiness, revision: str, ring: KeyRing) -> str:
    """A cookie's value for a caller that has none: a bucket of the arm that answers it, an id, and a MAC."""
    taken = set(audience(stickiness.offset, stickiness.weight))
    mine = taken if revision == stickiness.candidate else set(range(BUCKETS)) - taken
    bucket = secrets.choice(sorted(mine) or range(BUCKETS))
    text = f"{bucket:02d}.{_text(os.urandom(_ID_BYTES))}"
    return f"{text}.{_mac(ring.signing_key(), text)}"


def caller_of(value: str, ring: KeyRing) -> str | None:
    """The caller's id in a cookie's value, or None where it was not drawn by us."""
    text, _, claimed = value.rpartition(".")
    keys = (ring.key(key_id) for key_id in ring.keys)
    holds = any(key is not None and hmac.compare_digest(_mac(key, text), claimed) for key in keys)
    return text if holds else None


def _mac(key: bytes, text: str) -> str:
    return _text(hashlib.blake2b(text.encode(), key=key, digest_size=MAC_BYTES, person=_PERSON).digest())


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

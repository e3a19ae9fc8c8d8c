"""Callers that stay with their arm: a cookie with a bucket, drawn once, that the route reads.

A caller's bucket is one of 100, drawn evenly and kept for good. In a trial the candidate's audience is as many
buckets as its weight has percent, counted from an offset that each trial draws anew: it only grows while the
weight rises, and is empty once the weight is 0. The route sends a caller with a cookie to the arm of its bucket
and splits callers without one by weight; the server that answers such a caller draws a bucket of its own arm.

The cookie also says in which cohort its caller was counted last. So every pod knows a caller that another one has
counted, and nobody has to remember callers who never come back.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable

import msgspec

from serin_contract.keys import KeyRing

BUCKETS = 100
MAC_BYTES = 9
HEADER_CHARS_MAX = 512
VALUE_CHARS_MAX = 64
"""A cookie that is longer is none of ours."""
_ID_BYTES = 9
_MARK_BYTES = 6
_PERSON = b"serin-caller"
MAX_AGE_SECONDS = 180 * 24 * 3600
_COOKIE_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_VALUE = re.compile(r"\d{2}\.[A-Za-z0-9_-]{12}\.(?:[A-Za-z0-9_-]{8})?\.[A-Za-z0-9_-]{12}", re.ASCII)


class Stickiness(msgspec.Struct, frozen=True):
    """What the route tells the server in `http.STICKINESS_HEADER`."""

    cookie: str
    candidate: str
    """Revision on trial; empty where nothing is split."""
    offset: int
    weight: int


class Caller(msgspec.Struct, frozen=True):
    """What a cookie says once its MAC holds."""

    id: str
    """The bucket and a random text."""
    mark: str
    """Of the cohort that the caller was counted in last, as mark_of gives it; empty where there was none."""


def header_value(stickiness: Stickiness) -> str:
    """`cookie;candidate;offset;weight`."""
    return f"{stickiness.cookie};{stickiness.candidate};{stickiness.offset};{stickiness.weight}"


def parse_header(value: str) -> Stickiness | None:
    """What the route tells, or None where it is malformed: callers can send this header where no route sets it."""
    parts = value.split(";")
    if len(parts) != 4 or len(value) > HEADER_CHARS_MAX or not _COOKIE_NAME.fullmatch(parts[0]):
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


def draw(stickiness: Stickiness, revision: str) -> Caller:
    """A caller that was not known: a bucket of the arm that answers it, and an id."""
    bucket = secrets.choice(_buckets_of(stickiness, revision))
    return Caller(f"{bucket:02d}.{_text(secrets.token_bytes(_ID_BYTES))}", "")


@functools.lru_cache(maxsize=64)
def _buckets_of(stickiness: Stickiness, revision: str) -> tuple[int, ...]:
    taken = audience(stickiness.offset, stickiness.weight)
    mine = taken if revision == stickiness.candidate else tuple(set(range(BUCKETS)) - set(taken))
    # An arm without an audience still answers callers whose route was read before it lost it.
    return mine or tuple(range(BUCKETS))


def mark_of(cohort: str) -> str:
    """What a cookie says of a cohort: enough of its digest to tell one from another. Empty for no cohort."""
    return _text(hashlib.sha256(cohort.encode()).digest()[:_MARK_BYTES]) if cohort else ""


def cookie_value(caller: Caller, ring: KeyRing) -> str:
    """The cookie of a caller: `bucket.random.mark.mac`."""
    text = f"{caller.id}.{caller.mark}"
    return f"{text}.{_mac(ring.signing_key(), text)}"


def caller_of(value: str, ring: KeyRing) -> Caller | None:
    """What a cookie's value says, or None where it was not drawn by us."""
    if len(value) > VALUE_CHARS_MAX or not _VALUE.fullmatch(value):
        return None
    text, _, claimed = value.rpartition(".")
    keys = (ring.key(key_id) for key_id in ring.keys)
    if not any(key is not None and hmac.compare_digest(_mac(key, text).encode(), claimed.encode()) for key in keys):
        return None
    identity, _, mark = text.rpartition(".")
    return Caller(identity, mark)


def _mac(key: bytes, text: str) -> str:
    return _text(hashlib.blake2b(text.encode(), key=key, digest_size=MAC_BYTES, person=_PERSON).digest())


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

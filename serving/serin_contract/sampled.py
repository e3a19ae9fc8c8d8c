"""Rows as they were served: a pod keeps a few in memory where it was told to, and gives them to its deployment only.

A GET on the stats port with a seal in a header. Rows may be private, so unlike counts nobody gets them who has no key
of the deployment. What is sealed names the pod and the time, so that a seal that was overheard soon opens nothing.
"""

from __future__ import annotations

import re

import msgspec

from serin_contract import seals
from serin_contract.bundle import Column
from serin_contract.keys import KeyRing

SAMPLE_ROWS_MIN, SAMPLE_ROWS_MAX = 40, 2_000
"""Rows that a pod may be told to keep. Fewer cannot be compared."""
SAMPLE_BYTES_MAX = 32 * 1024 * 1024
"""All rows of a pod; each may take an equal part of it."""
ANSWER_BYTES_MAX = 2 * SAMPLE_BYTES_MAX
AGE_SECONDS_MAX = 60.0
"""How far the time in a seal may lie from the pod's clock, either way."""
_PERSON = b"serin-rows"
_seconds = re.compile(r"^[0-9]{1,12}\Z")


class SampledRows(msgspec.Struct, frozen=True):
    """A uniform sample of the rows of one cohort that one pod has answered, at most one of each request."""

    revision: str
    pod_uid: str
    cohort: str
    """The latest that the pod has seen; empty where it has seen none yet."""
    columns: list[Column]
    requests: int
    """Of the cohort, of which the rows are a sample."""
    left_out: int
    """Requests whose row was too large to keep."""
    rows: int
    numbers: bytes
    """Float64, little-endian, row by row: the columns that are no texts, in their order. NaN is missing."""
    texts: list[list[str | None]]
    """Row by row: the columns of texts in their order."""


def ask(pod_uid: str, now: float, ring: KeyRing) -> str:
    """The value of the header `http.ROWS_MAC_HEADER`: Unix time in whole seconds, key id and MAC."""
    asked_at = str(int(now))
    return f"{asked_at}.{seals.seal(_sealed(pod_uid, asked_at), ring, _PERSON)}"


def check(header: str, pod_uid: str, now: float, ring: KeyRing) -> None:
    """Raise ForgedError unless this was asked of this pod, a moment ago, under a key of the deployment."""
    asked_at, _, sealed = header.partition(".")
    if not _seconds.match(asked_at) or abs(now - int(asked_at)) > AGE_SECONDS_MAX:
        raise seals.ForgedError("rows are given to a request whose seal is at most a minute old")
    seals.check(_sealed(pod_uid, asked_at), sealed, ring, _PERSON)


def encode(sampled: SampledRows) -> bytes:
    """The answer as MessagePack."""
    return msgspec.msgpack.encode(sampled)


def decode(data: bytes) -> SampledRows:
    """Read an answer.

    Raises:
        ValueError: it is none, or its parts do not fit each other; the text never quotes it.
    """
    try:
        sampled = msgspec.msgpack.decode(data, type=SampledRows)
    except msgspec.MsgspecError as error:
        raise ValueError(f"not an answer of rows: {error}") from error
    texts = sum(column.datatype == "BYTES" for column in sampled.columns)
    numbers = len(sampled.columns) - texts
    fits = len(sampled.numbers) == 8 * numbers * sampled.rows and len(sampled.texts) == (sampled.rows if texts else 0)
    if not fits or any(len(row) != texts for row in sampled.texts):
        raise ValueError("an answer of rows whose parts do not fit each other")
    return sampled


def _sealed(pod_uid: str, asked_at: str) -> bytes:
    return f"{asked_at}\n{pod_uid}".encode()

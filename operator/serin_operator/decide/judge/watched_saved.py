"""The evidence of a watch as JSON values and back: all of it or nothing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from serin_operator.decide.judge.watched import NO_SCALARS, Counters, PodCounts, WatchEvidence, start
from serin_operator.decide.judge.watched_slots import Slot, Slots, Vectors
from serin_operator.decide.judge.watched_trail import Block, Sums, Trail

KEY = "watch"
"""Of the watch in the evidence of a ModelRevision, beside that of its trial."""
DUMP_FORMAT = 1


def dump(evidence: WatchEvidence, now: float) -> dict[str, Any]:
    """The evidence as JSON values.

    Args:
        evidence: what to write.
        now: Unix time in seconds, so that it is known how old it is.
    """
    return {
        "format": DUMP_FORMAT,
        "at": now,
        "revision": evidence.revision,
        "nonce": evidence.nonce,
        "begunAt": evidence.begun_at,
        "total": _plain(evidence.total),
        "requests": _dump_trail(evidence.requests),
        "labels": _dump_trail(evidence.labels),
        "hours": [_dump_slot(slot) for slot in evidence.slots.hours],
        "days": [_dump_slot(slot) for slot in evidence.slots.days],
        "pods": {
            uid: [
                counts.started_at,
                list(counts.ended),
                {
                    name: [_plain(counters.scalars), *_dump_vectors(counters.vectors)]
                    for name, counters in counts.counters.items()
                },
            ]
            for uid, counts in evidence.pods.items()
        },
        "errorClip": evidence.error_clip,
        "refused": evidence.refused,
    }


def written_at(document: Mapping[str, Any] | None) -> float | None:
    """When the evidence of a watch was last written to a record; None where it holds none."""
    saved = (document or {}).get(KEY)
    at = saved.get("at") if isinstance(saved, Mapping) else None
    return float(at) if isinstance(at, int | float) and math.isfinite(at) else None


def restore(document: Mapping[str, Any] | None, revision: str, nonce: str) -> WatchEvidence:
    """The evidence of this watch from a record's; a new start where there is none or it cannot be read.

    After a new start the first look takes what the pods hold as its first block: all of it was counted in this watch,
    so sums are right again but for pods that are gone, and no count enters twice.
    """
    try:
        saved = (document or {})[KEY]
        if (saved["format"], saved["revision"], saved["nonce"]) != (DUMP_FORMAT, revision, nonce):
            return start(revision, nonce)
        return _restored(saved, revision, nonce)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError):
        return start(revision, nonce)


def _restored(saved: Mapping[str, Any], revision: str, nonce: str) -> WatchEvidence:
    pods = {
        str(uid): PodCounts(
            str(started_at),
            {str(name): Counters(_scalars(row[0]), _vectors(row[1:])) for name, row in counters.items()},
            tuple(str(one) for one in ended),
        )
        for uid, (started_at, ended, counters) in saved["pods"].items()
    }
    return WatchEvidence(
        revision=revision,
        nonce=nonce,
        begun_at=_sums([saved["begunAt"]])[0] if saved["begunAt"] is not None else None,
        total=_scalars(saved["total"]),
        requests=_trail(saved["requests"], len(NO_SCALARS) - 5),
        labels=_trail(saved["labels"], 5),
        slots=Slots(
            tuple(Slot(int(row[0]), _vectors(row[1:])) for row in saved["hours"]),
            tuple(Slot(int(row[0]), _vectors(row[1:])) for row in saved["days"]),
        ),
        pods=pods,
        error_clip=_sums([saved["errorClip"]])[0] if saved["errorClip"] is not None else None,
        refused=int(saved["refused"]),
    )


def _dump_trail(trail: Trail) -> list[Any]:
    return [[block.started_at, block.gap_seconds, *_plain(block.sums)] for block in trail.blocks]


def _trail(rows: Iterable[Any], width: int) -> Trail:
    blocks = []
    for row in rows:
        started_at, gap_seconds, *sums = _sums(row)
        if len(sums) != width or min(sums) < 0.0:
            raise ValueError("not the sums of a trail")
        blocks.append(Block(started_at, gap_seconds, tuple(sums)))
    return Trail(tuple(blocks))


def _dump_slot(slot: Slot) -> list[Any]:
    return [slot.start, *_dump_vectors(slot.counted)]


def _dump_vectors(vectors: Vectors) -> list[Any]:
    return [vectors.profile_hash, _plain(vectors.features), _plain(vectors.prediction), _plain(vectors.quality)]


def _vectors(row: Any) -> Vectors:
    profile_hash, features, prediction, quality = row
    return Vectors(str(profile_hash), _sums(features), _sums(prediction), _sums(quality))


def _scalars(row: Any) -> Sums:
    sums = _sums(row)
    if len(sums) != len(NO_SCALARS):
        raise ValueError("not the sums of a watch")
    return sums


def _plain(sums: Sums) -> list[float | int]:
    """Whole numbers without their `.0`: most are, and there are many."""
    return [int(value) if value.is_integer() else value for value in sums]


def _sums(row: Iterable[Any]) -> Sums:
    sums = tuple(float(value) for value in row)
    if not all(math.isfinite(value) for value in sums):
        raise ValueError("not numbers")
    return sums

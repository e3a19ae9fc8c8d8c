"""Bins as JSON values and back: small numbers packed tightly, since a status must stay far below 1 MB."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from serin_operator.decide.judge.bets import BETS
from serin_operator.decide.judge.binned import NO_BINS, PARTS, Axes, BinEvidence, CohortBins, Parts, PodBins
from serin_operator.decide.judge.packed import pack, unpack

PACKED_BYTES_MAX = 600_000
"""Of all bins together as text. Above it nothing of them is kept: the e-values then begin at 1 again after a restart,
which is as valid, and the first answers bring back every sum that a pod still holds."""


def dump(bins: BinEvidence) -> dict[str, Any]:
    """As JSON values under `bins`; nothing where there is nothing to keep."""
    if bins.candidate_axes is None and bins.stable_axes is None:
        return {}
    packed = _packed(bins)
    return {"bins": packed if len(packed["counts"]) + len(packed["logE"]) <= PACKED_BYTES_MAX else {"lost": True}}


def _packed(bins: BinEvidence) -> dict[str, Any]:
    names = {name: place for place, name in enumerate(bins.cohorts)}
    rows: list[Parts] = []
    for cohort in bins.cohorts.values():
        rows += [np.rint(values * PARTS).astype(np.int64) for values in (cohort.candidate, cohort.stable, cohort.own)]
    pods = {}
    for uid, pod in bins.pods.items():
        rows += list(pod.arrays.values())
        for name, _ in pod.arrays:
            names.setdefault(name, len(names))
        pods[uid] = [
            pod.started_at,
            list(pod.ended),
            [[names[name], table, len(parts)] for (name, table), parts in pod.arrays.items()],
        ]
    counts = pack(np.concatenate(rows) if rows else np.zeros(0, dtype=np.int64))
    log_e = pack(np.concatenate([np.zeros(0), *(cohort.log_e for cohort in bins.cohorts.values())]).view(np.int64))
    return {
        "candidate": _dump_axes(bins.candidate_axes),
        "stable": _dump_axes(bins.stable_axes),
        "names": list(names),
        "cohorts": [[cohort.opened_at, cohort.closed] for cohort in bins.cohorts.values()],
        "pods": pods,
        "counts": counts,
        "logE": log_e,
        "refused": bins.refused,
    }


def restore(document: Mapping[str, Any] | None) -> BinEvidence:
    """From what stood under `bins`, None where there was nothing.

    Raises:
        KeyError, TypeError, ValueError, IndexError, AttributeError: it is none.
    """
    if document is None:
        return NO_BINS
    if document.get("lost"):
        return BinEvidence(lost=True)
    candidate, stable = _axes(document["candidate"]), _axes(document["stable"])
    counts, log_e = unpack(document["counts"]), unpack(document["logE"])
    if counts.values.size and counts.values.min() < 0:
        raise ValueError("a count is negative")
    names = [str(name) for name in document["names"]]
    own, shared = (sum(axes.widths) if axes is not None else 0 for axes in (candidate, stable))
    cohorts = {}
    for name, (opened_at, closed) in zip(names, document["cohorts"], strict=False):
        c, s, o = (counts.take(size) / PARTS for size in (shared, shared, own))
        cohorts[name] = CohortBins(
            _finite(opened_at),
            c,
            s,
            o,
            log_e.take_floats(BETS * len(stable.widths) if stable else 0),
            bool(closed),
        )
    if len(cohorts) != len(document["cohorts"]):
        raise ValueError("a cohort has no name")
    pods = {
        str(uid): PodBins(
            str(started_at),
            tuple(str(start) for start in ended),
            {(names[int(place)], str(table)): counts.take(int(size)) for place, table, size in tables},
        )
        for uid, (started_at, ended, tables) in document["pods"].items()
    }
    counts.finish()
    log_e.finish()
    return BinEvidence(candidate, stable, cohorts, pods, refused=int(document["refused"]))


def _dump_axes(axes: Axes | None) -> list[Any] | None:
    return None if axes is None else [axes.hash, list(axes.widths), axes.classes]


def _axes(document: Any) -> Axes | None:
    if document is None:
        return None
    hash_, widths, classes = document
    counted = tuple(int(width) for width in widths)
    if not counted or min(counted) < 1:
        raise ValueError("a feature has no bins")
    return Axes(str(hash_), counted, int(classes))


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError("not a number that a dump holds")
    return number

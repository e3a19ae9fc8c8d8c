"""How the evidence of each gate went over a trial, in few points, for a person to see. Nothing is decided on it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from serin_operator.api.deployment import GateStatus

POINTS_MAX = 60
SPACING_SECONDS = 2.0
"""Between two points at first: each time that there are too many it doubles."""
DIGITS = 3


@dataclass(frozen=True)
class Point:
    """The evidence at one moment."""

    at: float
    """Unix time in seconds."""
    log10_e: Mapping[str, float]
    """By gate, of those that had any."""


@dataclass(frozen=True)
class Course:
    """Points as time went by; the last one is that of now."""

    points: tuple[Point, ...] = ()
    spacing_seconds: float = SPACING_SECONDS


NO_COURSE = Course()


def grown(course: Course, now: float, gates: Iterable[GateStatus]) -> Course:
    """The course with the evidence of now; the same object where it stands as it stood at the last point.

    Args:
        course: so far.
        now: Unix time in seconds.
        gates: as they were just judged.
    """
    told = {gate.name: round(gate.log10_e, DIGITS) for gate in gates if gate.log10_e is not None}
    points = list(course.points)
    if not told or (points and points[-1].log10_e == told):
        return course
    point = Point(max(now, points[-1].at) if points else now, told)
    # The last point is of now until it lies far enough from the one before to stay.
    if len(points) >= 2 and points[-1].at - points[-2].at < course.spacing_seconds:
        points[-1] = point
    else:
        points.append(point)
    spacing = course.spacing_seconds
    while len(points) > POINTS_MAX:
        points = [*points[:-1:2], points[-1]]
        spacing *= 2.0
    return replace(course, points=tuple(points), spacing_seconds=spacing)


def dump(course: Course) -> dict[str, Any]:
    """As JSON values under `course`; nothing where there is none."""
    if not course.points:
        return {}
    names = sorted({name for point in course.points for name in point.log10_e})
    rows = [[point.at, *map(point.log10_e.get, names)] for point in course.points]
    return {"course": {"gates": names, "spacing": course.spacing_seconds, "points": rows}}


def restore(document: Any) -> Course:
    """From what stood under `course`; none where nothing did, or what cannot be read: no count hangs on it."""
    try:
        names = [str(name) for name in document["gates"]]
        points = tuple(_point(names, row) for row in document["points"])
        spacing = float(document["spacing"])
    except (KeyError, TypeError, ValueError, IndexError):
        return NO_COURSE
    times = [point.at for point in points]
    if len(points) > POINTS_MAX or times != sorted(times) or not SPACING_SECONDS <= spacing < math.inf:
        return NO_COURSE
    return Course(points, spacing)


def _point(names: list[str], row: Any) -> Point:
    at, *values = row
    told = {name: float(value) for name, value in zip(names, values, strict=True) if value is not None}
    if not all(math.isfinite(value) for value in (float(at), *told.values())):
        raise ValueError("not a point of a course")
    return Point(float(at), told)

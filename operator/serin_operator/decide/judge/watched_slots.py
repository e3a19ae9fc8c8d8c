"""Bins and quality of a watch by the time at which they were counted: a day by the hour, and a week by the day."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from serin_operator.decide.judge.watched_trail import Sums, plus

HOUR_SECONDS = 3600
DAY_SECONDS = 86400
DAYS_KEPT = 7


@dataclass(frozen=True)
class Vectors:
    """Σ 1/m per bin, on the edges of the pods' own profile."""

    profile_hash: str = ""
    """Empty where nothing is counted."""
    features: Sums = ()
    prediction: Sums = ()
    quality: Sums = ()
    """Rows; then by feature the missing, the unseen, those below and those above; empty where pods do not tell."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing is counted."""
        return not any(self.features) and not any(self.prediction) and not any(self.quality)

    @property
    def width(self) -> int:
        """Numbers in it."""
        return len(self.features) + len(self.prediction) + len(self.quality)

    def plus(self, other: Vectors) -> Vectors:
        """Both together; bins of different profiles do not mix, and the later stand."""
        if not self.profile_hash or not other.profile_hash:
            return self if self.profile_hash else other
        if not self.fits(other):
            return other
        return Vectors(
            self.profile_hash,
            plus(self.features, other.features),
            plus(self.prediction, other.prediction),
            plus(self.quality, other.quality),
        )

    def fits(self, other: Vectors) -> bool:
        """Whether both are counted on the same edges."""
        mine = (self.profile_hash, len(self.features), len(self.prediction), len(self.quality))
        return mine == (other.profile_hash, len(other.features), len(other.prediction), len(other.quality))

    def since(self, last: Vectors, less: Callable[[Sums, Sums], Sums | None]) -> Vectors | None:
        """What was counted after `last`; None where a count fell."""
        before = last if self.fits(last) else Vectors()
        features, prediction = less(self.features, before.features), less(self.prediction, before.prediction)
        quality = less(self.quality, before.quality)
        if features is None or prediction is None or quality is None:
            return None
        return Vectors(self.profile_hash, features, prediction, quality)


@dataclass(frozen=True)
class Slot:
    """What was counted from one time on, for an hour or a day."""

    start: int
    """Unix time in seconds, a multiple of the length."""
    counted: Vectors


@dataclass(frozen=True)
class Slots:
    """A day of hours and, before it, a week of days, each in rising order; an hour without a count has no slot."""

    hours: tuple[Slot, ...] = ()
    days: tuple[Slot, ...] = ()

    def last_hours(self, hours: int, now: float) -> Vectors:
        """What was counted in the present hour and those before, so many in all."""
        first = _floor(now, HOUR_SECONDS) - (hours - 1) * HOUR_SECONDS
        return _together(slot for slot in self.hours if slot.start >= first)

    def last_days(self, days: int) -> Vectors:
        """What was counted in the last day and the days before, so many in all and up to an hour more."""
        return _together((*self.days[len(self.days) - min(days - 1, len(self.days)) :], *self.hours))


NO_SLOTS = Slots()


def grown(slots: Slots, counted: Vectors, now: float) -> Slots:
    """The slots with what was counted since the last look; counts on other edges begin them anew."""
    hours, days = list(slots.hours), list(slots.days)
    if not counted.is_empty:
        if hours and not hours[-1].counted.fits(counted):
            hours, days = [], []
        _add(hours, _floor(now, HOUR_SECONDS), counted)
    while hours and hours[0].start < _floor(now, HOUR_SECONDS) - DAY_SECONDS:
        oldest = hours.pop(0)
        _add(days, _floor(oldest.start, DAY_SECONDS), oldest.counted)
    aged = Slots(tuple(hours), tuple(days[-DAYS_KEPT:]))
    return slots if aged == slots else aged


def _add(slots: list[Slot], start: int, counted: Vectors) -> None:
    """To the slot that begins there; a clock that was set back adds to the last one."""
    if slots and slots[-1].start >= start:
        slots[-1] = replace(slots[-1], counted=slots[-1].counted.plus(counted))
    else:
        slots.append(Slot(start, counted))


def _floor(at: float, length: int) -> int:
    return int(at // length) * length


def _together(slots: Iterable[Slot]) -> Vectors:
    counted = Vectors()
    for slot in slots:
        counted = counted.plus(slot.counted)
    return counted

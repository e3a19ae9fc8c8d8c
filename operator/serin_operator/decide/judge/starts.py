"""What is remembered of a pod between two polls. Its counters begin at 0 with each start of its process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

ENDED_STARTS_KEPT = 32
"""Ended processes remembered per pod, so that a late answer of one is refused."""


class Memory(Protocol):
    """What was last added of one pod."""

    @property
    def started_at(self) -> str:
        """The start of its process that was counted last."""

    @property
    def ended(self) -> tuple[str, ...]:
        """Earlier starts: what they had counted is in the sums, and they never answer again."""


AnyMemory = TypeVar("AnyMemory", bound=Memory)


def resumed(
    memory: AnyMemory | None, started_at: str, begin: Callable[[str, tuple[str, ...]], AnyMemory]
) -> AnyMemory | None:
    """The memory of this start of the pod; None where an ended start answers.

    Args:
        memory: so far; None for a pod that was not seen.
        started_at: which start answers.
        begin: makes the memory of a start of which nothing was added, from it and the ended ones.
    """
    if memory is None:
        return begin(started_at, ())
    if memory.started_at == started_at:
        return memory
    if started_at in memory.ended:
        return None
    return begin(started_at, (*memory.ended, memory.started_at)[-ENDED_STARTS_KEPT:])


@dataclass(frozen=True, eq=False)
class PodArrays:
    """What was last added of one pod, as arrays."""

    started_at: str
    ended: tuple[str, ...] = ()
    arrays: Mapping[tuple[str, str], NDArray[Any]] = field(default_factory=dict)
    """By cohort and kind, the counts of this start that were added."""

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, PodArrays)
            and (self.started_at, self.ended) == (other.started_at, other.ended)
            and self.arrays.keys() == other.arrays.keys()
            and all(np.array_equal(array, other.arrays[key]) for key, array in self.arrays.items())
        )

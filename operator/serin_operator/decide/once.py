"""What is worked out once for each object, of objects that never change and come again at every look."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TypeVar

KEPT = 128
"""Objects of which something is remembered: one or two of each deployment that is looked at all the time."""

Asked = TypeVar("Asked")
Found = TypeVar("Found")


def once_per_object(work_out: Callable[[Asked], Found]) -> Callable[[Asked], Found]:
    """The function, which is asked once for each object; told apart as such, since to compare them would cost as much.

    Args:
        work_out: hangs on its frozen argument alone, and gives what nobody changes.
    """
    known: dict[int, tuple[Asked, Found]] = {}

    @wraps(work_out)
    def remembered(asked: Asked) -> Found:
        found = known.get(id(asked))
        if found is None:
            # The object is kept beside the answer, so that no other one gets its id.
            found = known[id(asked)] = (asked, work_out(asked))
            if len(known) > KEPT:
                del known[next(iter(known))]
        return found[1]

    return remembered

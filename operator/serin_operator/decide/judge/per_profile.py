"""What is read off a profile once and for all: profiles never change, and are the same objects from look to look."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TypeVar

from serin_contract.profile import Profile

KEPT = 128
"""Profiles of which something is remembered: those of the trials that are under way at one time."""

Read = TypeVar("Read")


def per_profile(read: Callable[[Profile], Read]) -> Callable[[Profile], Read]:
    """The function, which is asked once for each profile; told apart as objects, since equality costs a whole reading.

    Args:
        read: hangs on the profile alone, and gives what nobody changes.
    """
    known: dict[int, tuple[Profile, Read]] = {}

    @wraps(read)
    def remembered(profile: Profile) -> Read:
        found = known.get(id(profile))
        # The profile is kept beside the answer, so that no other one gets its id.
        if found is None:
            found = known[id(profile)] = (profile, read(profile))
            if len(known) > KEPT:
                del known[next(iter(known))]
        return found[1]

    return remembered

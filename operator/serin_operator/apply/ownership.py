"""Whether an object may be touched at all: only what the ModelDeployment itself controls is its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from serin_operator.runtime.kube import controller
from serin_operator.runtime.outcome import Failed, Waiting

PREDECESSOR_SECONDS = 2.0


def refusal(item: Mapping[str, Any], name: str, uid: str) -> Failed | Waiting | None:
    """Why the object is not ours to touch, or None where it is.

    Arguments:
        item: the object as it stands
        name: name of the ModelDeployment
        uid: UID of the ModelDeployment
    """
    owner = controller(item)
    if owner.get("uid") == uid:
        return None
    what = f"{item['kind']} {item['metadata']['name']}"
    if owner.get("kind") == "ModelDeployment" and owner.get("name") == name:
        message = f"{what} belongs to an earlier ModelDeployment of this name and is about to be deleted"
        return Waiting("PredecessorGoing", message, PREDECESSOR_SECONDS)
    whose = f"is controlled by {owner['kind']} {owner['name']}" if owner else "is not controlled by anything"
    return Failed(
        "NotOwned",
        f"{what} exists already and {whose}; Serin does not touch it. "
        "Delete or rename it, or give the ModelDeployment another name",
    )

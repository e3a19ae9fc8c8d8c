"""An announcer that keeps what it was to send, for tests whose pods are not real."""

from __future__ import annotations

from collections.abc import Sequence

from serin_operator.apply.announcements import Announcer
from serin_operator.decide.plan import Announce


class SilentAnnouncer(Announcer):
    """Sends nothing and remembers everything."""

    def __init__(self) -> None:
        self.sent: list[Announce] = []

    async def send(self, deployment_uid: str, actions: Sequence[Announce]) -> None:  # noqa: ARG002
        """Remember."""
        self.sent.extend(actions)

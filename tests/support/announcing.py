"""An announcer that keeps what it was to send, for tests whose pods are not real."""

from __future__ import annotations

from collections.abc import Sequence

from serin_operator.apply.announcements import Announcer
from serin_operator.decide.plan import Announce
from tests.support.toy_cluster import ToyCluster


class SilentAnnouncer(Announcer):
    """Sends nothing and remembers everything."""

    def __init__(self) -> None:
        self.sent: list[Announce] = []

    async def send(self, deployment_uid: str, actions: Sequence[Announce]) -> None:  # noqa: ARG002
        """Remember."""
        self.sent.extend(actions)


class ToyAnnouncer(SilentAnnouncer):
    """Tells the pods of a toy cluster."""

    def __init__(self, cluster: ToyCluster) -> None:
        super().__init__()
        self._cluster = cluster

    async def send(self, deployment_uid: str, actions: Sequence[Announce]) -> None:
        """Each pod takes what is later than what it holds."""
        await super().send(deployment_uid, actions)
        for action in actions:
            self._cluster.tell(action.announcement)

"""What the operator announced to this pod: taken only where it is ours, for this pod and later than the last."""

from __future__ import annotations

import logging
from enum import StrEnum

import msgspec

from serin_contract import announcements
from serin_contract.announcements import Announced, Announcement, ShadowOrder
from serin_contract.keys import KeyRing
from serin_contract.seals import ForgedError
from serin_serving.connections import Connection, Connections
from serin_serving.counts import valid_cohort

_log = logging.getLogger(__name__)


class AnnouncementReason(StrEnum):
    """Why an announcement was refused; the closed set of reasons in the metrics."""

    Unread = "Unread"
    """Its body was too long or too slow."""
    NotOurs = "NotOurs"
    """It is not signed under this deployment's keys."""
    Malformed = "Malformed"
    """It is no announcement, or its cohort is none."""
    OtherPod = "OtherPod"
    """It is for another pod."""
    NotHigher = "NotHigher"
    """Its sequence number is not above that of the announcement that holds."""


class Refusal(msgspec.Struct, frozen=True):
    """Why an announcement was not taken, for its sender."""

    status: int
    reason: AnnouncementReason
    error: str


class Announcements:
    """The announcement that holds, and what follows from it for requests and connections."""

    def __init__(self, pod_uid: str, connections: Connections) -> None:
        self._pod_uid = pod_uid
        self._connections = connections
        self._holding: Announcement | None = None

    def take(self, body: bytes, mac: str, ring: KeyRing) -> Refusal | None:
        """Let an announcement hold from here on, or say why not.

        Args:
            body: as it was posted.
            mac: the value of `http.ANNOUNCEMENT_MAC_HEADER`; empty where there was none.
            ring: the keys in use.
        """
        try:
            announcement = announcements.decode(body, mac, ring)
        except ForgedError as error:
            return Refusal(401, AnnouncementReason.NotOurs, str(error))
        except ValueError as error:
            return Refusal(400, AnnouncementReason.Malformed, str(error))
        refusal = self._objection(announcement)
        if refusal is None:
            self._hold(announcement)
        return refusal

    def cohort_of(self, header: str) -> str:
        """The cohort that a request counts in which brings that one in its header."""
        if self._holding is None or self._holding.cohort is None:
            return header
        return self._holding.cohort

    def closes(self, connection: Connection) -> bool:
        """Whether the next answer on that connection should be its last."""
        refuses = self._holding is not None and self._holding.refuse_connections
        return refuses or self._connections.is_stale(connection)

    @property
    def shadow(self) -> ShadowOrder | None:
        """The shadow traffic to send; its `until` may have passed."""
        return None if self._holding is None else self._holding.shadow

    @property
    def sequence(self) -> int | None:
        """Of the announcement that holds."""
        return None if self._holding is None else self._holding.sequence

    def said(self) -> Announced | None:
        """What holds, as the stats say it."""
        if self._holding is None:
            return None
        said = Announced(self._holding.sequence, self._holding.cohort, self._holding.refuse_connections)
        shadow = self._holding.shadow
        if shadow is None:
            return said
        return msgspec.structs.replace(
            said,
            shadow_cohort=shadow.cohort,
            shadow_percent=shadow.percent,
            shadow_targets=shadow.targets,
            shadow_until=shadow.until,
        )

    def _objection(self, announcement: Announcement) -> Refusal | None:
        if announcement.pod_uid != self._pod_uid:
            return Refusal(421, AnnouncementReason.OtherPod, "this announcement is for another pod")
        for cohort in (announcement.cohort, announcement.shadow.cohort if announcement.shadow else None):
            if cohort and not valid_cohort([cohort.encode()]):
                return Refusal(400, AnnouncementReason.Malformed, "the cohort of this announcement is malformed")
        if self._holding is not None and announcement.sequence <= self._holding.sequence:
            sentence = f"an announcement of sequence {self._holding.sequence} holds; the next one must be higher"
            return Refusal(409, AnnouncementReason.NotHigher, sentence)
        return None

    def _hold(self, announcement: Announcement) -> None:
        if announcement.reconnect:
            self._connections.renew()
        self._holding = announcement
        _log.info("announcement %d holds", announcement.sequence, extra={"fields": msgspec.to_builtins(self.said())})

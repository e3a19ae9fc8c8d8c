"""What the operator announces to a serving pod: a cohort where no gateway stamps one, and the shadow traffic to send.

A POST to the stats port with this document as JSON and its MAC in a header. A pod takes one only if the MAC
holds, the document names this pod, and its sequence number is higher than that of the last one it took.
"""

from __future__ import annotations

import msgspec

from serin_contract import seals
from serin_contract.keys import KeyRing

ANNOUNCEMENT_BYTES_MAX = 64 * 1024
_PERSON = b"serin-announce"


class ShadowOrder(msgspec.Struct, frozen=True):
    """Send a copy of the traffic, with the answer given to the caller, to pods of the candidate."""

    cohort: str
    """Under which both arms count the mirrored requests."""
    percent: int
    """Of the answered inference requests, 1 to 100."""
    targets: list[str]
    """`host:port` of the stats port of the candidate's ready pods."""
    until: float
    """Unix time in seconds after which nothing is sent: a shadow whose operator is gone ends by itself."""
    tolerance: float = 0.0
    """Two numbers a and b agree within tolerance · max(|a|, |b|); classes agree only where they are equal."""


class Announcement(msgspec.Struct, frozen=True):
    """The whole of what holds for one pod from here on; the next one replaces it."""

    pod_uid: str
    sequence: int
    cohort: str | None = None
    """Counts every request from here on, whatever header it brings. None leaves it to the route's header."""
    reconnect: bool = False
    """Whether each connection that is open is closed once after its next answer, so that the split, which is by
    connection where no gateway is, is drawn anew."""
    refuse_connections: bool = False
    """Whether every answer asks its caller to connect elsewhere: traffic is being taken from this pod."""
    shadow: ShadowOrder | None = None


class Announced(msgspec.Struct, frozen=True):
    """What a pod says in its stats of the announcement that holds."""

    sequence: int
    cohort: str | None = None
    refuse_connections: bool = False
    shadow_cohort: str | None = None
    shadow_percent: int | None = None
    shadow_targets: list[str] = []
    shadow_until: float | None = None


def encode(announcement: Announcement, ring: KeyRing) -> tuple[bytes, str]:
    """The document as JSON, and the value of the header `http.ANNOUNCEMENT_MAC_HEADER`: key id and MAC."""
    body = msgspec.json.encode(announcement)
    return body, seals.seal(body, ring, _PERSON)


def decode(body: bytes, mac: str, ring: KeyRing) -> Announcement:
    """Read a document whose MAC holds.

    Raises:
        seals.ForgedError: it is not signed by us.
        ValueError: it is too long or no announcement; the text never quotes it.
    """
    if len(body) > ANNOUNCEMENT_BYTES_MAX:
        raise ValueError(f"an announcement has at most {ANNOUNCEMENT_BYTES_MAX} bytes")
    seals.check(body, mac, ring, _PERSON)
    try:
        return msgspec.json.decode(body, type=Announcement)
    except msgspec.MsgspecError as error:
        raise ValueError(f"not an announcement: {error}") from error

"""Telling serving pods what holds from here on; what they took, their stats say."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import aiohttp

from serin_contract import announcements, http
from serin_operator.apply.keys import KeyRings
from serin_operator.decide.plan import Announce

SEND_SECONDS = 2.0

log = logging.getLogger(__name__)


class Announcer:
    """Signs announcements with a deployment's key and sends them."""

    def __init__(self, session: aiohttp.ClientSession, keys: KeyRings) -> None:
        """The session is the caller's to close."""
        self._session, self._keys = session, keys

    async def send(self, deployment_uid: str, actions: Sequence[Announce]) -> None:
        """Send all at once; one that fails is logged and left to the next look at the pod's stats."""
        await asyncio.gather(*(self._one(deployment_uid, action) for action in actions))

    async def _one(self, deployment_uid: str, action: Announce) -> None:
        body, mac = announcements.encode(action.announcement, self._keys.ring(deployment_uid))
        url = f"{action.origin}{http.ANNOUNCEMENT_PATH}"
        timeout = aiohttp.ClientTimeout(total=SEND_SECONDS)
        headers = {http.ANNOUNCEMENT_MAC_HEADER: mac, "content-type": "application/json"}
        try:
            async with self._session.post(
                url, data=body, headers=headers, timeout=timeout, allow_redirects=False
            ) as answer:
                if answer.status != 200:
                    log.warning("pod %s refused an announcement with %d", action.pod_uid, answer.status)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            log.warning("pod %s took no announcement (%s)", action.pod_uid, type(error).__name__)

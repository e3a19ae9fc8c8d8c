"""Asking serving pods: their stats, and stable's profile. Nothing that a pod answers can raise here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace

import aiohttp
from prometheus_client import Counter

from serin_contract import http, profile, stats
from serin_operator.decide.observation import PodFacts, StatsAnswer
from serin_operator.observe.workloads import SeenPod

POLL_SECONDS = 2.0
POLLS_AT_ONCE = 32
"""For the whole operator, so that many trials do not become a storm."""

_CHUNK_BYTES = 64 * 1024

Origin = Callable[[SeenPod], str | None]
"""Scheme, host and port to ask a pod at, or None where it has no address yet."""


class PodAnswerError(Exception):
    """The pod did not answer what was asked; the text says why, and quotes nothing that the pod sent."""


def origin_of(pod: SeenPod) -> str | None:
    """The stats port at the pod's own address."""
    if pod.address is None:
        return None
    host = f"[{pod.address}]" if ":" in pod.address else pod.address
    return f"http://{host}:{http.STATS_PORT}"


class Poller:
    """Asks pods within one budget for all deployments together."""

    def __init__(self, session: aiohttp.ClientSession, errors: Counter, origin: Origin = origin_of) -> None:
        """The session is the caller's to close."""
        self._session = session
        self._errors = errors
        self._origin = origin
        self._budget = asyncio.Semaphore(POLLS_AT_ONCE)

    def located(self, pod: SeenPod) -> PodFacts:
        """The pod's facts with the address it can be asked at."""
        return replace(pod.facts, origin=self._origin(pod))

    async def stats(self, pods: Iterable[SeenPod]) -> tuple[StatsAnswer, ...]:
        """What each running pod has counted; a terminating one is asked for as long as it answers."""
        asked = [pod for pod in pods if _may_answer(pod.facts) and self._origin(pod) is not None]
        return tuple(await asyncio.gather(*(self._stats(pod) for pod in asked)))

    async def profile(self, pods: Iterable[SeenPod]) -> tuple[str | None, str | None]:
        """The profile of the first ready pod that answers, as JSON text, or None and why there is none."""
        error = "no pod of the stable revision is ready"
        for pod in pods:
            if not pod.facts.ready or pod.facts.terminating or not pod.facts.counts:
                continue
            try:
                data = await self._read(pod, http.PROFILE_PATH, http.PROFILE_BYTES_MAX)
                profile.decode(data)
                return data.decode(), None
            except (PodAnswerError, ValueError) as problem:
                error = f"pod {pod.facts.name} gave no profile: {problem}"
        return None, error

    async def _stats(self, pod: SeenPod) -> StatsAnswer:
        facts = pod.facts
        try:
            counted = stats.decode(await self._read(pod, http.STATS_PATH, http.STATS_BYTES_MAX))
            if (counted.pod_uid, counted.revision) != (facts.uid, facts.revision):
                # Addresses are given out again; another pod's counters must not count for this one.
                raise PodAnswerError("another pod answers at its address")
        except (PodAnswerError, ValueError) as problem:
            self._errors.inc()
            return StatsAnswer(facts.uid, facts.revision, None, f"pod {facts.name}: {problem}")
        return StatsAnswer(facts.uid, facts.revision, counted)

    async def _read(self, pod: SeenPod, path: str, bytes_max: int) -> bytes:
        url = f"{self._origin(pod)}{path}"
        timeout = aiohttp.ClientTimeout(total=POLL_SECONDS)
        try:
            async with (
                self._budget,
                self._session.get(url, timeout=timeout, allow_redirects=False) as answer,
            ):
                if answer.status != 200:
                    raise PodAnswerError(f"it answered {answer.status}")
                return await _bounded(answer.content, bytes_max)
        except TimeoutError as error:
            raise PodAnswerError(f"it did not answer within {POLL_SECONDS:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise PodAnswerError(f"it cannot be reached ({type(error).__name__})") from error


def _may_answer(facts: PodFacts) -> bool:
    return facts.purpose == "serve" and facts.phase == "Running" and facts.counts


async def _bounded(content: aiohttp.StreamReader, bytes_max: int) -> bytes:
    data = bytearray()
    async for chunk in content.iter_chunked(_CHUNK_BYTES):
        data += chunk
        if len(data) > bytes_max:
            raise PodAnswerError(f"its answer is longer than {bytes_max} bytes")
    return bytes(data)

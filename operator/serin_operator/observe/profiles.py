"""Profiles by revision: what the bins that a revision's pods count mean. Nothing here can raise.

A revision never changes its bundle, so its profile is read once in the life of the operator's process.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from serin_contract import profile
from serin_contract.profile import Profile
from serin_operator.api.deployment import ModelDeploymentSpec, ModelDeploymentStatus
from serin_operator.decide.observation import StatsAnswer
from serin_operator.observe.pods import Poller
from serin_operator.observe.workloads import SeenPod

log = logging.getLogger(__name__)

RETRY_SECONDS = 10.0
"""After a read that failed, so that pods which do not answer hold up few passes."""
PROFILES_KEPT = 256
"""Of all ModelDeployments together; the one that was read first goes first, and is read again where it is needed."""

Source = tuple[str, str, str | None]
"""UID of the ModelDeployment, name of the revision, digest of its bundle."""


@dataclass(frozen=True)
class _Kept:
    profile: Profile
    hash: str


class Profiles:
    """Reads the profiles that the gates need."""

    def __init__(self, poller: Poller, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` gives seconds that only rise."""
        self._poller, self._clock = poller, clock
        self._kept: dict[Source, _Kept] = {}
        self._again_at: dict[Source, float] = {}

    async def of(
        self, uid: str, revisions: Mapping[str, str | None], pods: Iterable[SeenPod], answers: Iterable[StatsAnswer]
    ) -> dict[str, Profile]:
        """The profiles of these revisions, as far as a ready pod tells them.

        Args:
            uid: of the ModelDeployment.
            revisions: names with the digests of their bundles.
            pods: all of the ModelDeployment's.
            answers: the same pods' stats: a profile that is not the one which they count on is read again.
        """
        pods, answers = tuple(pods), tuple(answers)
        sources: list[Source] = [(uid, name, digest) for name, digest in revisions.items()]
        await asyncio.gather(*(self._read(source, pods, answers) for source in sources))
        return {source[1]: self._kept[source].profile for source in sources if source in self._kept}

    async def _read(self, source: Source, pods: tuple[SeenPod, ...], answers: tuple[StatsAnswer, ...]) -> None:
        revision = source[1]
        kept, counted_on = self._kept.get(source), _hashes(revision, answers)
        if kept is not None and (not counted_on or kept.hash in counted_on):
            return
        if self._clock() < self._again_at.get(source, 0.0):
            return
        serving = [pod for pod in pods if pod.facts.revision == revision and pod.facts.purpose == "serve"]
        if not any(pod.facts.ready and pod.facts.counts for pod in serving):
            return  # It is still starting, or has none to tell: nothing has failed, and the next pass asks.
        text, error = await self._poller.profile(serving)
        if text is None:
            log.warning("the profile of %s cannot be read: %s", revision, error)
            self._again_at[source] = self._clock() + RETRY_SECONDS
            return
        read = profile.decode(text.encode())
        found = _Kept(read, profile.profile_hash(read))
        if counted_on and found.hash not in counted_on:
            # The address may have been given to another pod since it was seen.
            log.warning("the profile that %s tells is not the one that its pods count on", revision)
            self._kept.pop(source, None)
            self._again_at[source] = self._clock() + RETRY_SECONDS
            return
        self._keep(source, found)

    def _keep(self, source: Source, found: _Kept) -> None:
        self._again_at.pop(source, None)
        self._kept.pop(source, None)
        self._kept[source] = found
        for oldest in list(self._kept)[:-PROFILES_KEPT]:
            del self._kept[oldest]
        for failed in list(self._again_at)[:-PROFILES_KEPT]:
            del self._again_at[failed]


def wanted(spec: ModelDeploymentSpec | None, status: ModelDeploymentStatus) -> dict[str, str | None]:
    """Revisions whose profiles a gate needs, with their digests: both arms of a trial, or the one that is watched."""
    gates = spec.gates if spec is not None else None
    if gates is None or not (gates.data_drift or gates.prediction_drift or gates.schema_):
        return {}
    if status.candidate is not None and status.candidate.outcome is None:
        arms = (status.stable, status.candidate)
        return {arm.revision: arm.digest for arm in arms if arm is not None}
    if status.watch is not None and status.stable is not None:
        return {status.stable.revision: status.stable.digest}
    return {}


def _hashes(revision: str, answers: Iterable[StatsAnswer]) -> set[str]:
    """Of the profiles that the revision's pods say they count on."""
    return {
        cohort.own_bins.profile_hash
        for answer in answers
        if answer.revision == revision and answer.stats is not None
        for cohort in answer.stats.cohorts.values()
        if cohort.own_bins is not None
    }

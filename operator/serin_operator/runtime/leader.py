"""Who may write: one process at a time, by a Lease.

Neither elector of kubernetes 37.0.2 will do. `kubernetes.aio.leaderelection` cannot create a Lease (it passes
`pretty=True` where its own model wants a string). The synchronous `kubernetes.leaderelection` was tried next:
an API server that cannot be reached raises urllib3's error out of `run()` and `onstopped_leading` is not
called, so the work would go on without the Lease; its calls have no time limit, so a hanging one outlives the
Lease; it reads the wall clock; it never releases; and it cannot say whether a write may still be made.

Here the decision is one pure step on what was seen and a monotonic clock, and the rest is small. As in
client-go another process's clock is never trusted: a Lease is over when this process has seen no change in it
for as long as it lasts. The identity is the pod's name, so that a container which the kubelet restarts takes
its own Lease up again at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

from serin_operator.errors import ApiError, ConflictError

LEASE_SECONDS = 15.0
RENEW_DEADLINE_SECONDS = 10.0
RETRY_SECONDS = 2.0
CALL_SECONDS = 3.0

log = logging.getLogger(__name__)
Json = dict[str, Any]


@dataclass(frozen=True)
class Record:
    """What the Lease says; any renewal makes it another record."""

    holder: str
    renewed: str
    transitions: int
    seconds: float


@dataclass(frozen=True)
class Seen:
    """A record, and when this process saw it first on its own clock."""

    record: Record
    at: float


Move = Literal["take", "renew", "stand by"]


def read(lease: Mapping[str, Any] | None) -> Record | None:
    """What a Lease object says, or None where there is no Lease yet."""
    if lease is None:
        return None
    spec = lease.get("spec") or {}
    return Record(
        holder=spec.get("holderIdentity") or "",
        renewed=spec.get("renewTime") or "",
        transitions=spec.get("leaseTransitions") or 0,
        seconds=float(spec.get("leaseDurationSeconds") or LEASE_SECONDS),
    )


def step(seen: Seen | None, record: Record | None, me: str, now: float) -> tuple[Seen | None, Move]:
    """What to do about the Lease as it stands now, and what to remember of it."""
    if record is None:
        return None, "take"
    if seen is None or seen.record != record:
        seen = Seen(record, now)
    if record.holder == me:
        return seen, "renew"
    if not record.holder or now - seen.at >= record.seconds:
        return seen, "take"
    return seen, "stand by"


def written(lease: Mapping[str, Any] | None, namespace: str, name: str, me: str, wall: float, move: Move) -> Json:
    """The Lease to write: ours from now on, on top of the one that was read."""
    record = read(lease)
    moment = datetime.fromtimestamp(wall, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    spec = dict((lease or {}).get("spec") or {})
    spec |= {"holderIdentity": me, "leaseDurationSeconds": int(LEASE_SECONDS), "renewTime": moment}
    if move == "take":
        spec["acquireTime"] = moment
        spec["leaseTransitions"] = (record.transitions if record else 0) + (1 if record else 0)
    return _lease(lease, namespace, name, spec)


def released(lease: Mapping[str, Any], namespace: str, name: str) -> Json:
    """The Lease without a holder: whoever looks next takes it."""
    spec = dict(lease.get("spec") or {}) | {"leaseDurationSeconds": 1}
    spec.pop("holderIdentity", None)
    return _lease(lease, namespace, name, spec)


def _lease(old: Mapping[str, Any] | None, namespace: str, name: str, spec: Json) -> Json:
    metadata: Json = {"namespace": namespace, "name": name}
    if old is not None:
        # A replace against another version is refused, so that of two takers one wins.
        metadata["resourceVersion"] = old["metadata"]["resourceVersion"]
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}


class LeaseStore(Protocol):
    """The calls that the elector makes; each is tried once."""

    async def get_lease(self, namespace: str, name: str, within_seconds: float) -> Json | None:
        """The Lease, or None."""

    async def put_lease(self, lease: Mapping[str, Any], within_seconds: float) -> Json:
        """Create or replace it."""


class Elector:
    """Holds the Lease for this process. Once lost it is not taken up again: the process must end."""

    def __init__(
        self,
        store: LeaseStore,
        namespace: str,
        name: str,
        me: str,
        monotonic: Callable[[], float],
        wall: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`monotonic` measures, `wall` is only written down for people."""
        self._store = store
        self._namespace, self._name, self._me = namespace, name, me
        self._monotonic, self._wall, self._sleep = monotonic, wall, sleep
        self._seen: Seen | None = None
        self._lease: Json | None = None
        self._renewed_at: float | None = None
        self.leading = asyncio.Event()

    def valid_seconds(self) -> float:
        """For how long a write may still be under way; 0 or less: none may be started."""
        if self._renewed_at is None:
            return 0.0
        age = self._monotonic() - self._renewed_at
        # None is started past the deadline, and none is left running when a successor may begin.
        return LEASE_SECONDS - age if age < RENEW_DEADLINE_SECONDS else 0.0

    async def run(self) -> None:
        """Acquire the Lease and keep it; returns when it is lost, and then the process must end."""
        while self._renewed_at is None or self.valid_seconds() > 0:
            await self._attempt()
            await self._sleep(self._pause())
        log.error("the Lease %s/%s is lost; this process ends", self._namespace, self._name)
        self._renewed_at = None
        self.leading.clear()

    async def release(self) -> None:
        """Give the Lease back, so that a successor need not wait for its end. Never raises ApiError."""
        if self._renewed_at is None or self._lease is None:
            return
        self._renewed_at = None
        self.leading.clear()
        try:
            await self._store.put_lease(released(self._lease, self._namespace, self._name), CALL_SECONDS)
        except (ApiError, ConflictError) as error:
            log.warning("the Lease was not released, a successor waits for its end: %s", error)

    async def _attempt(self) -> None:
        started = self._monotonic()
        try:
            lease = await self._store.get_lease(self._namespace, self._name, CALL_SECONDS)
            self._seen, move = step(self._seen, read(lease), self._me, self._monotonic())
            if move == "stand by":
                if self._renewed_at is not None:
                    # Someone else took it: every write from here on would be a second leader's.
                    self._renewed_at = float("-inf")
                return
            wanted = written(lease, self._namespace, self._name, self._me, self._wall(), move)
            self._lease = await self._store.put_lease(wanted, CALL_SECONDS)
        except ConflictError:
            return
        except ApiError as error:
            log.warning("the Lease %s/%s: %s", self._namespace, self._name, error)
            return
        # Counted from before the call: the server may have taken it at any time since.
        self._renewed_at = started
        if not self.leading.is_set():
            log.info("this process (%s) holds the Lease", self._me)
            self.leading.set()

    def _pause(self) -> float:
        """Until the next attempt: at the Lease's end rather than after it."""
        if self._renewed_at is not None or self._seen is None:
            return RETRY_SECONDS
        left = self._seen.at + self._seen.record.seconds - self._monotonic()
        return min(RETRY_SECONDS, max(0.05, left))

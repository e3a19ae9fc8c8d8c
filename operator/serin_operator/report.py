"""The only writer of status and events, and of the metrics that tell of deployments."""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any, assert_never

from prometheus_client import Counter, Gauge
from pydantic import BaseModel

from serin_contract import labels
from serin_operator.api.base import Condition
from serin_operator.api.deployment import ModelDeploymentStatus, Phase
from serin_operator.decide import timestamps
from serin_operator.decide.observation import Observation
from serin_operator.decide.plan import Event, Plan, RevisionReport
from serin_operator.errors import ApiError
from serin_operator.runtime.kube import Json, Kube
from serin_operator.runtime.metrics import Metrics
from serin_operator.runtime.outcome import Applied, Failed, Outcome, Waiting

REPEAT_SECONDS = 600.0
"""The same event is not posted again within this time."""

EVENT_BURST = 20
EVENT_REFILL_SECONDS = 30.0
NOTE_CHARS_MAX = 1024

log = logging.getLogger(__name__)


class Reporter:
    """Says what became of a plan."""

    def __init__(self, kube: Kube, metrics: Metrics, instance: str) -> None:
        """`instance` names this process in events."""
        self._kube = kube
        self._events = EventLimits()
        self._gauges = DeploymentMetrics(metrics)
        self._instance = instance

    async def report(self, seen: Observation, plan: Plan, outcome: Outcome) -> bool:
        """Write what is now so, and only that; returns whether anything was written.

        Raises:
            ConflictError: the plan was made for an older object; nothing more is written.
            ApiError: the API server refused a status.
        """
        match outcome:
            case Applied():
                return await self._done(seen, plan)
            case Waiting(reason=reason, message=message):
                # The status would claim what is not so yet: the next pass tells.
                log.info("%s: %s", reason, message)
                return False
            case Failed():
                return await self._failed(seen, outcome)
            case _:
                assert_never(outcome)

    def forget(self, kept: Collection[tuple[str, str]]) -> None:
        """Drop the metrics of deployments that are not among these namespaces and names."""
        self._gauges.forget(kept)

    async def _done(self, seen: Observation, plan: Plan) -> bool:
        wrote = [await self._revision(seen, report) for report in plan.revisions]
        wrote.append(await self._status(seen, plan.status))
        for event in plan.events:
            await self._event(seen, event)
        self._gauges.show(seen, plan.status)
        return any(wrote)

    async def _failed(self, seen: Observation, failed: Failed) -> bool:
        log.warning("%s: %s", failed.reason, failed.message)
        wrote = await self._status(seen, failure_status(seen, failed))
        await self._event(seen, Event("Warning", failed.reason, failed.message, "Apply"))
        self._gauges.show(seen, seen.status)
        return wrote

    async def _status(self, seen: Observation, status: ModelDeploymentStatus) -> bool:
        fields = document(status)
        if _canonical(fields) == _canonical(document(seen.status)):
            return False
        target = _target("ModelDeployment", seen.namespace, seen.name, seen.uid, seen.resource_version)
        await self._kube.apply_status({**target, "status": fields})
        return True

    async def _revision(self, seen: Observation, report: RevisionReport) -> bool:
        known = seen.revision(report.name)
        fields = document(report.status)
        if known is not None and fields == document(known.status):
            return False
        uid, version = (known.uid, known.resource_version) if known is not None else ("", "")
        target = _target("ModelRevision", seen.namespace, report.name, uid, version)
        await self._kube.apply_status({**target, "status": fields})
        return True

    async def _event(self, seen: Observation, event: Event) -> None:
        if not self._events.admits(seen.uid, event, seen.now):
            return
        try:
            await self._kube.create_event(event_object(seen, event, self._instance))
        except ApiError as error:
            # An event is for people; what it tells of stands in the status as well.
            log.warning("event %s was not posted: %s", event.reason, error)


def failure_status(seen: Observation, failed: Failed) -> ModelDeploymentStatus:
    """The status that stood before, with a condition that says what the API server refused."""
    kind = "RouteProgrammed" if failed.narrowing else "Progressing"
    old = next((condition for condition in seen.status.conditions if condition.type == kind), None)
    unchanged = old is not None and old.status == "False"
    condition = Condition(
        type=kind,
        status="False",
        observed_generation=seen.generation,
        last_transition_time=old.last_transition_time if old and unchanged else timestamps.text(seen.now),
        reason=failed.reason,
        message=failed.message,
    )
    others = tuple(known for known in seen.status.conditions if known.type != kind)
    return seen.status.model_copy(
        update={
            "phase": seen.status.phase or Phase.Pending,
            "message": failed.message,
            "conditions": (*others, condition),
        }
    )


def document(model: BaseModel) -> Json:
    """The fields to write: those that are absent are left out, so that the API server removes them."""
    fields: Json = _finite(model.model_dump(mode="json", by_alias=True, exclude_none=True))
    return fields


def _canonical(fields: Json) -> Json:
    """For comparing: conditions and gates are maps to the API server, whose order says nothing."""
    conditions = {condition["type"]: condition for condition in fields.get("conditions", ())}
    gates = {gate["name"]: gate for gate in fields.get("gates", ())}
    return {**fields, "conditions": conditions, "gates": gates}


def _finite(value: Any) -> Any:
    """Without numbers that JSON cannot hold; a field that has none is left out."""
    if isinstance(value, dict):
        kept = {name: _finite(item) for name, item in value.items()}
        return {name: item for name, item in kept.items() if item is not None}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _target(kind: str, namespace: str, name: str, uid: str, resource_version: str) -> Json:
    metadata = {"namespace": namespace, "name": name}
    if uid:
        metadata["uid"] = uid
    if resource_version:
        metadata["resourceVersion"] = resource_version
    return {"apiVersion": labels.API_VERSION, "kind": kind, "metadata": metadata}


def event_object(seen: Observation, event: Event, instance: str) -> Json:
    """The Event to post. Its name is settled by what it says, so that a restart does not repeat it."""
    said = "\n".join((seen.uid, event.type, event.reason, event.message, str(int(seen.now // REPEAT_SECONDS))))
    moment = datetime.fromtimestamp(seen.now, UTC).isoformat(timespec="microseconds")
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {
            "namespace": seen.namespace,
            "name": f"{seen.name}.{hashlib.sha256(said.encode()).hexdigest()[:16]}",
            "labels": {labels.DEPLOYMENT_LABEL: seen.name},
        },
        "eventTime": moment.replace("+00:00", "Z"),
        "type": event.type,
        "reason": event.reason,
        "action": event.action,
        "note": _cut(event.message),
        "reportingController": f"{labels.GROUP}/operator",
        "reportingInstance": instance[:128],
        "regarding": {
            "apiVersion": labels.API_VERSION,
            "kind": "ModelDeployment",
            "namespace": seen.namespace,
            "name": seen.name,
            "uid": seen.uid,
        },
    }


def _cut(message: str) -> str:
    """The API server counts bytes."""
    return message.encode()[:NOTE_CHARS_MAX].decode(errors="ignore")


class EventLimits:
    """What keeps events few: none twice within ten minutes, and a bucket of tokens for each deployment."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str, str], float] = {}
        self._buckets: dict[str, tuple[float, float]] = {}

    def admits(self, uid: str, event: Event, now: float) -> bool:
        """Whether to post it; if so, it counts as posted."""
        self._prune(now)
        said = (uid, event.reason, event.message)
        tokens, at = self._buckets.get(uid, (float(EVENT_BURST), now))
        tokens = min(float(EVENT_BURST), tokens + max(0.0, now - at) / EVENT_REFILL_SECONDS)
        if said in self._last or tokens < 1:
            return False
        self._last[said] = now
        self._buckets[uid] = (tokens - 1, now)
        return True

    def _prune(self, now: float) -> None:
        """Forget what no longer limits anything; a clock that was set back forgets as well."""
        self._last = {said: at for said, at in self._last.items() if 0 <= now - at < REPEAT_SECONDS}
        full_after = EVENT_BURST * EVENT_REFILL_SECONDS
        self._buckets = {uid: bucket for uid, bucket in self._buckets.items() if now - bucket[1] < full_after}


class DeploymentMetrics:
    """The metrics that carry a deployment's name, dropped when it is gone."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._shown: dict[tuple[str, str], list[tuple[Gauge | Counter, tuple[str, ...]]]] = {}

    def show(self, seen: Observation, status: ModelDeploymentStatus) -> None:
        """The deployment stands so now."""
        key = (seen.namespace, seen.name)
        counters = self._count(key, seen.status, status)
        self._drop([shown for shown in self._shown.get(key, ()) if isinstance(shown[0], Gauge)])
        gauges: list[tuple[Gauge, tuple[str, ...], float]] = [
            (self._metrics.weight, key, float(status.candidate.weight if status.candidate else 0))
        ]
        if status.phase is not None:
            gauges.append((self._metrics.phase, (*key, status.phase.value), 1.0))
        for gate in status.gates:
            if gate.value is not None:
                gauges.append((self._metrics.gate_value, (*key, gate.name), gate.value))
            if gate.log10_e is not None:
                gauges.append((self._metrics.gate_log10_e, (*key, gate.name), gate.log10_e))
        for gauge, names, value in gauges:
            gauge.labels(*names).set(value)
        kept = [shown for shown in self._shown.get(key, ()) if isinstance(shown[0], Counter)]
        self._shown[key] = [*kept, *counters, *((gauge, names) for gauge, names, _ in gauges)]

    def forget(self, kept: Collection[tuple[str, str]]) -> None:
        """Drop all but these."""
        for key in self._shown.keys() - set(kept):
            self._drop(self._shown.pop(key))

    def _count(
        self, key: tuple[str, str], before: ModelDeploymentStatus, after: ModelDeploymentStatus
    ) -> list[tuple[Counter, tuple[str, ...]]]:
        counted: list[tuple[Counter, tuple[str, ...]]] = []
        if after.last_rollback is not None and after.last_rollback != before.last_rollback:
            counted.append((self._metrics.rollbacks, (*key, after.last_rollback.gate)))
        stable = before.stable.revision if before.stable else None
        if after.stable is not None and after.stable.revision != stable:
            counted.append((self._metrics.promotions, key))
        for counter, names in counted:
            counter.labels(*names).inc()
        known = self._shown.get(key, ())
        return [entry for entry in counted if entry not in known]

    def _drop(self, shown: list[tuple[Gauge | Counter, tuple[str, ...]]]) -> None:
        for metric, names in shown:
            metric.remove(*names)

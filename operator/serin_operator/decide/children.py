"""Which owned objects should stand, and what to do where they do not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from serin_contract import labels
from serin_operator.decide import identity, manifests, timestamps
from serin_operator.decide.draft import Draft, Situation
from serin_operator.decide.plan import Action, Apply, ApplyKeys, Delete

RETIRE_SECONDS = 10.0
"""From the end of a revision's traffic to the end of its pods: longer than routes take to spread."""

RETIRED_KINDS = ("Deployment", "Service", "PodDisruptionBudget", "ConfigMap")
TERMINAL = ("Superseded", "Rejected", "Undecided", "Aborted", "Failed")


@dataclass(frozen=True)
class Children:
    """What to do about owned objects."""

    first: tuple[Action, ...]
    """Before anything that needs them: keys, profile, workloads, Services."""
    last: tuple[Action, ...]
    """What is no longer wanted."""
    retry_after_seconds: float | None


def children(situation: Situation, draft: Draft) -> Children:
    """The actions that bring owned objects to what the draft needs; none where they stand."""
    wanted = [manifest for manifest in _wanted(situation, draft) if not manifests.stands(situation.seen.live, manifest)]
    keys: tuple[Action, ...] = ()
    if not situation.seen.operator.keys_applied:
        keys = (ApplyKeys(identity.keys_name(situation.seen.name)),)
    retired, wait_seconds = _retire(situation, draft)
    return Children(
        first=(*keys, *(Apply(manifest) for manifest in wanted)),
        last=(*retired, *_stray_resolve_pods(situation), *_prune(situation, draft)),
        retry_after_seconds=wait_seconds,
    )


def _wanted(situation: Situation, draft: Draft) -> Iterator[dict[str, Any]]:
    seen = situation.seen
    candidate = draft.candidate
    if candidate is not None and candidate.outcome is None:
        if seen.stable_profile is not None and draft.stable is not None:
            yield manifests.stable_profile(seen, candidate.revision, seen.stable_profile)
        yield from _workload(situation, candidate.revision, _candidate_replicas(situation, draft))
    if draft.stable is not None:
        yield from _workload(situation, draft.stable.revision, situation.policy.replicas)
        apex = situation.routing.apex(draft.stable.revision)
        if apex is not None:
            yield dict(apex)


def _candidate_replicas(situation: Situation, draft: Draft) -> int:
    """Enough for the weight on the route and the one intended; a first deployment is built whole."""
    candidate = draft.candidate
    if candidate is None or draft.stable is None:
        return situation.policy.replicas
    steps = situation.policy.steps
    weight = max(
        candidate.weight,
        situation.weights.get(candidate.revision, 0),
        steps[max(0, min(candidate.step, len(steps) - 1))].weight,
    )
    return situation.replicas_for(weight)


def _workload(situation: Situation, revision: str, replicas: int) -> Iterator[dict[str, Any]]:
    record = situation.seen.revision(revision)
    if record is None:
        # Its record was deleted by hand: what stands is left as it stands, since its template is not known.
        return
    yield manifests.revision_service(situation.seen, revision)
    yield manifests.disruption_budget(situation.seen, revision)
    yield manifests.workload(situation.seen, revision, record.spec.template, replicas)


def _retire(situation: Situation, draft: Draft) -> tuple[list[Action], float | None]:
    kept = {state.revision for state in (draft.stable, draft.candidate) if state is not None}
    actions: list[Action] = []
    wait_seconds: float | None = None
    for name, manifest in situation.seen.live.items():
        kind = name.partition("/")[0]
        revision = manifest.get("metadata", {}).get("labels", {}).get(labels.REVISION_LABEL)
        if kind not in RETIRED_KINDS or revision is None or revision in kept or revision in situation.weights:
            continue
        left = _seconds_until_retired(situation, revision)
        if left > 0:
            wait_seconds = left if wait_seconds is None else min(wait_seconds, left)
        elif "deletionTimestamp" not in manifest["metadata"]:
            actions.append(_delete(manifest))
    return actions, wait_seconds


def _seconds_until_retired(situation: Situation, revision: str) -> float:
    record = situation.seen.revision(revision)
    if record is None:
        return 0.0
    ended = record.status.updated_at
    age = timestamps.elapsed(ended, situation.now) if ended else situation.now - record.created_at
    return RETIRE_SECONDS - age


def _stray_resolve_pods(situation: Situation) -> list[Action]:
    """Resolve pods of revisions that are no longer asked for, or that have their record already."""
    return [
        Delete("v1", "Pod", pod.name, pod.uid)
        for pod in situation.seen.pods
        if pod.purpose == "resolve"
        and not pod.terminating
        and (pod.revision != situation.target or situation.seen.revision(pod.revision) is not None)
    ]


def _prune(situation: Situation, draft: Draft) -> list[Action]:
    """Records beyond the history limit, the oldest first; never one that has pods or is in use."""
    kept = {state.revision for state in (draft.stable, draft.candidate) if state is not None} | {situation.target}
    ended = sorted(
        (
            record
            for record in situation.seen.revisions
            if record.status.verdict in TERMINAL
            and record.name not in kept
            and f"Deployment/{record.name}" not in situation.seen.live
        ),
        key=lambda record: (record.created_at, record.name),
        reverse=True,
    )
    return [
        Delete(labels.API_VERSION, "ModelRevision", record.name, record.uid)
        for record in ended[situation.policy.revision_history_limit :]
    ]


def _delete(manifest: Any) -> Delete:
    return Delete(manifest["apiVersion"], manifest["kind"], manifest["metadata"]["name"], manifest["metadata"]["uid"])

"""Which owned objects should stand, and what to do where they do not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from serin_contract import labels
from serin_operator.decide import capacity, identity, manifests, retiring, routing
from serin_operator.decide.draft import Draft, Situation
from serin_operator.decide.plan import Action, Apply, ApplyKeys, Delete, HandOver

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
    retired, wait_seconds = retiring.retire(situation, draft)
    return Children(
        first=(*keys, *_autoscalers_off(situation, draft), *_applied(situation, wanted)),
        last=(*retired, *_stray_routes(situation, draft), *_stray_resolve_pods(situation), *_prune(situation, draft)),
        retry_after_seconds=wait_seconds,
    )


def _wanted(situation: Situation, draft: Draft) -> Iterator[dict[str, Any]]:
    seen = situation.seen
    candidate = draft.candidate
    pods = capacity.of_candidate(situation, draft)
    if candidate is not None and pods is not None:
        if seen.stable_profile is not None and draft.stable is not None:
            yield manifests.stable_profile(seen, candidate.revision, seen.stable_profile)
        yield from _workload(situation, candidate.revision, pods)
    if draft.previous is not None:
        returns = draft.watch is not None and bool(draft.watch.rolling_back)
        pods = capacity.of_previous(situation, draft.previous, returns=returns)
        yield from _workload(situation, draft.previous.revision, pods)
    if draft.stable is not None:
        yield from _workload(situation, draft.stable.revision, capacity.of_stable(situation, draft))
        apex = situation.routing.apex(draft.stable.revision)
        if apex is not None:
            yield dict(apex)
        for companion in situation.routing.companions():
            yield dict(companion)
        follower = situation.routing.follower(draft.stable.revision, draft.weights)
        if follower is not None:
            yield dict(follower)


def _workload(situation: Situation, revision: str, pods: int) -> Iterator[dict[str, Any]]:
    record = situation.seen.revision(revision)
    if record is None:
        # Its record was deleted by hand: what stands is left as it stands, since its template is not known.
        return
    yield manifests.revision_service(situation.seen, revision)
    yield manifests.disruption_budget(situation.seen, revision)
    scaling = situation.policy.autoscaling
    yield manifests.workload(situation.seen, revision, record.spec.template, pods if scaling is None else None)
    if scaling is not None:
        lowest = min(pods, scaling.maximum)
        highest = lowest if situation.routing.mode == "Replicas" and _splits(situation, revision) else scaling.maximum
        yield manifests.autoscaler(situation.seen, revision, lowest, highest, scaling.cpu_percent)


def _splits(situation: Situation, revision: str) -> bool:
    """Whether the number of the revision's pods is what splits the traffic."""
    return situation.stable is not None and revision != situation.stable.revision


def _applied(situation: Situation, wanted: list[dict[str, Any]]) -> Iterator[Action]:
    """What gives pods up comes before what asks for more, so that the two never add up to too many."""
    live = situation.seen.live
    for manifest in sorted(wanted, key=lambda manifest: not _shrinks(live, manifest)):
        standing = live.get(manifests.key(manifest), {})
        number = standing.get("spec", {}).get("replicas")
        left = manifest["kind"] == "Deployment" and "replicas" not in manifest["spec"]
        if left and number is not None and not manifests.is_autoscaled(standing):
            yield HandOver(manifest["metadata"]["name"], standing["metadata"]["uid"], number)
        yield Apply(manifest)


def _shrinks(live: Mapping[str, Mapping[str, Any]], manifest: Mapping[str, Any]) -> bool:
    if manifest["kind"] != "Deployment":
        return False
    have, wanted = manifests.live_replicas(live, manifest["metadata"]["name"]), manifest["spec"].get("replicas")
    return have is not None and wanted is not None and wanted < have


def _autoscalers_off(situation: Situation, draft: Draft) -> list[Action]:
    """Autoscalers of revisions in use go first where none is asked for any more: two must not choose one number."""
    if situation.policy.autoscaling is not None:
        return []
    named = (f"HorizontalPodAutoscaler/{revision}" for revision in sorted(retiring.kept(draft)))
    standing = (situation.seen.live.get(name) for name in named)
    return [retiring.deletion(manifest) for manifest in standing if manifest is not None]


def _stray_routes(situation: Situation, draft: Draft) -> list[Action]:
    stable = draft.stable.revision if draft.stable is not None else None
    return [
        retiring.deletion(item)
        for item in routing.strays(situation.seen, situation.routing, stable)
        if "deletionTimestamp" not in item["metadata"]
    ]


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
    kept = retiring.kept(draft) | {situation.target}
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

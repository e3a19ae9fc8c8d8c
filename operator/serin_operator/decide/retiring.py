"""When the pods of a revision may go: nobody sends them requests any more, and the last answer is out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from serin_contract import labels
from serin_operator.decide import timestamps
from serin_operator.decide.draft import Draft, Situation
from serin_operator.decide.observation import StatsAnswer
from serin_operator.decide.plan import Action, Delete

IDLE_SECONDS = 3.0
"""Without a request for so long, and at least so long after its traffic ended: routes have spread."""

SILENT_SECONDS = 10.0
"""From the end of a revision's traffic where its pods do not tell: longer than routes take to spread."""

BUSY_SECONDS_MAX = 60.0
"""Someone goes on asking the pods past the route; their drain answers what runs."""

RETIRED_KINDS = ("HorizontalPodAutoscaler", "Deployment", "Service", "PodDisruptionBudget", "ConfigMap")


def kept(draft: Draft) -> set[str]:
    """Revisions that keep all that is theirs."""
    return {state.revision for state in (draft.stable, draft.candidate, draft.previous) if state is not None}


def retire(situation: Situation, draft: Draft) -> tuple[list[Action], float | None]:
    """The deletions that are due, and when to look again."""
    actions: list[Action] = []
    waits = _ends(situation, draft)
    for name, manifest in situation.seen.live.items():
        revision = manifest.get("metadata", {}).get("labels", {}).get(labels.REVISION_LABEL)
        gone_from_use = revision is not None and revision not in kept(draft) and revision not in situation.weights
        if name.partition("/")[0] not in RETIRED_KINDS or not gone_from_use:
            continue
        left_seconds = _seconds_left(situation, revision)
        if left_seconds > 0:
            waits.append(left_seconds)
        elif "deletionTimestamp" not in manifest["metadata"]:
            actions.append(deletion(manifest))
    return actions, min(waits) if waits else None


def _ends(situation: Situation, draft: Draft) -> list[float]:
    """Seconds until a warm revision gives pods up."""
    if draft.previous is None:
        return []
    ends = (draft.previous.warm_until, draft.previous.full_until)
    lasts = (timestamps.seconds(end) - situation.now for end in ends if end is not None)
    return [seconds for seconds in lasts if seconds > 0]


def deletion(manifest: Mapping[str, Any]) -> Delete:
    """Of the very object that was seen."""
    return Delete(manifest["apiVersion"], manifest["kind"], manifest["metadata"]["name"], manifest["metadata"]["uid"])


def _seconds_left(situation: Situation, revision: str) -> float:
    """Until its pods may go, or until it is worth to ask them again."""
    record = situation.seen.revision(revision)
    if record is None:
        return 0.0
    ended = record.status.updated_at
    age_seconds = timestamps.elapsed(ended, situation.now) if ended else situation.now - record.created_at
    if age_seconds < IDLE_SECONDS or situation.routing.mode == "Replicas":
        # Without a gateway a kept connection stays with its pod for ever, so nothing is gained by waiting for calm.
        return IDLE_SECONDS - age_seconds
    match _idle(situation, revision):
        case None:
            return min(1.0, SILENT_SECONDS - age_seconds)
        case True:
            return 0.0
        case False:
            return min(1.0, BUSY_SECONDS_MAX - age_seconds)


def _idle(situation: Situation, revision: str) -> bool | None:
    """Whether all its pods say that nobody asks them; None where one of them does not tell, or there is none."""
    running = [pod for pod in situation.seen.serving_pods(revision) if pod.phase == "Running" and not pod.terminating]
    answers = {answer.pod_uid: answer for answer in situation.seen.stats if answer.revision == revision}
    if any(_is_busy(answers[pod.uid]) for pod in running if pod.uid in answers):
        return False
    told = [pod.uid in answers and answers[pod.uid].stats is not None for pod in running]
    return True if told and all(told) else None


def _is_busy(answer: StatsAnswer) -> bool:
    stats = answer.stats
    return stats is not None and (stats.in_flight > 0 or stats.idle_seconds < IDLE_SECONDS)

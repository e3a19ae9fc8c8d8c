"""The reconcile step: observe, decide, apply, report. All that the operator does goes through here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from serin_operator.apply.workloads import Applier
from serin_operator.decide.observation import Observation
from serin_operator.decide.plan import Plan
from serin_operator.observe.cluster import Observer
from serin_operator.observe.held import HeldEvidence
from serin_operator.report import Reporter
from serin_operator.runtime.outcome import Applied, Failed, Outcome, Waiting
from serin_operator.runtime.queue import Key
from serin_operator.runtime.record import Recorder
from serin_operator.runtime.workers import Again

FAILED_SECONDS = 5.0
"""While something is refused a trial is still judged this often: a rollback must not wait for the mending."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Parts:
    """What a step works with."""

    observer: Observer
    decide: Callable[[Observation], Plan]
    applier: Applier
    reporter: Reporter
    held: HeldEvidence
    recorder: Recorder


async def step(parts: Parts, key: Key) -> Again:
    """One pass over one ModelDeployment; it may die anywhere, and the next pass goes on from what stands.

    Raises:
        ConflictError: what was decided on is no longer so; observe again.
        ApiError: the API server cannot be read, or a status was refused.
        NotLeadingError: another process may be writing by now.
    """
    seen = await parts.observer.observe(key)
    if seen is None:
        return Again()
    plan = parts.decide(seen)
    if plan.evidence is not None:
        # Held whatever comes of the plan: it is what was counted, and pods that are gone cannot be asked twice.
        parts.held.keep(seen.uid, plan.evidence)
    if plan.watched is not None:
        parts.held.keep_watched(seen.uid, plan.watched)
    outcome = await parts.applier.apply(seen, plan)
    wrote = await parts.reporter.report(seen, plan, outcome)
    if plan.evidence is None and isinstance(outcome, Applied):
        parts.held.keep(seen.uid, None)
    if plan.watched is None and isinstance(outcome, Applied):
        parts.held.keep_watched(seen.uid, None)
    if wrote or plan.actions:
        await _record(parts.recorder, seen, plan, outcome)
    return _again(plan, outcome)


def _again(plan: Plan, outcome: Outcome) -> Again:
    match outcome:
        case Waiting(retry_after_seconds=wait):
            return Again(min(wait, plan.retry_after_seconds or wait))
        case Failed():
            soon = FAILED_SECONDS if plan.retry_after_seconds is not None else None
            return Again(soon, failed=True)
        case Applied():
            return Again(plan.retry_after_seconds)


async def _record(recorder: Recorder, seen: Observation, plan: Plan, outcome: Outcome) -> None:
    content = {"observation": seen, "plan": plan, "outcome": outcome}
    try:
        await asyncio.to_thread(recorder.record, seen.namespace, seen.name, seen.now, content)
    except OSError as error:
        log.warning("the decision was not recorded: %s", error)

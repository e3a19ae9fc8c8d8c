"""The watch through whole decisions: restarts, what ends it, and what may not be lost with it."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest
from tests.support.quick import slow
from tests.support.world import World, a_served_world, a_spec, is_phase, uri

from serin_operator.decide.judge import watched_saved
from serin_operator.decide.observation import ContainerEnd

WATCH: dict[str, Any] = {"for": "3h", "keepWarm": "3h"}
STEPS = [{"weight": 50, "for": "10s"}]


def a_watched_world(**changes: Any) -> World:
    """Version 2 was promoted and is watched."""
    spec = {"watch": WATCH, "rollout": {"steps": STEPS}} | changes
    world = a_served_world(spec=a_spec(1, **spec))
    world.change(a_spec(2, **spec))
    assert world.run(is_phase("Watching"), seconds=300), world.status.message
    return world


def looked_at(world: World, looks: int, restarts: frozenset[int], *, bad_from: int) -> list[tuple[Any, ...]]:
    """What the operator said at each look, a minute apart."""
    said = []
    for look in range(looks):
        if look == bad_from:
            world.models[uri(2)].accuracy = 0.9
        if look in restarts:
            world.restart_operator()
        world.step()
        verdicts = tuple((gate.name, gate.verdict) for gate in world.status.gates)
        said.append((world.status.phase, verdicts, world.watched.total if world.watched is not None else None))
        world.pass_time(60.0)
    return said


@pytest.mark.parametrize("seed", [0, slow(1), slow(2)])
def test_ten_restarts_at_random_looks_change_no_sum_and_no_verdict(seed: int) -> None:
    restarts = frozenset(random.Random(seed).sample(range(1, 100), 10))
    undisturbed = looked_at(a_watched_world(seed=seed), 110, frozenset(), bad_from=90)
    restarted = looked_at(a_watched_world(seed=seed), 110, restarts, bad_from=90)
    assert undisturbed[-1][0] == "RolledBack", "the story ends with a breach"
    assert restarted == undisturbed


def test_the_evidence_is_written_every_five_minutes_and_at_a_breach() -> None:
    world = a_watched_world()
    written = []
    for look in range(40):
        if look == 33:
            world.models[uri(2)].accuracy = 0.8
        world.step()
        at = watched_saved.written_at(world.revisions[world.stable].status.evidence)
        if at is not None and (not written or written[-1] != at):
            written.append(at)
        if world.status.watch is None:
            break
        world.pass_time(60.0)
    gaps = [round(later - earlier) for earlier, later in itertools.pairwise(written)]
    assert set(gaps[:-1]) == {300}
    assert 0 < gaps[-1] < 300, "a breach does not wait"


def test_what_the_trial_wrote_stays_beside_the_watch_and_the_watch_goes_with_its_end() -> None:
    world = a_watched_world()
    world.run(seconds=120, tick_seconds=10)
    stable = world.stable
    during = world.revisions[stable].status.evidence or {}
    assert {"watch", "cohorts"} <= during.keys()
    world.change(world.spec | {"watch": {"for": "0s"}})
    world.step()
    after = world.revisions[stable].status.evidence or {}
    assert after == {key: value for key, value in during.items() if key != "watch"}


def test_a_rejected_revision_keeps_the_evidence_of_its_watch() -> None:
    world = a_watched_world()
    watched = world.stable
    world.models[uri(2)].accuracy = 0.8
    assert world.run(is_phase("RolledBack"), seconds=300, tick_seconds=10)
    status = world.revisions[watched].status
    assert status.verdict == "Rejected"
    assert "watch" in (status.evidence or {})
    assert world.status.history[0].outcome == "RolledBack"
    assert world.status.last_rollback is not None
    assert (world.status.last_rollback.gate, world.status.last_rollback.from_) == ("accuracy", watched)
    assert [rejection.revision for rejection in world.status.rejected] == [watched]


def test_a_spec_that_was_rolled_back_is_not_tried_again() -> None:
    world = a_watched_world()
    world.models[uri(2)].accuracy = 0.8
    assert world.run(is_phase("RolledBack"), seconds=300, tick_seconds=10)
    world.models[uri(2)].accuracy = 0.99
    world.restart_operator()
    world.run(seconds=120, tick_seconds=5)
    assert world.status.phase == "RolledBack"
    assert world.status.candidate is None


def test_a_pod_that_crashes_again_and_again_is_a_breach_after_a_minute() -> None:
    world = a_watched_world()
    world.run(seconds=60, tick_seconds=10)
    (pod, *_) = [pod for pod in world.pods if pod.revision == world.stable]
    pod.waiting_reason, pod.end = "CrashLoopBackOff", ContainerEnd(1, "Error", "", world.now)
    began = world.now
    assert world.run(is_phase("RolledBack"), seconds=300, tick_seconds=5)
    assert world.status.last_rollback is not None
    assert world.status.last_rollback.gate == "availability"
    assert 60 <= world.now - began <= 80


def test_a_first_deployment_and_a_return_are_not_watched() -> None:
    world = a_served_world(spec=a_spec(1, watch=WATCH))
    assert (world.status.phase, world.status.watch) == ("Stable", None)
    world = a_watched_world()
    world.change(a_spec(1, watch=WATCH, rollout={"steps": STEPS}))
    assert world.run(is_phase("Stable"), seconds=60)
    assert world.status.history[0].outcome == "Returned"
    assert world.status.watch is None


def test_promoted_stays_true_through_the_watch_and_says_so_at_once() -> None:
    world = a_watched_world()
    conditions = {condition.type: condition for condition in world.status.conditions}
    assert conditions["Promoted"].status == "True"
    assert (conditions["WatchPassing"].status, conditions["WatchPassing"].reason) == ("True", "NoBreach")
    assert conditions["Progressing"].reason == "Complete"


@pytest.mark.parametrize("on_breach", ["Alert", "RollBack"])
def test_the_condition_says_unknown_at_the_first_look_and_false_when_it_lasts(on_breach: str) -> None:
    world = a_watched_world(watch=WATCH | {"onBreach": on_breach, "keepWarm": "0s"})
    world.run(seconds=60, tick_seconds=10)
    world.models[uri(2)].accuracy = 0.8
    world.models[uri(1)].ready_after_seconds = 120.0
    seen: list[str] = []
    for _ in range(12):
        world.step()
        (condition,) = [known for known in world.status.conditions if known.type == "WatchPassing"]
        if not seen or seen[-1] != condition.status:
            seen.append(condition.status)
        world.pass_time(10.0)
    assert seen == ["True", "Unknown", "False"]
    assert condition.reason == "WorseThanProven"
    assert sum("WatchBreached" in line for line in world.log) == 1, "one event"
    assert world.status.phase == ("Watching" if on_breach == "Alert" else "RollingBack")


def test_a_third_spec_does_not_wait_for_the_pods_of_the_previous_revision() -> None:
    world = a_watched_world(watch={"for": "3h"})
    world.models[uri(1)].never_ready = True
    assert world.status.previous is not None
    world.kill_pods(world.status.previous.revision)
    world.models[uri(2)].accuracy = 0.8
    assert world.run(is_phase("RollingBack"), seconds=300, tick_seconds=10)
    world.change(a_spec(3, watch=WATCH, rollout={"steps": STEPS}))
    assert world.run(is_phase("Watching"), seconds=300, tick_seconds=2), world.status.message
    assert world.revisions[world.stable].spec.model.uri == uri(3)


def test_without_its_record_the_previous_revision_cannot_take_over() -> None:
    world = a_watched_world()
    assert world.status.previous is not None
    del world.revisions[world.status.previous.revision]
    world.models[uri(2)].accuracy = 0.8
    world.run(seconds=180, tick_seconds=10)
    assert world.status.phase == "Watching"
    assert "no previous revision is left" in (world.status.message or "")

"""Stories without a gateway: numbers of pods split, and callers keep their connections."""

from __future__ import annotations

from typing import Any

from tests.support.replicas_world import ReplicasWorld, a_replicas_spec, a_replicas_world
from tests.support.world import Behaviour, World, a_spec, is_phase, uri
from tests.unit.decide.stories import long_story, promoted, settled, story
from tests.unit.decide.telling import Telling


def replicas_trial(**changes: Any) -> tuple[Telling, ReplicasWorld]:
    """Version 1 serves from three pods and version 2 is asked for."""
    world = a_replicas_world(**changes)
    telling = Telling(world)
    telling.change(a_replicas_spec(2))
    telling.note("version 2 is applied")
    return telling, world


def in_step(number: int) -> Any:
    """Whether the clock of that step runs."""

    def reached(world: World) -> bool:
        candidate = world.status.candidate
        return candidate is not None and candidate.step == number - 1 and candidate.step_started_at is not None

    return reached


def shares(telling: Telling, world: ReplicasWorld) -> None:
    """What callers have seen of it."""
    split = world.status.candidate.split if world.status.candidate is not None else None
    telling.note(f"{split.answer}: {split.message}" if split is not None else "no split is observed")


@story
def replicas_promoted() -> Telling:
    telling, world = replicas_trial()
    telling.run(in_step(1))
    telling.run(seconds=10)
    shares(telling, world)
    telling.run(in_step(2))
    telling.run(seconds=10)
    shares(telling, world)
    telling.run(promoted(2))
    return settled(telling)


@story
def replicas_rolled_back() -> Telling:
    telling, _ = replicas_trial(models={uri(2): Behaviour(accuracy=0.8)})
    telling.run(is_phase("RolledBack"))
    return settled(telling)


@long_story
def replicas_superseded() -> Telling:
    telling, _ = replicas_trial()
    telling.run(in_step(2))
    telling.change(a_replicas_spec(3))
    telling.note("version 3 is applied: it waits for the pods of version 2 to go")
    telling.run(promoted(3))
    return settled(telling)


@long_story
def replicas_operator_restarted() -> Telling:
    telling, world = replicas_trial()
    telling.run(in_step(1))
    world.restart_operator()
    telling.note("the operator is restarted")
    telling.run(promoted(2))
    return settled(telling)


@long_story
def replicas_pod_replaced() -> Telling:
    telling, world = replicas_trial()
    telling.run(in_step(2))
    world.kill_pods(world.candidate, 1)
    telling.note("one of the candidate's pods is replaced")
    telling.run(seconds=10)
    told = [pod.revision == world.candidate for pod in world.pods if pod.uid in world.told]
    telling.note(f"{sum(told)} pods of the candidate have been told the cohort")
    telling.run(promoted(2))
    return settled(telling)


@long_story
def replicas_announcement_lost() -> Telling:
    telling, world = replicas_trial()
    telling.run(lambda world: world.status.candidate is not None and world.status.candidate.endpoints_at is not None)
    world.lose_announcements = 6
    telling.note("six announcements are lost")
    telling.run(promoted(2))
    return settled(telling)


@story
def replicas_candidate_takes_no_announcement() -> Telling:
    telling, world = replicas_trial()
    telling.run(lambda world: world.status.candidate is not None)
    world.deaf.add(world.candidate)
    telling.note("the candidate's pods take no announcement")
    telling.run(seconds=30)
    telling.change(a_replicas_spec(1))
    telling.note("version 1 is applied again")
    telling.run(is_phase("Stable"))
    return settled(telling)


@long_story
def replicas_pods_not_readable() -> Telling:
    telling, world = replicas_trial()
    telling.run(lambda world: world.status.candidate is not None)
    world.silent.add(world.stable)
    telling.note("the stats of stable's pods cannot be read")
    telling.run(seconds=30)
    world.silent.clear()
    telling.note("they can be read")
    telling.run(promoted(2))
    return settled(telling)


@long_story
def replicas_candidate_loses_its_pods() -> Telling:
    telling, world = replicas_trial()
    telling.run(in_step(2))
    world.kill_pods(world.candidate)
    telling.note("every pod of the candidate is replaced")
    telling.run(promoted(2))
    return settled(telling)


@long_story
def replicas_service_edited() -> Telling:
    telling, world = replicas_trial()
    telling.run(lambda world: world.status.candidate is not None)
    world.edit_selector(**{"serin.dev/revision": None})
    telling.note("someone lets the Service select every pod while the candidate warms up")
    telling.run(in_step(1))
    world.delete_service()
    telling.note("someone deletes the Service")
    telling.run(promoted(2))
    return settled(telling)


@long_story
def replicas_gateway_added_midway() -> Telling:
    telling, world = replicas_trial()
    telling.run(in_step(2))
    world.gateway_api = True
    telling.change(a_spec(2, serving={"replicas": 3}, rollout=a_replicas_spec()["rollout"]))
    telling.note("spec.traffic names a Gateway")
    telling.run(promoted(2))
    return settled(telling)


@long_story
def replicas_gateway_removed_midway() -> Telling:
    world = a_replicas_world(spec=a_spec(1, serving={"replicas": 3}), gateway_api=True)
    telling = Telling(world)
    telling.change(a_spec(2, serving={"replicas": 3}, rollout=a_replicas_spec()["rollout"]))
    telling.note("version 2 is applied")
    telling.run(in_step(2))
    telling.change(a_replicas_spec(2))
    telling.note("spec.traffic is removed")
    telling.run(promoted(2))
    settled(telling)
    telling.note(f"routes that are left: {[name for name in world.live if name.startswith('HTTPRoute/')]}")
    return telling

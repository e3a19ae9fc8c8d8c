"""Stories of what comes after a promotion: the gates go on, and a breach that lasts gives the traffic back."""

from __future__ import annotations

from typing import Any

from tests.support.world import Behaviour, World, is_phase, uri
from tests.unit.decide.capacity_stories import Counting, spec, trial
from tests.unit.decide.replicas_stories import replicas_trial
from tests.unit.decide.stories import long_story, promoted, settled, story
from tests.unit.decide.telling import Telling

WATCH = {"for": "2h", "keepWarm": "5m"}


def rolled_back(world: World) -> bool:
    """Whether what was promoted has been rejected, and the route says so."""
    return world.status.phase == "RolledBack" and world.status.watch is None


def watched(**changes: Any) -> Counting:
    """Version 2 has been promoted and is watched; version 1 is at hand."""
    telling = trial(**({"watch": WATCH} | changes))
    telling.run(is_phase("Watching"))
    telling.run(seconds=60, tick_seconds=10)
    return telling


def goes_bad(telling: Telling, accuracy: float = 0.8) -> None:
    telling.world.models[uri(2)].accuracy = accuracy
    telling.note(f"the accuracy of version 2 falls to {accuracy}")


def keeps_one_pod(telling: Telling) -> None:
    telling.run(seconds=300, tick_seconds=20)


@long_story
def watch_without_a_breach() -> Telling:
    telling = watched(watch={"for": "20m", "keepWarm": "5m"})
    telling.run(promoted(2), seconds=1500, tick_seconds=20)
    return settled(telling)


@story
def watch_rolls_back_at_once() -> Telling:
    telling = watched()
    goes_bad(telling)
    telling.run(rolled_back, tick_seconds=10)
    return settled(telling)


@long_story
def watch_rolls_back_once_the_pods_are_back() -> Telling:
    telling = watched()
    keeps_one_pod(telling)
    telling.world.models[uri(1)].ready_after_seconds = 20.0
    goes_bad(telling)
    telling.run(rolled_back, tick_seconds=10)
    return settled(telling)


@long_story
def watch_sees_a_passing_breach() -> Telling:
    telling = watched(gates={"errorRate": {"max": 0.05}}, watch=WATCH)
    telling.world.models[uri(2)].error_rate = 0.4
    telling.note("requests fail for half a minute")
    telling.run(seconds=30, tick_seconds=10)
    telling.world.models[uri(2)].error_rate = 0.0
    telling.note("and no more")
    telling.run(seconds=1800, tick_seconds=10)
    return telling


@long_story
def watch_that_alerts() -> Telling:
    telling = watched(watch=WATCH | {"onBreach": "Alert"})
    goes_bad(telling)
    telling.run(seconds=180, tick_seconds=20)
    telling.change(spec(2, watch=WATCH))
    telling.note("watch.onBreach is RollBack from here on")
    telling.run(rolled_back, tick_seconds=10)
    return settled(telling)


@long_story
def watch_with_no_one_to_go_back_to() -> Telling:
    telling = watched(rollout={"surge": "NoSurge"}, watch={"for": "2h"})
    goes_bad(telling)
    telling.run(seconds=180, tick_seconds=20)
    return telling


@long_story
def watched_pods_are_lost() -> Telling:
    telling = watched()
    telling.world.models[uri(2)].never_ready = True
    telling.note("the pods of version 2 stop being ready")
    telling.run(rolled_back, tick_seconds=5)
    return settled(telling)


@long_story
def watched_pods_come_back() -> Telling:
    telling = watched()
    telling.world.models[uri(2)].ready_after_seconds = 30.0
    telling.world.kill_pods(telling.world.stable)
    telling.note("the pods of version 2 are killed, and new ones take half a minute")
    telling.run(seconds=90, tick_seconds=5)
    return telling


@long_story
def watch_ended_by_the_next_trial() -> Telling:
    telling = watched()
    telling.change(spec(3, watch=WATCH))
    telling.note("version 3 is applied: its trial ends the watch, and version 1 stays for keepWarm only")
    telling.run(is_phase("Watching"))
    return settled(telling)


@long_story
def breached_while_the_next_bundle_is_checked() -> Telling:
    telling = watched()
    telling.world.bundles[uri(3)] = "sha256:" + "b" * 64
    goes_bad(telling)
    telling.run(seconds=20, tick_seconds=10)
    telling.world.change(spec(3, watch=WATCH, paused=True))
    telling.note("version 3 is applied with spec.paused, so that its trial waits")
    telling.run(lambda world: world.status.watch is None, tick_seconds=10)
    telling.run(seconds=10)
    return telling


@long_story
def watch_and_back_by_the_spec() -> Telling:
    telling = watched()
    keeps_one_pod(telling)
    telling.change(spec(1, watch=WATCH))
    telling.note("version 1 is applied again: it has one pod left, and gets the others first")
    telling.run(promoted(1))
    return settled(telling)


@long_story
def watch_survives_a_restart() -> Telling:
    telling = watched()
    goes_bad(telling, 0.9)
    telling.run(seconds=30, tick_seconds=10)
    telling.world.restart_operator()
    telling.note("the operator is restarted")
    telling.run(rolled_back, tick_seconds=10)
    return settled(telling)


@long_story
def watch_finds_the_route_changed() -> Telling:
    telling = watched()
    previous = telling.world.status.previous
    assert previous is not None
    telling.world.edit_route({telling.world.stable: 40, previous.revision: 60})
    telling.note("someone gives version 1 a part of the traffic by hand")
    telling.run(seconds=130, tick_seconds=10)
    return telling


@long_story
def watch_given_up() -> Telling:
    telling = watched()
    telling.change(spec(2, watch={"for": "0s"}))
    telling.note("watch.for is 0s from here on")
    return settled(telling)


@long_story
def watch_without_a_gateway() -> Telling:
    telling, world = replicas_trial()
    world.change(world.spec | {"watch": WATCH})
    telling.run(is_phase("Watching"))
    telling.run(seconds=60, tick_seconds=2)
    counted = world.watched.total[0] if world.watched is not None else 0.0
    telling.note(f"requests counted in the watch: {'some' if counted > 0 else 'none'}")
    world.models[uri(2)] = Behaviour(accuracy=0.7)
    telling.note("the accuracy of version 2 falls to 0.7")
    telling.run(rolled_back, tick_seconds=2)
    return settled(telling)

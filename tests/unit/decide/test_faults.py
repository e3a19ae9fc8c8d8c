"""The operator dies after any write of a story, or loses its answer, or reads what is old: the end is the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from tests.support.world import Behaviour, KilledError, ReplyLostError, Traffic, World, a_served_world, a_spec, uri
from tests.unit.decide.watched import Watched

pytestmark = pytest.mark.slow

STEPS = [{"weight": 5, "for": "4s"}, {"weight": 50, "for": "4s"}]
PASSES_MAX = 150
SETTLED_PASSES = 6
TICK_SECONDS = 3.0


@dataclass(frozen=True)
class Story:
    """A roll-out from the moment at which version 2 is asked for."""

    behaviour: Behaviour
    phase: str
    back_to_stable: bool = False
    """Whether the spec is reverted as soon as the candidate has traffic."""
    back_to_previous: bool = False
    """Whether the spec is reverted as soon as the candidate is stable, while the one before is warm."""
    surge: str = "Surge"
    grpc: bool = False
    """Whether both revisions speak gRPC."""
    goes_bad: bool = False
    """Whether the candidate goes bad once it has been promoted and is watched."""

    def spec(self, version: int) -> dict[str, Any]:
        watch = {"keepWarm": "1h"} if self.back_to_previous else {}
        watch |= {"for": "1h", "keepWarm": "1h"} if self.goes_bad else {}
        serving = {"replicas": 2, **({"grpc": True} if self.grpc else {})}
        return a_spec(version, rollout={"steps": STEPS, "surge": self.surge}, watch=watch, serving=serving)

    def begin(self) -> World:
        traffic = Traffic(requests_per_second=2000.0)
        world = a_served_world(spec=self.spec(1), models={uri(2): replace(self.behaviour)}, traffic=traffic)
        world.change(self.spec(2))
        world.writes = 0
        return world

    def has_ended(self, world: World) -> bool:
        if self.goes_bad and world.status.phase == "Watching":
            world.models[uri(2)].accuracy = 0.5
        if self.back_to_stable and world.status.candidate is not None and world.status.candidate.weight > 0:
            world.change(self.spec(1))
        if self.back_to_previous and world.status.phase == "Stable" and world.status.previous is not None:
            returned = world.status.history[0].outcome == "Returned"
            if not returned and world.spec["model"]["uri"] == uri(2):
                world.change(self.spec(1))
            return returned
        if self.back_to_previous:
            return False
        if self.back_to_stable and world.spec["model"]["uri"] == uri(2):
            return False
        wanted = 2 if self.phase == "Stable" and not self.back_to_stable else 1
        return (
            world.status.phase == self.phase
            and world.status.candidate is None
            and world.revisions[world.stable].spec.model.uri == uri(wanted)
        )


STORIES = {
    "promoted": Story(Behaviour(), "Stable"),
    "rolled back": Story(Behaviour(accuracy=0.7), "RolledBack"),
    "refused": Story(Behaviour(crashes_after_seconds=11.0), "RolledBack"),
    "reverted": Story(Behaviour(), "Stable", back_to_stable=True),
    "returned to the one before": Story(Behaviour(), "Stable", back_to_previous=True),
    "rolled back by the watch": Story(Behaviour(), "RolledBack", goes_bad=True),
    "rolled back without surge": Story(Behaviour(accuracy=0.7), "RolledBack", surge="NoSurge"),
    "promoted, with callers by gRPC": Story(Behaviour(), "Stable", grpc=True),
    "rolled back, with callers by gRPC": Story(Behaviour(accuracy=0.7), "RolledBack", grpc=True),
}


def tell(story: Story, world: World, disturb: Callable[[Watched], None] | None = None) -> World:
    """The story to its end and a little beyond, so that what is retired is gone."""
    watched = Watched(world, twice=False)
    for _ in range(PASSES_MAX):
        if disturb is not None:
            disturb(watched)
        try:
            watched.pass_once()
        except KilledError:
            world.restart_operator()
        except ReplyLostError:
            world.lose_reply_of_write = None
        if story.has_ended(world):
            break
        world.pass_time(TICK_SECONDS)
    else:
        raise AssertionError(f"the story does not end: {world.status.phase}, {world.status.message}")
    for _ in range(SETTLED_PASSES):
        world.pass_time(TICK_SECONDS)
        try:
            watched.pass_once()
        except KilledError:
            world.restart_operator()
        except ReplyLostError:
            world.lose_reply_of_write = None
    return world


def end_of(world: World) -> dict[str, object]:
    """What must be the same however the story went: verdicts and objects, not numbers and times."""
    return {
        "phase": world.status.phase,
        "stable": world.stable,
        "candidate": world.status.candidate,
        "rejected": [(rejection.revision, rejection.reason) for rejection in world.status.rejected],
        "history": [(entry.revision, entry.outcome) for entry in world.status.history],
        "weights": world.weights(),
        "objects": sorted(world.live),
        "callers by gRPC": grpc_weights(world),
        "verdicts": {name: record.status.verdict for name, record in world.revisions.items()},
        "resolve pods": [pod.name for pod in world.pods if pod.purpose == "resolve"],
        "conditions": [(condition.type, condition.status) for condition in world.status.conditions],
    }


def grpc_weights(world: World) -> dict[str, int]:
    route = world.live.get("HTTPRoute/wine.grpc", {"spec": {"rules": [{"backendRefs": ()}]}})
    return {backend["name"]: backend["weight"] for backend in route["spec"]["rules"][-1]["backendRefs"]}


@pytest.mark.parametrize("name", STORIES)
def test_the_operator_may_die_after_any_write(name: str) -> None:
    story = STORIES[name]
    undisturbed = tell(story, story.begin())
    assert undisturbed.writes > 15, "the story writes enough to be worth it"
    for writes in range(undisturbed.writes + 1):
        world = story.begin()
        world.die_after_writes = writes
        assert end_of(tell(story, world)) == end_of(undisturbed), f"died after write {writes}"


@pytest.mark.slow
@pytest.mark.parametrize("name", STORIES)
def test_the_answer_to_any_write_may_be_lost(name: str) -> None:
    story = STORIES[name]
    undisturbed = tell(story, story.begin())
    for write in range(1, undisturbed.writes + 1):
        world = story.begin()
        world.lose_reply_of_write = write
        assert end_of(tell(story, world)) == end_of(undisturbed), f"the answer to write {write} was lost"


@pytest.mark.parametrize("passes_ago", [1, 3])
@pytest.mark.parametrize("name", STORIES)
def test_any_pass_may_act_on_what_was_true_before(name: str, passes_ago: int) -> None:
    story = STORIES[name]
    undisturbed = tell(story, story.begin())
    count = 0

    def note(watched: Watched) -> None:
        nonlocal count
        count = watched.passes

    tell(story, story.begin(), note)
    for at in range(passes_ago, count + 1):
        old = []

        def read_old(watched: Watched, at: int = at, old: list[object] = old) -> None:
            if watched.passes == at - passes_ago:
                old.append(watched.world.observe())
            if watched.passes == at and old:
                watched.pass_once(stale=old.pop())  # type: ignore[arg-type]

        world = tell(story, story.begin(), read_old)
        assert end_of(world) == end_of(undisturbed), f"pass {at} read what was {passes_ago} passes old"

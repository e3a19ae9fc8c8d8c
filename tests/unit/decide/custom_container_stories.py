"""Golden timelines of containers of the user's own: nothing is counted, and the roll-out goes on by what is left."""

from __future__ import annotations

from typing import Any

from tests.support.world import Behaviour, World, a_custom_spec, a_spec, a_world, image, is_phase
from tests.unit.decide.stories import at_weight, long_story, settled, story
from tests.unit.decide.telling import Telling

GOOD, BAD = 0.001, 0.2


def serves(world: World, uri: str) -> bool:
    """Whether that image has become stable."""
    return world.status.phase == "Stable" and world.revisions[world.stable].spec.model.uri == uri


def custom_trial(trial_spec: dict[str, Any] | None = None, **changes: Any) -> Telling:
    """Version 1 serves, a container of the user's own, and version 2 is asked for."""
    world = a_world(spec=a_custom_spec(), numbers={"errors": GOOD}, **changes)
    assert world.run(is_phase("Stable"), seconds=60), world.status.message
    telling = Telling(world)
    telling.change(trial_spec or a_custom_spec(2))
    telling.note("version 2 is applied")
    return telling


@story
def custom_container_first() -> Telling:
    telling = Telling(a_world(spec=a_custom_spec(), numbers={"errors": GOOD}))
    telling.run(is_phase("Stable"))
    return settled(telling)


@story
def custom_container_promoted() -> Telling:
    telling = custom_trial()
    telling.run(lambda world: serves(world, image(2)))
    return settled(telling)


@story
def custom_container_rolled_back() -> Telling:
    telling = custom_trial()
    telling.run(at_weight(25))
    telling.world.numbers["errors"] = BAD
    telling.note("Prometheus counts errors of version 2")
    telling.run(is_phase("RolledBack"))
    return settled(telling)


@story
def custom_container_crash_loops() -> Telling:
    telling = custom_trial(models={image(2): Behaviour(crashes_after_seconds=1.0)})
    telling.run(is_phase("RolledBack"))
    return settled(telling)


@long_story
def custom_container_whose_query_fails() -> Telling:
    telling = custom_trial()
    telling.run(at_weight(5))
    del telling.world.numbers["errors"]
    telling.note("Prometheus does not answer")
    telling.run(is_phase("Holding"))
    telling.run(seconds=30)
    telling.world.numbers["errors"] = GOOD
    telling.note("and answers again")
    telling.run(lambda world: serves(world, image(2)))
    return settled(telling)


@long_story
def custom_container_watched() -> Telling:
    telling = custom_trial(a_custom_spec(2, watch={"for": "1h", "keepWarm": "1h"}))
    telling.run(is_phase("Watching"))
    telling.run(seconds=120, tick_seconds=5)
    telling.world.numbers["errors"] = BAD
    telling.note("Prometheus counts errors of version 2")
    telling.run(is_phase("RolledBack"), tick_seconds=5)
    return settled(telling)


@long_story
def custom_container_after_a_bundle() -> Telling:
    world = a_world(numbers={"errors": GOOD})
    assert world.run(is_phase("Stable"), seconds=60), world.status.message
    telling = Telling(world)
    telling.change(a_custom_spec(2))
    telling.note("version 2 is applied, a container of the user's own")
    telling.run(lambda world: serves(world, image(2)))
    return settled(telling)


@long_story
def bundle_after_a_custom_container() -> Telling:
    telling = custom_trial(a_spec(2))
    telling.note("it is a bundle, and its gates read counts")
    telling.run(is_phase("Holding"))
    telling.run(seconds=60)
    telling.change(a_spec(2, gates={"accuracy": {"mode": "Observe"}, "errorRate": {"mode": "Observe"}}))
    telling.note("the gates only observe")
    telling.run(lambda world: serves(world, "pvc://models/wine/2"))
    return settled(telling)

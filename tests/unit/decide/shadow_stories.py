"""Golden timelines of trials that begin with a shadow: no caller meets the candidate until it agrees with stable."""

from __future__ import annotations

from typing import Any

from tests.support.shadow_world import ShadowWorld, a_shadow_spec, a_shadow_world
from tests.support.world import is_phase
from tests.unit.decide.stories import at_weight, long_story, promoted, settled, story
from tests.unit.decide.telling import Telling


def shadow_trial(**changes: Any) -> tuple[Telling, ShadowWorld]:
    """Version 1 serves and version 2 is asked for, shadow first."""
    spec = changes.pop("trial_spec", a_shadow_spec(2))
    world = a_shadow_world(**changes)
    telling = Telling(world)
    telling.change(spec)
    telling.note("version 2 is applied")
    return telling, world


def is_shadowing(world: Any) -> bool:
    """Whether the shadow step's clock runs."""
    candidate = world.status.candidate
    return candidate is not None and candidate.shadow_cohort is not None and candidate.step_started_at is not None


def sending(telling: Telling, world: ShadowWorld) -> None:
    """Say whether a copy is being sent."""
    telling.note("a copy of the traffic is being sent" if world.shadowing() else "no copy is being sent")


@long_story
def shadow_then_promoted() -> Telling:
    telling, world = shadow_trial()
    telling.run(is_shadowing)
    telling.run(seconds=5)
    sending(telling, world)
    telling.run(at_weight(20))
    telling.run(seconds=3)
    sending(telling, world)
    telling.run(promoted(2))
    return settled(telling)


@story
def shadow_disagrees_and_is_rolled_back() -> Telling:
    telling, _ = shadow_trial(agreement=0.7)
    telling.run(is_phase("RolledBack"))
    return settled(telling)


@story
def shadow_agrees_too_little_to_tell() -> Telling:
    telling, _ = shadow_trial(agreement=0.95)
    telling.run(is_phase("Holding"))
    return telling


@story
def shadow_without_traffic() -> Telling:
    telling, world = shadow_trial()
    world.traffic.requests_per_second = 0.0
    telling.note("nobody calls")
    telling.run(is_phase("Holding"))
    return telling


@story
def shadow_reverted() -> Telling:
    telling, world = shadow_trial()
    telling.run(is_shadowing)
    telling.change(a_shadow_spec(1))
    telling.note("version 1 is applied again")
    telling.run(is_phase("Stable"))
    sending(telling, world)
    return telling


@story
def shadow_not_taken() -> Telling:
    telling, world = shadow_trial(deaf=True)
    telling.run(seconds=30)
    world.deaf = False
    telling.note("stable's pods take announcements again")
    telling.run(is_shadowing)
    return telling


@story
def shadow_only_observed() -> Telling:
    gates = {"accuracy": {"maxDrop": 0.05}}
    telling, _ = shadow_trial(trial_spec=a_shadow_spec(2, gates=gates), agreement=0.5)
    telling.run(at_weight(20))
    return telling


@long_story
def shadow_outlives_the_operator() -> Telling:
    telling, world = shadow_trial()
    telling.run(is_shadowing)
    telling.run(seconds=20)
    world.restart_operator()
    telling.note("the operator is restarted")
    telling.run(at_weight(20))
    return telling

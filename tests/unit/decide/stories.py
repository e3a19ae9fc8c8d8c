"""The stories that the golden timelines tell; each is a function from nothing to a told world."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.support.world import Behaviour, Traffic, World, a_served_world, a_spec, a_world, is_phase, uri
from tests.unit.decide.telling import Telling

from serin_contract.startup import EXIT_REFUSED, StartupFailure, StartupReason, encode
from serin_operator.decide.observation import ContainerEnd

STORIES: dict[str, Callable[[], Telling]] = {}
LONG: set[str] = set()
"""The stories of many passes, which the quick look leaves out."""


def story(tell: Callable[[], Telling]) -> Callable[[], Telling]:
    STORIES[tell.__name__] = tell
    return tell


def long_story(tell: Callable[[], Telling]) -> Callable[[], Telling]:
    LONG.add(tell.__name__)
    return story(tell)


def settled(telling: Telling) -> Telling:
    """Let what is left to do be done: retired pods, the last routes."""
    telling.run(seconds=15)
    return telling


def promoted(version: int) -> Callable[[World], bool]:
    """Whether that version has become stable."""
    return lambda world: world.status.phase == "Stable" and world.revisions[world.stable].spec.model.uri == uri(version)


def at_weight(weight: int) -> Callable[[World], bool]:
    """Whether the candidate has that weight on the route and its step's clock runs."""

    def reached(world: World) -> bool:
        candidate = world.status.candidate
        return (
            candidate is not None
            and candidate.step_started_at is not None
            and world.weights().get(candidate.revision) == weight
        )

    return reached


def trial(**changes: Any) -> Telling:
    """Version 1 serves and version 2 is asked for."""
    spec = changes.pop("trial_spec", a_spec(2))
    telling = Telling(a_served_world(**changes))
    telling.change(spec)
    telling.note("version 2 is applied")
    return telling


def refusal(reason: StartupReason, message: str) -> ContainerEnd:
    return ContainerEnd(EXIT_REFUSED, "Error", encode(StartupFailure(reason, message)).decode(), 0.0)


@story
def first_deployment() -> Telling:
    telling = Telling(a_world())
    telling.run(is_phase("Stable"))
    return settled(telling)


@story
def first_deployment_never_ready() -> Telling:
    telling = Telling(a_world(models={uri(1): Behaviour(never_ready=True)}))
    telling.run(is_phase("Failed"), seconds=700, tick_seconds=10)
    telling.change(a_spec(2))
    telling.note("version 2 is applied")
    telling.run(is_phase("Stable"))
    return settled(telling)


@story
def good_candidate_promoted() -> Telling:
    telling = trial()
    telling.run(promoted(2))
    return settled(telling)


@story
def bad_accuracy_rolled_back() -> Telling:
    telling = trial(models={uri(2): Behaviour(accuracy=0.75)})
    telling.run(is_phase("RolledBack"))
    return settled(telling)


@story
def error_rate_rolled_back() -> Telling:
    telling = trial(models={uri(2): Behaviour(error_rate=0.2)})
    telling.run(is_phase("RolledBack"))
    return settled(telling)


@long_story
def no_traffic_at_all() -> Telling:
    spec = a_spec(2)
    spec["rollout"]["deadline"] = "10m"
    telling = trial(traffic=Traffic(requests_per_second=0), trial_spec=spec)
    telling.run(is_phase("Paused"), seconds=700)
    telling.run(seconds=600, tick_seconds=60)
    return telling


@long_story
def labels_stop_midway() -> Telling:
    telling = trial()
    telling.run(at_weight(25))
    telling.world.traffic.label_share = 0.0
    telling.note("no more labels come")
    telling.run(is_phase("Holding"))
    telling.run(seconds=60)
    telling.world.traffic.label_share = 1.0
    telling.note("labels come again")
    telling.run(promoted(2))
    return settled(telling)


@story
def superseded_midway() -> Telling:
    telling = trial()
    telling.run(at_weight(25))
    telling.change(a_spec(3))
    telling.note("version 3 is applied")
    telling.run(promoted(3))
    return settled(telling)


@story
def reverted_midway() -> Telling:
    telling = trial()
    telling.run(at_weight(25))
    telling.change(a_spec(1))
    telling.note("version 1 is applied again")
    telling.run(is_phase("Stable"))
    return settled(telling)


@long_story
def policy_changed_midway() -> Telling:
    telling = trial()
    telling.run(at_weight(25))
    telling.change(a_spec(2, serving={"replicas": 4}))
    telling.note("replicas 2 → 4: no new trial, no new cohort")
    telling.run(seconds=5)
    telling.change(a_spec(2, serving={"replicas": 4}, paused=True))
    telling.note("paused: no new trial, no new cohort")
    telling.run(seconds=5)
    telling.change(a_spec(2, serving={"replicas": 4}, gates={"accuracy": {"maxDrop": 0.05}, "errorRate": {}}))
    telling.note("maxDrop 0.02 → 0.05 and resumed: a new cohort")
    telling.run(promoted(2))
    return settled(telling)


@long_story
def steps_narrowed_midway() -> Telling:
    telling = trial()
    telling.run(at_weight(50))
    steps = [{"weight": 10, "for": "20s"}, {"weight": 40, "for": "20s"}]
    telling.change(a_spec(2, rollout={"steps": steps}))
    telling.note("steps 5, 25, 50 → 10, 40")
    telling.run(promoted(2))
    return settled(telling)


@long_story
def paused_and_resumed() -> Telling:
    telling = trial()
    telling.run(at_weight(25))
    telling.run(seconds=10)
    telling.change(a_spec(2, paused=True))
    telling.note("paused")
    telling.run(seconds=7200, tick_seconds=60)
    telling.change(a_spec(2))
    telling.note("resumed after two hours: the deadline of an hour has moved on with the step's clock")
    telling.run(promoted(2))
    return settled(telling)


@story
def fails_while_paused() -> Telling:
    telling = trial(models={uri(2): Behaviour(accuracy=0.75)})
    telling.run(at_weight(5))
    telling.change(a_spec(2, paused=True))
    telling.note("paused")
    telling.run(is_phase("RolledBack"))
    return settled(telling)


@long_story
def bundle_missing_then_put_in_place() -> Telling:
    telling = trial(bundles={uri(2): refusal(StartupReason.BundleMissing, "there is no manifest.json in /mnt/model/2")})
    telling.run(seconds=70)
    del telling.world.bundles[uri(2)]
    telling.note("the bundle is put in place")
    telling.run(promoted(2))
    return settled(telling)


@story
def digest_mismatch() -> Telling:
    end = refusal(StartupReason.DigestMismatch, "model.skops is not the file that the manifest names")
    telling = trial(bundles={uri(2): end})
    telling.run(seconds=20)
    telling.change(a_spec(1))
    telling.note("version 1 is applied again")
    return settled(telling)


@story
def candidate_refuses_its_bundle() -> Telling:
    refuses = StartupFailure(StartupReason.SelfTestFailed, "golden row 3 was answered 2 instead of 1")
    telling = trial(models={uri(2): Behaviour(refuses=refuses)})
    telling.run(is_phase("RolledBack"))
    return settled(telling)


@story
def candidate_crash_loops() -> Telling:
    telling = trial(models={uri(2): Behaviour(crashes_after_seconds=1.0)})
    telling.run(is_phase("RolledBack"))
    return settled(telling)


@story
def candidate_crashes_under_traffic() -> Telling:
    telling = trial(models={uri(2): Behaviour(crashes_after_seconds=25.0)})
    telling.run(is_phase("RolledBack"))
    return settled(telling)


@story
def candidate_never_ready() -> Telling:
    telling = trial(models={uri(2): Behaviour(never_ready=True)})
    telling.run(is_phase("RolledBack"), seconds=700, tick_seconds=10)
    return settled(telling)


@story
def candidate_fits_no_node() -> Telling:
    telling = trial()
    telling.world.unschedulable = "0/3 nodes are available: 3 Insufficient memory"
    telling.run(is_phase("RolledBack"), seconds=700, tick_seconds=10)
    return settled(telling)


@long_story
def candidate_pods_killed() -> Telling:
    telling = trial()
    telling.run(at_weight(25))
    telling.world.kill_pods(telling.world.candidate)
    telling.note("every pod of the candidate is killed")
    telling.pass_once()
    lost = telling.world.unanswered
    telling.run(promoted(2))
    assert telling.world.unanswered == lost, "no request fails once the route has been narrowed"
    return settled(telling)


@story
def stable_pods_killed_during_a_rollback() -> Telling:
    telling = trial(models={uri(2): Behaviour(accuracy=0.75)})
    telling.run(at_weight(5))
    telling.world.models[uri(1)] = Behaviour(ready_after_seconds=40.0)
    telling.world.kill_pods(telling.world.stable)
    telling.note("every pod of stable is killed and new ones need 40 s")
    telling.change(a_spec(1))
    telling.note("version 1 is applied again")
    telling.run(is_phase("Stable"))
    return settled(telling)


@story
def operator_restarted_midway() -> Telling:
    telling = trial()
    telling.run(at_weight(25))
    for _ in range(4):
        telling.run(seconds=6)
        telling.world.restart_operator()
        telling.note("the operator is restarted")
    telling.run(promoted(2))
    return settled(telling)


@long_story
def route_edited_wider() -> Telling:
    telling = trial()
    telling.run(at_weight(25))
    telling.world.edit_route({telling.world.stable: 20, telling.world.candidate: 80})
    telling.note("someone gives the candidate 80 %")
    telling.run(promoted(2))
    return settled(telling)


@long_story
def route_edited_wider_during_warm_up() -> Telling:
    telling = trial(models={uri(2): Behaviour(ready_after_seconds=20.0)})
    telling.run(seconds=10)
    telling.world.edit_route({telling.world.stable: 50, telling.world.candidate: 50})
    telling.note("someone gives the candidate 50 % before its pods are ready")
    telling.run(promoted(2))
    return settled(telling)


@long_story
def route_edited_narrower() -> Telling:
    telling = trial()
    telling.run(at_weight(50))
    telling.world.edit_route({telling.world.stable: 93, telling.world.candidate: 7})
    telling.note("someone takes the candidate back to 7 %")
    telling.run(promoted(2))
    return settled(telling)


@long_story
def route_edited_to_zero() -> Telling:
    telling = trial()
    telling.run(at_weight(50))
    telling.world.edit_route({telling.world.stable: 100, telling.world.candidate: 0})
    telling.note("someone takes the candidate back to 0 %")
    telling.run(seconds=120)
    telling.change(a_spec(1))
    telling.note("version 1 is applied again")
    telling.run(is_phase("Stable"))
    return settled(telling)


@story
def route_deleted() -> Telling:
    telling = trial()
    telling.run(at_weight(25))
    telling.world.delete_route()
    telling.note("someone deletes the route")
    telling.run(promoted(2))
    return settled(telling)


@story
def gateway_api_missing() -> Telling:
    telling = Telling(a_world(gateway_api=False))
    telling.run(seconds=30)
    telling.world.gateway_api = True
    telling.note("the Gateway API is installed")
    telling.run(is_phase("Stable"))
    return settled(telling)


@long_story
def gateway_api_removed_midway() -> Telling:
    telling = trial()
    telling.run(at_weight(25))
    telling.world.lose_gateway_api()
    telling.note("the Gateway API is removed")
    telling.run(seconds=20)
    telling.world.gateway_api = True
    telling.note("and installed again")
    telling.run(promoted(2))
    return settled(telling)


@long_story
def gateway_missing() -> Telling:
    telling = trial(missing_gateways=())
    telling.run(at_weight(5))
    telling.world.missing_gateways = ("shop/public",)
    telling.note("the Gateway is deleted")
    telling.run(seconds=60)
    telling.world.missing_gateways = ()
    telling.note("and made again")
    telling.run(promoted(2))
    return settled(telling)


@long_story
def route_refused() -> Telling:
    telling = trial()
    telling.run(at_weight(5))
    telling.world.accepts_routes = False
    telling.note("the gateway refuses the route")
    telling.run(seconds=60)
    telling.world.accepts_routes = True
    telling.note("and takes it")
    telling.run(promoted(2))
    return settled(telling)


@long_story
def controller_silent() -> Telling:
    telling = trial()
    telling.world.accepts_routes = None
    telling.note("the gateway's controller is silent")
    telling.run(seconds=60)
    telling.world.accepts_routes = True
    telling.note("and answers")
    telling.run(promoted(2))
    return settled(telling)


@long_story
def rejected_stays_rejected() -> Telling:
    telling = trial(models={uri(2): Behaviour(accuracy=0.75)})
    telling.run(is_phase("RolledBack"))
    settled(telling)
    telling.world.restart_operator()
    telling.change(a_spec(2))
    telling.note("the operator is restarted and the same spec applied again")
    telling.run(seconds=30)
    telling.change(a_spec(3))
    telling.note("version 3 is applied")
    telling.run(promoted(3))
    telling.change(a_spec(2))
    telling.note("version 2 is applied again: still rejected")
    return settled(telling)


@long_story
def deadline_rolls_back() -> Telling:
    rollout = a_spec()["rollout"] | {"deadline": "3m", "onDeadline": "RollBack"}
    telling = trial(traffic=Traffic(label_share=0.0), trial_spec=a_spec(2, rollout=rollout))
    telling.run(is_phase("RolledBack"))
    return settled(telling)


@story
def no_gates() -> Telling:
    telling = trial(trial_spec={key: value for key, value in a_spec(2).items() if key != "gates"})
    telling.run(promoted(2))
    return settled(telling)


@long_story
def back_to_an_earlier_version() -> Telling:
    telling = trial()
    telling.run(promoted(2))
    settled(telling)
    telling.change(a_spec(1))
    telling.note("version 1 is applied again: it is tried anew")
    telling.run(promoted(1))
    return settled(telling)

"""Single decisions that a timeline would hide."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.builders import observed
from tests.support.world import Behaviour, Traffic, World, a_served_world, a_spec, a_world, is_phase, uri

from serin_operator.api.deployment import Phase
from serin_operator.decide.judge import evidence as evidences
from serin_operator.decide.observation import Observation
from serin_operator.decide.plan import SetWeights
from serin_operator.decide.retiring import IDLE_SECONDS, SILENT_SECONDS
from serin_operator.decide.rollout import decide

UNGATED = {key: value for key, value in a_spec(2).items() if key != "gates"}


def _on_trial(weight: int = 25, **changes: object) -> World:
    world = a_served_world(**changes)
    world.change(a_spec(2))
    assert world.run(lambda world: world.weights().get(_candidate(world)) == weight), world.status.message
    world.step()
    return world


def _candidate(world: World) -> str:
    return world.status.candidate.revision if world.status.candidate is not None else ""


def test_a_spec_that_cannot_be_read_changes_nothing_but_what_is_said() -> None:
    world = _on_trial()
    seen = observed(status=world.status, live=world.live, generation=7)
    plan = decide(type(seen)(**(vars(seen) | {"spec": None, "spec_error": "gates.accuracy.min: must be at most 1"})))
    assert plan.actions == ()
    assert plan.revisions == ()
    assert plan.status.phase == Phase.Failed
    assert "gates.accuracy.min" in (plan.status.message or "")
    assert plan.status.candidate == world.status.candidate, "the trial waits as it is"
    assert plan.status.stable == world.status.stable
    assert [event.reason for event in plan.events] == ["InvalidSpec"]
    said = {condition.type: condition.reason for condition in plan.status.conditions}
    assert said["Promoted"] == said["Progressing"] == "InvalidSpec"
    assert said["Ready"] == "Serving", "what serves goes on serving"


def test_no_gates_is_said_once_for_each_spec() -> None:
    world = a_served_world()
    world.change(UNGATED)
    world.run(seconds=20)
    assert sum("NoGates" in line for line in world.log) == 1
    world.change(UNGATED | {"paused": True})
    world.run(seconds=5)
    assert sum("NoGates" in line for line in world.log) == 2


def test_a_promoted_deployment_shows_the_verdicts_that_promoted_it() -> None:
    world = a_served_world()
    world.change(a_spec(2))
    assert world.run(lambda world: world.stable != first(world))
    assert {gate.name: gate.verdict for gate in world.status.gates} == {
        "availability": "Pass",
        "accuracy": "Pass",
        "errorRate": "Pass",
    }
    passing = next(known for known in world.status.conditions if known.type == "GatesPassing")
    assert (passing.status, passing.reason) == ("True", "AllPass")


def first(world: World) -> str:
    """The revision of version 1."""
    return next(name for name, record in world.revisions.items() if record.spec.model.uri == uri(1))


def test_a_candidate_that_crashes_with_all_traffic_is_still_rolled_back() -> None:
    world = a_served_world()
    world.change(a_spec(2))
    assert world.run(lambda world: world.weights().get(_candidate(world)) == 100)
    world.models[uri(2)] = Behaviour(crashes_after_seconds=1.0)
    world.pass_time(1.0)
    world.step()
    assert world.status.phase == Phase.RollingBack
    assert world.weights()[world.stable] == 100
    assert world.stable == first(world)


def test_traffic_that_goes_back_late_keeps_its_pods_for_the_full_time() -> None:
    world = _on_trial(models={uri(2): Behaviour(accuracy=0.95)})
    candidate = _candidate(world)
    world.models[uri(1)] = Behaviour(ready_after_seconds=30.0)
    world.kill_pods(world.stable)
    world.pods_tell = False
    world.change(a_spec(1))
    assert world.run(lambda world: world.weights().get(candidate, 0) == 0, seconds=60)
    ended = world.now
    assert world.run(lambda world: bool(world.deleted_deployments), seconds=60)
    assert world.deleted_deployments == [(pytest.approx(ended + SILENT_SECONDS, abs=1.5), candidate)]


def test_pods_that_say_that_nobody_asks_them_go_sooner() -> None:
    world = _on_trial()
    candidate = _candidate(world)
    world.change(a_spec(1))
    ended = world.now
    assert world.run(lambda world: bool(world.deleted_deployments), seconds=60)
    assert world.deleted_deployments == [(pytest.approx(ended + IDLE_SECONDS, abs=1.5), candidate)]


def unreadable(world: World) -> Observation:
    """What is seen where no pod answers and the evidence is lost as well."""
    seen = world.observe()
    silent = tuple(replace(answer, stats=None, error="it did not answer within 2 s") for answer in seen.stats)
    return replace(seen, stats=silent, evidence=None)


@pytest.mark.parametrize("lost_pods", [0, 1])
def test_traffic_goes_back_where_no_stats_can_be_read(lost_pods: int) -> None:
    world = _on_trial(weight=50)
    candidate, stable = _candidate(world), world.stable
    world.kill_pods(stable, lost_pods)
    world.change(a_spec(1))
    for _ in range(8):
        world.step(unreadable(world))
        if lost_pods and world.ready()[stable] < 2:
            assert world.weights()[candidate] == 50, "one of two pods carries half"
        world.pass_time(0.5)
    assert world.weights() == {stable: 100}
    assert world.unanswered == 0


def test_a_crash_is_rolled_back_at_once_whatever_stable_has_and_no_stats_are_needed() -> None:
    world = _on_trial(weight=50)
    candidate, stable = _candidate(world), world.stable
    world.kill_pods(stable, 1)
    world.models[uri(2)] = Behaviour(crashes_after_seconds=0.0)
    world.pass_time(0.5)
    plan = world.step(unreadable(world))
    assert plan.status.phase == Phase.RollingBack
    assert world.weights() == {stable: 100, candidate: 0}


def test_a_revision_that_was_rejected_is_never_returned_to() -> None:
    warm = {"watch": {"keepWarm": "1h"}}
    world = a_served_world(spec=a_spec(1, **warm), models={uri(2): Behaviour(accuracy=0.6)})
    world.change(a_spec(2, **warm))
    assert world.run(is_phase("RolledBack"), seconds=600)
    assert world.status.previous is None, "only a promotion leaves a revision warm"


def test_a_warm_revision_is_let_go_when_it_is_no_longer_wanted_warm() -> None:
    world = a_served_world(spec=a_spec(1, watch={"keepWarm": "1h"}))
    first_revision = world.stable
    world.change(a_spec(2, watch={"keepWarm": "1h"}))
    assert world.run(lambda world: world.status.previous is not None, seconds=600)
    world.run(seconds=30)
    assert f"Deployment/{first_revision}" in world.live
    world.change(a_spec(2))
    world.run(seconds=15)
    assert world.status.previous is None
    assert f"Deployment/{first_revision}" not in world.live


def test_a_narrowing_whose_record_was_lost_begins_at_the_first_step() -> None:
    world = _on_trial(weight=50)
    before, status = _candidate(world), world.status
    world.kill_pods(before)
    plan = decide(world.observe())
    assert isinstance(plan.actions[0], SetWeights)
    world.write(plan.actions[0])
    world.pass_time(30.0)
    assert world.status is status, "the operator died before it could write the status"
    world.restart_operator()
    assert world.run(lambda world: world.weights()[before] > 0, seconds=60)
    assert world.weights()[before] == 5
    assert any("RouteChanged" in line for line in world.log)


def test_a_route_that_was_never_accepted_starts_no_clock() -> None:
    world = a_served_world()
    world.change(a_spec(2))
    assert world.run(lambda world: world.weights().get(_candidate(world)) == 5)
    world.accepts_routes = None
    world.run(seconds=60)
    assert world.status.candidate is not None
    assert world.status.candidate.step_started_at is None
    assert world.status.candidate.step == 0


def test_a_deadline_that_is_moved_lets_a_trial_go_on() -> None:
    spec = a_spec(2, rollout=a_spec()["rollout"] | {"deadline": "2m"})
    world = a_served_world(traffic=Traffic(label_share=0.0))
    world.change(spec)
    assert world.run(is_phase("Paused"), seconds=300, tick_seconds=5)
    world.traffic.label_share = 1.0
    world.change(a_spec(2, rollout=a_spec()["rollout"] | {"deadline": "30m"}))
    assert world.run(lambda world: world.stable != first(world), seconds=900, tick_seconds=5), world.status.message


@pytest.mark.parametrize("replicas", [1, 3, 10])
def test_a_first_deployment_gets_traffic_only_when_it_is_whole(replicas: int) -> None:
    world = a_world(spec=a_spec(serving={"replicas": replicas}))
    assert world.run(lambda world: world.weights() != {}, seconds=60)
    assert sum(world.ready().values()) == replicas


def test_shares_of_the_budget_are_those_of_the_trials_start() -> None:
    world = _on_trial()
    assert world.status.candidate is not None
    assert world.status.candidate.shares == pytest.approx({"accuracy": 0.05 * 6 / 7, "errorRate": 0.05 / 7})
    gates = {gate.name: gate.budget for gate in world.status.gates}
    assert gates["accuracy"] == pytest.approx(0.05 * 6 / 7)


def test_the_record_of_a_rejected_revision_holds_the_numbers_that_rejected_it() -> None:
    world = a_served_world(models={uri(2): Behaviour(accuracy=0.75)})
    world.change(a_spec(2))
    assert world.run(is_phase("RolledBack"))
    record = world.revisions[world.status.rejected[0].revision]
    assert record.status.verdict == "Rejected"
    kept = evidences.restore(record.status.evidence, record.name, world.stable)
    samples = next(gate.samples for gate in world.status.gates if gate.name == "accuracy")
    assert kept.total("candidate").labelled == samples


def test_a_candidate_that_loses_its_pods_again_and_again_is_given_up() -> None:
    world = _on_trial(weight=5)
    candidate = _candidate(world)
    for dips in range(1, 4):
        world.kill_pods(candidate)
        world.step()
        assert world.weights()[candidate] == 0, "no caller meets a pod that is not ready"
        assert world.status.candidate is not None
        assert world.status.candidate.dips == dips
        if dips < 3:
            assert world.run(lambda world: world.weights()[candidate] == 5, seconds=60)
    assert world.run(is_phase("RolledBack"), seconds=30)
    assert world.status.rejected[0].reason == "CandidateUnavailable"


def test_nothing_is_widened_while_stable_could_not_carry_all() -> None:
    world = _on_trial(weight=5)
    candidate = _candidate(world)
    pod = next(pod for pod in world.pods if pod.revision == world.stable)
    pod.unschedulable = "its node is gone"
    world.run(seconds=50)
    assert world.weights()[candidate] == 5
    assert "must be able to carry all" in (world.status.message or "")
    pod.unschedulable = None
    assert world.run(lambda world: world.weights()[candidate] == 25, seconds=60)

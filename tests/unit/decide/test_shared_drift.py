"""Where the world has moved for both arms nobody is at fault: the trial holds, says so once, and goes on after it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.support.builders import a_candidate, a_gate, situated
from tests.support.counting import Behaviour, Traffic
from tests.support.rows import Rows
from tests.support.rows_world import RowsWorld, a_served_rows_world
from tests.support.world import a_spec, uri

from serin_operator.api.deployment import ModelDeploymentStatus, Phase, StableStatus, WatchStatus
from serin_operator.decide.draft import begin
from serin_operator.decide.trained import drift_events, traffic_as_trained

STEPS = [{"weight": 10, "for": "60s"}, {"weight": 50, "for": "60s"}]


def a_moved_world(**verdicts: Any) -> RowsWorld:
    """A trial of a candidate like stable, in traffic whose first feature lies a standard deviation off."""
    traffic = {"parentRefs": [{"name": "public"}], "hostnames": ["wine.example.com"]}
    spec = a_spec(1, rollout={"steps": STEPS}, gates={"dataDrift": {}}, traffic=traffic)
    if verdicts:
        spec["verdicts"] = verdicts
    world = a_served_rows_world(
        spec=spec,
        models={uri(1): Behaviour(), uri(2): Behaviour()},
        seed=7,
        traffic=Traffic(requests_per_second=30.0),
        rows=Rows(features=3, batched=0.0, moved={0: 1.0}),
    )
    world.change(spec | {"model": {"uri": uri(2)}})
    return world


def condition(world: RowsWorld) -> tuple[str, str]:
    return next((one.status, one.reason) for one in world.status.conditions if one.type == "TrafficAsTrained")


def is_drifting(world: RowsWorld) -> bool:
    return any(gate.reason == "SharedDrift" for gate in world.status.gates)


def test_it_holds_at_the_first_step_and_says_so_once():
    world = a_moved_world()
    assert condition(world) == ("Unknown", "NotJudged")
    assert world.run(is_drifting, seconds=120, tick_seconds=5.0), world.status.gates
    assert not world.run(lambda one: one.status.candidate is None, seconds=300, tick_seconds=5.0)
    assert (world.status.phase, world.candidate in world.weights()) == (Phase.Holding, True)
    assert world.weights()[world.candidate] == 10, "not a step further"
    assert condition(world) == ("False", "SharedDrift")
    told = [line for line in world.log if "SharedDrift" in line]
    assert len(told) == 1
    assert f"in {world.profile(world.stable).features[0].name} against" in told[0]
    assert "retrain on recent data and apply the new bundle" in told[0]
    assert world.status.rejected == ()


def test_when_it_is_over_the_trial_goes_on():
    world = a_moved_world()
    assert world.run(is_drifting, seconds=120, tick_seconds=5.0)
    world.rows = replace(world.rows, moved={})
    assert world.run(lambda one: not is_drifting(one), seconds=3000, tick_seconds=20.0)
    assert condition(world) == ("True", "AsTrained")


@pytest.mark.parametrize(("asked", "phase"), [("RollBack", Phase.RolledBack), ("Ignore", Phase.Stable)])
def test_what_it_does_is_the_users_choice(asked, phase):
    world = a_moved_world(onSharedDrift=asked)
    world.run(lambda one: one.status.candidate is not None, seconds=60)
    assert world.run(lambda one: one.status.phase == phase, seconds=1500, tick_seconds=5.0), world.status.message
    assert [known.reason for known in world.status.rejected] == (["SharedDrift"] if asked == "RollBack" else [])


# The condition and the event by themselves

DRIFT = {"gates": {"dataDrift": {}}}
SHARED = a_gate("dataDrift", "NotYet").model_copy(
    update={"reason": "SharedDrift", "message": "PSI 0.8 in age; retrain on recent data"}
)
PASSING = a_gate("dataDrift")
WATCH = WatchStatus(
    revision="wine-1", since="2027-01-15T08:00:00Z", until="2027-01-15T09:00:00Z", cohort="watch.wine-1.1.a"
)


@pytest.mark.parametrize(
    ("sentence", "gates", "during", "answer"),
    [
        ("traffic is as at training", (PASSING,), "trial", ("True", "AsTrained")),
        ("both arms have left their training data", (SHARED,), "trial", ("False", "SharedDrift")),
        ("one gate of two sees it", (a_gate("predictionDrift"), SHARED), "trial", ("False", "SharedDrift")),
        (
            "a watch sees it by the day",
            (PASSING.model_copy(update={"verdict": "Fail", "reason": "OffProfile"}),),
            "watch",
            ("False", "OffProfile"),
        ),
        (
            "no bins have come",
            (a_gate("dataDrift", "NoData").model_copy(update={"reason": "NoTraffic"}),),
            "trial",
            ("Unknown", "NoTraffic"),
        ),
        ("what the last trial said does not stand for ever", (SHARED,), "rest", ("Unknown", "NotJudged")),
        ("other gates say nothing of it", (a_gate("accuracy", "Fail"),), "trial", ("Unknown", "NotJudged")),
    ],
)
def test_the_condition(sentence, gates, during, answer):
    situation = situated(a_spec(**DRIFT))
    draft = replace(begin(situation, Phase.Progressing, "Why", "why"), gates=gates)
    if during == "trial":
        draft = replace(draft, candidate=a_candidate())
    if during == "watch":
        draft = replace(draft, watch=WATCH)
    found = traffic_as_trained(situation, draft)
    assert found is not None
    assert found[:2] == answer, sentence
    assert (found[0] == "False") == ("retrain" in found[2])


def test_without_a_drift_gate_there_is_no_such_condition():
    situation = situated(a_spec(gates={"accuracy": {}}))
    assert traffic_as_trained(situation, begin(situation, Phase.Stable, "Why", "why")) is None


@pytest.mark.parametrize(
    ("sentence", "before", "now", "events"),
    [
        ("it begins", (PASSING,), (SHARED,), 1),
        ("it goes on", (SHARED,), (SHARED,), 0),
        ("it is over", (SHARED,), (PASSING,), 0),
        ("another gate sees it too", (SHARED,), (SHARED, SHARED.model_copy(update={"name": "predictionDrift"})), 1),
        ("it was there before anything was said", (), (SHARED,), 1),
    ],
)
def test_the_event(sentence, before, now, events):
    status = ModelDeploymentStatus(stable=StableStatus(revision="wine-1"), gates=before)
    situation = situated(a_spec(**DRIFT), status=status)
    draft = replace(begin(situation, Phase.Holding, "Why", "why"), gates=now)
    assert len(drift_events(situation, draft)) == events, sentence

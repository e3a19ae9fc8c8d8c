"""Where an arm cannot be asked the gates say Error, hold the step, and decide nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.builders import observed
from tests.support.world import a_served_world, a_spec

from serin_contract.stats import PodStats
from serin_operator.api.deployment import GateStatus
from serin_operator.decide import sources
from serin_operator.decide.observation import StatsAnswer
from serin_operator.decide.rollout import decide

ANSWERED = StatsAnswer("a", "new", PodStats("new", "a", "1"))
SILENT = StatsAnswer("b", "new", None, "pod b: it did not answer within 2 s")
STABLE = StatsAnswer("c", "old", PodStats("old", "c", "1"))


def a_gate(verdict: str) -> GateStatus:
    return GateStatus(name="accuracy", mode="Enforce", verdict=verdict, reason="NotProven", message="")


@pytest.mark.parametrize(
    ("answers", "before", "after"),
    [
        pytest.param((ANSWERED, STABLE), "Pass", "Pass", id="every pod answers"),
        pytest.param((ANSWERED, SILENT, STABLE), "NotYet", "NotYet", id="one pod of an arm is enough"),
        pytest.param((SILENT, STABLE), "NotYet", "Error", id="an arm is silent"),
        pytest.param((SILENT, STABLE), "Pass", "Error", id="a pass is not taken on trust while an arm is silent"),
        pytest.param((SILENT, STABLE), "Fail", "Fail", id="a fail stands on what was counted before"),
        pytest.param((), "NoData", "NoData", id="nobody was asked"),
    ],
)
def test_a_silent_arm_makes_an_error(answers: tuple[StatsAnswer, ...], before: str, after: str) -> None:
    (gate,) = sources.overruled((a_gate(before),), observed(stats=answers), ("new", "old"))
    assert gate.verdict == after
    if after == "Error":
        assert gate.message == "no pod of new gave its stats: pod b: it did not answer within 2 s"


def test_a_step_is_not_left_while_an_arm_is_silent() -> None:
    world = a_served_world()
    world.change(a_spec(2))
    assert world.run(lambda now: now.status.candidate is not None and now.status.candidate.step == 0, seconds=60)
    world.run(seconds=20)
    world.pass_time(600)
    seen = world.observe()
    assert decide(seen).status.phase == "Progressing"
    silent = tuple(StatsAnswer(answer.pod_uid, answer.revision, None, "refused") for answer in seen.stats)
    plan = decide(replace(seen, stats=silent))
    assert (plan.status.phase, plan.actions) == ("Holding", ())
    assert plan.status.worst_gate == "accuracy: Error"

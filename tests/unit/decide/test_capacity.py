"""How many pods each arm has: tables of both ways to split and of what may be added, and what a rollback may take."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.builders import NOW, a_candidate, a_pod, a_record, situated
from tests.support.world import a_spec

from serin_operator.api.deployment import ModelDeploymentStatus, StableStatus
from serin_operator.decide import capacity, timestamps
from serin_operator.decide.capacity import PATIENCE_SECONDS, Pods
from serin_operator.decide.draft import Situation
from serin_operator.decide.observation import RouteFacts

STABLE, CANDIDATE = "wine-1", "wine-2"
SURGE: dict[str, Any] = {}
NO_SURGE = {"surge": "NoSurge"}


def budget(pods: int) -> dict[str, Any]:
    return {"surge": "Budget", "surgeBudget": pods}


def a_situation(replicas: int, rollout: dict[str, Any], **changes: Any) -> Situation:
    spec = a_spec(serving={"replicas": replicas}, rollout=a_spec()["rollout"] | rollout)
    return situated(spec, status=ModelDeploymentStatus(stable=StableStatus(revision=STABLE)), **changes)


@pytest.mark.parametrize(
    ("sentence", "rollout", "replicas", "weight", "stable", "candidate"),
    [
        ("stable stays whole, and a second pod stands by the first", SURGE, 4, 25, 4, 2),
        ("a share of a pod is a pod", SURGE, 10, 25, 10, 3),
        ("both are whole at the promotion", SURGE, 4, 100, 4, 4),
        ("at least one, whatever the weight", SURGE, 1, 1, 1, 1),
        ("a shadow has two", SURGE, 4, 0, 4, 2),
        ("where stable has one the candidate has one", SURGE, 1, 25, 1, 1),
        ("nothing is added: stable gives one", NO_SURGE, 4, 5, 3, 1),
        ("half and half", NO_SURGE, 4, 50, 2, 2),
        ("the larger arm gives the odd pod", NO_SURGE, 10, 25, 7, 3),
        ("and so on the other side", NO_SURGE, 10, 75, 3, 7),
        ("hardly more than a pod is one pod", NO_SURGE, 3, 34, 2, 1),
        ("hardly less than two are two", NO_SURGE, 3, 66, 1, 2),
        ("two pods are one each", NO_SURGE, 2, 5, 1, 1),
        ("stable keeps one to the end", NO_SURGE, 4, 100, 1, 3),
        ("one may be added: stable keeps all at first", budget(1), 4, 5, 4, 1),
        ("then it gives what is beyond", budget(1), 4, 50, 3, 2),
        ("the candidate is whole at the promotion", budget(1), 4, 100, 1, 4),
        ("a budget for all is as good as none", budget(4), 4, 100, 4, 4),
    ],
)
def test_pods_for_a_weight(
    sentence: str, rollout: dict[str, Any], replicas: int, weight: int, stable: int, candidate: int
) -> None:
    assert capacity.for_weight(a_situation(replicas, rollout), None, weight) == Pods(stable, candidate), sentence


@pytest.mark.parametrize(
    ("stable", "weight", "pods"),
    [(1, 5, 1), (4, 5, 1), (19, 5, 1), (4, 20, 1), (4, 50, 4), (10, 25, 3), (2, 75, 6), (3, 1, 1)],
)
def test_beside_so_many_pods_of_stable(stable: int, weight: int, pods: int) -> None:
    assert capacity.beside(stable, weight) == pods


@given(
    replicas=st.integers(2, 60),
    added=st.integers(0, 20),
    weight=st.integers(0, 100),
)
def test_what_may_not_be_added_never_is_and_stable_keeps_what_its_share_needs(
    replicas: int, added: int, weight: int
) -> None:
    pods = capacity.for_weight(a_situation(replicas, budget(added) if added else NO_SURGE), None, weight)
    assert pods.stable + pods.candidate <= replicas + added
    assert 1 <= pods.stable <= replicas
    assert 1 <= pods.candidate <= replicas
    needs = (100 - weight) * replicas / 100
    assert pods.stable >= needs - 1, "never more than the one pod short that the candidate must have"
    assert not added or pods.stable >= min(replicas, needs), "with a pod to add it is short of nothing"


def taking_back(
    ready: int,
    weight: int,
    *,
    candidate_ready: int = 2,
    replicas: int = 4,
    unschedulable: str | None = None,
    **more: Any,
) -> Situation:
    candidate = a_candidate(CANDIDATE, weight=weight)
    return situated(
        a_spec(serving={"replicas": replicas}),
        status=ModelDeploymentStatus(stable=StableStatus(revision=STABLE), candidate=candidate),
        route=RouteFacts({STABLE: 100 - weight, CANDIDATE: weight}, None, ()),
        ready_endpoints={STABLE: ready, CANDIDATE: candidate_ready},
        pods=(a_pod("new", STABLE, ready=False, unschedulable=unschedulable),),
        revisions=(a_record(CANDIDATE),),
        **more,
    )


@pytest.mark.parametrize(
    ("sentence", "situation", "waited_seconds", "left"),
    [
        ("stable is whole", taking_back(4, 50), 0, 0),
        ("stable has more than enough", taking_back(6, 50), 0, 0),
        ("half of it carries half", taking_back(2, 75), 0, 50),
        ("a little more is borne by the half of it", taking_back(2, 25), 0, 0),
        ("a quarter of it carries a quarter, and no more than the candidate had", taking_back(1, 60), 0, 60),
        ("three of four bear it all for a while", taking_back(3, 50), 0, 0),
        ("a share of a percent is left to those that can carry it", taking_back(2, 99, replicas=3), 0, 34),
        ("stable has none: what the candidate has it keeps", taking_back(0, 50), 0, 50),
        ("the candidate could not answer anyway", taking_back(1, 50, candidate_ready=0), 0, 0),
        ("neither could", taking_back(0, 50, candidate_ready=0), 0, 0),
        ("no node takes the next pod: room is made for it", taking_back(2, 50, unschedulable="full"), 0, 25),
        ("and for the last one", taking_back(3, 50, unschedulable="full"), 0, 0),
        ("the next pod does not come for long", taking_back(2, 50), PATIENCE_SECONDS + 1, 25),
        ("stable has none, and none comes", taking_back(0, 50), PATIENCE_SECONDS + 1, 50),
    ],
)
def test_what_an_ended_candidate_keeps_until_stable_can_carry_it(
    sentence: str, situation: Situation, waited_seconds: float, left: int
) -> None:
    assert situation.candidate is not None
    since = timestamps.text(NOW - waited_seconds)
    assert capacity.left_to(situation, situation.candidate, since) == left, sentence


def test_a_route_edited_by_hand_does_not_raise_what_it_keeps() -> None:
    situation = taking_back(1, 75)
    assert situation.candidate is not None
    ended = situation.candidate.model_copy(update={"outcome": "Rejected", "weight": 25})
    assert capacity.left_to(situation, ended, None) == 25

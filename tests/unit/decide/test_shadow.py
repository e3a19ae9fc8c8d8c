"""What stable's pods are told to send, when they are told anew, and when the shadow's clock may start."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.builders import NOW, a_candidate, a_pod, situated
from tests.support.shadow_world import a_shadow_spec

from serin_contract.announcements import Announced
from serin_operator.api.deployment import ModelDeploymentStatus, StableStatus
from serin_operator.decide import shadow
from serin_operator.decide.draft import Situation

COHORT = "shadow.wine-2.1.ab"
CANDIDATE = a_candidate(step=0, shadow_cohort=COHORT)
TARGETS = ["10.0.0.1:8081", "10.0.0.2:8081"]
PODS = (
    a_pod("two", origin="http://10.0.0.2:8081"),
    a_pod("one", origin="http://10.0.0.1:8081"),
    a_pod("warming", origin="http://10.0.0.3:8081", ready=False),
    a_pod("ending", origin="http://10.0.0.4:8081", terminating=True),
    a_pod("nowhere"),
    a_pod("stable", "wine-1", origin="http://10.0.0.9:8081"),
)


def shadowing(**changes: Any) -> Situation:
    status = ModelDeploymentStatus(stable=StableStatus(revision="wine-1"), candidate=CANDIDATE)
    return situated(a_shadow_spec(2), **({"status": status, "pods": PODS} | changes))


def held(until: float = NOW + 50, **changes: Any) -> Announced:
    facts: dict[str, Any] = {
        "sequence": 1, "shadow_cohort": COHORT, "shadow_percent": 50, "shadow_targets": TARGETS, "shadow_until": until,
    }  # fmt: skip
    return Announced(**(facts | changes))


def test_copies_go_to_the_candidates_ready_pods_for_a_minute() -> None:
    order = shadow.order(shadowing(), CANDIDATE, None)
    assert order is not None
    assert (order.cohort, order.percent, order.targets, order.until) == (COHORT, 50, TARGETS, NOW + 60)
    assert order.tolerance == 0.01


@pytest.mark.parametrize(
    ("sentence", "candidate"),
    [
        ("no candidate", None),
        ("a step by weight", a_candidate(step=1, weight=20, cohort="wine-2.2.ab")),
        ("an ended trial", a_candidate(step=0, shadow_cohort=COHORT, outcome="Aborted")),
        ("a step that has become one by weight", a_candidate(step=1, shadow_cohort=COHORT)),
    ],
)
def test_nothing_is_sent_for(sentence: str, candidate: Any) -> None:
    assert shadow.order(shadowing(), candidate, held()) is None, sentence


@pytest.mark.parametrize(
    ("sentence", "said", "stays"),
    [
        ("all is as wanted and lasts", held(), True),
        ("the targets in another order", held(shadow_targets=TARGETS[::-1]), True),
        ("it ends within half a minute", held(until=NOW + 29), False),
        ("a pod has come or gone", held(shadow_targets=TARGETS[:1]), False),
        ("another percentage", held(shadow_percent=10), False),
        ("an earlier cohort", held(shadow_cohort="shadow.wine-2.0.cd"), False),
        ("nothing is held", None, False),
    ],
)
def test_a_pod_is_told_anew_only_where_it_must_be(sentence: str, said: Announced | None, stays: bool) -> None:
    assert shadow.sends(said, shadow.order(shadowing(), CANDIDATE, said)) == stays, sentence


def test_a_pod_that_sends_nothing_needs_no_word_to_stop() -> None:
    assert shadow.sends(None, None)
    assert shadow.sends(Announced(sequence=1, cohort="wine-2.1.ab"), None)
    assert not shadow.sends(held(), None)

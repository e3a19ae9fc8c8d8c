"""Pods: none added where none may be, none missing where traffic goes back, as many as an autoscaler wants."""

from __future__ import annotations

import time
from typing import Any

from tests.e2e.conftest import beside_others, measured
from tests.e2e.spoilt import BETTER, BETTER_STILL, DECENT, SPOILT
from tests.support import kubernetes_objects as objects
from tests.support.stories import START_SECONDS, TRIAL_SECONDS, Place, State, in_words

RATE = 40.0
PODS = 3

NO_SURGE: dict[str, Any] = {
    "serving": objects.serving(replicas=PODS),
    "rollout": objects.rollout((34, 6), (67, 6), surge="NoSurge"),
}

RETURN_SECONDS = 5.0
"""From the word to go back until the last answer of the revision that is left, on a machine that does other things."""

SCALED: dict[str, Any] = {
    "serving": {
        "autoscaling": {"minReplicas": 1, "maxReplicas": PODS, "targetCPUPercent": 50},
        # So little that the callers of a small machine are a load.
        "resources": {"requests": {"cpu": "20m", "memory": "32Mi"}, "limits": {"memory": "512Mi"}},
    },
    "rollout": objects.rollout((20, 5), (50, 20)),
}

SCALE_SECONDS = 180
"""The autoscaler looks every quarter of a minute at figures that are as old."""


def asked(digits: Place) -> dict[str, int]:
    """Pods that each revision's Deployment asks for."""
    return {item["metadata"]["name"]: item["spec"]["replicas"] for item in digits.get("deployments")}


def lowest(digits: Place) -> dict[str, int]:
    """The lower bound of each revision's autoscaler."""
    return {item["metadata"]["name"]: item["spec"]["minReplicas"] for item in digits.get("hpa")}


def whole_again(digits: Place, revision: str) -> None:
    """All its pods are ready and no other revision has any."""
    digits.until(
        lambda state: (
            state.stable == revision
            and state.status["stable"].get("readyReplicas") == PODS
            and asked(digits) == {revision: PODS}
        ),
        "stable is whole and alone",
        START_SECONDS,
    )


@beside_others("small")
def test_without_surge_a_good_candidate_is_promoted_and_no_request_fails(digits: Place) -> None:
    first = digits.serves(DECENT, **NO_SURGE)
    whole_again(digits, first)
    with digits.load(RATE) as load:
        digits.wants(BETTER, **NO_SURGE)
        candidate = digits.until_candidate(34).candidate["revision"]
        assert asked(digits) == {first: 2, candidate: 1}
        assert digits.state.says("CapacityAvailable", "False", "StableReduced")
        digits.until_candidate(67)
        assert asked(digits) == {first: 1, candidate: 2}
        digits.until(lambda state: state.stable_of_spec, "it is promoted", TRIAL_SECONDS)
        whole_again(digits, candidate)
        counted = load.stop()
    measured("promoted without surge", f"{counted.failed} failed of {counted.requests}")
    assert counted.failed == 0, in_words(counted)


@beside_others("smaller")
def test_without_surge_a_bad_candidate_goes_back_as_stable_grows_and_no_request_fails(digits: Place) -> None:
    first = digits.serves(DECENT, **NO_SURGE)
    whole_again(digits, first)
    # Labels come late, so that stable has given pods up by the time at which a gate can fail.
    patient = {"gates": {"accuracy": {"maxDrop": 0.05, "labelDelay": "1s"}}}
    with digits.load(RATE, label_delay=(6.0, 8.0)) as load:
        digits.wants(SPOILT, **NO_SURGE, **patient)
        state = digits.until(
            lambda state: state.phase == "RolledBack" and not state.candidate, "it comes back", TRIAL_SECONDS
        )
        whole_again(digits, first)
        counted = load.stop()
    bad = state.status["lastRollback"]["from"]
    weights = digits.route_weights(bad, digits.applied_at)
    told = [moment.status.get("message", "") for moment in digits.mdep.since(digits.applied_at)]
    assert any("scaling stable first" in words for words in told)
    measured("rolled back without surge", f"weights {weights}, {counted.failed} failed of {counted.requests}")
    assert weights[-1] == 0
    assert max(weights) in (34, 67)
    assert counted.failed == 0, in_words(counted)


@beside_others("warm")
def test_back_to_the_revision_before_at_once_while_it_is_warm(digits: Place) -> None:
    warm: dict[str, Any] = {"serving": objects.serving(replicas=2), "watch": {"keepWarm": "10m"}}
    first = digits.serves(DECENT, **warm)
    with digits.load(RATE) as load:
        digits.wants(BETTER, **warm)
        second = digits.until(lambda state: state.stable_of_spec, "it is promoted", TRIAL_SECONDS).stable
        assert second != first
        assert digits.state.status["previous"]["revision"] == first
        digits.wants(DECENT, **warm)
        state = digits.until(lambda state: state.stable == first and state.phase == "Stable", "it is back", 30)
        time.sleep(1.0)
        counted = load.stop()
    seconds = counted.arm(second).last_at - digits.applied_at
    measured("back to a warm revision", f"{seconds:.2f} s to the last other answer, {counted.failed} failed")
    assert state.outcomes[0] == ("Returned", "SpecReturned")
    assert state.status["previous"]["revision"] == second
    assert seconds < RETURN_SECONDS
    assert counted.failed == 0, in_words(counted)


@beside_others("warm")
def test_a_pod_that_asks_for_more_than_any_node_has_waits_in_the_schedulers_words(digits: Place) -> None:
    first = digits.serves(DECENT)
    with digits.load(RATE) as load:
        huge = {"requests": {"cpu": "4000", "memory": "32Mi"}, "limits": {"memory": "512Mi"}}
        digits.wants(BETTER_STILL, serving=objects.serving() | {"resources": huge})
        state = digits.until(
            lambda state: state.says("CapacityAvailable", "False", "Unschedulable"), "it waits", START_SECONDS
        )
        digits.wants(DECENT)
        digits.until(lambda state: state.stable_of_spec, "stable's spec is asked for again", START_SECONDS)
        counted = load.stop()
    assert "Insufficient cpu" in state.condition("CapacityAvailable")["message"]
    assert state.stable == first
    assert counted.failed == 0, in_words(counted)


@beside_others("scaled")
def test_an_autoscaled_stable_keeps_its_pods_through_a_trial(digits: Place) -> None:
    first = digits.serves(DECENT, **SCALED)
    with digits.load(RATE) as load:
        began = time.monotonic()
        digits.until(
            lambda state: state.status["stable"].get("readyReplicas") == PODS, "the load scales it", SCALE_SECONDS
        )
        scaled_seconds = time.monotonic() - began
        digits.wants(BETTER, **SCALED)
        candidate = digits.until_candidate(50).candidate
        assert candidate["stableFloor"] == PODS
        assert lowest(digits) == {first: PODS, candidate["revision"]: 2}
        fewest = PODS

        def promoted(state: State) -> bool:
            nonlocal fewest
            if state.candidate:
                fewest = min(fewest, asked(digits)[first])
            return state.stable_of_spec

        digits.until(promoted, "it is promoted", TRIAL_SECONDS)
        assert digits.state.status["stable"]["readyReplicas"] == PODS, "whole before it was given all"
        digits.until(lambda _: lowest(digits) == {candidate["revision"]: 1}, "the bound is the user's again", 60)
        counted = load.stop()
    measured(
        "a trial with an autoscaler",
        f"{PODS} pods after {scaled_seconds:.0f} s, then never fewer; {counted.failed} failed of {counted.requests}",
    )
    assert fewest == PODS
    assert counted.failed == 0, in_words(counted)

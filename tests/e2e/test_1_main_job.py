"""The main job: a better model goes live, a spoilt one comes back, and no caller notices either."""

from __future__ import annotations

import math

from tests.e2e.conftest import measured
from tests.e2e.operator_pod import restart
from tests.e2e.spoilt import BETTER, DECENT, SPOILT
from tests.support import kubernetes_objects as objects
from tests.support.stories import TRIAL_SECONDS, Load, Place, State, in_words

STEPS = objects.rollout((5, 8), (25, 8), (50, 8))
GATES = {"accuracy": {"maxDrop": 0.02, "labelDelay": "2s"}, "errorRate": {"max": 0.02}}
RATE = 180.0


def test_a_better_model_goes_live_and_a_spoilt_one_comes_back(digits: Place) -> None:
    first = digits.serves(DECENT, rollout=STEPS, gates=GATES)
    assert digits.state.outcomes == [("Promoted", "FirstDeployment")]
    with digits.load(RATE, label_delay=(0.5, 2.0)) as load:
        second = a_better_model_goes_live(digits, load, first)
        a_spoilt_model_comes_back(digits, load, second)
        it_stays_rejected(digits, second)
    counted = load.stop()
    measured("main job, callers", in_words(counted))
    assert counted.failed == 0, in_words(counted)


def a_better_model_goes_live(digits: Place, load: Load, first: str) -> str:
    digits.wants(BETTER, rollout=STEPS, gates=GATES)
    digits.kubectl(
        "wait", "--for=condition=Promoted", "mdep/digits", f"--timeout={TRIAL_SECONDS}s", timeout=TRIAL_SECONDS + 10
    )
    state = digits.until(lambda state: state.stable_of_spec, "the better model is stable", 20)
    assert state.stable != first
    assert state.outcomes[0] == ("Promoted", "AllGatesPassed")
    assert digits.route_weights(state.stable, digits.applied_at) == [0, 5, 25, 50, 100]
    at = digits.moment_of(lambda seen: seen.stable == state.stable, digits.applied_at).at
    measured("main job, from apply to promoted", f"{at - digits.applied_at:.1f} s")
    the_split_is_as_claimed(digits, state.stable, first)
    assert load.snapshot().failed == 0, in_words(load.snapshot())
    return state.stable


def the_split_is_as_claimed(digits: Place, candidate: str, stable: str) -> None:
    """By the servers' own counts, cohort by cohort: within five standard deviations of a binomial."""
    claimed = digits.cohort_weights()
    seen = digits.evidence(candidate, stable)
    assert len(seen.cohorts) == 3
    for name, cohort in seen.cohorts.items():
        share, requests = claimed[name] / 100, cohort.candidate.requests + cohort.stable.requests
        slack = 5 * math.sqrt(requests * share * (1 - share)) + 2
        words = f"{cohort.candidate.requests:.0f} of {requests:.0f} requests at {claimed[name]} %"
        measured(f"main job, split in cohort {name}", words)
        assert requests > 200, words
        assert abs(cohort.candidate.requests - share * requests) <= slack, words


def a_spoilt_model_comes_back(digits: Place, load: Load, second: str) -> None:
    digits.wants(SPOILT, rollout=STEPS, gates=GATES)
    state = digits.until(
        lambda state: state.phase == "RolledBack" and not state.candidate, "it is rolled back", TRIAL_SECONDS
    )
    back = state.status["lastRollback"]
    assert (back["to"], back["gate"]) == (second, "accuracy")
    assert "accuracy 0." in back["evidence"]
    assert "evidence 10^" in back["evidence"]
    assert state.stable == second
    assert state.says("Promoted", "False", "Rejected")
    assert state.says("Ready", "True", "Serving")
    assert digits.route.moments[-1].weights == {second: 100}
    weights = digits.route_weights(back["from"], digits.applied_at)
    assert weights[-1] == 0
    assert max(weights) < 100, weights
    arm = load.snapshot().arm(back["from"])
    words = f"{arm.last_at - arm.first_at:.1f} s after its first answer, {arm.requests} answers in all, at {weights}"
    measured("main job, time to roll back", f"{words}; {back['evidence']}")
    assert arm.failures == 0, "the answers of a spoilt model are wrong, but they are answers"


def it_stays_rejected(digits: Place, second: str) -> None:
    def tried_again(state: State) -> bool:
        return bool(state.candidate) or state.stable != second

    trials = len(digits.state.outcomes)
    digits.wants(SPOILT, rollout=STEPS, gates=GATES)
    digits.never(tried_again, "the rejected model is tried again after it was applied again", 5)
    restart(digits.cluster)
    digits.never(tried_again, "the rejected model is tried again after the operator was restarted", 8)
    assert digits.state.phase == "RolledBack"
    assert "Change spec.model or spec.serving" in digits.state.message
    assert len(digits.state.outcomes) == trials

"""A candidate is compared on a copy of the traffic before any caller meets it."""

from __future__ import annotations

import time

from tests.e2e.conftest import beside_others, measured
from tests.e2e.spoilt import BETTER, DECENT, SPOILT
from tests.support.stories import START_SECONDS, TRIAL_SECONDS, Place, in_words

RATE = 60.0
STEPS = {"steps": [{"shadow": {"percent": 100}, "for": "6s"}, {"weight": 50, "for": "5s"}]}
GATES = {"agreement": {"min": 0.9}, "errorRate": {"max": 0.05}}


@beside_others("shadow")
def test_a_good_candidate_agrees_with_stable_before_a_caller_meets_it(place: Place) -> None:
    """Promoted after a shadow, in which stable's pods are the very same and no caller has its answer."""
    first = place.serves(DECENT, rollout=STEPS, gates=GATES)
    pods = [pod["metadata"]["uid"] for pod in place.pods(first)]
    with place.load(RATE) as load:
        place.wants(BETTER, rollout=STEPS, gates=GATES)
        place.until(lambda state: state.phase == "Shadowing", "the shadow begins", START_SECONDS)
        state = place.until(lambda state: state.gate("agreement").get("verdict") == "Pass", "they agree", TRIAL_SECONDS)
        unseen = load.snapshot().arm(state.candidate["revision"]).requests if state.phase == "Shadowing" else 0
        assert [pod["metadata"]["uid"] for pod in place.pods(first)] == pods, "stable's pods were not restarted"
        gate = state.gate("agreement")
        place.until(lambda state: state.stable_of_spec, "the candidate is promoted", TRIAL_SECONDS)
        counted = load.stop()
    measured("agreement in the shadow", f"{gate['value']:.4f} of {gate['samples']:.0f} requests")
    assert unseen == 0
    assert counted.failed == 0, in_words(counted)
    assert "Shadowing" in place.phases(place.applied_at)


@beside_others("shadow")
def test_a_spoilt_candidate_goes_back_before_a_caller_meets_it(place: Place) -> None:
    """Rolled back by agreement alone: without a label, and without one answer to a caller."""
    first = place.state.stable
    with place.load(RATE, label_share=0.0) as load:
        place.wants(SPOILT, rollout=STEPS, gates=GATES)
        began = time.monotonic()
        state = place.until(lambda state: state.phase == "RolledBack", "it is rolled back", START_SECONDS)
        counted = load.stop()
    measured("spoilt model back from the shadow", f"{time.monotonic() - began:.0f} s after apply, 0 requests exposed")
    assert state.stable == first
    assert state.status["lastRollback"]["gate"] == "agreement"
    assert set(counted.arms) == {first}, in_words(counted)
    assert counted.failed == 0, in_words(counted)

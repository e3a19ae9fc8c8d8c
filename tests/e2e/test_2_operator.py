"""The operator ends in the middle of a trial, kindly and not, and the trial goes on from what stands."""

from __future__ import annotations

import pytest
from tests.e2e import operator_pod
from tests.e2e.conftest import measured
from tests.e2e.spoilt import BETTER, BETTER_STILL, DECENT
from tests.support import kubernetes_objects as objects
from tests.support.stories import TRIAL_SECONDS, Place, in_words

STEPS = objects.rollout((20, 8), (50, 8))
RATE = 100.0


@pytest.mark.parametrize(("model", "kill"), [(BETTER, False), (BETTER_STILL, True)], ids=["deleted", "killed"])
def test_a_trial_outlives_the_operator_and_counts_nothing_twice(digits: Place, model: str, kill: bool) -> None:
    first = digits.serves(DECENT, rollout=STEPS)
    with digits.load(RATE) as load:
        before = load.snapshot().requests
        digits.wants(model, rollout=STEPS)
        digits.until_candidate(20)
        operator_pod.restart(digits.cluster, kill=kill)
        state = digits.until(lambda state: state.stable_of_spec, "the candidate is promoted", TRIAL_SECONDS)
        after = load.stop()
    title = f"operator {'killed' if kill else 'deleted'} in mid-trial"
    assert after.failed == 0, in_words(after)
    assert state.outcomes[0] == ("Promoted", "AllGatesPassed")
    assert digits.route_weights(state.stable, digits.applied_at) == [0, 20, 50, 100]
    at = digits.moment_of(lambda seen: seen.stable == state.stable, digits.applied_at).at
    seen = digits.evidence(state.stable, first)
    candidate, stable = seen.total("candidate"), seen.total("stable")
    measured(
        title,
        f"promoted after {at - digits.applied_at:.0f} s; {after.failed} failed of {after.requests}; counted "
        f"{candidate.requests:.0f} + {stable.requests:.0f} requests, {candidate.labelled:.0f} labels of the candidate",
    )
    # All that can be counted was sent while the trial ran: a poll added twice would exceed it.
    assert candidate.requests + stable.requests <= after.requests - before
    assert candidate.requests <= after.arm(state.stable).requests
    assert candidate.labelled <= min(candidate.predictions, after.arm(state.stable).labels_posted)
    assert candidate.predictions <= candidate.requests
    assert seen.refused == 0

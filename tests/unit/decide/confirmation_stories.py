"""Stories of gateways that do not lead to the candidate, or do not split as they are told."""

from __future__ import annotations

from tests.support.world import Traffic, a_spec
from tests.unit.decide.stories import at_weight, long_story, promoted, settled, story, trial
from tests.unit.decide.telling import Telling

from serin_operator.decide.observation import ParentProbe

ALONE = {"steps": [{"weight": 25, "for": "30s"}]}


@long_story
def gateway_does_not_lead_to_the_candidate() -> Telling:
    telling = trial(trial_spec=a_spec(2, rollout=ALONE))
    telling.world.gateway_says = ParentProbe("shop/public", 0, "404 without a revision")
    telling.run(seconds=80)
    telling.world.gateway_says = None
    telling.note("the gateway takes the route")
    telling.run(promoted(2))
    return settled(telling)


@story
def gateway_that_cannot_be_asked() -> Telling:
    telling = trial(trial_spec=a_spec(2, rollout=ALONE))
    telling.world.gateway_says = ParentProbe("shop/public", unknown="its status publishes no address")
    telling.run(promoted(2))
    return settled(telling)


@long_story
def gateway_splits_otherwise() -> Telling:
    telling = trial(trial_spec=a_spec(2, rollout=ALONE))
    telling.world.gateway_share = 0.05
    telling.run(seconds=60)
    telling.world.gateway_share = None
    telling.note("the other route on the host is removed")
    telling.run(promoted(2))
    return settled(telling)


@story
def gateway_splits_otherwise_from_the_middle_of_a_step() -> Telling:
    telling = trial(trial_spec=a_spec(2, rollout={"steps": [{"weight": 25, "for": "10m"}], "deadline": "12m"}))
    telling.run(at_weight(25))
    telling.run(seconds=10)
    telling.world.gateway_share = 1.0
    telling.note("every request goes to the candidate")
    telling.run(seconds=30, tick_seconds=5)
    telling.run(lambda world: world.status.phase == "Paused", seconds=1000, tick_seconds=30)
    return telling


@long_story
def part_of_the_gateway_keeps_the_weights_before() -> Telling:
    telling = trial(
        trial_spec=a_spec(2, rollout={"steps": [{"weight": 5, "for": "10s"}, {"weight": 25, "for": "60s"}]})
    )
    telling.run(at_weight(5))
    telling.world.gateway_behind = 0.3
    telling.note("one of three gateway pods takes no route any more")
    telling.run(at_weight(25))
    telling.run(seconds=75)
    telling.world.gateway_behind = 0.0
    telling.note("it is restarted")
    telling.run(promoted(2), seconds=900)
    return settled(telling)


@story
def few_requests_delay_no_step_beyond_its_time_again() -> Telling:
    telling = trial(traffic=Traffic(requests_per_second=0.5), trial_spec=a_spec(2, gates={}, rollout=ALONE))
    telling.run(promoted(2))
    return settled(telling)

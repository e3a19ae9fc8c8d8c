"""Stories of callers who stay with their arm, and of a rule in someone else's route."""

from __future__ import annotations

from typing import Any

from tests.support.world import Behaviour, a_served_world, a_spec, a_world, is_phase, uri
from tests.unit.decide.stories import at_weight, long_story, promoted, settled, story, trial
from tests.unit.decide.telling import Telling

STICKY = {"parentRefs": [{"name": "public"}], "hostnames": ["wine.example.com"], "stickiness": {"cookie": "wine"}}
REFERRED = {"routeRef": {"name": "shop", "rule": "wine"}}


def users_route() -> dict[str, Any]:
    """A route of the user's with a rule for Serin, and one that is none of its business."""
    return {
        "metadata": {"name": "shop", "namespace": "shop", "resourceVersion": "0"},
        "spec": {
            "parentRefs": [{"name": "public"}],
            "hostnames": ["shop.example.com"],
            "rules": [
                {"name": "pages", "backendRefs": [{"name": "pages", "port": 80, "weight": 1}]},
                {"name": "wine", "backendRefs": [{"name": "old-wine", "port": 80, "weight": 1}]},
            ],
        },
    }


def sticky_trial(**changes: Any) -> Telling:
    return trial(spec=a_spec(traffic=STICKY), trial_spec=a_spec(2, traffic=STICKY), **changes)


def referred_trial(**changes: Any) -> Telling:
    return trial(
        spec=a_spec(traffic=REFERRED), trial_spec=a_spec(2, traffic=REFERRED), referred=users_route(), **changes
    )


def edited_rule(telling: Telling, weights: dict[str, int]) -> None:
    """Someone writes other backends into the rule that Serin uses."""
    item = telling.world.referred
    assert item is not None
    backends = [{"group": "", "kind": "Service", "name": n, "port": 8080, "weight": w} for n, w in weights.items()]
    rules = [{**rule, "backendRefs": backends} if rule["name"] == "wine" else rule for rule in item["spec"]["rules"]]
    telling.world.put_referred({**item, "metadata": {**item["metadata"]}, "spec": {**item["spec"], "rules": rules}})


@story
def sticky_promotion() -> Telling:
    telling = sticky_trial()
    telling.run(promoted(2))
    return settled(telling)


@story
def sticky_rollback() -> Telling:
    telling = sticky_trial(models={uri(2): Behaviour(accuracy=0.75)})
    telling.run(is_phase("RolledBack"))
    return settled(telling)


@long_story
def gateway_without_patterns() -> Telling:
    telling = sticky_trial(takes_patterns=False)
    telling.run(is_phase("Holding"))
    telling.run(seconds=20)
    telling.change(a_spec(2))
    telling.note("spec.traffic.stickiness is removed")
    telling.run(promoted(2))
    return settled(telling)


@long_story
def gateway_forgets_patterns_midway() -> Telling:
    telling = sticky_trial()
    telling.run(at_weight(25))
    telling.world.takes_patterns = False
    telling.note("another Gateway takes over, which matches no patterns")
    telling.run(is_phase("Holding"))
    telling.run(seconds=10)
    telling.world.takes_patterns = True
    telling.note("it learns to")
    telling.run(promoted(2))
    return settled(telling)


@story
def referred_rule_promotion() -> Telling:
    telling = referred_trial()
    telling.run(promoted(2))
    return settled(telling)


@long_story
def referred_rule_edited_midway() -> Telling:
    telling = referred_trial()
    telling.run(at_weight(25))
    edited_rule(telling, {telling.world.candidate: 80, telling.world.stable: 20})
    telling.note("someone gives the candidate 80 % by hand")
    telling.run(at_weight(25))
    edited_rule(telling, {"old-wine": 1})
    telling.note("someone sends all to an older application")
    telling.run(promoted(2))
    return settled(telling)


@long_story
def referred_rule_taken_away_midway() -> Telling:
    telling = referred_trial()
    telling.run(at_weight(5))
    before = telling.world.referred
    assert before is not None
    telling.world.put_referred({**before, "spec": {**before["spec"], "rules": before["spec"]["rules"][:1]}})
    telling.note("someone removes the rule")
    telling.run(is_phase("Holding"))
    telling.run(seconds=10)
    telling.world.put_referred(users_route())
    telling.note("it is there again, as it was at first")
    telling.run(promoted(2))
    return settled(telling)


@story
def referred_rule_of_another_deployment() -> Telling:
    spec = a_spec(traffic=REFERRED)
    telling = Telling(a_world(spec=spec, referred=users_route(), rule_others=("beer",)))
    telling.run(seconds=20)
    telling.world.rule_others = ()
    telling.note("the other ModelDeployment gives the rule up")
    telling.run(is_phase("Stable"))
    return settled(telling)


@story
def referred_route_missing() -> Telling:
    telling = Telling(a_world(spec=a_spec(traffic=REFERRED)))
    telling.run(seconds=20)
    telling.world.put_referred(users_route())
    telling.note("the route is created")
    telling.run(is_phase("Stable"))
    return settled(telling)


@story
def own_route_given_up_for_a_rule() -> Telling:
    telling = Telling(a_served_world())
    telling.change(a_spec(traffic=REFERRED))
    telling.note("traffic.routeRef takes the place of parentRefs, and its route is missing")
    telling.run(seconds=10)
    telling.world.put_referred(users_route())
    telling.note("the route is created")
    telling.run(lambda world: "HTTPRoute/wine" not in world.live)
    return settled(telling)

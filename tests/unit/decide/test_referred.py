"""A rule in someone else's route: what is Serin's in it, and that all the rest stays as it is."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.builders import a_record, observed, parsed
from tests.support.world import DIGEST, a_served_world, a_spec

from serin_operator.api.deployment import CandidateStatus, ModelDeploymentStatus, StableStatus
from serin_operator.decide.observation import Observation, ParentFacts, ReferredFacts, RouteFacts
from serin_operator.decide.plan import EditRule, SetWeights, Splitting
from serin_operator.decide.routing import Split, of, strays
from serin_operator.decide.routing.gateway import GatewayRouting
from serin_operator.decide.routing.referred import ReferredRouting, patch
from serin_operator.runtime import httproute


def a_trial() -> ModelDeploymentStatus:
    """Of wine-2 against wine-1, at 25 %."""
    candidate = CandidateStatus(revision="wine-2", digest=DIGEST, step=1, weight=25, cohort_number=2)
    return ModelDeploymentStatus(stable=StableStatus(revision="wine-1", digest=DIGEST, weight=75), candidate=candidate)


SPEC = a_spec(traffic={"routeRef": {"name": "shop", "rule": "wine"}})
WIDER = Split("wine-1", "wine-2", 25, "wine-2.2.ab")

_words = st.text("abcxyz-", min_size=1, max_size=6)
_headers = st.lists(st.fixed_dictionaries({"name": _words, "value": _words}), max_size=3)
_filters = st.lists(
    st.one_of(
        st.fixed_dictionaries(
            {"type": st.just("URLRewrite"), "urlRewrite": st.fixed_dictionaries({"hostname": _words})}
        ),
        st.fixed_dictionaries(
            {
                "type": st.just("RequestHeaderModifier"),
                "requestHeaderModifier": st.fixed_dictionaries(
                    {}, optional={"set": _headers, "add": _headers, "remove": st.lists(_words, max_size=3)}
                ),
            }
        ),
    ),
    max_size=3,
    unique_by=lambda entry: entry["type"],
)
_rules = st.fixed_dictionaries(
    {},
    optional={
        "name": _words,
        "matches": st.lists(st.dictionaries(_words, _words, max_size=2), max_size=2),
        "filters": _filters,
        "backendRefs": st.lists(st.fixed_dictionaries({"name": _words, "port": st.just(80)}), max_size=2),
        "timeouts": st.dictionaries(_words, _words, max_size=1),
    },
)


@st.composite
def routes(draw: st.DrawFn) -> dict[str, Any]:
    """Any route with a rule of that name somewhere in it."""
    others = draw(st.lists(_rules, max_size=3))
    others.insert(draw(st.integers(0, len(others))), {**draw(_rules), "name": "wine"})
    return {
        "metadata": {"name": "shop", "namespace": "shop", "resourceVersion": "7", "labels": draw(_words)},
        "spec": {"parentRefs": [{"name": draw(_words)}], "hostnames": draw(st.lists(_words)), "rules": others},
        "status": {"parents": []},
    }


def seen(item: dict[str, Any] | None, *others: str, **changes: Any) -> Observation:
    return observed(SPEC, referred=ReferredFacts(item, others) if item is not None else None, **changes)


def routing(item: dict[str, Any] | None, *others: str, **changes: Any) -> ReferredRouting:
    return ReferredRouting(seen(item, *others, **changes), parsed(SPEC))


def patched(item: dict[str, Any], edit: Splitting) -> dict[str, Any]:
    """The route after the patch, carried out as RFC 6902 says."""
    assert isinstance(edit, EditRule)
    operations = patch(item, edit)
    assert operations is not None
    item = copy.deepcopy(item)
    for operation in operations:
        *way, last = operation["path"].split("/")[1:]
        place: Any = item
        for key in way:
            place = place[int(key) if isinstance(place, list) else key]
        assert operation["op"] == "add" or last in place, "only what is there can be replaced"
        place[last] = operation["value"]
    return item


def theirs(item: dict[str, Any]) -> dict[str, Any]:
    """The route without what is Serin's in it."""
    item = copy.deepcopy(item)
    rule = next(rule for rule in item["spec"]["rules"] if rule.get("name") == "wine")
    rule.pop("backendRefs", None)
    kept = []
    for entry in rule.pop("filters", []):
        modifier = entry.get("requestHeaderModifier")
        if modifier is not None:
            ours = "x-serin-cohort"
            modifier["set"] = [header for header in modifier.get("set", []) if header["name"] != ours]
            modifier["remove"] = [name for name in modifier.get("remove", []) if name != ours]
            modifier["add"] = modifier.get("add", [])
            if not any(modifier.values()):
                continue
        kept.append(entry)
    return item | {"filters": kept}


@given(routes(), st.sampled_from([WIDER, Split("wine-1"), Split("wine-1", "wine-2")]))
def test_all_that_is_not_serins_stays_as_it_is(item: dict[str, Any], split: Split) -> None:
    after = patched(item, routing(item).set(split, narrowing=False))
    assert theirs(after) == theirs(item)
    assert routing(after).stands(split), "and what is, is as it was asked for"
    again = patched(after, routing(after).set(split, narrowing=False))
    assert again == after, "so that a second edit changes nothing"


@given(routes())
def test_a_later_split_leaves_nothing_of_an_earlier_one(item: dict[str, Any]) -> None:
    once = patched(item, routing(item).set(Split("wine-1"), narrowing=False))
    wider = patched(item, routing(item).set(WIDER, narrowing=False))
    assert patched(wider, routing(wider).set(Split("wine-1"), narrowing=True)) == once
    assert not routing(wider).stands(Split("wine-1"))


@pytest.mark.parametrize("written", ["x-serin-cohort", "X-Serin-Cohort"])
def test_a_header_of_serins_is_set_once_however_its_name_is_written(written: str) -> None:
    modifier = {"add": [{"name": written, "value": "mine"}], "remove": [written]}
    rule = {"name": "wine", "filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": modifier}]}
    item = {"metadata": {"resourceVersion": "1"}, "spec": {"rules": [rule]}}
    after = patched(item, routing(item).set(WIDER, narrowing=False))["spec"]["rules"][0]["filters"]
    expected = {"set": [{"name": "x-serin-cohort", "value": "wine-2.2.ab"}]}
    assert after == [{"type": "RequestHeaderModifier", "requestHeaderModifier": expected}]


ROUTE: dict[str, Any] = {"metadata": {"name": "shop", "resourceVersion": "1"}, "spec": {"rules": [{"name": "wine"}]}}


@pytest.mark.parametrize(
    ("item", "others", "changes", "reason"),
    [
        pytest.param(ROUTE, (), {}, None, id="a rule of that name"),
        pytest.param(None, (), {}, "RouteMissing", id="no such route"),
        pytest.param({**ROUTE, "spec": {"rules": [{"name": "beer"}, {}]}}, (), {}, "RuleMissing", id="no such rule"),
        pytest.param(ROUTE, ("beer",), {}, "RuleTaken", id="a rule that another ModelDeployment uses"),
        pytest.param(None, (), {"gateway_api": False}, "GatewayApiMissing", id="no Gateway API"),
        pytest.param(ROUTE, (), {"missing_gateways": ("shop/public",)}, "GatewayMissing", id="no such Gateway"),
    ],
)
def test_what_stands_in_the_way_is_said(
    item: dict[str, Any] | None, others: tuple[str, ...], changes: dict[str, Any], reason: str | None
) -> None:
    made = routing(item, *others, **changes)
    assert (made.trouble() or (None,))[0] == reason
    assert made.available == (reason in (None, "GatewayMissing")), "what is not Serin's to write is not written"


@pytest.mark.parametrize(
    ("sentence", "backend", "accepted", "reason"),
    [
        ("its owner's backend is not there: Serin's first write mends that", "not-there-yet", True, None),
        ("one of Serin's own is not there", "wine-1", True, "RouteRefused"),
        ("the route itself is refused", "not-there-yet", False, "RouteRefused"),
    ],
)
def test_a_backend_that_serin_is_about_to_replace_is_no_trouble(
    sentence: str, backend: str, accepted: bool, reason: str | None
) -> None:
    parent = ParentFacts("public", None, accepted, False, "BackendNotFound: no such Service")
    facts = RouteFacts({backend: 1}, None, (parent,))
    made = routing(ROUTE, route=facts, revisions=(a_record("wine-1"),))
    assert (made.trouble() or (None,))[0] == reason, sentence


def test_the_way_to_split_is_the_one_that_the_spec_asks_for() -> None:
    assert isinstance(of(seen(ROUTE), parsed(SPEC)), ReferredRouting)
    assert routing(ROUTE).mode == "Gateway"


LEFT = GatewayRouting(observed(), parsed()).manifest(Split("wine-1", "wine-2", 25, "wine-2.2.ab"))


@pytest.mark.parametrize(
    ("split", "narrowing", "writes"),
    [
        pytest.param(Split("wine-1", "wine-2"), True, SetWeights, id="a rollback takes back what still serves first"),
        pytest.param(Split("wine-1"), True, SetWeights, id="so does its end, which names the candidate no more"),
        pytest.param(WIDER, True, EditRule, id="what gives no less goes to the rule"),
        pytest.param(WIDER, False, EditRule, id="as does what widens"),
    ],
)
def test_a_route_that_is_left_is_taken_traffic_from_before_the_rule(
    split: Split, narrowing: bool, writes: type[EditRule] | type[SetWeights]
) -> None:
    status = a_trial()
    made = routing(None, live={"HTTPRoute/wine": LEFT}, status=status)
    assert (made.weights, made.available) == ({"wine-1": 75, "wine-2": 25}, True)
    action = made.set(split, narrowing=narrowing)
    assert isinstance(action, writes)
    if isinstance(action, SetWeights):
        assert action.manifest["spec"]["parentRefs"] == LEFT["spec"]["parentRefs"]
        after = routing(None, live={"HTTPRoute/wine": dict(action.manifest)}, status=status)
        assert after.weights.get("wine-2", 0) == 0


def test_a_trial_ends_on_the_route_that_is_left_even_where_the_rule_is_missing() -> None:
    world = a_served_world()
    world.change(a_spec(2))
    assert world.run(lambda world: world.weights().get(world.candidate, 0) == 25 if world.status.candidate else False)
    candidate = world.candidate
    world.change(a_spec(3, traffic=SPEC["traffic"]))
    world.step()
    left = httproute.split(world.live["HTTPRoute/wine"])
    assert left is not None
    assert left.weights == {world.stable: 100, candidate: 0}, "at once, as in any rollback"
    assert world.run(lambda world: f"Deployment/{candidate}" not in world.live, seconds=60)
    assert httproute.split(world.live["HTTPRoute/wine"]) == httproute.Split({world.stable: 100}, None)


@pytest.mark.parametrize(
    ("taken", "weights", "gone"),
    [
        pytest.param(True, {"wine-1": 100}, True, id="the rule has been taken"),
        pytest.param(None, {"wine-1": 100}, False, id="nobody has spoken of it"),
        pytest.param(True, {}, False, id="it sends requests nowhere yet"),
    ],
)
def test_serins_own_route_goes_only_when_the_rule_serves(
    taken: bool | None, weights: dict[str, int], gone: bool
) -> None:
    own = {"kind": "HTTPRoute", "metadata": {"name": "wine"}}
    route = RouteFacts(weights, None, (ParentFacts("public", None, taken, taken),))
    made = routing(ROUTE, route=route, live={"HTTPRoute/wine": own})
    assert bool(strays(made.seen, made)) is gone

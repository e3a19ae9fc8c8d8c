"""The rules of Serin's own route: who is taken by which, and what a gateway is asked for."""

from __future__ import annotations

import re
from typing import Any

import pytest
from tests.support.builders import observed, parsed
from tests.support.world import a_spec

from serin_contract import callers, http
from serin_operator.decide import policy
from serin_operator.decide.observation import Observation, ParentFacts, RouteFacts
from serin_operator.decide.plan import SetWeights
from serin_operator.decide.routing import Split, rehearsal, rules, strays
from serin_operator.decide.routing.gateway import GatewayRouting

COOKIE = "wine"
STICKY = a_spec(traffic={"parentRefs": [{"name": "public"}], "stickiness": {"cookie": COOKIE}})
COHORT = "wine-2.1.ab"


def taken(pattern_rules: list[dict[str, Any]], cookie: str | None) -> dict[str, int]:
    """Weights of the rule that takes a caller: one that matches its Cookie header, else the one that matches none."""
    for rule in sorted(pattern_rules, key=lambda rule: "headers" not in rule["matches"][0]):
        wanted = rule["matches"][0].get("headers", [])
        assert all(header["type"] == "RegularExpression" for header in wanted)
        if all(cookie is not None and re.search(header["value"], cookie) for header in wanted):
            return {backend["name"]: backend["weight"] for backend in rule["backendRefs"]}
    raise AssertionError("the last rule takes everyone")


def told(split: Split, cookie: str | None = COOKIE) -> set[str | None]:
    """What the rules tell the servers of stickiness: the same, whichever takes the request."""
    values = set()
    for rule in rules.of(split, cookie):
        (entry,) = rule["filters"]
        headers = {header["name"]: header["value"] for header in entry["requestHeaderModifier"].get("set", [])}
        values.add(headers.get(http.STICKINESS_HEADER))
    return values


@pytest.mark.parametrize("weight", [1, 5, 25, 50, 99])
def test_a_caller_with_a_cookie_goes_to_the_arm_of_its_bucket_and_all_others_are_split(weight: int) -> None:
    made = rules.of(Split("wine-1", "wine-2", weight, COHORT), COOKIE)
    mine = callers.audience(callers.offset_of("wine-2"), weight)
    for bucket in range(callers.BUCKETS):
        arm = "wine-2" if bucket in mine else "wine-1"
        assert taken(made, f"a=b; {COOKIE}={bucket:02d}.abcdefghijkl..abcdefghijkl; c=d") == {arm: 100}
    for stranger in (None, "a=b", f"x{COOKIE}=03.a", f"{COOKIE}=3.a", f"{COOKIE}=none"):
        assert taken(made, stranger) == {"wine-1": 100 - weight, "wine-2": weight}


@pytest.mark.parametrize("split", [Split("wine-1"), Split("wine-1", "wine-2"), Split("wine-1", "wine-2", 100)])
def test_where_nothing_is_split_all_callers_go_one_way_whatever_their_cookie(split: Split) -> None:
    (only,) = rules.of(split, COOKIE)
    assert "headers" not in only["matches"][0]


def test_every_rule_stamps_the_cohort_and_tells_the_servers_the_same() -> None:
    split = Split("wine-1", "wine-2", 25, COHORT)
    for rule in rules.of(split, COOKIE):
        kept = rule["filters"][0]["requestHeaderModifier"]["set"]
        assert {"name": http.COHORT_HEADER, "value": COHORT} in kept
    offset = callers.offset_of("wine-2")
    assert told(split) == {f"wine;wine-2;{offset};25"}
    assert told(Split("wine-1")) == {"wine;;0;0"}, "callers get their bucket before any trial"
    assert told(split, cookie=None) == {None}


def test_the_longest_pattern_is_within_what_a_route_may_hold() -> None:
    split = Split("wine-1", "wine-2", 1, COHORT)
    for rule in rules.of(split, "c" * 64):
        for header in rule["matches"][0].get("headers", []):
            assert len(header["value"]) <= 4096
            assert (header["value"][0], header["value"][-1]) == ("^", "$")


# The rehearsal.


def seen(answer: bool | None, *, stands: Split | None = None, **changes: Any) -> Observation:
    """With a gateway that takes patterns, refuses them or is silent; a sticky route of that split may stand."""
    parent = ParentFacts("public", None, answer, answer, "UnsupportedValue: no patterns" if answer is False else "")
    observation = observed(STICKY, rehearsal=RouteFacts({}, None, (parent,)), **changes)
    if stands is None:
        return observation
    live = {"HTTPRoute/wine": GatewayRouting(seen(True), parsed(STICKY)).manifest(stands)}
    return observed(STICKY, rehearsal=observation.rehearsal, live=live)


@pytest.mark.parametrize(
    ("observation", "cookie", "reason"),
    [
        pytest.param(seen(True), COOKIE, None, id="a gateway that takes patterns"),
        pytest.param(seen(False), None, "StickinessUnsupported", id="one that refuses them gets none"),
        pytest.param(seen(None), None, "StickinessUnconfirmed", id="one that is silent gets none yet"),
        pytest.param(observed(STICKY), None, "StickinessUnconfirmed", id="one that was not asked yet"),
        pytest.param(
            seen(None, stands=Split("wine-1")), COOKIE, "StickinessUnconfirmed", id="one that once took them keeps them"
        ),
        pytest.param(
            seen(False, stands=Split("wine-1")), None, "StickinessUnsupported", id="one that refuses them loses them"
        ),
    ],
)
def test_no_route_of_callers_depends_on_what_the_gateway_has_not_shown(
    observation: Observation, cookie: str | None, reason: str | None
) -> None:
    routing = GatewayRouting(observation, parsed(STICKY))
    assert routing.cookie == cookie
    assert (routing.shortfall() or (None,))[0] == reason


def test_nothing_counts_where_callers_cannot_be_told_apart_as_asked() -> None:
    action = GatewayRouting(seen(False), parsed(STICKY)).set(Split("wine-1", "wine-2", 5, COHORT), narrowing=False)
    assert isinstance(action, SetWeights)
    assert action.cohort is None
    assert all("headers" not in rule["matches"][0] for rule in action.manifest["spec"]["rules"])


def test_the_rehearsal_asks_for_the_same_kind_of_rule_where_no_caller_comes() -> None:
    (asked,) = GatewayRouting(seen(True), parsed(STICKY)).companions()
    assert asked["metadata"]["name"] == rehearsal.route_name("wine")
    assert asked["spec"]["parentRefs"] == [{"name": "public"}]
    (match,) = asked["spec"]["rules"][0]["matches"]
    assert match["path"] == {"type": "Exact", "value": "/v2/.serin/rehearsal"}
    assert [header["type"] for header in match["headers"]] == ["RegularExpression"]
    assert GatewayRouting(observed(), parsed()).companions() == ()


def test_stickiness_opens_another_cohort_in_mid_trial() -> None:
    plain, sticky = policy.resolve(parsed(a_spec())), policy.resolve(parsed(STICKY))
    assert (plain.sticky, sticky.sticky) == (False, True)
    assert plain.hash != sticky.hash


def test_the_rehearsal_goes_with_stickiness() -> None:
    live = {"HTTPRoute/wine.rehearsal": {}, "HTTPRoute/wine": {}}
    plain, sticky = observed(live=live), observed(STICKY, live=live)
    assert strays(plain, GatewayRouting(plain, parsed())) == ({},), "only the rehearsal goes"
    assert strays(sticky, GatewayRouting(sticky, parsed(STICKY))) == ()

"""A rule in someone else's route, edited on a real API server."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from tests.cluster.test_step import Run, gateway_server, routed  # noqa: F401 — fixtures

from serin_operator.decide.observation import Observation
from serin_operator.decide.plan import Plan
from serin_operator.decide.routing import Split
from serin_operator.decide.routing.referred import ReferredRouting
from serin_operator.errors import ConflictError
from serin_operator.runtime.outcome import Applied, Failed, Outcome

pytestmark = pytest.mark.cluster

Json = dict[str, Any]
GATEWAY_API = "gateway.networking.k8s.io/v1"
TRAFFIC = {"routeRef": {"name": "shop", "rule": "wine"}}
WIDER = Split("wine-1", "wine-2", 25, "wine-2.2.ab")
BACK = Split("wine-1", "wine-2")


def shop(run: Run, *rules: Json) -> Json:
    """The user's own route, as the API server has it."""
    item = {
        "apiVersion": GATEWAY_API,
        "kind": "HTTPRoute",
        "metadata": {"name": "shop", "namespace": run.namespace, "annotations": {"team": "shop"}},
        "spec": {"parentRefs": [{"name": "public"}], "hostnames": ["shop.example.com"], "rules": list(rules)},
    }
    answer = run.server.apply(run.path("httproutes", "shop", GATEWAY_API), item, manager="user")
    assert answer.ok, answer.message
    return answer.body


PAGES: Json = {
    "name": "pages",
    "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
    "backendRefs": [{"name": "pages", "port": 80}],
}
WINE: Json = {
    "name": "wine",
    "matches": [{"path": {"type": "PathPrefix", "value": "/v2"}, "method": "POST"}],
    "filters": [
        {"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "X-Team", "value": "shop"}]}},
        {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"remove": ["server"]}},
    ],
    "backendRefs": [{"name": "old-wine", "port": 80}],
    "timeouts": {"request": "30s"},
}


def routing(seen: Observation) -> ReferredRouting:
    assert seen.spec is not None
    return ReferredRouting(seen, seen.spec)


async def set_split(run: Run, seen: Observation, split: Split, *, narrowing: bool = False) -> Outcome:
    action = routing(seen).set(split, narrowing=narrowing)
    return await run.applier.apply(seen, Plan(status=seen.status, actions=(action,)))


def without_wine(item: Json) -> Json:
    """The route without what Serin may write in it."""
    item = copy.deepcopy(item)
    for entry in item["spec"]["rules"]:
        if entry["name"] == "wine":
            del entry["backendRefs"], entry["filters"]
    metadata = item["metadata"]
    return {"spec": item["spec"], "labels": metadata.get("labels"), "annotations": metadata.get("annotations")}


async def test_only_the_named_rule_is_edited(routed: Run) -> None:  # noqa: F811
    before = shop(routed, PAGES, WINE)
    routed.create(traffic=TRAFFIC)
    assert await set_split(routed, await routed.seen(), WIDER) == Applied()
    after = routed.get("httproutes", "shop", GATEWAY_API)
    assert without_wine(after) == without_wine(before)
    assert "ownerReferences" not in after["metadata"]
    headers, others = after["spec"]["rules"][1]["filters"]
    assert headers["requestHeaderModifier"]["set"] == [
        {"name": "X-Team", "value": "shop"},
        {"name": "x-serin-cohort", "value": "wine-2.2.ab"},
    ]
    assert others == WINE["filters"][1]
    seen = await routed.seen()
    assert routing(seen).stands(WIDER)
    assert seen.route is not None
    assert (dict(seen.route.weights), seen.route.cohort) == ({"wine-1": 75, "wine-2": 25}, "wine-2.2.ab")


async def test_the_same_edit_again_changes_nothing(routed: Run) -> None:  # noqa: F811
    shop(routed, PAGES, WINE)
    routed.create(traffic=TRAFFIC)
    await set_split(routed, await routed.seen(), WIDER)
    before = routed.get("httproutes", "shop", GATEWAY_API)["metadata"]["resourceVersion"]
    assert await set_split(routed, await routed.seen(), WIDER) == Applied()
    assert routed.get("httproutes", "shop", GATEWAY_API)["metadata"]["resourceVersion"] == before


async def test_an_edit_that_widens_holds_for_the_route_that_was_seen_alone(routed: Run) -> None:  # noqa: F811
    shop(routed, PAGES, WINE)
    routed.create(traffic=TRAFFIC)
    seen = await routed.seen()
    moved = shop(routed, WINE, PAGES)
    with pytest.raises(ConflictError):
        await set_split(routed, seen, WIDER)
    assert routed.get("httproutes", "shop", GATEWAY_API)["spec"] == moved["spec"]


async def test_one_that_narrows_is_made_over_what_others_have_written_meanwhile(routed: Run) -> None:  # noqa: F811
    shop(routed, PAGES, WINE)
    routed.create(traffic=TRAFFIC)
    await set_split(routed, await routed.seen(), WIDER)
    seen = await routed.seen()
    item = routed.get("httproutes", "shop", GATEWAY_API)
    item["spec"]["rules"].reverse()
    item["spec"]["hostnames"] = ["another.example.com"]
    del item["metadata"]["managedFields"]
    answer = routed.server.request("PUT", routed.path("httproutes", "shop", GATEWAY_API), item)
    assert answer.ok, answer.message
    assert await set_split(routed, seen, BACK, narrowing=True) == Applied()
    after = routed.get("httproutes", "shop", GATEWAY_API)
    assert without_wine(after) == without_wine(answer.body)
    assert routing(await routed.seen()).stands(BACK)


async def test_a_rule_that_has_gone_is_not_written_elsewhere(routed: Run) -> None:  # noqa: F811
    shop(routed, PAGES, WINE)
    routed.create(traffic=TRAFFIC)
    await set_split(routed, await routed.seen(), WIDER)
    seen = await routed.seen()
    item = routed.get("httproutes", "shop", GATEWAY_API)
    item["spec"]["rules"] = item["spec"]["rules"][:1]
    del item["metadata"]["managedFields"]
    left = routed.server.request("PUT", routed.path("httproutes", "shop", GATEWAY_API), item)
    outcome = await set_split(routed, seen, BACK, narrowing=True)
    assert isinstance(outcome, Failed)
    assert outcome.reason == "RuleMissing"
    assert routed.get("httproutes", "shop", GATEWAY_API)["spec"] == left.body["spec"]
    assert (routing(await routed.seen()).trouble() or ("",))[0] == "RuleMissing"


async def test_a_rule_with_the_services_of_another_deployment_is_taken(routed: Run) -> None:  # noqa: F811
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "beer-1", "namespace": routed.namespace, "labels": {"serin.dev/deployment": "beer"}},
        "spec": {"ports": [{"port": 8080}]},
    }
    assert routed.server.apply(routed.path("services", "beer-1", "v1"), service).ok
    shop(routed, PAGES, {**WINE, "backendRefs": [{"name": "beer-1", "port": 8080}]})
    routed.create(traffic=TRAFFIC)
    seen = await routed.seen()
    reason, message = routing(seen).trouble() or ("", "")
    assert (reason, "beer" in message) == ("RuleTaken", True)
    assert not routing(seen).available


async def test_a_route_that_is_missing_is_seen_as_such(routed: Run) -> None:  # noqa: F811
    routed.create(traffic=TRAFFIC)
    seen = await routed.seen()
    assert (routing(seen).trouble() or ("",))[0] == "RouteMissing"

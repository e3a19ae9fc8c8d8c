"""Callers by gRPC: they follow the split of the others, and never ahead of it."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.builders import a_record, observed, parsed
from tests.support.world import Behaviour, Traffic, World, a_served_world, a_spec, is_phase, uri

from serin_operator.decide.observation import Observation, RouteFacts
from serin_operator.decide.plan import SetWeights
from serin_operator.decide.routing import grpc, strays
from serin_operator.decide.routing.gateway import GatewayRouting
from serin_operator.decide.routing.replicas import ReplicasRouting

COHORT = "wine-2.1.ab"
SPEAKS = a_spec(serving={"grpc": True})
SPLIT = RouteFacts({"wine-1": 75, "wine-2": 25}, COHORT, ())


def seen(stable: bool, candidate: bool, **changes: Any) -> Observation:
    """Two revisions of which each speaks gRPC or not, and a route that splits."""
    records = [
        a_record(name, spec=SPEAKS if speaks else None) for name, speaks in (("wine-1", stable), ("wine-2", candidate))
    ]
    return observed(revisions=tuple(records), **({"route": SPLIT} | changes))


def arms(manifest: Any) -> tuple[dict[str, int], str | None]:
    """Weights and cohort of the rule that takes everyone."""
    rule = manifest["spec"]["rules"][-1]
    (entry,) = rule["filters"]
    stamped = {header["name"]: header["value"] for header in entry["requestHeaderModifier"].get("set", ())}
    return {backend["name"]: backend["weight"] for backend in rule["backendRefs"]}, stamped.get("x-serin-cohort")


@pytest.mark.parametrize(
    ("stable", "candidate", "follows"),
    [
        pytest.param(True, True, ({"wine-1": 75, "wine-2": 25}, COHORT), id="both speak it: split as the others are"),
        pytest.param(True, False, ({"wine-1": 100}, None), id="the candidate does not: all with stable, uncounted"),
        pytest.param(False, True, None, id="stable does not: there is no route yet"),
        pytest.param(False, False, None, id="neither does"),
    ],
)
def test_callers_by_grpc_are_split_where_both_arms_answer_them(
    stable: bool, candidate: bool, follows: tuple[dict[str, int], str | None] | None
) -> None:
    made = GatewayRouting(seen(stable, candidate), parsed()).follower("wine-1", None)
    assert (None if made is None else arms(made)) == follows


def test_the_route_takes_the_service_of_the_protocol_alone_to_its_own_port() -> None:
    made = GatewayRouting(seen(True, True), parsed()).follower("wine-1", None)
    assert made is not None
    (rule,) = made["spec"]["rules"]
    assert rule["matches"] == [{"path": {"type": "PathPrefix", "value": "/inference.GRPCInferenceService"}}]
    assert {backend["port"] for backend in rule["backendRefs"]} == {8082}
    assert (made["metadata"]["name"], made["spec"]["hostnames"]) == ("wine.grpc", ["wine.example.com"])


@pytest.mark.parametrize(
    ("weight", "narrowing", "follows"),
    [
        pytest.param(0, True, {"wine-1": 100, "wine-2": 0}, id="what is taken back is followed at once"),
        pytest.param(50, False, {"wine-1": 75, "wine-2": 25}, id="what is given is followed once it stands"),
    ],
)
def test_they_never_get_more_of_the_candidate_than_the_others(
    weight: int, narrowing: bool, follows: dict[str, int]
) -> None:
    planned = SetWeights({}, {"wine-1": 100 - weight, "wine-2": weight}, COHORT, narrowing)
    live = {"HTTPRoute/wine.grpc": {"metadata": {"resourceVersion": "7"}}}
    made = GatewayRouting(seen(True, True, live=live), parsed()).follower("wine-1", planned)
    assert made is not None
    assert arms(made)[0] == follows
    guarded = made["metadata"].get("resourceVersion")
    assert guarded == (None if narrowing else "7"), (
        "a pass that was overtaken must not give the candidate traffic again"
    )


def test_the_route_goes_where_stable_speaks_it_no_more() -> None:
    live = {grpc.key("wine"): {"metadata": {"name": "wine.grpc"}}, "HTTPRoute/wine": {}}
    for speaks in (True, False):
        facts = seen(speaks, True, live=live)
        gone = strays(facts, GatewayRouting(facts, parsed()), "wine-1")
        assert [item["metadata"]["name"] for item in gone] == ([] if speaks else ["wine.grpc"])


def test_without_a_gateway_the_service_takes_them_along() -> None:
    assert ReplicasRouting(seen(True, True), parsed()).follower("wine-1", None) is None


@pytest.mark.parametrize(("accuracy", "ends"), [(Behaviour().accuracy, "Stable"), (0.7, "RolledBack")])
def test_through_a_whole_roll_out_they_follow_and_never_lead(accuracy: float, ends: str) -> None:
    serving = {"replicas": 2, "grpc": True}
    traffic = Traffic(requests_per_second=500.0)
    world = a_served_world(spec=a_spec(serving=serving), models={uri(2): Behaviour(accuracy=accuracy)}, traffic=traffic)
    world.change(a_spec(2, serving=serving))
    shares = set()

    def ended(world: World) -> bool:
        others, mine = world.weights(), arms(world.live[grpc.key("wine")])[0]
        candidates = [name for name in others if name != world.stable]
        assert all(mine.get(name, 0) <= others[name] for name in candidates), (mine, others)
        shares.update(mine.get(name, 0) for name in candidates)
        return is_phase(ends)(world) and world.status.candidate is None and world.spec["model"]["uri"] == uri(2)

    assert world.run(ended)
    world.run(seconds=30)
    assert arms(world.live[grpc.key("wine")])[0] == world.weights() == {world.stable: 100}
    assert {0, 5} <= shares

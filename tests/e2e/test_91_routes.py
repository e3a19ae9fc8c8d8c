"""Callers who stay with their arm, and a route that belongs to someone else."""

from __future__ import annotations

import itertools
from typing import Any

from tests.bench.traffic.caller import Settings
from tests.bench.traffic.log import Log, binomial_bound, callers
from tests.e2e.conftest import beside_others, measured
from tests.e2e.spoilt import BETTER, BETTER_STILL, DECENT
from tests.support import kubernetes_objects as objects
from tests.support.stories import NAME, TRIAL_SECONDS, Place

from serin_cli.demo.drive import encode_row

PEOPLE = 300
RATE = 100.0
STEPS = objects.rollout((20, 12), (50, 12))
GATES = {"errorRate": {"max": 0.2}}


def settings(place: Place, people: int) -> Settings:
    bodies = [encode_row(list(row), "FP64").decode() for row in place.models.rows[:200]]
    path = f"/v2/models/{NAME}/infer"
    return Settings(place.cluster.gateway_url_inside, place.host, path, bodies, RATE, callers=people)


def moves(log: Log) -> dict[int, list[str]]:
    """For each caller the revisions that answered, each named once in a row."""
    found: dict[int, list[str]] = {}
    for request in sorted(log.requests, key=lambda one: one.due):
        arms = found.setdefault(request.caller, [])
        if request.revision and (not arms or arms[-1] != request.revision):
            arms.append(request.revision)
    return found


@beside_others("sticky")
def test_callers_keep_their_arm_and_the_audience_only_grows(place: Place) -> None:
    """Each caller moves from stable to the candidate at most once; reverted, they all return."""
    traffic = {"parentRefs": [objects.GATEWAY], "hostnames": [place.host], "stickiness": {"cookie": "serin"}}
    spec: dict[str, Any] = {"rollout": STEPS, "gates": GATES, "traffic": traffic}
    first = place.serves(DECENT, **spec)
    with callers(settings(place, PEOPLE), place.cluster.inside_command) as log:
        place.until(lambda state: state.stable_of_spec, "stable serves", 30)
        place.wants(BETTER, **spec)
        state = place.until_candidate(20)
        candidate = str(state.candidate["revision"])
        began = place.moment_of(lambda seen: seen.weight == 20 and "stepStartedAt" in seen.candidate, place.applied_at)
        place.until_candidate(50, TRIAL_SECONDS)
        ended = place.moment_of(lambda seen: seen.weight == 50, place.applied_at).at
        split = place.until(lambda state: "split" in state.candidate, "the split is observed", 30).candidate["split"]
        place.wants(DECENT, **spec)
        place.until(lambda state: state.stable_of_spec, "the trial is taken back", 60)
        returned = place.moment_of(lambda seen: seen.stable_of_spec, place.applied_at).at
        place.never(lambda state: not state.stable_of_spec, "the trial is over", 3)
    during = moves(log.between(0.0, place.applied_at - 0.5))
    assert all(arms in ([first], [candidate], [first, candidate]) for arms in during.values()), during
    after = log.between(returned + 0.5, float("inf"))
    assert set(after.by_revision()) == {first}
    step = moves(log.between(began.at + 0.5, ended - 0.5))
    share = sum(arms == [candidate] for arms in step.values()) / len(step)
    low, high = binomial_bound(len(step), 0.2)
    measured("sticky callers", f"{100 * share:.1f} % of {len(step)} callers at 20 %; {split['message']}")
    assert low <= share <= high, (share, len(step))
    assert not log.failures, log.troubles()


@beside_others("route")
def test_one_rule_of_a_users_own_route_is_all_that_serin_writes(place: Place) -> None:
    """Promoted through `routeRef`, not a request lost, and everything else of the route as its owner wrote it."""
    theirs = _route(place)
    place.apply(theirs)
    spec = {"rollout": STEPS, "gates": GATES, "traffic": {"routeRef": {"name": NAME, "rule": "models"}}}
    first = place.serves(DECENT, **spec)
    with callers(settings(place, 0), place.cluster.inside_command) as log:
        place.wants(BETTER_STILL, **spec)
        state = place.until(lambda state: state.stable_of_spec, "the candidate is promoted", TRIAL_SECONDS)
    (route,) = place.get("httproutes", f"--field-selector=metadata.name={NAME}")
    rule = next(rule for rule in route["spec"]["rules"] if rule.get("name") == "models")
    other = next(rule for rule in route["spec"]["rules"] if rule.get("name") == "old")
    measured("a rule of someone else's", f"promoted; {len(log.failures)} failed of {len(log.requests)}")
    assert not log.failures, log.troubles()
    assert set(log.by_revision()) == {first, state.stable}
    assert [ref["name"] for ref in rule["backendRefs"]] == [state.stable]
    assert {"name": "x-team", "value": "vision"} in _headers_set(rule)
    assert rule["matches"] == theirs["spec"]["rules"][0]["matches"]
    assert other["filters"] == theirs["spec"]["rules"][1]["filters"]
    assert "ownerReferences" not in route["metadata"]


def _route(place: Place) -> dict[str, Any]:
    """As a team keeps it in git: a rule for the models with a header of its own, and one that has nothing to do."""
    header = {
        "type": "RequestHeaderModifier",
        "requestHeaderModifier": {"set": [{"name": "x-team", "value": "vision"}]},
    }
    match = {"path": {"type": "PathPrefix", "value": "/v2"}}
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": NAME, "namespace": place.namespace},
        "spec": {
            "parentRefs": [objects.GATEWAY],
            "hostnames": [place.host],
            "rules": [
                {"name": "models", "matches": [match], "filters": [header], "backendRefs": [_backend("not-there-yet")]},
                {
                    "name": "old",
                    "matches": [{"path": {"type": "PathPrefix", "value": "/old"}}],
                    "filters": [
                        {
                            "type": "RequestRedirect",
                            "requestRedirect": {"statusCode": 302, "path": {
                                "type": "ReplacePrefixMatch", "replacePrefixMatch": "/v2"}},
                        }
                    ],
                },
            ],
        },
    }  # fmt: skip


def _backend(name: str) -> dict[str, Any]:
    return {"name": name, "port": 8080}


def _headers_set(rule: dict[str, Any]) -> list[dict[str, str]]:
    modifiers = (filter_.get("requestHeaderModifier", {}) for filter_ in rule["filters"])
    return list(itertools.chain.from_iterable(modifier.get("set", []) for modifier in modifiers))

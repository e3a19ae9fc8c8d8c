"""Which objects go, and when: never while they are in use, never before the routes have spread."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.builders import NOW, a_candidate, a_pod, a_record, observed, situated
from tests.support.world import a_spec

from serin_contract.stats import PodStats
from serin_operator.api.deployment import ModelDeploymentStatus, Phase, StableStatus
from serin_operator.decide import timestamps
from serin_operator.decide.children import Children, children
from serin_operator.decide.draft import begin
from serin_operator.decide.observation import RouteFacts, StatsAnswer
from serin_operator.decide.plan import Apply, ApplyKeys, Delete
from serin_operator.decide.retiring import IDLE_SECONDS, SILENT_SECONDS

STABLE, OLD = "wine-1", "wine-0"


def _object(kind: str, name: str, revision: str, **metadata: Any) -> dict[str, Any]:
    marks = {"name": name, "uid": f"uid-{name}", "labels": {"serin.dev/revision": revision}}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": marks | metadata}


def _live(*objects: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {f"{item['kind']}/{item['metadata']['name']}": item for item in objects}


def _decided(spec: dict[str, Any] | None = None, candidate: str | None = None, **changes: Any) -> Children:
    status = ModelDeploymentStatus(
        stable=StableStatus(revision=STABLE), candidate=a_candidate(candidate) if candidate else None
    )
    situation = situated(spec, status=status, **changes)
    return children(situation, begin(situation, Phase.Stable, "Promoted", "all is well"))


def _deleted(owned: Children) -> set[str]:
    return {f"{action.kind}/{action.name}" for action in owned.last if isinstance(action, Delete)}


def _ended(seconds_ago: float) -> Any:
    return a_record(OLD, verdict="Superseded", updated_at=timestamps.text(NOW - seconds_ago))


@pytest.mark.parametrize(
    ("sentence", "weights", "seconds_ago", "goes"),
    [
        ("the route names it with traffic", {STABLE: 50, OLD: 50}, 99.0, False),
        ("the route names it at weight 0: the next edit may give it traffic", {STABLE: 100, OLD: 0}, 99.0, False),
        ("the route is free, but only just", {STABLE: 100}, SILENT_SECONDS - 0.5, False),
        ("the route has been free for long enough", {STABLE: 100}, SILENT_SECONDS, True),
    ],
)
def test_a_revision_is_retired_once_the_route_is_free_and_has_spread(
    sentence: str, weights: dict[str, int], seconds_ago: float, goes: bool
) -> None:
    live = _live(_object("Deployment", OLD, OLD), _object("Service", OLD, OLD))
    owned = _decided(live=live, route=RouteFacts(weights, None, ()), revisions=(_ended(seconds_ago),))
    assert _deleted(owned) == (set(live) if goes else set()), sentence


def test_it_says_when_to_look_again_for_what_is_retired_soon() -> None:
    old = _live(_object("Deployment", OLD, OLD))
    for seconds_ago, wait_seconds in ((0.5, IDLE_SECONDS - 0.5), (4.0, 1.0), (SILENT_SECONDS - 0.25, 0.25)):
        owned = _decided(live=old, revisions=(_ended(seconds_ago),))
        assert owned.retry_after_seconds == pytest.approx(wait_seconds), f"{seconds_ago} s after its end"


def _told(idle_seconds: float, in_flight: int = 0, number: int = 0, error: str | None = None) -> StatsAnswer:
    uid = f"uid-pod-{number}"
    stats = PodStats(OLD, uid, "start-1", in_flight=in_flight, idle_seconds=idle_seconds)
    return StatsAnswer(uid, OLD, None if error else stats, error)


@pytest.mark.parametrize(
    ("sentence", "seconds_ago", "answers", "goes"),
    [
        ("nobody asks any of its pods", 3.5, (_told(9.0), _told(3.0, number=1)), True),
        ("so soon that a route may not have spread", 2.5, (_told(9.0), _told(9.0, number=1)), False),
        ("one of them is still asked", 30.0, (_told(9.0), _told(2.9, number=1)), False),
        ("one of them still answers a long request", 30.0, (_told(9.0), _told(9.0, 1, number=1)), False),
        ("someone goes on asking it past the route", 60.0, (_told(0.0), _told(0.0, number=1)), True),
        ("one of them does not tell", 9.0, (_told(9.0), _told(9.0, number=1, error="no answer")), False),
        ("one does not tell, for too long", 10.0, (_told(9.0), _told(9.0, number=1, error="no answer")), True),
        ("one was not asked", 9.0, (_told(9.0),), False),
        ("one is busy and one does not tell", 30.0, (_told(0.0), _told(9.0, number=1, error="no answer")), False),
    ],
)
def test_pods_go_once_they_say_that_nobody_asks_them(
    sentence: str, seconds_ago: float, answers: tuple[StatsAnswer, ...], goes: bool
) -> None:
    owned = _decided(
        live=_live(_object("Deployment", OLD, OLD)),
        revisions=(_ended(seconds_ago),),
        pods=(a_pod("pod-0", OLD), a_pod("pod-1", OLD), a_pod("going", OLD, terminating=True)),
        stats=answers,
    )
    assert bool(_deleted(owned)) == goes, sentence


@pytest.mark.parametrize(
    ("sentence", "item"),
    [
        ("stable's own", _object("Deployment", STABLE, STABLE)),
        ("the candidate's", _object("Deployment", "wine-2", "wine-2")),
        ("what is going already", _object("Deployment", OLD, OLD, deletionTimestamp="2027-01-15T08:00:00Z")),
        ("the route", _object("HTTPRoute", "wine", OLD)),
        ("the record", _object("ModelRevision", OLD, OLD)),
        ("the apex Service, which belongs to no revision", {"kind": "Service", "metadata": {"name": "wine"}}),
    ],
)
def test_what_is_in_use_or_goes_by_itself_is_left(sentence: str, item: dict[str, Any]) -> None:
    owned = _decided(candidate="wine-2", live=_live(item), revisions=(_ended(99.0),))
    assert _deleted(owned) == set(), sentence


def test_a_deletion_names_the_very_object_that_was_seen() -> None:
    owned = _decided(live=_live(_object("Deployment", OLD, OLD)), revisions=(_ended(99.0),))
    assert owned.last == (Delete("apps/v1", "Deployment", OLD, f"uid-{OLD}"),)


def test_resolve_pods_go_when_their_revision_has_a_record_or_is_not_asked_for() -> None:
    target = situated().target
    mine = a_pod("resolving", target, purpose="resolve")
    other = a_pod("stray", "wine-7", purpose="resolve")
    going = a_pod("going", "wine-7", purpose="resolve", terminating=True)
    assert _deleted(_decided(pods=(mine, other, going))) == {"Pod/stray"}
    assert _deleted(_decided(pods=(mine,), revisions=(a_record(target),))) == {"Pod/resolving"}


def test_the_oldest_ended_records_go_beyond_the_limit() -> None:
    records = tuple(a_record(f"wine-e{age}", verdict="Rejected", age_seconds=age) for age in range(5))
    owned = _decided(a_spec(revisionHistoryLimit=2), revisions=records)
    assert _deleted(owned) == {"ModelRevision/wine-e2", "ModelRevision/wine-e3", "ModelRevision/wine-e4"}


@pytest.mark.parametrize(
    ("sentence", "record", "live"),
    [
        ("stable's, however old", a_record(STABLE, verdict="Superseded", age_seconds=999), {}),
        ("the candidate's", a_record("wine-2", verdict="Aborted", age_seconds=999), {}),
        ("the wanted one's", a_record(situated().target, verdict="Rejected", age_seconds=999), {}),
        ("one on trial", a_record("wine-5", verdict="Trial", age_seconds=999), {}),
        ("one that still has pods", _ended(0.0), _live(_object("Deployment", OLD, OLD))),
    ],
)
def test_records_that_are_in_use_are_never_pruned(sentence: str, record: Any, live: Any) -> None:
    newer = tuple(a_record(f"wine-n{age}", verdict="Rejected") for age in range(1))
    owned = _decided(a_spec(revisionHistoryLimit=1), candidate="wine-2", revisions=(*newer, record), live=live)
    assert f"ModelRevision/{record.name}" not in _deleted(owned), sentence


def test_stable_is_built_whole_and_nothing_is_done_twice() -> None:
    record = a_record(STABLE, verdict="Stable")
    first = _decided(revisions=(record,))
    made = [action.manifest for action in first.first if isinstance(action, Apply)]
    assert [manifest["kind"] for manifest in made] == ["Service", "PodDisruptionBudget", "Deployment", "Service"]
    assert next(item for item in made if item["kind"] == "Deployment")["spec"]["replicas"] == 2
    live = {f"{manifest['kind']}/{manifest['metadata']['name']}": dict(manifest) for manifest in made}
    assert _decided(revisions=(record,), live=live).first == ()


def test_what_stands_stays_where_its_record_was_deleted_by_hand() -> None:
    owned = _decided(live=_live(_object("Deployment", STABLE, STABLE)))
    assert {manifest.manifest["kind"] for manifest in owned.first if isinstance(manifest, Apply)} == {"Service"}
    assert _deleted(owned) == set()


def test_keys_come_first_where_this_process_has_not_written_them() -> None:
    fresh = observed().operator.__class__("serin-serving:1", "keys", keys_applied=False, nonce="0" * 32)
    owned = _decided(operator=fresh, revisions=(a_record(STABLE),))
    assert owned.first[0] == ApplyKeys("wine-keys"), "pods cannot start without them"


@pytest.mark.parametrize(
    ("sentence", "step", "weight", "on_route", "pods"),
    [
        ("warming up, it has what the first step needs, and a second to stand by", -1, 0, 0, 2),
        ("what its step needs", 2, 50, 50, 5),
        ("what its intent needs, before the route has it", 2, 50, 25, 5),
        ("what the route still gives it, after the intent has fallen", 0, 5, 50, 5),
        ("what its step will need again, while its weight is 0", 2, 0, 0, 5),
        ("everything while it is promoted", 3, 100, 50, 10),
    ],
)
def test_the_candidate_has_pods_for_the_larger_of_route_and_intent(
    sentence: str, step: int, weight: int, on_route: int, pods: int
) -> None:
    candidate = a_candidate("wine-2", step=step, weight=weight)
    status = ModelDeploymentStatus(stable=StableStatus(revision=STABLE), candidate=candidate)
    route = RouteFacts({"wine-2": on_route, STABLE: 100 - on_route}, None, ())
    spec = a_spec(serving={"replicas": 10})
    situation = situated(spec, status=status, route=route, revisions=(a_record("wine-2"),))
    owned = children(situation, begin(situation, Phase.Progressing, "StepRunning", "it runs"))
    deployment = next(
        action.manifest
        for action in owned.first
        if isinstance(action, Apply) and action.manifest["kind"] == "Deployment"
    )
    assert deployment["spec"]["replicas"] == pods, sentence

"""Callers by gRPC alone: they are split and counted through the gateway, and stay with stable where they must."""

from __future__ import annotations

from urllib.parse import urlsplit

from tests.e2e.conftest import beside_others, measured
from tests.e2e.spoilt import BETTER, BETTER_STILL, DECENT
from tests.support import kubernetes_objects as objects
from tests.support.grpc_callers import Asked, callers
from tests.support.stories import NAME, TRIAL_SECONDS, Place

RATE = 60.0
SPEAKS = {
    "serving": objects.serving(grpc=True),
    "rollout": objects.rollout((20, 10), (50, 10)),
    "gates": {"errorRate": {"max": 0.2}},
}
SILENT = SPEAKS | {"serving": objects.serving()}


def asked(place: Place) -> Asked:
    rows = [[float(value) for value in row] for row in place.models.rows[:100]]
    return Asked(urlsplit(place.cluster.gateway_url_inside).netloc, place.host, NAME, rows, RATE)


def route(place: Place) -> dict[str, int]:
    """Weights of the route of callers by gRPC; none where there is no such route."""
    found = place.get("httproutes", f"--field-selector=metadata.name={NAME}.grpc")
    named = (backend for item in found for backend in item["spec"]["rules"][-1]["backendRefs"])
    return {backend["name"]: backend["weight"] for backend in named}


@beside_others("grpc")
def test_a_model_whose_callers_speak_grpc_is_judged_by_them_and_promoted(place: Place) -> None:
    first = place.serves(DECENT, **SPEAKS)
    place.until(lambda _: route(place) == {first: 100}, "there is a route for gRPC", 30)
    with callers(asked(place), place.cluster.inside_command) as told:
        place.wants(BETTER, **SPEAKS)
        candidate = str(place.until_candidate(20).candidate["revision"])
        place.until(lambda _: route(place).get(candidate) == 20, "the route for gRPC follows", 15)
        state = place.until(lambda state: state.stable_of_spec, "the candidate is promoted", TRIAL_SECONDS)
        place.until(lambda _: route(place) == {candidate: 100}, "all callers are the new stable's", 60)
    measured("callers by gRPC", f"promoted on them alone; {told.failed or 'none'} failed of {sum(told.codes.values())}")
    assert told.failed == {}
    assert set(told.revisions) == {first, candidate} == {first, state.stable}


@beside_others("grpc")
def test_a_candidate_that_does_not_speak_grpc_gets_none_of_these_callers(place: Place) -> None:
    stable = place.state.stable
    with callers(asked(place), place.cluster.inside_command) as told, place.load(RATE):
        place.wants(BETTER_STILL, **SILENT)
        place.until_candidate(20)
        place.until_candidate(50, TRIAL_SECONDS)
        place.wants(BETTER, **SPEAKS)
        place.until(lambda state: state.stable_of_spec, "the trial is taken back", 60)
    assert (told.failed, set(told.revisions)) == ({}, {stable})

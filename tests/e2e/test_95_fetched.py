"""Bundles from a web server in the cluster: promoted; refused for what is wrong, and taken once that is mended."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.e2e.bundle_web import TOKEN, BundleWeb, bundle_web
from tests.e2e.conftest import beside_others
from tests.e2e.refusals import refused
from tests.e2e.spoilt import BETTER, BETTER_STILL, DECENT
from tests.e2e.typed import type_in
from tests.support import bundles
from tests.support import kubernetes_objects as objects
from tests.support.stories import OPERATOR, OPERATOR_NAMESPACE, START_SECONDS, TRIAL_SECONDS, Place, in_words

from serin_operator.decide.artifact import RETRY_SECONDS

RATE = 40.0
SECRET = "models-reader"
HELD = objects.rollout((20, 600))
"""A step that an abort alone ends."""


def hand_out(place: Place, token: str, secret: str = SECRET) -> None:
    """When the Secret holds this token, and the authority of the server."""
    authority = place.models.directory / "ca.crt"
    authority.write_text(bundle_web(place).authority)
    make = f"kubectl create secret generic {secret} --from-literal=token={token} --from-file={authority}"
    type_in(place, f"{make} --dry-run=client -o yaml | kubectl apply --server-side --force-conflicts -f -")


def behind_token(place: Place, path: str, **fields: Any) -> dict[str, Any]:
    """spec.model of a bundle that is handed out by TLS to those who bring the token."""
    uri = bundle_web(place).url(path, "https", private=True)
    return {"uri": uri, "credentials": {"secretName": SECRET}, **fields}


@contextmanager
def callers_lose_nothing(place: Place) -> Iterator[BundleWeb]:
    """Given a fetched model that is stable, under load; then every request was answered well."""
    hand_out(place, TOKEN)
    place.serves("", model=behind_token(place, DECENT))
    with place.load(RATE) as load:
        yield bundle_web(place)
        counted = load.stop()
    assert counted.failed == 0, in_words(counted)


def tried_by_itself(place: Place) -> None:
    """Then its trial begins without a change of the spec; the user ends it."""
    state = place.until(lambda state: state.weight > 0, "its trial begins by itself", RETRY_SECONDS + START_SECONDS)
    assert state.says("ArtifactVerified", "True", "DigestVerified")
    place.wants("", model=behind_token(place, DECENT))
    aborted = place.until(lambda state: state.stable_of_spec, "the trial is aborted", 30)
    assert aborted.stable == state.stable


@beside_others("fetched")
def test_a_wrong_token_is_named_and_the_right_one_taken_from_the_secret(place: Place) -> None:
    with callers_lose_nothing(place):
        hand_out(place, "another")
        place.wants("", model=behind_token(place, BETTER), rollout=HELD)
        refused(place, "SourceDenied")
        hand_out(place, TOKEN)
        tried_by_itself(place)


@beside_others("fetched")
def test_a_secret_that_is_not_there_is_named_and_taken_once_it_is(place: Place) -> None:
    with callers_lose_nothing(place):
        model = behind_token(place, BETTER_STILL) | {"credentials": {"secretName": "forgotten"}}
        place.wants("", model=model, rollout=HELD)
        place.until(lambda state: "it needs Secret forgotten" in state.message, "it is named", START_SECONDS)
        hand_out(place, TOKEN, "forgotten")
        tried_by_itself(place)


@beside_others("fetched")
def test_a_bundle_behind_a_token_is_fetched_by_tls_and_promoted(place: Place) -> None:
    """It comes as an archive. What opened the server is in no object that others read, in no log and in no server."""
    shutil.make_archive(str(place.models.directory / BETTER), "gztar", place.models.directory / BETTER)
    with callers_lose_nothing(place) as web:
        place.wants("", model=behind_token(place, f"{BETTER}.tar.gz"))
        state = place.until(lambda state: state.stable_of_spec, "it is promoted", TRIAL_SECONDS)
    assert state.outcomes[0][0] == "Promoted"
    assert state.says("ArtifactVerified", "True", "DigestVerified")
    assert web.asked()[f"/{BETTER}.tar.gz"] == 2, "once for the look at it, and once for its pod"
    (pod,) = place.pods(state.stable)
    assert "credentials" not in {mount["name"] for mount in pod["spec"]["containers"][0]["volumeMounts"]}
    told = place.kubectl("get", "mdep,mrev,events", "-o", "yaml")
    told += place.kubectl("logs", pod["metadata"]["name"], "--all-containers")
    told += place.cluster.kubectl("-n", OPERATOR_NAMESPACE, "logs", "-l", OPERATOR, "--tail=-1")
    assert TOKEN not in told


@beside_others("mended")
def test_another_bundle_than_the_pinned_one_is_refused_until_the_pinned_one_lies_there(place: Place) -> None:
    there, pinned = place.models.directory / "digits" / "pinned", bundles.digest(place.models.directory / BETTER)
    shutil.copytree(place.models.directory / BETTER_STILL, there)
    with callers_lose_nothing(place):
        place.wants("", model=behind_token(place, "digits/pinned", digest=pinned), rollout=HELD)
        state = refused(place, "DigestMismatch")
        assert f"{pinned} was pinned" in state.message
        shutil.rmtree(there)
        shutil.copytree(place.models.directory / BETTER, there)
        tried_by_itself(place)


@beside_others("mended")
def test_a_server_that_is_away_is_waited_for(place: Place) -> None:
    with callers_lose_nothing(place) as web:
        with web.away():
            place.wants("", model=behind_token(place, BETTER_STILL), rollout=HELD)
            refused(place, "SourceUnavailable")
        tried_by_itself(place)


@beside_others("mended")
def test_a_server_that_goes_away_in_a_trial_is_no_fault_of_the_candidate(place: Place) -> None:
    """It is there while the bundle is looked at, and away when the candidate's pod fetches."""
    model = behind_token(place, BETTER)
    with callers_lose_nothing(place) as web:
        place.wants("", model=model, rollout=HELD, paused=True)
        place.until(lambda state: state.phase == "Paused", "the bundle was looked at", START_SECONDS)
        with web.away():
            place.wants("", model=model, rollout=HELD)
            place.until(lambda state: "waits for its bundle" in state.message, "its pod waits", START_SECONDS)
        tried_by_itself(place)
    assert place.state.outcomes[0][0] == "Aborted", "by the user alone"


@beside_others("mended")
def test_an_address_that_is_not_allowed_and_a_certificate_that_is_not_known_are_refused(place: Place) -> None:
    with callers_lose_nothing(place) as web:
        pod = place.kubectl("get", "pod", "bundles", "-o", "jsonpath={.status.podIP}")
        place.wants("", model={"uri": f"http://{pod}:8080/{BETTER}"})
        assert "an address that is not public" in refused(place, "SourceRefused").message
        place.wants("", model={"uri": web.url(BETTER, "https")})
        assert "the certificate of bundles" in refused(place, "SourceRefused").message

"""Candidates that never get to serve: each is told in words, and stable answers every request meanwhile."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from tests.e2e.conftest import beside_others, measured
from tests.e2e.refusals import refused
from tests.e2e.spoilt import BETTER, BETTER_STILL, DAMAGED, DECENT, LATE, LYING
from tests.support import kubernetes_objects as objects
from tests.support.stories import START_SECONDS, TRIAL_SECONDS, Place, State, in_words

RATE = 40.0
REQUESTS_MIN = 40
"""A story that is told in a second still lasts until this many were answered."""


@contextmanager
def stable_serves_meanwhile(digits: Place) -> Iterator[str]:
    """Given a stable model under load; then all its requests were answered well, by itself alone."""
    first = digits.serves(DECENT)
    with digits.load(RATE) as load:
        yield first
        digits.until(lambda _: load.snapshot().requests >= REQUESTS_MIN, f"{REQUESTS_MIN} requests are made", 20)
        counted = load.stop()
    assert counted.failed == 0, in_words(counted)
    state = digits.state
    assert state.stable == first
    assert state.says("Ready", "True", "Serving")


@beside_others("bundles")
def test_a_missing_bundle_is_named_and_taken_once_it_is_there(digits: Place) -> None:
    with stable_serves_meanwhile(digits):
        digits.wants(LATE, rollout=objects.rollout((20, 60)))
        state = refused(digits, "BundleMissing")
        assert "manifest.json in the bundle cannot be read: No such file or directory" in state.message
        shutil.copytree(digits.models.directory / BETTER, digits.models.directory / LATE)
        state = digits.until(lambda state: bool(state.candidate), "its trial begins by itself", START_SECONDS)
        assert state.says("ArtifactVerified", "True", "DigestVerified")
        digits.wants(DECENT)
        digits.until(lambda state: state.stable_of_spec, "the trial is aborted", 30)


@beside_others("bundles")
def test_a_bundle_that_is_not_the_pinned_one_is_refused(digits: Place) -> None:
    with stable_serves_meanwhile(digits):
        pinned = f"sha256:{'0' * 64}"
        digits.wants(BETTER, model={"uri": f"pvc://models/{BETTER}", "digest": pinned})
        state = refused(digits, "DigestMismatch")
        assert f"{pinned} was pinned" in state.message


@beside_others("bundles")
def test_a_damaged_file_is_found_and_named(digits: Place) -> None:
    with stable_serves_meanwhile(digits):
        digits.wants(DAMAGED)
        state = refused(digits, "DigestMismatch")
        assert "model.skops is not the file in the manifest" in state.message


@beside_others("starts")
def test_a_model_that_does_not_answer_as_recorded_is_rejected_before_any_traffic(digits: Place) -> None:
    with stable_serves_meanwhile(digits):
        digits.wants(LYING)
        state = digits.until(lambda state: state.phase == "RolledBack", "it is rejected", TRIAL_SECONDS)
        assert state.says("Progressing", "False", "SelfTestFailed")
        assert "is not answered as recorded" in state.status["lastRollback"]["evidence"]
        assert set(digits.route_weights(state.status["lastRollback"]["from"], digits.applied_at)) == {0}


@beside_others("starts")
def test_a_model_that_runs_out_of_memory_is_rejected_before_any_traffic(digits: Place) -> None:
    with stable_serves_meanwhile(digits):
        # Enough to check the bundle's files, not to load scikit-learn.
        digits.wants(BETTER, serving=objects.serving(memory="48Mi", compile="never"))
        state = digits.until(lambda state: state.phase == "RolledBack", "it is rejected", TRIAL_SECONDS)
        assert state.says("Progressing", "False", "CandidateCrashed")
        evidence = state.status["lastRollback"]["evidence"]
        measured("out of memory", evidence)
        assert "OOMKilled" in evidence
        assert "kubectl logs --previous" in evidence
        assert set(digits.route_weights(state.status["lastRollback"]["from"], digits.applied_at)) == {0}


@beside_others("places")
def test_a_candidate_that_no_node_takes_waits_in_the_schedulers_words(digits: Place) -> None:
    with stable_serves_meanwhile(digits):
        digits.wants(BETTER_STILL, serving=objects.serving(nodeSelector={"example.com/gpu": "yes"}))
        state = digits.until(
            lambda state: state.says("CapacityAvailable", "False", "Unschedulable"), "it waits", START_SECONDS
        )
        assert "didn't match Pod's node affinity/selector" in state.condition("CapacityAvailable")["message"]
        assert not state.candidate


@beside_others("places")
def test_a_gateway_that_does_not_exist_is_named_and_harms_nobody(digits: Place) -> None:
    with stable_serves_meanwhile(digits):
        other = objects.model_deployment(digits.namespace, "other", "other.example.com", DECENT)
        other["spec"]["traffic"]["parentRefs"] = [{"name": "absent", "namespace": "serin-gateway"}]
        digits.apply(other)

        def named(_: State) -> bool:
            found = State(digits.get("mdep", "--field-selector=metadata.name=other")[0])
            route = found.condition("RouteProgrammed")
            return found.says("RouteProgrammed", "False", "GatewayMissing") and (
                "Gateway serin-gateway/absent does not exist; create it or correct spec.traffic.parentRefs"
                in route["message"]
            )

        digits.until(named, "RouteProgrammed says that the Gateway is missing", 60)
        digits.kubectl("delete", "mdep", "other", "--wait=false")


@beside_others("places")
def test_kubectl_explains_and_shows(digits: Place) -> None:
    revision = digits.serves(DECENT)
    explained = digits.kubectl("explain", "mdep.spec.rollout.steps")
    assert "Weights in rising order" in explained
    assert "Percent of requests that the candidate answers in this step" in digits.kubectl(
        "explain", "mdep.spec.rollout.steps.weight"
    )
    title, row = digits.kubectl("get", "mdep", "digits").splitlines()
    assert title.split() == ["NAME", "PHASE", "STABLE", "CANDIDATE", "WEIGHT", "GATE", "SAMPLES", "AGE"]
    assert row.split()[:3] == ["digits", "Stable", revision]

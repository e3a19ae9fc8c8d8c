"""From a URI to a frozen digest: each thing that the resolve pod may say."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.builders import NOW, a_pod, a_record, observed, parsed, situated
from tests.support.world import DIGEST, a_spec

from serin_contract.startup import EXIT_REFUSED, EXIT_UNAVAILABLE, ResolvedDigest, StartupFailure, StartupReason, encode
from serin_operator.api.deployment import ModelDeploymentStatus, Phase, StableStatus
from serin_operator.decide import artifact, templates
from serin_operator.decide.artifact import RETRY_SECONDS
from serin_operator.decide.draft import Draft
from serin_operator.decide.observation import ContainerEnd, OperatorFacts
from serin_operator.decide.plan import Apply, Delete
from serin_operator.decide.rollout import decide

TARGET = situated().target
MISSING = StartupFailure(StartupReason.BundleMissing, "there is no manifest.json")

UNREACHED = StartupFailure(StartupReason.SourceUnavailable, "the source did not answer")
DENIED = StartupFailure(StartupReason.SourceDenied, "the source refuses access")


def _pod(end: ContainerEnd | None = None, **changes: Any) -> Any:
    return a_pod("resolving", TARGET, purpose="resolve", last_end=end, **changes)


def _end(report: StartupFailure | ResolvedDigest | None, code: int = 0, seconds_ago: float = 1.0) -> ContainerEnd:
    message = encode(report).decode() if report is not None else "no report"
    return ContainerEnd(code, "Completed", message, NOW - seconds_ago)


def _prepared(*pods: Any, **changes: Any) -> Draft:
    return artifact.prepare(situated(pods=pods, **changes))


@pytest.mark.parametrize(
    ("sentence", "pods", "phase", "reason"),
    [
        ("no pod yet: one is made", (), "Pending", "ResolvingBundle"),
        ("it runs", (_pod(),), "Pending", "ResolvingBundle"),
        ("its image cannot be pulled", (_pod(waiting_reason="ErrImagePull"),), "Failed", "ErrImagePull"),
        ("no node takes it", (_pod(unschedulable="0/3 nodes"),), "Pending", "Unschedulable"),
        ("it names a digest", (_pod(_end(ResolvedDigest(DIGEST))),), "Pending", "BundleResolved"),
        ("it refuses", (_pod(_end(MISSING, EXIT_REFUSED)),), "Failed", "BundleMissing"),
        ("its source is down", (_pod(_end(UNREACHED, EXIT_UNAVAILABLE)),), "Failed", "SourceUnavailable"),
        ("its source denies access", (_pod(_end(DENIED, EXIT_REFUSED)),), "Failed", "SourceDenied"),
        ("it ends well without a digest", (_pod(_end(None)),), "Failed", "BundleCheckFailed"),
        ("it crashes", (_pod(_end(None, 1)),), "Failed", "BundleCheckFailed"),
        (
            "a digest from a pod that failed is none",
            (_pod(_end(ResolvedDigest(DIGEST), 1)),),
            "Failed",
            "BundleCheckFailed",
        ),
        ("one that goes is not asked", (_pod(_end(MISSING, 78), terminating=True),), "Pending", "ResolvingBundle"),
        (
            "another revision's is not asked",
            (a_pod("other", "wine-9", purpose="resolve"),),
            "Pending",
            "ResolvingBundle",
        ),
    ],
)
def test_the_resolve_pod_is_read(sentence: str, pods: tuple[Any, ...], phase: str, reason: str) -> None:
    draft = _prepared(*pods)
    assert (draft.phase, draft.reason) == (phase, reason), sentence


def test_the_digest_is_frozen_in_a_record_and_the_pod_goes() -> None:
    made, gone = _prepared(_pod(_end(ResolvedDigest(DIGEST)))).records
    assert isinstance(made, Apply)
    assert made.manifest["kind"] == "ModelRevision"
    assert made.manifest["spec"]["model"] == {"uri": "pvc://models/wine/1", "digest": DIGEST}
    template = made.manifest["spec"]["template"]["spec"]["containers"][0]
    assert {"name": "SERIN_BUNDLE_DIGEST", "value": DIGEST} in template["env"], "its pods refuse anything else"
    assert gone == Delete("v1", "Pod", "resolving", "uid-resolving")


@pytest.mark.parametrize(
    ("sentence", "model", "reason"),
    [
        ("a signature is the stronger word", {}, "SignatureVerified"),
        ("and code that may run stays the first to be told", {"allowPickle": True}, "PickleAllowed"),
    ],
)
def test_a_bundle_that_had_to_be_signed_says_that_it_is(sentence: str, model: dict[str, Any], reason: str) -> None:
    asked = {"uri": "pvc://models/wine/1", "digest": DIGEST, "signedBy": {"secretName": "release"}} | model
    holds, said, message = artifact.verified(situated(a_spec(model=asked)).spec.model, "the digest holds")
    assert (holds, said) == (True, reason), sentence
    assert "a key of spec.model.signedBy has signed it" in message


PICKLE_SPEC = a_spec(model={"uri": "pvc://models/wine/1", "digest": DIGEST, "allowPickle": True})


def test_a_bundle_whose_code_may_run_says_so_in_its_pods_its_condition_and_an_event() -> None:
    target = situated(PICKLE_SPEC).target
    pod = a_pod("resolving", target, purpose="resolve", last_end=_end(ResolvedDigest(DIGEST)))
    plan = decide(observed(PICKLE_SPEC, pods=(pod,)))
    made = next(
        action for action in plan.actions if isinstance(action, Apply) and action.manifest["kind"] == "ModelRevision"
    )
    template = made.manifest["spec"]["template"]["spec"]["containers"][0]
    assert {"name": "SERIN_ALLOW_PICKLE", "value": "1"} in template["env"]
    condition = next(known for known in plan.status.conditions if known.type == "ArtifactVerified")
    assert (condition.status, condition.reason) == ("True", "PickleAllowed")
    assert "code of whoever made the bundle" in condition.message
    assert [(event.type, event.reason) for event in plan.events] == [("Warning", "PickleAllowed")]
    later = decide(observed(PICKLE_SPEC, revisions=(a_record(target, verdict="Trial"),), status=plan.status))
    assert [known.reason for known in later.status.conditions if known.type == "ArtifactVerified"] == ["PickleAllowed"]


def test_no_code_may_run_by_default_nor_without_a_pinned_digest() -> None:
    unpinned = a_spec(model={"uri": "pvc://models/wine/1", "allowPickle": True})
    for spec in (a_spec(), unpinned):
        template = templates.serving_template("wine", "wine-1", parsed(spec), DIGEST, "image")
        assert "SERIN_ALLOW_PICKLE" not in str(template)


@pytest.mark.parametrize(("seconds_ago", "again"), [(RETRY_SECONDS - 1, False), (RETRY_SECONDS, True)])
def test_a_refused_bundle_is_looked_at_again_after_a_while(seconds_ago: float, again: bool) -> None:
    draft = _prepared(_pod(_end(MISSING, EXIT_REFUSED, seconds_ago)))
    assert bool(draft.records) is again
    assert draft.retry_after_seconds is not None
    assert draft.retry_after_seconds >= 1.0


def test_a_refused_bundle_says_who_keeps_serving() -> None:
    status = ModelDeploymentStatus(stable=StableStatus(revision="wine-1"))
    assert "wine-1 keeps serving" in _prepared(_pod(_end(MISSING, EXIT_REFUSED)), status=status).message


def test_one_event_for_one_refused_bundle_and_no_flapping_while_it_is_tried() -> None:
    refused = observed(pods=(_pod(_end(MISSING, EXIT_REFUSED)),))
    first = decide(refused)
    assert [event.reason for event in first.events] == ["BundleMissing"]
    again = decide(observed(pods=refused.pods, status=first.status))
    assert again.events == ()
    for pods in ((), (_pod(),)):
        tried = decide(observed(pods=pods, status=first.status))
        assert (tried.status.phase, tried.status.message) == (first.status.phase, first.status.message)
        assert tried.status.conditions == first.status.conditions
        changed = decide(observed(a_spec(2), pods=pods, status=first.status, generation=2))
        assert changed.status.phase == Phase.Pending, "another spec is another bundle"


def test_another_reason_for_the_same_refusal_is_an_event_of_its_own() -> None:
    first = decide(observed(pods=(_pod(_end(UNREACHED, EXIT_UNAVAILABLE)),)))
    then = decide(observed(pods=(_pod(_end(DENIED, EXIT_REFUSED)),), status=first.status))
    assert [event.reason for event in (*first.events, *then.events)] == ["SourceUnavailable", "SourceDenied"]


def test_only_what_a_person_can_mend_is_to_be_mended() -> None:
    away = _prepared(_pod(_end(UNREACHED, EXIT_UNAVAILABLE))).message
    assert away == "pod resolving waits for its bundle: the source did not answer. It is tried again every 30 s"
    assert "refuses its bundle" in (denied := _prepared(_pod(_end(DENIED, EXIT_REFUSED))).message)
    assert "Mend the bundle or spec.model; it is checked again every 30 s" in denied


FETCHED = {"uri": "https://models.example.com/wine/1", "credentials": {"secretName": "reader"}}


@pytest.mark.parametrize(
    ("sentence", "model", "changes", "objects"),
    [
        ("it needs the credentials", FETCHED, {}, "Secret reader of"),
        (
            "and the keys, of either kind",
            {**FETCHED, "signedBy": {"configMapName": "release"}},
            {},
            "Secret reader and ConfigMap release of",
        ),
        ("keys alone", {"uri": "pvc://models/wine/1", "signedBy": {"secretName": "keys"}}, {}, "Secret keys of"),
        ("it is young yet", FETCHED, {"created_at": NOW - 14}, None),
        ("it names no object", {"uri": FETCHED["uri"]}, {}, None),
        ("it runs", FETCHED, {"waiting_reason": None}, None),
        ("what else it waits for is told in its own words", FETCHED, {"waiting_reason": "ErrImagePull"}, None),
        ("no node has taken it", FETCHED, {"unschedulable": "0/3 nodes"}, None),
    ],
)
def test_a_pod_that_does_not_begin_says_what_it_needs(
    sentence: str, model: dict[str, Any], changes: dict[str, Any], objects: str | None
) -> None:
    spec = a_spec(model=model)
    waits = {"waiting_reason": "PodInitializing", "created_at": NOW - 15} | changes
    pod = a_pod("resolving", situated(spec).target, purpose="resolve", **waits)
    message = artifact.prepare(situated(spec, pods=(pod,))).message
    assert ("has not begun; it needs" in message) is (objects is not None), sentence
    assert objects is None or (objects in message and "kubectl describe pod resolving" in message)


def test_a_known_revision_is_tried_without_a_second_look() -> None:
    draft = _prepared(revisions=(a_record(TARGET, verdict="Superseded"),))
    assert draft.candidate is not None
    assert draft.candidate.digest == DIGEST
    assert (draft.candidate.step, draft.candidate.weight, draft.candidate.cohort_number) == (-1, 0, 0)
    assert draft.reports[0].status.verdict == "Trial"
    assert draft.reports[0].status.evidence is None, "an earlier trial's evidence is not this one's"


def test_a_paused_deployment_begins_no_trial() -> None:
    draft = artifact.prepare(situated(a_spec(paused=True), revisions=(a_record(TARGET),)))
    assert draft.phase == Phase.Paused
    assert draft.candidate is None


def test_pods_of_a_fetched_bundle_may_reach_what_the_operator_allows_when_the_revision_is_made() -> None:
    allowed = OperatorFacts(
        "serin-serving:1", "keys", keys_applied=True, nonce="0" * 32, fetch_ranges=("10.96.0.0/12",)
    )
    spec = a_spec(model={"uri": "s3://models/wine/1"})
    target = situated(spec).target
    (resolve,) = artifact.prepare(situated(spec, operator=allowed)).records
    ended = a_pod("resolving", target, purpose="resolve", last_end=_end(ResolvedDigest(DIGEST)))
    frozen = artifact.prepare(situated(spec, operator=allowed, pods=(ended,))).records[0]
    assert isinstance(resolve, Apply)
    assert isinstance(frozen, Apply)
    for pod in (resolve.manifest["spec"], frozen.manifest["spec"]["template"]["spec"]):
        assert {"name": "SERIN_FETCH_RANGES", "value": "10.96.0.0/12"} in pod["initContainers"][0]["env"]

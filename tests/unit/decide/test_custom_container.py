"""A container of the user's own: how its pods are made, what is said of its image, and what nobody can tell of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.support.builders import NOW, a_candidate, a_gate, a_pod, a_record, observed, parsed, situated
from tests.support.world import Traffic, World, a_custom_spec, a_spec, a_world, image, is_phase

from serin_operator.api.deployment import ModelDeploymentStatus, StableStatus
from serin_operator.apply.hardening import objection
from serin_operator.decide import announcing, artifact, custom_container, identity, shadow, sources, templates
from serin_operator.decide.judge.evidence import start
from serin_operator.decide.observation import Observation
from serin_operator.decide.plan import Apply
from serin_operator.decide.retiring import SILENT_SECONDS
from serin_operator.decide.rollout import decide
from serin_operator.decide.trial import judged

UNPINNED = {"model": {"uri": "image://registry.example.com/wine:2"}}


def pod_of(**serving: Any) -> dict[str, Any]:
    """The pod template of a container of the user's own."""
    spec = a_custom_spec(serving={"custom": {"readyPath": "/ready"}} | serving)
    return templates.serving_template("wine", "wine-1", parsed(spec), None, "serin-serving:1")


def container_of(**serving: Any) -> dict[str, Any]:
    (container,) = pod_of(**serving)["spec"]["containers"]
    return container


def test_its_image_is_the_one_that_the_uri_names_and_nothing_tells_it_what_to_run() -> None:
    container = container_of()
    assert container["image"] == image(1).removeprefix("image://")
    assert not {"args", "command"} & container.keys(), "what runs is the image's own choice"
    assert container["ports"] == [{"name": "http", "containerPort": 8080, "protocol": "TCP"}]
    other = container_of(custom={"port": 9000, "readyPath": "/ready"})
    assert other["ports"] == [{"name": "http", "containerPort": 9000, "protocol": "TCP"}]


@pytest.mark.parametrize(
    ("sentence", "custom", "asked"),
    [
        (
            "readiness alone: a server that is busy must not be started anew for it",
            {"readyPath": "/ready"},
            {"startupProbe": "/ready", "readinessProbe": "/ready", "livenessProbe": None},
        ),
        (
            "liveness where it has a path of its own",
            {"readyPath": "/ready", "livePath": "/live"},
            {"startupProbe": "/ready", "readinessProbe": "/ready", "livenessProbe": "/live"},
        ),
    ],
)
def test_it_is_asked_what_the_spec_says(sentence: str, custom: dict[str, Any], asked: dict[str, str | None]) -> None:
    container = container_of(custom=custom)
    found = {probe: (container.get(probe) or {}).get("httpGet", {}).get("path") for probe in asked}
    assert found == asked, sentence
    assert {container[probe]["httpGet"]["port"] for probe in asked if probe in container} == {"http"}


def test_it_gets_no_key_no_profile_and_no_bundle_and_may_write_in_one_small_place() -> None:
    pod = pod_of(env=[{"name": "A", "value": "1"}])["spec"]
    (container,) = pod["containers"]
    assert [volume["name"] for volume in pod["volumes"]] == ["scratch"]
    assert pod["volumes"][0]["emptyDir"] == {"sizeLimit": "256Mi"}
    assert container["volumeMounts"] == [{"name": "scratch", "mountPath": "/tmp"}]
    names = [variable["name"] for variable in container["env"]]
    assert names == ["SERIN_POD_UID", "SERIN_DEPLOYMENT", "SERIN_REVISION", "SERIN_LONGEST_REQUEST_SECONDS", "A"]


def test_its_pods_bear_the_labels_that_a_query_needs_and_one_that_says_what_they_are() -> None:
    assert pod_of()["metadata"]["labels"] == {
        "serin.dev/managed-by": "serin",
        "serin.dev/deployment": "wine",
        "serin.dev/revision": "wine-1",
        "serin.dev/purpose": "serve",
        "serin.dev/server": "custom",
    }
    own = templates.serving_template("wine", "wine-1", parsed(), None, "serin-serving:1")
    assert "serin.dev/server" not in own["metadata"]["labels"]
    assert [custom_container.is_of(template) for template in (pod_of(), own, {})] == [True, False, False]


def deployment(template: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "Deployment", "metadata": {"name": "wine-1"}, "spec": {"template": template}}


@pytest.mark.parametrize(
    ("sentence", "serving", "sleeps", "grace"),
    [
        ("the defaults", {}, 5, 40),
        ("a longer drain is slept", {"drain": "20s"}, 20, 55),
        ("no drain is no sleep, and no other one either", {"drain": "0s"}, 0, 35),
        ("a longer request moves the kill alone", {"longestRequest": "2m"}, 5, 130),
        ("a grace to the second", {"drain": "3s", "longestRequest": "4s", "terminationGrace": "7s"}, 3, 7),
    ],
)
def test_the_kubelet_keeps_it_serving_for_the_drain_and_kills_it_after_the_longest_request(
    sentence: str, serving: dict[str, Any], sleeps: int, grace: int
) -> None:
    template = pod_of(**serving)
    assert container_of(**serving)["lifecycle"] == {"preStop": {"sleep": {"seconds": sleeps}}}, sentence
    assert template["spec"]["terminationGracePeriodSeconds"] == grace, sentence
    assert objection(deployment(template)) is None, "it is as hardened as Serin's own"


@pytest.mark.parametrize(
    ("sentence", "seconds", "refused"),
    [
        ("a sleep that leaves time for the longest request", 5, False),
        ("a sleep that eats the margin", 11, True),
        ("a sleep that is no number", "soon", True),
    ],
)
def test_a_stored_template_whose_sleep_would_cut_requests_off_is_refused(
    sentence: str, seconds: Any, refused: bool
) -> None:
    template = pod_of()
    template["spec"]["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"] = seconds
    assert (objection(deployment(template)) is not None) == refused, sentence


def test_every_image_and_every_word_of_how_to_ask_it_is_another_revision_and_no_replica_is() -> None:
    specs = [
        a_custom_spec(1),
        a_custom_spec(2),
        a_custom_spec(serving={"custom": {"port": 9001, "readyPath": "/ready"}}),
        a_custom_spec(serving={"custom": {"port": 9000, "readyPath": "/other"}}),
    ]
    assert len({identity.identity(parsed(spec)) for spec in specs}) == len(specs)
    more = a_custom_spec(serving={"replicas": 7, "custom": {"port": 9000, "readyPath": "/ready"}})
    assert identity.identity(parsed(more)) == identity.identity(parsed(a_custom_spec()))


# Its image.


def test_nothing_is_resolved_and_the_image_is_what_the_record_holds() -> None:
    (made,) = artifact.prepare(situated(a_custom_spec(2))).records
    assert isinstance(made, Apply)
    assert made.manifest["kind"] == "ModelRevision", "and no pod that looks for a bundle"
    assert made.manifest["spec"]["model"] == {"uri": image(2), "digest": f"sha256:{'2' * 64}"}


@pytest.mark.parametrize(
    ("sentence", "spec", "answer", "events"),
    [
        ("its digest pins it", a_custom_spec(2), ("True", "ImageOnly"), []),
        ("its tag may move", a_custom_spec(2, **UNPINNED), ("Unknown", "ImageNotPinned"), ["ImageNotPinned"]),
    ],
)
def test_the_condition_says_whether_it_is_known_which_image_runs(
    sentence: str, spec: dict[str, Any], answer: tuple[str, str], events: list[str]
) -> None:
    plan = decide(observed(spec, status=ModelDeploymentStatus(observed_generation=1)))
    said = next(known for known in plan.status.conditions if known.type == "ArtifactVerified")
    assert (said.status, said.reason) == answer, sentence
    assert [event.reason for event in plan.events if event.type == "Warning"] == events, sentence


def test_an_image_without_a_digest_is_recorded_without_one_and_its_trial_names_it() -> None:
    spec = a_custom_spec(2, **UNPINNED)
    target = situated(spec).target
    (made,) = artifact.prepare(situated(spec)).records
    assert isinstance(made, Apply)
    assert made.manifest["spec"]["model"] == UNPINNED["model"]
    record = a_record(target, spec=spec)
    record = replace(record, spec=record.spec.model_copy(update={"model": custom_container.model(parsed(spec))}))
    draft = artifact.prepare(situated(spec, revisions=(record,)))
    assert draft.candidate is not None
    assert draft.candidate.digest is None
    assert [event.message for event in draft.events] == [
        f"trial of {target} (image://registry.example.com/wine:2) begins"
    ]


def test_its_condition_says_which_gates_can_judge_it_and_its_url_claims_no_protocol() -> None:
    target = situated(a_custom_spec()).target
    served = ModelDeploymentStatus(stable=StableStatus(revision=target), observed_generation=1)
    plan = decide(observed(a_custom_spec(), status=served, revisions=(a_record(target, spec=a_custom_spec()),)))
    said = next(known for known in plan.status.conditions if known.type == "GatesPassing")
    assert said.message.endswith("so availability and custom gates alone can judge it")
    assert plan.status.url == "http://wine.example.com"
    other = decide(observed(a_custom_spec(gates={}), status=served))
    said = next(known for known in other.status.conditions if known.type == "GatesPassing")
    assert (said.reason, said.message.partition(";")[2]) == ("NoGates", f" {custom_container.JUDGED_BY}")


# What nobody can tell.

OWN, BUNDLE = a_record("wine-1", spec=a_custom_spec()), a_record("wine-2")


@pytest.mark.parametrize(
    ("sentence", "gate", "arms", "verdict", "reason"),
    [
        ("both arms count", a_gate(), ("wine-2",), "Pass", "PassReason"),
        ("one does not", a_gate(), ("wine-2", "wine-1"), "NoData", "NotCounted"),
        ("not even where it only observes", a_gate("latency", mode="Observe"), ("wine-1",), "NoData", "NotCounted"),
        ("a Fail stands on what was counted", a_gate(verdict="Fail"), ("wine-2", "wine-1"), "Fail", "FailReason"),
        ("a custom gate reads no counts", a_gate("custom/errors"), ("wine-1",), "Pass", "PassReason"),
    ],
)
def test_what_gates_say_of_arms_that_count_nothing(
    sentence: str, gate: Any, arms: tuple[str, ...], verdict: str, reason: str
) -> None:
    (said,) = sources.overruled((gate,), observed(revisions=(OWN, BUNDLE)), arms)
    assert (said.verdict, said.reason) == (verdict, reason), sentence
    if verdict == "NoData":
        assert ("set mode: Observe" in said.message) == (gate.mode == "Enforce"), "it says what to do where one must"


def test_since_when_a_gate_is_silent_is_kept() -> None:
    gate = a_gate().model_copy(update={"since": "2027-01-15T08:00:00Z"})
    (said,) = sources.overruled((gate,), observed(revisions=(OWN,)), ("wine-1",))
    later = gate.model_copy(update={"since": "2027-01-15T09:00:00Z"})
    seen = observed(revisions=(OWN,), status=ModelDeploymentStatus(gates=(said,)))
    (again,) = sources.overruled((later,), seen, ("wine-1",))
    assert again.since == "2027-01-15T08:00:00Z"


def on_trial(rate: float = 400.0) -> World:
    """The first step of a trial in which only stable counts what it answers."""
    world = a_world(numbers={"errors": 0.0}, traffic=Traffic(requests_per_second=rate))
    assert world.run(is_phase("Stable"), seconds=60)
    world.change(a_custom_spec(2))
    assert world.run(lambda world: world.status.candidate and world.status.candidate.step_started_at)
    return world


def test_a_split_of_which_one_arm_counts_nothing_is_neither_confirmed_nor_wrong() -> None:
    world = on_trial()
    world.run(seconds=25)
    candidate = world.status.candidate
    assert candidate is not None
    assert candidate.split is not None
    assert candidate.split.answer == "CannotTell", "though every counted request came to stable"
    assert "counts nothing" in candidate.split.message
    assert world.status.phase == "Progressing"


def test_what_the_other_arm_counts_is_kept() -> None:
    world = on_trial()
    world.run(seconds=10)
    candidate = world.status.candidate
    assert candidate is not None
    assert world.evidence is not None
    assert world.evidence.cohorts[candidate.cohort or ""].stable.requests > 1000


def test_no_rule_of_the_route_leads_a_probe_to_it() -> None:
    world = on_trial()
    candidate = world.status.candidate
    assert candidate is not None
    assert (candidate.probe, candidate.reachable and candidate.reachable.answer) == (None, "CannotTell")
    (rule,) = world.live["HTTPRoute/wine"]["spec"]["rules"]
    assert all("headers" not in match for match in rule["matches"])


def test_the_cohort_of_a_step_is_open_from_its_clocks_start_though_no_request_is_ever_counted() -> None:
    world = on_trial(rate=0.0)
    candidate = world.status.candidate
    assert candidate is not None
    world.step()
    assert world.evidence is not None
    assert list(world.evidence.cohorts) == [candidate.cohort]
    opened = world.evidence.cohorts[candidate.cohort or ""].opened_at
    world.run(seconds=10)
    world.restart_operator()
    world.step()
    assert world.evidence.cohorts[candidate.cohort or ""].opened_at == opened, "and so it is for the next operator"


def test_its_pods_go_when_routes_have_had_time_to_spread_since_no_pod_tells_that_it_is_idle() -> None:
    world = a_world(spec=a_custom_spec(), numbers={"errors": 0.0})
    assert world.run(is_phase("Stable"), seconds=60)
    old = world.stable
    world.change(a_custom_spec(2))
    assert world.run(lambda world: world.status.phase == "Stable" and world.stable != old, seconds=600)
    ended = world.now
    world.run(seconds=30)
    ((gone_at, gone),) = world.deleted_deployments
    assert gone == old
    assert SILENT_SECONDS <= gone_at - ended <= SILENT_SECONDS + 2


def test_a_shadow_that_a_container_of_ones_own_would_have_to_send_says_why_it_does_not_begin() -> None:
    steps = {"steps": [{"shadow": {"percent": 100}, "for": "1m"}, {"weight": 5, "for": "1m"}]}
    candidate = a_candidate("wine-2", step=0, shadow_cohort="wine-2.1.ab.shadow")
    status = ModelDeploymentStatus(stable=StableStatus(revision="wine-1"), candidate=candidate)
    seen = situated(a_spec(rollout=steps), status=status, revisions=(OWN, BUNDLE), evidence=start("wine-2", "wine-1"))
    draft = shadow.begins(judged(seen, candidate))
    assert draft is not None
    assert draft.phase == "Holding"
    assert draft.message.startswith("wine-1 is a container of your own, which counts nothing and sends no copies")


def test_without_a_gateway_a_pod_that_can_be_told_nothing_is_not_waited_for() -> None:
    pods = (a_pod("own", "wine-1", counts=False), a_pod("ours", "wine-2"))
    spec = {key: value for key, value in a_spec().items() if key != "traffic"}
    seen: Observation = observed(spec, pods=pods, revisions=(OWN, BUNDLE), now=NOW)
    situation = replace(situated(spec), seen=seen)
    assert announcing.uninformed(situation, a_candidate("wine-2"), "wine-1") == ("ours",)

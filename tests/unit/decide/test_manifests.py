"""Owned objects: what they are called, whether they stand, and how pods are hardened."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from tests.support.builders import a_candidate, a_record, observed, parsed
from tests.support.world import DIGEST, a_spec

from serin_contract import labels
from serin_operator.api.deployment import ModelDeploymentStatus
from serin_operator.apply import hardening
from serin_operator.decide import manifests, templates
from serin_operator.decide.routing import Split
from serin_operator.decide.routing.gateway import GatewayRouting

SEEN = observed()
WANTED = {"spec": {"replicas": 2, "args": ["serve"], "resources": {"limits": {"cpu": "1000m"}}, "on": True}}


@pytest.mark.parametrize(
    ("sentence", "have", "stands"),
    [
        ("the very object", WANTED, True),
        (
            "the server's defaults beside it",
            {"spec": WANTED["spec"] | {"dnsPolicy": "ClusterFirst"}, "kind": "X"},
            True,
        ),
        (
            "quantities that the server rewrote",
            {"spec": WANTED["spec"] | {"resources": {"limits": {"cpu": "1"}}}},
            True,
        ),
        ("quantities that are gone: the hash tells", {"spec": {"replicas": 2, "args": ["serve"], "on": True}}, True),
        ("another value", {"spec": WANTED["spec"] | {"replicas": 3}}, False),
        ("a missing field", {"spec": {"replicas": 2, "args": ["serve"]}}, False),
        ("a longer list", {"spec": WANTED["spec"] | {"args": ["serve", "--debug"]}}, False),
        ("a shorter list", {"spec": WANTED["spec"] | {"args": []}}, False),
        ("another item", {"spec": WANTED["spec"] | {"args": ["resolve"]}}, False),
        ("a text instead of a list", {"spec": WANTED["spec"] | {"args": "serve"}}, False),
        ("a list instead of a map", {"spec": []}, False),
        ("nothing", {}, False),
    ],
)
def test_an_object_stands_when_all_that_is_wanted_is_there(sentence: str, have: Any, stands: bool) -> None:
    assert manifests.contains(have, WANTED) is stands, sentence


def test_items_of_lists_may_hold_the_servers_defaults_too() -> None:
    want = {"ports": [{"port": 80}]}
    assert manifests.contains({"ports": [{"port": 80, "nodePort": 0}]}, want)
    assert not manifests.contains({"ports": [{"port": 81, "nodePort": 0}]}, want)


def _workload(replicas: int = 2, **changes: Any) -> dict[str, Any]:
    template = templates.serving_template("wine", "wine-2", parsed(a_spec(**changes)), DIGEST, "serin-serving:1")
    return manifests.workload(SEEN, "wine-2", template, replicas)


@pytest.mark.parametrize(
    ("sentence", "wanted"),
    [
        ("a quantity that has changed", _workload(serving={"resources": {"limits": {"cpu": "2"}}})),
        ("a quantity that is no longer wanted", _workload()),
        ("another count", _workload(3, serving={"resources": {"limits": {"cpu": "1"}}})),
    ],
)
def test_a_change_of_quantities_is_seen_by_the_hash(sentence: str, wanted: dict[str, Any]) -> None:
    live = {"Deployment/wine-2": _workload(serving={"resources": {"limits": {"cpu": "1"}}})}
    assert not manifests.stands(live, wanted), sentence
    live[manifests.key(wanted)] = copy.deepcopy(wanted)
    assert manifests.stands(live, wanted)


def test_every_owned_object_names_its_owner_and_carries_our_labels_only() -> None:
    for manifest in (
        _workload(),
        manifests.revision_service(SEEN, "wine-2"),
        manifests.apex_service(SEEN, "wine-2"),
        manifests.disruption_budget(SEEN, "wine-2"),
        manifests.stable_profile(SEEN, "wine-2", "{}"),
        GatewayRouting(SEEN, parsed()).manifest(Split("wine-2")),
    ):
        metadata = manifest["metadata"]
        assert metadata["ownerReferences"][0]["uid"] == "uid-1"
        assert metadata["namespace"] == "shop"
        assert metadata["labels"][labels.MANAGED_BY_LABEL] == "serin"
        assert all(name.startswith("serin.dev/") for name in metadata["labels"])


def test_the_apex_service_selects_stable_and_belongs_to_no_revision() -> None:
    apex = manifests.apex_service(SEEN, "wine-1")
    assert apex["metadata"]["name"] == "wine"
    assert labels.REVISION_LABEL not in apex["metadata"]["labels"], "or it would be retired with that revision"
    assert apex["spec"]["selector"][labels.REVISION_LABEL] == "wine-1"
    assert apex["spec"]["selector"][labels.PURPOSE_LABEL] == "serve", "resolve pods answer nobody"


def test_a_split_route_stamps_its_cohort_and_an_unsplit_one_removes_what_callers_claim() -> None:
    split = GatewayRouting(SEEN, parsed()).manifest(Split("wine-1", "wine-2", 5, "wine-2.1.abc"))["spec"]["rules"][0]
    assert split["filters"][0]["requestHeaderModifier"] == {
        "set": [{"name": "x-serin-cohort", "value": "wine-2.1.abc"}]
    }
    assert [(ref["name"], ref["weight"]) for ref in split["backendRefs"]] == [("wine-1", 95), ("wine-2", 5)]
    whole = GatewayRouting(SEEN, parsed()).manifest(Split("wine-1"))["spec"]["rules"][0]
    assert whole["filters"][0]["requestHeaderModifier"] == {"remove": ["x-serin-cohort"]}
    assert all(ref["port"] == 8080 for ref in split["backendRefs"]), "the stats port is never routed"
    assert split["matches"] == [
        {"path": {"type": "PathPrefix", "value": "/v2"}},
        {"path": {"type": "Exact", "value": "/v1/predict"}},
    ], "what asks for inferences, and nothing else"


GRPC_SEEN = observed(
    revisions=(a_record("wine-1"), a_record("wine-2", spec=a_spec(serving={"grpc": True}))),
    status=ModelDeploymentStatus(candidate=a_candidate("wine-2")),
)


def test_services_name_grpc_where_a_revisions_pods_speak_it() -> None:
    spoken = [
        (pods, [port["name"] for port in service["spec"]["ports"]])
        for pods in ("wine-1", "wine-2")
        for service in (manifests.revision_service(GRPC_SEEN, pods), manifests.apex_service(GRPC_SEEN, pods))
    ]
    assert spoken == [("wine-1", ["http"])] * 2 + [("wine-2", ["http", "grpc"])] * 2
    both = manifests.apex_service(GRPC_SEEN, None)["spec"]["ports"]
    assert both[1] == {
        "name": "grpc",
        "port": 8082,
        "targetPort": "grpc",
        "protocol": "TCP",
        "appProtocol": "kubernetes.io/h2c",
    }


def test_pods_disturb_at_most_one_of_themselves_and_selectors_are_those_of_the_pods() -> None:
    workload = _workload()
    selector = workload["spec"]["selector"]["matchLabels"]
    assert selector.items() <= workload["spec"]["template"]["metadata"]["labels"].items()
    assert manifests.revision_service(SEEN, "wine-2")["spec"]["selector"] == selector
    assert manifests.disruption_budget(SEEN, "wine-2")["spec"] == {
        "maxUnavailable": 1,
        "selector": {"matchLabels": selector},
    }
    assert workload["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


RICH = a_spec(
    serving={
        "replicas": 2,
        "image": "mine:2",
        "env": [{"name": "THREADS", "value": "4"}],
        "resources": {"limits": {"memory": "1Gi"}},
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "imagePullSecrets": [{"name": "registry"}],
    }
)


@pytest.mark.parametrize("purpose", ["serve", "resolve"])
@pytest.mark.parametrize("spec", [a_spec(), RICH, a_spec(model={"uri": "file:///opt/model"})])
def test_every_pod_is_hardened_whatever_the_spec_says(purpose: str, spec: dict[str, Any]) -> None:
    if purpose == "serve":
        pod = templates.serving_template("wine", "wine-2", parsed(spec), DIGEST, "serin-serving:1")
    else:
        pod = templates.resolve_pod("shop", "wine", "wine-2", parsed(spec), "serin-serving:1")
    body, container = pod["spec"], pod["spec"]["containers"][0]
    assert body["automountServiceAccountToken"] is False
    assert body["enableServiceLinks"] is False
    assert body["securityContext"]["runAsNonRoot"] is True
    assert body["securityContext"]["runAsUser"] > 0
    assert body["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert len(body["containers"]) == 1
    assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers", "serviceAccountName"} & set(body)
    assert {next(iter(set(volume) - {"name"})) for volume in body["volumes"]} <= {
        "secret",
        "configMap",
        "persistentVolumeClaim",
    }
    assert all(mount["readOnly"] is True for mount in container["volumeMounts"])


def test_our_variables_are_set_once_and_the_users_come_after_them() -> None:
    pod = templates.serving_template("wine", "wine-2", parsed(RICH), DIGEST, "serin-serving:1")
    container = pod["spec"]["containers"][0]
    names = [variable["name"] for variable in container["env"]]
    assert len(names) == len(set(names))
    assert names[-1] == "THREADS"
    assert {"name": "SERIN_BUNDLE_DIGEST", "value": DIGEST} in container["env"], "its pods insist on that digest"
    assert container["image"] == "mine:2"
    assert pod["spec"]["nodeSelector"] == {"disk": "ssd"}
    assert pod["spec"]["terminationGracePeriodSeconds"] > 30 + labels.DRAIN_SECONDS


def test_a_resolve_pod_ends_and_is_never_selected_as_a_server() -> None:
    pod = templates.resolve_pod("shop", "wine", "wine-2", parsed(), "serin-serving:1")
    assert pod["spec"]["restartPolicy"] == "Never"
    assert pod["spec"]["activeDeadlineSeconds"] == 600
    assert pod["metadata"]["labels"][labels.PURPOSE_LABEL] == "resolve"
    assert not any(variable["name"] == "SERIN_BUNDLE_DIGEST" for variable in pod["spec"]["containers"][0]["env"])


@pytest.mark.parametrize(
    ("uri", "directory"),
    [
        ("pvc://models/wine/7", "/mnt/model/wine/7"),
        ("pvc://models/wine/7/", "/mnt/model/wine/7"),
        ("pvc://models", "/mnt/model"),
        ("pvc://models/", "/mnt/model"),
        ("file:///opt/model", "/opt/model"),
    ],
)
def test_a_uri_names_a_directory_in_the_container(uri: str, directory: str) -> None:
    assert templates.bundle_directory(uri) == directory
    volumes = {
        volume["name"]
        for volume in templates.resolve_pod(
            "shop", "wine", "wine-2", parsed(a_spec(model={"uri": uri})), "serin-serving:1"
        )["spec"]["volumes"]
    }
    assert ("model" in volumes) is uri.startswith("pvc:")


def test_the_template_is_the_one_that_earlier_operators_froze() -> None:
    """A changed template would restart every pod of every deployment when the operator is upgraded."""
    pod = templates.serving_template("wine", "wine-2", parsed(RICH), DIGEST, "serin-serving:1")
    again = templates.serving_template("wine", "wine-2", parsed(RICH), DIGEST, "serin-serving:1")
    assert pod == again
    workload = manifests.workload(SEEN, "wine-2", pod, 2)
    assert workload["spec"]["template"] == pod, "a record's template reaches the Deployment untouched"


# Bundles that are fetched.

S3 = {"uri": "s3://models/wine/1", "credentials": {"secretName": "s3"}}
RANGES = ("10.96.0.0/12",)


def _pods(**changes: Any) -> list[dict[str, Any]]:
    """The pod that resolves and one that serves."""
    spec = parsed(a_spec(**changes))
    resolve = templates.resolve_pod("shop", "wine", "wine-2", spec, "serin-serving:1", RANGES)
    serve = templates.serving_template("wine", "wine-2", spec, DIGEST, "serin-serving:1", RANGES)
    return [resolve["spec"], serve["spec"]]


@pytest.mark.parametrize("uri", ["pvc://models/wine/1", "file:///bundles/wine"])
def test_a_mounted_bundle_is_fetched_by_nobody(uri: str) -> None:
    for pod in _pods(model={"uri": uri}):
        assert "initContainers" not in pod
        assert not any("emptyDir" in volume for volume in pod["volumes"])


def test_a_fetched_bundle_is_there_before_the_server_starts_and_read_only_to_it() -> None:
    for pod in _pods(model=S3):
        (fetch,), (model,) = pod["initContainers"], pod["containers"]
        assert (fetch["name"], fetch["args"], fetch["image"]) == ("fetch", ["fetch"], model["image"])
        assert {"name": "SERIN_BUNDLE_DIR", "value": "/mnt/model/bundle"} in fetch["env"]
        assert {"name": "SERIN_BUNDLE_DIR", "value": "/mnt/model/bundle"} in model["env"]
        assert {"name": "model", "mountPath": "/mnt/model"} in fetch["volumeMounts"]
        assert {"name": "model", "mountPath": "/mnt/model", "readOnly": True} in model["volumeMounts"]
        assert {"name": "model", "emptyDir": {"sizeLimit": "17Gi"}} in pod["volumes"]


def test_the_container_that_fetches_alone_has_the_credentials_and_has_nothing_else() -> None:
    serving = {"env": [{"name": "MINE", "value": "1"}], "resources": {"limits": {"memory": "1Gi"}}}
    for pod in _pods(model=S3, serving=serving):
        (fetch,), (model,) = pod["initContainers"], pod["containers"]
        assert [mount["name"] for mount in fetch["volumeMounts"]] == ["model", "credentials"]
        assert "credentials" not in [mount["name"] for mount in model["volumeMounts"]]
        assert "MINE" not in [variable["name"] for variable in fetch["env"]]
        assert (fetch["securityContext"], fetch["resources"]) == (model["securityContext"], model["resources"])
        assert {"name": "credentials", "secret": {"secretName": "s3", "defaultMode": 0o440}} in pod["volumes"]


def test_a_cache_is_written_by_the_container_that_fetches_and_seen_by_no_other() -> None:
    for size, said in (({}, "32"), ({"gibibytes": 5}, "5")):
        for pod in _pods(model=S3 | {"cache": {"claim": "bundles"} | size}):
            (fetch,), (model,) = pod["initContainers"], pod["containers"]
            assert {"name": "cache", "mountPath": "/var/cache/serin"} in fetch["volumeMounts"]
            assert {"name": "SERIN_CACHE_DIR", "value": "/var/cache/serin"} in fetch["env"]
            assert {"name": "SERIN_CACHE_GIBIBYTES", "value": said} in fetch["env"]
            assert "cache" not in str(model)
            assert {"name": "cache", "persistentVolumeClaim": {"claimName": "bundles"}} in pod["volumes"]
            manifest = {"kind": "Pod", "metadata": {"name": "p"}, "spec": pod | {"terminationGracePeriodSeconds": 60}}
            assert hardening.objection(manifest) is None
    assert "cache" not in str(_pods(model=S3))


KEPT_IN = {
    "configMapName": {"configMap": {"name": "release", "defaultMode": 0o444}},
    "secretName": {"secret": {"secretName": "release", "defaultMode": 0o440}},
}


@pytest.mark.parametrize("uri", ["pvc://models/wine/1", "file:///bundles/wine", "s3://models/wine/1"])
@pytest.mark.parametrize("kind", KEPT_IN)
def test_every_container_has_the_keys_of_who_must_have_signed_read_only(uri: str, kind: str) -> None:
    for pod in _pods(model={"uri": uri, "signedBy": {kind: "release"}}):
        for container in [*pod.get("initContainers", ()), *pod["containers"]]:
            assert {"name": "signers", "mountPath": "/etc/serin/signers", "readOnly": True} in container["volumeMounts"]
            assert {"name": "SERIN_SIGNERS_DIR", "value": "/etc/serin/signers"} in container["env"]
        assert {"name": "signers", **KEPT_IN[kind]} in pod["volumes"]
        manifest = {"kind": "Pod", "metadata": {"name": "p"}, "spec": pod | {"terminationGracePeriodSeconds": 60}}
        assert hardening.objection(manifest) is None


def test_where_nobody_must_have_signed_no_container_hears_of_it() -> None:
    for pod in _pods(model=S3):
        assert "signers" not in str(pod).lower()


@pytest.mark.parametrize("pod", [0, 1])
def test_a_pod_that_fetches_is_as_hardened_as_any(pod: int) -> None:
    spec = _pods(model=S3)[pod] | {"terminationGracePeriodSeconds": 60}
    manifest = {"kind": "Pod", "metadata": {"name": "p"}, "spec": spec}
    assert hardening.objection(manifest) is None
    del spec["initContainers"][0]["securityContext"]["capabilities"]
    assert hardening.objection(manifest) is not None


def test_the_digest_is_insisted_on_where_it_is_known() -> None:
    pinned = {"name": "SERIN_BUNDLE_DIGEST", "value": DIGEST}
    resolve, serve = _pods(model=S3)
    assert pinned not in resolve["initContainers"][0]["env"]
    assert pinned in serve["initContainers"][0]["env"]
    assert pinned in _pods(model=S3 | {"digest": DIGEST})[0]["initContainers"][0]["env"]

"""What the operator's account may do on a real API server, right by right, and what it may not."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.api_server import ApiServer, find_program
from tests.support.chart import NAMESPACE, render

from serin_operator.main import LEASE_NAME, WATCHED
from serin_operator.runtime.resources import Resource

pytestmark = pytest.mark.cluster

OPERATOR = f"system:serviceaccount:{NAMESPACE}:serin"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
ELSEWHERE = "models"
SERIN = "serin.dev"
GATEWAY = "gateway.networking.k8s.io"
LEASES = "coordination.k8s.io"

READ = ("get", "list", "watch")
WRITE = ("create", "patch", "delete")

NEEDED = [
    (SERIN, "modeldeployments", READ),
    (SERIN, "modeldeployments/status", ("patch",)),
    (SERIN, "modeldeployments/finalizers", ("update",)),
    (SERIN, "modelrevisions", (*READ, *WRITE)),
    (SERIN, "modelrevisions/status", ("patch",)),
    ("apps", "deployments", (*READ, *WRITE)),
    ("", "services", ("get", "list", *WRITE)),
    ("", "configmaps", ("get", "list", *WRITE)),
    ("", "secrets", ("create", "patch")),
    ("policy", "poddisruptionbudgets", ("get", "list", *WRITE)),
    ("autoscaling", "horizontalpodautoscalers", ("get", "list", *WRITE)),
    ("", "pods", (*READ, *WRITE)),
    ("discovery.k8s.io", "endpointslices", READ),
    (GATEWAY, "httproutes", (*READ, *WRITE)),
    (GATEWAY, "gateways", ("get",)),
    ("events.k8s.io", "events", ("create",)),
]

DENIED = [
    (SERIN, "modeldeployments", ("create", "update", "patch", "delete", "deletecollection")),
    (SERIN, "modelrevisions", ("update", "deletecollection")),
    ("", "secrets", (*READ, "update", "delete", "deletecollection")),
    ("", "configmaps", ("watch", "update", "deletecollection")),
    ("", "pods", ("update", "deletecollection")),
    ("", "pods/exec", ("get", "create")),
    ("", "pods/attach", ("get", "create")),
    ("", "pods/portforward", ("get", "create")),
    ("", "pods/log", ("get",)),
    ("", "pods/ephemeralcontainers", ("update", "patch")),
    ("", "pods/eviction", ("create",)),
    ("", "pods/binding", ("create",)),
    ("", "services/proxy", ("get", "create")),
    ("", "nodes", (*READ, "update", "patch", "delete")),
    ("", "nodes/proxy", ("get", "create")),
    ("", "namespaces", (*READ, "create", "delete")),
    ("", "persistentvolumes", READ),
    ("", "persistentvolumeclaims", ("create", "delete")),
    ("", "serviceaccounts", ("create", "impersonate")),
    ("", "serviceaccounts/token", ("create",)),
    ("", "users", ("impersonate",)),
    ("", "groups", ("impersonate",)),
    ("apps", "deployments", ("update", "deletecollection")),
    ("apps", "daemonsets", ("create", "patch")),
    ("apps", "statefulsets", ("create", "patch")),
    ("batch", "jobs", ("create", "patch")),
    (GATEWAY, "gateways", ("list", "watch", "create", "update", "patch", "delete")),
    ("events.k8s.io", "events", (*READ, "patch", "delete")),
    (GATEWAY, "gatewayclasses", ("create", "patch")),
    ("discovery.k8s.io", "endpointslices", ("create", "update", "patch", "delete")),
    ("apiextensions.k8s.io", "customresourcedefinitions", (*READ, "create", "update", "patch", "delete")),
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations", (*READ, "create", "patch")),
    ("admissionregistration.k8s.io", "mutatingwebhookconfigurations", (*READ, "create", "patch")),
    ("rbac.authorization.k8s.io", "roles", (*READ, "create", "patch", "escalate", "bind")),
    ("rbac.authorization.k8s.io", "clusterroles", (*READ, "create", "patch", "escalate", "bind")),
    ("rbac.authorization.k8s.io", "rolebindings", ("create", "patch")),
    ("rbac.authorization.k8s.io", "clusterrolebindings", ("create", "patch")),
    ("certificates.k8s.io", "certificatesigningrequests", ("create",)),
    ("coordination.k8s.io", "leases", (*READ, "create", "update", "patch", "delete")),
    ("*", "*", ("*",)),
]


def each(table: list[tuple[str, str, tuple[str, ...]]]) -> list[tuple[str, str, str]]:
    return [(group, resource, verb) for group, resource, verbs in table for verb in verbs]


def allowed(
    server: ApiServer, user: str, verb: str, group: str, resource: str, namespace: str = ELSEWHERE, name: str = ""
) -> bool:
    """Ask the API server, as the user, whether it would let them."""
    plural, _, part = resource.partition("/")
    question = {
        "namespace": namespace,
        "verb": verb,
        "group": group,
        "resource": plural,
        "subresource": part,
        "name": name,
    }
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": question},
    }
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    answer = server.request("POST", path, body, user=user)
    assert answer.ok, answer.message
    found: bool = answer.body["status"]["allowed"]
    return found


@pytest.fixture(scope="module")
def server(served: ApiServer) -> ApiServer:
    """The server with the roles as the chart makes them."""
    if find_program("helm") is None:
        pytest.skip("helm is not installed; `serin cluster up` builds it")
    for name in (NAMESPACE, ELSEWHERE):
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        assert served.apply(f"/api/v1/namespaces/{name}", namespace).ok
    for manifest in render("crds.install=false"):
        plural = f"{manifest['kind'].lower()}s"
        if not manifest["apiVersion"].startswith("rbac"):
            continue
        scope = f"/namespaces/{NAMESPACE}" if "namespace" in manifest["metadata"] else ""
        answer = served.apply(f"{RBAC}{scope}/{plural}/{manifest['metadata']['name']}", manifest)
        assert answer.ok, answer.message
    return served


@pytest.mark.parametrize(("group", "resource", "verb"), each(NEEDED))
def test_the_operator_may(server: ApiServer, group: str, resource: str, verb: str) -> None:
    assert allowed(server, OPERATOR, verb, group, resource)
    assert allowed(server, OPERATOR, verb, group, resource, namespace=""), "it serves every namespace"


@pytest.mark.parametrize("resource", WATCHED, ids=lambda resource: resource.plural)
def test_the_operator_may_watch_what_it_watches(server: ApiServer, resource: Resource) -> None:
    group = resource.api_version.rpartition("/")[0]
    for verb in ("list", "watch"):
        assert allowed(server, OPERATOR, verb, group, resource.plural, namespace="")


@pytest.mark.parametrize(("group", "resource", "verb"), each(DENIED))
def test_the_operator_may_not(server: ApiServer, group: str, resource: str, verb: str) -> None:
    assert not allowed(server, OPERATOR, verb, group, resource)
    assert not allowed(server, OPERATOR, verb, group, resource, namespace="")


def rights(server: ApiServer, user: str) -> set[tuple[str, str, str]]:
    """Everything that the API server would let the user do in a namespace of models."""
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": ELSEWHERE},
    }
    path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
    rules = server.request("POST", path, body, user=user).body["status"]["resourceRules"]
    return {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_the_operator_may_do_nothing_beyond_the_table(server: ApiServer) -> None:
    everyone = rights(server, f"system:serviceaccount:{ELSEWHERE}:nobody")
    assert rights(server, OPERATOR) - everyone == set(each(NEEDED))


def lease_verbs(server: ApiServer, name: str) -> list[str]:
    """What the operator may do with the Lease of that name in its own namespace."""
    verbs = ("get", "create", "update", "patch", "delete")
    return [verb for verb in verbs if allowed(server, OPERATOR, verb, LEASES, "leases", NAMESPACE, name)]


def test_the_operator_keeps_its_own_lease_and_no_other(server: ApiServer) -> None:
    assert lease_verbs(server, LEASE_NAME) == ["get", "create", "update"]
    # Creation is asked for without a name, so RBAC cannot bind it to one.
    assert lease_verbs(server, "kube-controller-manager") == ["create"]


def test_the_operator_writes_secrets_that_it_cannot_read(server: ApiServer) -> None:
    path = f"/api/v1/namespaces/{ELSEWHERE}/secrets/wine-keys"
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "wine-keys"}, "stringData": {"k": "v"}}
    assert server.apply(path, secret, user=OPERATOR).ok
    refused = server.request("GET", path, user=OPERATOR)
    assert refused.status == 403
    assert "cannot get resource" in refused.message


def test_the_operator_finds_the_kinds_by_discovery(server: ApiServer) -> None:
    answer = server.request("GET", "/apis/serin.dev/v1alpha1", user=OPERATOR)
    assert answer.ok, answer.message


def aggregated(server: ApiServer, role: str) -> dict[str, Any]:
    return server.request("GET", f"{RBAC}/clusterroles/{role}").body


@pytest.mark.parametrize(
    ("role", "label"),
    [("serin-view", "view"), ("serin-edit", "edit"), ("serin-edit", "admin")],
)
def test_people_get_their_rights_by_the_built_in_roles(server: ApiServer, role: str, label: str) -> None:
    labels = aggregated(server, role)["metadata"]["labels"]
    assert labels[f"rbac.authorization.k8s.io/aggregate-to-{label}"] == "true"


def test_people_cannot_forge_a_revision(server: ApiServer) -> None:
    resources = [rule["resources"] for rule in aggregated(server, "serin-edit")["rules"]]
    assert resources == [["modeldeployments"]]

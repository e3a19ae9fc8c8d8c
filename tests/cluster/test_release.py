"""A release through its life on a real API server: what upgrades, uninstalls and new installs leave alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.cluster.conftest import CRD_PATH
from tests.support.api_server import ApiServer, find_program
from tests.support.chart import CHART, NAMESPACE, release, render

pytestmark = pytest.mark.cluster

MASTER = f"/api/v1/namespaces/{NAMESPACE}/secrets/serin-master"
OPERATOR = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/serin"


@pytest.fixture
def installed(empty_server: ApiServer) -> Iterator[ApiServer]:
    """The server with the chart installed; what stays behind is the next test's to find."""
    if find_program("helm") is None:
        pytest.skip("helm is not installed; `serin cluster up` builds it")
    release(empty_server.kubeconfig, "install", str(CHART), "--create-namespace")
    yield empty_server
    release(empty_server.kubeconfig, "uninstall", "--ignore-not-found")


def _master(server: ApiServer) -> dict[str, str]:
    found: dict[str, str] = server.request("GET", MASTER).body["data"]
    return found


def test_an_upgrade_keeps_the_master_key(installed: ApiServer) -> None:
    before = _master(installed)
    release(installed.kubeconfig, "upgrade", str(CHART), "--set-json", "operator.workers=8")
    assert _master(installed) == before


def test_an_upgrade_keeps_a_key_that_a_person_added(installed: ApiServer) -> None:
    second = {"data": {"k2": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="}}
    merge = "application/merge-patch+json"
    assert installed.request("PATCH", MASTER, second, content_type=merge).ok
    release(installed.kubeconfig, "upgrade", str(CHART))
    assert _master(installed).keys() == {"k1", "k2"}


def test_an_uninstall_leaves_the_kinds_and_the_key_for_the_next_install(installed: ApiServer) -> None:
    before = _master(installed)
    release(installed.kubeconfig, "uninstall")
    assert installed.request("GET", OPERATOR).status == 404
    assert installed.request("GET", f"{CRD_PATH}/modeldeployments.serin.dev").ok
    assert _master(installed) == before
    release(installed.kubeconfig, "install", str(CHART))
    assert installed.request("GET", OPERATOR).ok
    assert _master(installed) == before


def test_the_pod_is_admitted_where_the_restricted_standard_is_enforced(installed: ApiServer) -> None:
    name = "restricted"
    labels = {"pod-security.kubernetes.io/enforce": name}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    assert installed.apply(f"/api/v1/namespaces/{name}", namespace).ok
    (template,) = (item["spec"]["template"] for item in render() if item["kind"] == "Deployment")
    pod: dict[str, Any] = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "serin"}, **template}
    pod["metadata"] = {**template["metadata"], "name": "serin"}
    path = f"/api/v1/namespaces/{name}/pods?dryRun=All&fieldValidation=Strict"
    assert installed.request("POST", path, pod).ok
    pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
    assert installed.request("POST", path, pod).status == 403

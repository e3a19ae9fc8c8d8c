"""Flagger's own manifests, and what is changed in them to run it here."""

import pytest

from serin_cli.cluster import flagger
from serin_cli.cluster.program_images import TAGS

ACCOUNT = """
{apiVersion: v1, kind: ServiceAccount, metadata: {name: flagger, namespace: default}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: flagger}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: flagger}
subjects: [{kind: ServiceAccount, name: flagger, namespace: default}]
"""
DEPLOYMENT = f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: flagger, namespace: default}}
spec:
  template:
    spec:
      containers:
      - name: flagger
        image: {TAGS["flagger"]}
        ports: [{{name: http, containerPort: 8080}}]
        command: [./flagger, -log-level=info]
        livenessProbe: {{exec: {{command: [wget]}}}}
        readinessProbe: {{exec: {{command: [wget]}}}}
"""
CRD = "{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: canaries.flagger.app}}"


@pytest.fixture
def objects(tmp_path):
    for name, text in [("account", ACCOUNT), ("deployment", DEPLOYMENT), ("crd", CRD)]:
        (tmp_path / f"{name}.yaml").write_text(text)
    return {each["kind"]: each for each in flagger.objects(tmp_path, "http://192.0.2.2:9090")}


def test_all_that_has_a_namespace_has_flaggers_own(objects):
    assert objects["Namespace"]["metadata"]["name"] == flagger.NAMESPACE
    assert objects["ServiceAccount"]["metadata"]["namespace"] == flagger.NAMESPACE
    assert objects["Deployment"]["metadata"]["namespace"] == flagger.NAMESPACE
    assert "namespace" not in objects["CustomResourceDefinition"]["metadata"]


def test_its_rights_go_to_the_account_where_it_is(objects):
    (subject,) = objects["ClusterRoleBinding"]["subjects"]
    assert subject == {"kind": "ServiceAccount", "name": "flagger", "namespace": flagger.NAMESPACE}


def test_it_moves_http_routes_by_the_figures_of_the_prometheus_named(objects):
    (container,) = objects["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert container["command"][0] == "/flagger"
    assert {"-mesh-provider=gatewayapi:v1", "-metrics-server=http://192.0.2.2:9090"} < set(container["command"])


@pytest.mark.parametrize("probe", ["livenessProbe", "readinessProbe"])
def test_its_health_is_asked_for_without_a_program_in_its_image(objects, probe):
    (container,) = objects["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert "exec" not in container[probe]
    assert container[probe]["httpGet"] == {"path": "/healthz", "port": "http"}

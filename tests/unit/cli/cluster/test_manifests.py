"""What the manifests repeat of the program, they must repeat right."""

from pathlib import Path

import pytest
import yaml

from serin_cli.cluster import addresses
from serin_cli.cluster.gateway import MANIFESTS
from serin_cli.cluster.metrics import API_SERVICE
from serin_cli.cluster.others import KIND_GATEWAY_PORT
from serin_cli.cluster.program_images import TAGS

ROOT = Path(__file__).resolve().parents[4]


def objects(name):
    documents = yaml.safe_load_all((MANIFESTS / name).read_text())
    return {(document["kind"], document["metadata"]["name"]): document for document in documents}


@pytest.fixture(scope="module")
def gateway():
    return objects("gateway.yaml")


@pytest.fixture(scope="module")
def dns():
    return objects("dns.yaml")


@pytest.fixture(scope="module")
def metrics():
    return objects("metrics.yaml")


def test_listener_entry_point_and_service_have_one_port(gateway):
    (listener,) = gateway["Gateway", "public"]["spec"]["listeners"]
    (port,) = gateway["Service", "traefik"]["spec"]["ports"]
    (container,) = gateway["Deployment", "traefik"]["spec"]["template"]["spec"]["containers"]
    assert listener["port"] == port["port"] == addresses.GATEWAY_PORT
    assert f"--entrypoints.web.address=:{addresses.GATEWAY_PORT}" in container["args"]


def test_the_forwarded_node_port_is_the_services(gateway):
    (port,) = gateway["Service", "traefik"]["spec"]["ports"]
    assert port["nodePort"] == addresses.GATEWAY_NODE_PORT


def test_kind_maps_the_same_node_port():
    config = yaml.safe_load((ROOT / "kind-config.yaml").read_text())
    (mapping,) = config["nodes"][0]["extraPortMappings"]
    assert mapping["containerPort"] == addresses.GATEWAY_NODE_PORT
    assert mapping["hostPort"] == KIND_GATEWAY_PORT
    assert mapping["listenAddress"] == "127.0.0.1"


def test_the_name_server_has_the_address_that_pods_ask(dns):
    assert dns["Service", "kube-dns"]["spec"]["clusterIP"] == addresses.DNS_SERVICE


@pytest.mark.parametrize(
    ("manifest", "program"), [("gateway", "traefik"), ("dns", "coredns"), ("metrics", "metrics-server")]
)
def test_pods_run_the_images_that_are_built_and_are_restricted(request, manifest, program):
    pod = request.getfixturevalue(manifest)["Deployment", program]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["image"] == TAGS[program]
    assert container["imagePullPolicy"] == "IfNotPresent"
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_the_metrics_api_that_is_waited_for_is_the_one_that_is_served(metrics):
    service = metrics["APIService", API_SERVICE.partition("/")[2]]["spec"]["service"]
    assert metrics["Service", service["name"]]["metadata"]["namespace"] == service["namespace"]


def test_routes_of_every_namespace_may_join_the_gateway(gateway):
    (listener,) = gateway["Gateway", "public"]["spec"]["listeners"]
    assert listener["allowedRoutes"] == {"namespaces": {"from": "All"}}

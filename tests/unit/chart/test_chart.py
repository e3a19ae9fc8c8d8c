"""What the chart makes of its values."""

from __future__ import annotations

import base64
import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support import chart
from tests.support.chart import CHART, NAMESPACE, RenderError, helm, rendered_text

from serin_operator.settings import read

ROOT = Path(__file__).parents[3]

Json = dict[str, Any]


def of_kind(manifests: list[Json], kind: str) -> list[Json]:
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def the(manifests: list[Json], kind: str) -> Json:
    (found,) = of_kind(manifests, kind)
    return found


def pod_of(manifests: list[Json]) -> Json:
    spec: Json = the(manifests, "Deployment")["spec"]["template"]["spec"]
    return spec


def environment(manifests: list[Json]) -> Json:
    return {entry["name"]: entry.get("value") for entry in pod_of(manifests)["containers"][0]["env"]}


def render(*settings: str) -> list[Json]:
    """Without the CRDs, which are nine tenths of the chart and the same whatever is set."""
    return chart.render("crds.install=false", *settings)


@pytest.fixture(scope="module")
def manifests() -> list[Json]:
    return chart.render()


def test_lints_without_a_complaint():
    text = helm("lint", "--strict", str(CHART))
    assert "0 chart(s) failed" in text
    assert "[WARNING]" not in text
    assert "[ERROR]" not in text


def test_installs_the_crds_and_leaves_them_behind(manifests: list[Json]) -> None:
    found = {crd["metadata"]["name"]: crd for crd in of_kind(manifests, "CustomResourceDefinition")}
    for path in (ROOT / "crds").glob("*.yaml"):
        written = yaml.load(path.read_text(), yaml.CSafeLoader)
        crd = found.pop(written["metadata"]["name"])
        assert crd["spec"] == written["spec"]
        assert crd["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert not found


def test_leaves_the_crds_to_others():
    assert not of_kind(render(), "CustomResourceDefinition")


def test_makes_a_master_key_and_leaves_it_behind(manifests: list[Json]) -> None:
    secret = the(manifests, "Secret")
    assert secret["metadata"]["name"] == "serin-master"
    assert secret["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert {name: len(base64.b64decode(key)) for name, key in secret["data"].items()} == {"k1": 32}


def test_makes_another_master_key_for_another_release():
    one, two = (the(render(), "Secret")["data"]["k1"] for _ in range(2))
    assert one != two


def test_mounts_a_secret_of_the_users_own_instead():
    manifests = render('masterKey.existingSecret="mine"')
    assert not of_kind(manifests, "Secret")
    volumes = {volume["name"]: volume for volume in pod_of(manifests)["volumes"]}
    assert volumes["master"]["secret"]["secretName"] == "mine"


def test_mounts_the_master_key_for_the_operator_alone(manifests: list[Json]) -> None:
    pod = pod_of(manifests)
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert volumes["master"]["secret"] == {"secretName": "serin-master", "defaultMode": 0o440}
    mounts = {mount["name"]: mount for mount in pod["containers"][0]["volumeMounts"]}
    assert mounts["master"] == {"name": "master", "mountPath": "/etc/serin/master", "readOnly": True}
    assert environment(manifests)["SERIN_MASTER_KEYS_DIR"] == "/etc/serin/master"


def test_keeps_to_the_restricted_pod_security_standard(manifests: list[Json]) -> None:
    pod = pod_of(manifests)
    (container,) = pod["containers"]
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "fsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & pod.keys()
    assert {next(iter(volume.keys() - {"name"})) for volume in pod["volumes"]} == {"secret", "emptyDir"}


def test_probes_the_operators_own_port(manifests: list[Json]) -> None:
    (container,) = pod_of(manifests)["containers"]
    assert container["ports"] == [{"name": "http", "containerPort": 8080}]
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}


def test_passes_settings_by_the_environment():
    found = environment(
        render("operator.pollSeconds=0.5", 'operator.log={"format":"text","level":"DEBUG"}', "operator.workers=8")
    )
    assert found["SERIN_POLL_SECONDS"] == "0.5"
    assert found["SERIN_RESYNC_SECONDS"] == "300"
    assert found["SERIN_WORKERS"] == "8"
    assert found["SERIN_LOG_FORMAT"] == "text"
    assert found["SERIN_LOG_LEVEL"] == "DEBUG"


def test_images_are_named_by_tag_and_rather_by_digest(manifests: list[Json]) -> None:
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
    assert pod_of(manifests)["containers"][0]["image"] == f"serin-operator:{version}"
    digest = "sha256:" + "ab" * 32
    pinned = render(f'image={{"digest":"{digest}","tag":"9"}}')
    assert pod_of(pinned)["containers"][0]["image"] == f"serin-operator@{digest}"


def test_names_the_image_of_the_model_server(manifests: list[Json]) -> None:
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
    assert environment(manifests)["SERIN_SERVING_IMAGE"] == f"serin-serving:{version}"
    assert environment(render('serving.image="mine:1"'))["SERIN_SERVING_IMAGE"] == "mine:1"


def test_the_selector_names_nothing_that_an_upgrade_changes(manifests: list[Json]) -> None:
    deployment = the(manifests, "Deployment")
    assert deployment["spec"]["selector"]["matchLabels"] == {
        "app.kubernetes.io/name": "serin",
        "app.kubernetes.io/instance": "serin",
    }


def test_offers_metrics_and_a_disruption_budget_as_asked(manifests: list[Json]) -> None:
    assert the(manifests, "Service")["spec"]["ports"] == [{"name": "http", "port": 8080, "targetPort": "http"}]
    assert not of_kind(manifests, "PodDisruptionBudget")
    assert not of_kind(render("metrics.service.enabled=false"), "Service")
    budget = the(render("podDisruptionBudget.enabled=true", "replicas=2"), "PodDisruptionBudget")
    assert budget["spec"]["maxUnavailable"] == 1


def test_uses_an_account_that_is_there():
    manifests = render('serviceAccount={"create":false,"name":"mine"}')
    assert not of_kind(manifests, "ServiceAccount")
    assert pod_of(manifests)["serviceAccountName"] == "mine"
    for binding in (*of_kind(manifests, "ClusterRoleBinding"), *of_kind(manifests, "RoleBinding")):
        assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "mine", "namespace": NAMESPACE}]


def test_every_namespaced_object_names_its_namespace(manifests: list[Json]) -> None:
    for manifest in manifests:
        cluster_wide = manifest["kind"].startswith(("Cluster", "CustomResource"))
        assert manifest["metadata"].get("namespace") == (None if cluster_wide else NAMESPACE), manifest["kind"]


def test_no_role_has_a_wildcard_and_secrets_are_written_only(manifests: list[Json]) -> None:
    rules = [rule for kind in ("ClusterRole", "Role") for role in of_kind(manifests, kind) for rule in role["rules"]]
    assert rules
    for rule in rules:
        assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
        if "secrets" in rule["resources"]:
            assert rule["verbs"] == ["create", "patch"]


def test_every_rule_of_the_operator_has_its_reason_above_it():
    lines = (CHART / "templates" / "rbac.yaml").read_text().splitlines()
    role = lines[: lines.index("kind: ClusterRoleBinding")]
    starts = [number for number, line in enumerate(role) if line.startswith("  - apiGroups:")]
    assert len(starts) > 10
    for number in starts:
        assert role[number - 1].strip().startswith("# "), role[number + 1]


def test_all_of_the_values_are_described_by_the_schema():
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())

    def missing(node: Any, described: Json, path: str) -> list[str]:
        if not isinstance(node, dict) or "properties" not in described:
            return []
        found = [f"{path}{name}" for name in node.keys() - described["properties"].keys()]
        for name in node.keys() & described["properties"].keys():
            found += missing(node[name], described["properties"][name], f"{path}{name}.")
        return found

    assert missing(values, schema, "") == []
    assert schema["properties"].keys() - values.keys() == {"global"}


def test_all_of_the_values_have_a_comment():
    lines = (CHART / "values.yaml").read_text().splitlines()
    below_comment = [line for before, line in pairwise(lines) if before.strip() and not before.startswith("#")]
    uncommented = [line for line in below_comment if re.match(r"^[a-zA-Z]+:", line)]
    # A group of neighbours shares the comment above its first.
    assert {line.split(":")[0] for line in uncommented} <= {
        "fullnameOverride", "podAnnotations", "nodeSelector", "tolerations", "affinity",
        "topologySpreadConstraints", "priorityClassName",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ('masterKey.keyid="k2"', "keyid"),
        ("operator.pollSeconds=0.1", "pollSeconds"),
        ('operator.log.format="yaml"', "format"),
        ('image.digest="sha256:1"', "digest"),
        ("replicas=9", "replicas"),
        ('masterKey.keyId="../k"', "keyId"),
        ("serviceAccount.create=false", "serviceAccount.name is needed"),
    ],
)
def test_refuses_values_that_cannot_work(setting: str, words: str) -> None:
    with pytest.raises(RenderError, match=re.escape(words)):
        render(setting)


def test_the_notes_name_the_next_command():
    text = (CHART / "templates" / "NOTES.txt").read_text()
    assert "rollout status deployment/" in text
    assert "kubectl explain mdep.spec" in text


def test_no_template_leaves_a_hole():
    assert "<no value>" not in rendered_text()
    assert "<nil>" not in rendered_text("podLabels={}")


def test_sources_of_custom_gates_are_off_until_they_are_named(manifests: list[Json]) -> None:
    names = ("SERIN_PROMETHEUS_URL", "SERIN_CUSTOM_HOSTS", "SERIN_CUSTOM_RANGES")
    assert not set(names) & set(environment(manifests))
    said = environment(
        render(
            'customGates.prometheusUrl="http://prometheus.monitoring.svc:9090"',
            'customGates.hosts=["orders.shop.svc:8080","json.example.com"]',
            'customGates.allowedRanges=["127.0.0.0/8"]',
        )
    )
    assert [said[name] for name in names] == [
        "http://prometheus.monitoring.svc:9090", "orders.shop.svc:8080,json.example.com", "127.0.0.0/8",
    ]  # fmt: skip
    for wrong in (
        'prometheusUrl="prometheus:9090"',
        'hosts=["https://json.example.com"]',
        'allowedRanges=["localhost"]',
    ):
        with pytest.raises(RenderError):
            render(f"customGates.{wrong}")


def test_addresses_of_gateways_are_handed_on_as_the_operator_reads_them(manifests: list[Json]) -> None:
    assert "SERIN_GATEWAY_ADDRESSES" not in environment(manifests)
    addresses = {"infra/public": "http://traefik.infra.svc:80"}
    said = environment(render(f"gateway.addresses={json.dumps(addresses)}"))["SERIN_GATEWAY_ADDRESSES"]
    assert json.loads(said) == addresses
    with pytest.raises(RenderError):
        render('gateway.addresses={"public": "traefik"}')


def records_of(manifests: list[Json]) -> tuple[Json, Json]:
    """The volume of the records and its mount."""
    pod = pod_of(manifests)
    (volume,) = [one for one in pod["volumes"] if one["name"] == "records"]
    (mount,) = [one for one in pod["containers"][0]["volumeMounts"] if one["name"] == "records"]
    return volume, mount


def test_records_nothing_unless_asked(manifests: list[Json]) -> None:
    assert "SERIN_RECORD_DIR" not in environment(manifests)
    assert "records" not in {volume["name"] for volume in pod_of(manifests)["volumes"]}


def test_records_into_a_volume_that_holds_more_than_the_operator_keeps() -> None:
    manifests = render("operator.record.enabled=true", "operator.record.mebibytes=100")
    volume, mount = records_of(manifests)
    settings = read({name: value or "of the pod" for name, value in environment(manifests).items()})
    assert str(settings.record_dir) == mount["mountPath"]
    assert settings.record_mebibytes == 100
    assert volume["emptyDir"] == {"sizeLimit": "164Mi"}


def test_records_into_a_claim_of_the_users_own() -> None:
    volume, _ = records_of(render("operator.record.enabled=true", 'operator.record.existingClaim="mine"'))
    assert volume == {"name": "records", "persistentVolumeClaim": {"claimName": "mine"}}


def test_a_bound_of_nothing_for_the_records_is_refused() -> None:
    with pytest.raises(RenderError, match="mebibytes"):
        render("operator.record.enabled=true", "operator.record.mebibytes=0")


def test_bundles_come_from_public_addresses_until_ranges_are_named(manifests: list[Json]) -> None:
    assert "SERIN_ARTEFACT_RANGES" not in environment(manifests)
    said = environment(render('artefacts.allowedRanges=["10.96.0.0/12","fd00::/8"]'))
    assert said["SERIN_ARTEFACT_RANGES"] == "10.96.0.0/12,fd00::/8"
    with pytest.raises(RenderError):
        render('artefacts.allowedRanges=["minio"]')

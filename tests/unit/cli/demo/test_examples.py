"""The manifests in examples/ are valid, and the demo changes in them what it says."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from serin_cli.cluster.errors import ClusterError
from serin_cli.demo import kube, storage, story
from serin_cli.demo.storage import Place
from serin_cli.drift import KEYS_FILE, drift
from serin_cli.package import package
from serin_contract import labels
from serin_contract.http import FEEDBACK_PATH, INFERENCE_PORT, STATS_PORT
from serin_operator.api.crdgen import KINDS
from serin_operator.api.deployment import ModelDeploymentSpec
from serin_operator.decide import identity, templates
from serin_operator.observe import custom_query
from serin_operator.observe.custom_query import Parameters

ROOT = Path(__file__).parents[4]
EXAMPLES = ROOT / "examples"
FILES = sorted(EXAMPLES.glob("*.yaml"))

OF_OTHERS = {
    ("v1", "Namespace"),
    ("v1", "Service"),
    ("v1", "PersistentVolume"),
    ("v1", "PersistentVolumeClaim"),
    ("batch/v1", "Job"),
    ("gateway.networking.k8s.io/v1", "HTTPRoute"),
}
"""Kinds that are not Serin's own and that an example may hold."""


def documents(file: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((EXAMPLES / file).read_text()))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_document_of_every_file_is_one_that_the_api_server_knows(file: Path) -> None:
    own = {(labels.API_VERSION, kind.name): kind.model for kind in KINDS}
    for document in documents(file.name):
        known = (document["apiVersion"], document["kind"])
        assert document["metadata"]["name"]
        if known not in OF_OTHERS:
            read = own[known].model_validate({"spec": document["spec"]})
            # The API server drops a field that it does not know, and so does the model.
            assert read.model_dump(mode="json", by_alias=True, exclude_unset=True) == {"spec": document["spec"]}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_value_of_the_chart_that_a_comment_names_is_one_of_its_values(file: Path) -> None:
    values = yaml.safe_load((ROOT / "charts" / "serin" / "values.yaml").read_text())
    for name in re.findall(r"`([\w.]+)` in the chart's values", " ".join(file.read_text().replace("#", " ").split())):
        found: Any = values
        for part in name.split("."):
            assert part in found, f"{file.name} names {name}, and the chart has no such value"
            found = found[part]


def test_deployment_is_valid_and_gated() -> None:
    (manifest,) = documents(story.MANIFEST)
    spec = ModelDeploymentSpec.model_validate(manifest["spec"])
    assert (manifest["metadata"]["name"], manifest["metadata"]["namespace"]) == (kube.NAME, kube.NAMESPACE)
    assert spec.traffic.hostnames == (story.HOST,)
    assert spec.gates is not None
    assert spec.gates.accuracy is not None
    assert spec.gates.error_rate is not None


def test_the_guarded_example_names_every_gate_of_a_classifier() -> None:
    (manifest,) = documents("guarded.yaml")
    spec = ModelDeploymentSpec.model_validate(manifest["spec"])
    assert spec.gates is not None
    left_out = {name for name, gate in spec.gates if gate is None}
    assert left_out == {"regression_error"}, "a model answers classes or numbers, not both"
    assert spec.watch is not None
    assert spec.watch.for_ == "72h"


def test_the_query_of_the_guarded_example_is_one_that_the_operator_asks() -> None:
    (manifest,) = documents("guarded.yaml")
    (gate,) = manifest["spec"]["gates"]["custom"]
    query = custom_query.query_of(gate["query"], Parameters("wine", "shop", "wine-b", "wine-a", "wine-b.1.c"))
    assert 'namespace="shop", revision="wine-b"' in query


def test_versions_differ_in_one_line() -> None:
    text = (EXAMPLES / story.MANIFEST).read_text()
    assert text.count(story.FIRST_URI) == 1


def test_feedback_goes_to_the_deployment_by_its_host_name() -> None:
    (route,) = documents("feedback-route.yaml")
    (rule,) = route["spec"]["rules"]
    (deployment,) = documents(story.MANIFEST)
    assert rule["matches"] == [{"method": "POST", "path": {"type": "Exact", "value": FEEDBACK_PATH}}]
    assert rule["backendRefs"] == [{"name": kube.NAME, "port": INFERENCE_PORT}]
    assert route["spec"]["hostnames"] == deployment["spec"]["traffic"]["hostnames"]
    assert route["spec"]["parentRefs"] == deployment["spec"]["traffic"]["parentRefs"]


def test_volume_gets_the_directory_of_the_cluster(tmp_path: Path) -> None:
    text = storage.manifest((EXAMPLES / "storage.yaml").read_text(), Place(tmp_path, "/on/the/node"))
    volume, claim = yaml.safe_load_all(text)
    assert volume["spec"]["hostPath"]["path"] == "/on/the/node"
    assert volume["spec"]["claimRef"]["name"] == claim["metadata"]["name"] == "models"
    assert claim["spec"]["volumeName"] == volume["metadata"]["name"]


def test_volume_without_the_place_to_fill_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="does not name"):
        storage.manifest("kind: PersistentVolume", Place(tmp_path, "/on/the/node"))


JOBS = {"drift-job.yaml": drift, "drift-rows-job.yaml": drift, "prepare-job.yaml": package}


@pytest.mark.parametrize("file", JOBS)
def test_a_job_runs_a_command_that_exists_as_a_pod_of_the_strictest_profile(file: str) -> None:
    pod = documents(file)[-1]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    command = JOBS[file]
    assert container["command"][:3] == ["python", "-m", f"serin_cli.{command.name}"]
    _, _, named = command.make_parser(command.make_context("", [], resilient_parsing=True)).parse_args(
        container["command"][3:]
    )
    assert {parameter.name for parameter in command.params if parameter.required} <= {one.name for one in named}
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["automountServiceAccountToken"] is False
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}


def test_the_job_that_prepares_reads_and_writes_on_its_claim_and_loads_no_pickle_unasked() -> None:
    (job,) = documents("prepare-job.yaml")
    (container,) = job["spec"]["template"]["spec"]["containers"]
    (mount,) = container["volumeMounts"]
    assert not mount.get("readOnly"), "the bundle goes there"
    options = dict(word.removeprefix("--").split("=") for word in container["command"][3:])
    for path in ("model", "data", "out"):
        assert options[path].startswith(f"{mount['mountPath']}/")
    assert job["spec"]["template"]["spec"]["securityContext"]["fsGroup"] == templates.USER_ID
    assert "allow-pickle" not in options
    assert "limits" in container["resources"]


def test_the_image_of_an_extra_that_the_dockerfile_names_can_be_made() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = set(re.findall(r"EXTRA=([a-z-]+)", (ROOT / "serving" / "Dockerfile").read_text()))
    assert named >= {"serving", "serving-onnx", "prepare"}
    assert named <= extras.keys()
    made = re.search(r"for program in (.*); do", (ROOT / "Makefile").read_text())
    assert made is not None
    assert named <= set(made[1].split()), "`make dist` writes the requirements of each"


def test_the_job_that_compares_arms_reaches_the_pods_of_the_demo_and_holds_their_keys() -> None:
    service, job = documents("drift-rows-job.yaml")
    (deployment,) = documents(story.MANIFEST)
    name, pod = deployment["metadata"]["name"], job["spec"]["template"]["spec"]
    assert service["spec"]["clusterIP"] == "None", "every pod is asked, not one of them"
    assert service["spec"]["selector"].items() <= templates.pod_labels(name, "any", "serve").items()
    assert service["spec"]["ports"] == [{"name": "stats", "port": STATS_PORT}]
    assert service["metadata"]["name"] in pod["containers"][0]["command"]
    assert {made["metadata"]["namespace"] for made in (service, job)} == {deployment["metadata"]["namespace"]}
    (volume,) = pod["volumes"]
    assert volume["secret"]["secretName"] == identity.keys_name(name)
    assert pod["containers"][0]["volumeMounts"][0]["mountPath"] == labels.KEYS_MOUNT
    assert f"{labels.KEYS_MOUNT}/{labels.KEYS_FILE}" == KEYS_FILE, "where the command looks for them"

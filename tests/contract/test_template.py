"""What the operator's pod template promises, the real server keeps: environment, mounts, ports, probes, names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.contract.conftest import CANDIDATE, Arms
from tests.contract.observed import IMAGE, spec
from tests.support.bundles import digest
from tests.unit.serving.running import Case, Running

from serin_contract import labels, metrics
from serin_operator.api import durations
from serin_operator.api.deployment import Serving
from serin_operator.decide import templates
from serin_operator.observe import workloads
from serin_operator.runtime.metrics import Metrics
from serin_serving import settings
from serin_serving.drain import STATS_SECONDS_MAX

DIGEST = f"sha256:{'a' * 64}"
SERVER_METRICS = {value for name, value in vars(metrics).items() if name.startswith("SERVER_")}
OPERATOR_METRICS = {value for name, value in vars(metrics).items() if name.isupper()} - SERVER_METRICS


@pytest.fixture
def pod() -> dict[str, Any]:
    return templates.serving_template("wine", CANDIDATE, spec(), DIGEST, IMAGE)["spec"]


@pytest.fixture
def container(pod: dict[str, Any]) -> dict[str, Any]:
    return pod["containers"][0]


def environment(container: dict[str, Any]) -> dict[str, str]:
    """What the kubelet makes of the container's variables."""
    fields = {"metadata.uid": "uid-of-the-pod"}
    return {
        variable["name"]: variable.get("value") or fields[variable["valueFrom"]["fieldRef"]["fieldPath"]]
        for variable in container["env"]
    }


def test_the_server_reads_all_its_settings_from_the_template(container: dict[str, Any]) -> None:
    read = settings.from_env(environment(container))
    assert (read.deployment, read.revision, read.pod_uid) == ("wine", CANDIDATE, "uid-of-the-pod")
    assert read.bundle_digest == DIGEST
    assert read.drain_seconds == labels.DRAIN_SECONDS


def test_the_resolve_pod_needs_no_digest() -> None:
    container = templates.resolve_pod("default", "wine", CANDIDATE, spec(), IMAGE)["spec"]["containers"][0]
    env = environment(container)
    assert settings.pinned_digest(env, required=False) is None
    assert settings.bundle_dir(env) == Path("/mnt/model/wine/1")


def test_every_file_that_is_read_lies_in_a_mount(pod: dict[str, Any], container: dict[str, Any]) -> None:
    read = settings.from_env(environment(container))
    mounts = {Path(mount["mountPath"]): mount["name"] for mount in container["volumeMounts"]}
    assert read.stable_profile_file is not None
    for file in (read.keys_file, read.stable_profile_file, read.bundle_dir):
        assert mounts.keys() & {file, *file.parents}, f"{file} is in none of {sorted(mounts)}"
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    assert all(mount["readOnly"] for mount in container["volumeMounts"])


def test_the_server_listens_on_the_ports_that_the_template_names(container: dict[str, Any]) -> None:
    read = settings.from_env(environment(container))
    assert {port["name"]: port["containerPort"] for port in container["ports"]} == {
        "http": read.inference_port,
        "stats": read.stats_port,
    }


@pytest.mark.parametrize("probe", ["startupProbe", "readinessProbe", "livenessProbe"])
def test_the_server_answers_the_probe(arms: Arms, container: dict[str, Any], probe: str) -> None:
    asked = container[probe]["httpGet"]
    reply = arms.stable.call("GET", asked["path"], stats=asked["port"] == "stats")
    assert reply.status == 200


ENDINGS: list[dict[str, Any]] = [{}, {"drain": "9s"}, {"longestRequest": "2m"}, {"drain": "1s", "longestRequest": "1s"}]


@pytest.mark.parametrize("serving", ENDINGS, ids=str)
def test_the_grace_period_outlasts_what_the_server_waits_for(serving: dict[str, Any]) -> None:
    asked = spec().model_copy(update={"serving": Serving.model_validate(serving)})
    pod = templates.serving_template("wine", CANDIDATE, asked, DIGEST, IMAGE)["spec"]
    read = settings.from_env(environment(pod["containers"][0]))
    assert durations.text(read.drain_seconds) == serving.get("drain", "5s")
    assert durations.text(read.longest_request_seconds) == serving.get("longestRequest", "30s")
    waits = read.drain_seconds + read.longest_request_seconds + STATS_SECONDS_MAX
    assert pod["terminationGracePeriodSeconds"] > waits


def custom_template(**serving: Any) -> dict[str, Any]:
    """The template of a container of the user's own."""
    asked = spec(uri="image://registry.example.com/wine:7").model_copy(
        update={"serving": Serving.model_validate({"custom": {"readyPath": "/ready"}} | serving)}
    )
    return templates.serving_template("wine", CANDIDATE, asked, None, IMAGE)


@pytest.mark.parametrize("serving", ENDINGS, ids=str)
def test_a_container_of_the_users_own_serves_for_the_drain_and_then_has_as_long_as_it_is_told(
    serving: dict[str, Any],
) -> None:
    pod = custom_template(**serving)["spec"]
    (container,) = pod["containers"]
    slept = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    told = int(environment(container)[labels.ENV_LONGEST_REQUEST_SECONDS])
    assert (durations.text(slept), durations.text(told)) == (
        serving.get("drain", "5s"),
        serving.get("longestRequest", "30s"),
    )
    assert pod["terminationGracePeriodSeconds"] == slept + told + templates.GRACE_MARGIN_SECONDS


def test_the_operator_knows_the_pods_of_a_container_of_the_users_own_by_their_template() -> None:
    def counts(template: dict[str, Any]) -> bool:
        metadata = template["metadata"] | {"name": "p", "uid": "u", "creationTimestamp": "2027-01-15T07:59:50Z"}
        (pod,) = workloads.pods_of([{"metadata": metadata, "status": {}}], "uid-of-wine")
        return pod.facts.counts

    assert not counts(custom_template())
    assert counts(templates.serving_template("wine", CANDIDATE, spec(), DIGEST, IMAGE))


def test_the_server_keeps_as_many_rows_as_the_spec_says() -> None:
    for serving, rows in (({}, 0), ({"sampleRows": 500}, 500)):
        asked = spec().model_copy(update={"serving": Serving.model_validate(serving)})
        pod = templates.serving_template("wine", CANDIDATE, asked, DIGEST, IMAGE)["spec"]
        assert settings.from_env(environment(pod["containers"][0])).sample_rows == rows


def test_the_termination_log_is_where_the_kubelet_looks(container: dict[str, Any]) -> None:
    assert str(settings.termination_log(environment(container))) == container["terminationMessagePath"]


def test_the_servers_metrics_are_those_of_the_contract(arms: Arms) -> None:
    arms.stable.infer(arms.stable.case.rows[:1])
    assert _families(_scraped(arms.stable)) == _without_suffix(SERVER_METRICS)


def test_the_operators_metrics_are_those_of_the_contract() -> None:
    names = {family.name for family in Metrics().registry.collect()}
    assert names == _without_suffix(OPERATOR_METRICS)


def test_the_digest_in_the_template_is_the_one_a_server_checks(stable_case: Case) -> None:
    assert digest(stable_case.path) == stable_case.digest


def _scraped(server: Running) -> str:
    return server.call("GET", "/metrics", stats=True).body.decode()


def _families(text: str) -> set[str]:
    return {family.name for family in text_string_to_metric_families(text)}


def _without_suffix(names: set[str]) -> set[str]:
    """The exposition's parser and the registry leave `_total` out of a counter's name."""
    return {name.removesuffix("_total") for name in names}

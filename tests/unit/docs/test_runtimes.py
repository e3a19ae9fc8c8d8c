"""The page on what runs a model: its example of a container of one's own is a spec, and its numbers are the code's."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from serin_contract import labels
from serin_operator.api.deployment import ModelDeploymentSpec
from serin_operator.decide import confirmation, custom_container, policy, retiring, templates

PAGE = (Path(__file__).parents[3] / "docs" / "serving" / "runtimes.md").read_text()
SECTION = PAGE.partition("## A container of your own")[2].partition("\n## ")[0]


def examples() -> dict[str, dict[str, object]]:
    """By their kind."""
    found = (yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", SECTION, re.S))
    return {document["kind"]: document for document in found}


def test_the_example_is_a_spec_whose_image_is_pinned_and_whose_gate_decides() -> None:
    spec = ModelDeploymentSpec.model_validate(examples()["ModelDeployment"]["spec"])
    assert custom_container.asked(spec) is not None
    assert custom_container.model(spec).digest is not None
    assert policy.resolve(spec).enforced == ("custom/errors",)


def test_the_monitor_finds_the_pods_and_the_port_of_their_template() -> None:
    spec = ModelDeploymentSpec.model_validate(examples()["ModelDeployment"]["spec"])
    template = templates.serving_template("wine", "wine-1", spec, None, "image")
    monitor = examples()["PodMonitor"]["spec"]
    assert isinstance(monitor, dict)
    assert monitor["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    assert monitor["podTargetLabels"] == [labels.REVISION_LABEL]
    (container,) = template["spec"]["containers"]
    assert [port["name"] for port in container["ports"]] == [end["port"] for end in monitor["podMetricsEndpoints"]]


def test_the_numbers_are_those_of_the_code() -> None:
    assert f"user {templates.USER_ID}" in SECTION
    assert custom_container.SCRATCH_SIZE_LIMIT.replace("Mi", " MiB") in SECTION
    assert (confirmation.UNPROBED_SECONDS, retiring.SILENT_SECONDS) == (10.0, 10.0), "ten seconds"

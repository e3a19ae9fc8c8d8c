"""The documents name only commands, options, targets and pages that exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest
import yaml

from serin_cli.main import serin
from serin_operator.api.deployment import ModelDeploymentSpec
from serin_operator.decide import policy
from serin_operator.decide.policy import AccuracyPolicy, ErrorRatePolicy

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def lines_of_consoles(text: str) -> list[str]:
    """The lines of console blocks, continuation lines joined."""
    blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    return [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]


COMMANDS = [
    pytest.param(line.split("#")[0].strip(), id=f"{page.name}: {line.split('#')[0].strip()}")
    for page in PAGES
    for line in lines_of_consoles(page.read_text())
]


@pytest.mark.parametrize("line", [case for case in COMMANDS if str(case.values[0]).startswith("serin ")])
def test_a_serin_command_of_a_page_is_one_that_exists(line: str) -> None:
    command: click.Command = serin
    words = shlex.split(line)[1:]
    while words and isinstance(command, click.Group):
        name = words.pop(0)
        assert name in command.commands, f"{line!r} names no command"
        command = command.commands[name]
    options = {option for parameter in command.params for option in parameter.opts}
    assert {word.split("=")[0] for word in words if word.startswith("-")} <= options


@pytest.mark.parametrize("line", [case for case in COMMANDS if str(case.values[0]).startswith("make ")])
def test_a_make_target_of_a_page_is_one_that_exists(line: str) -> None:
    assert set(line.split()[1:]) <= TARGETS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_link_of_a_page_leads_somewhere(page: Path) -> None:
    prose = re.sub(r"```.*?```|`[^`]*`", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#:]+)\)", prose):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_is_finished(page: Path) -> None:
    assert not re.search(r"<!-- [A-Z]+ -->|TODO", page.read_text())


def test_the_manifest_of_the_readme_means_what_it_says() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    understood = policy.resolve(ModelDeploymentSpec.model_validate(yaml.safe_load(block)["spec"]))
    assert [(step.weight, step.for_seconds) for step in understood.steps] == [(5, 600.0), (25, 600.0), (50, 600.0)]
    assert understood.gates == (AccuracyPolicy("Enforce", None, 0.02, 0.0, 0.8), ErrorRatePolicy("Enforce", 0.01))
    assert understood.replicas == 2

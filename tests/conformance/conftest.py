"""Runs the suite against one Gateway and reports what it does.

    pytest tests/conformance                                     the local cluster's gateway
    pytest tests/conformance --context prod --gateway infra/public --image python:3.11-slim-bookworm

`-m required` runs what Serin requires alone; `--brief` makes series shorter. `--report <file>.json` or `<file>.md`
writes the answers, and may be given twice.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from tests.conformance.answers import FINDINGS, Need, as_json, as_markdown
from tests.conformance.api import connected
from tests.conformance.ground import Ground, prepared

from serin_cli.cluster import status
from serin_cli.cluster.access import load
from serin_cli.cluster.paths import DEFAULT_NAME

LOCAL_GATEWAY = "serin-gateway/public"
PYTHON_IMAGE = "python:3.11-slim-bookworm"
ABOUT = pytest.StashKey[dict[str, str]]()


@dataclass(frozen=True)
class Target:
    """The Gateway under test and the way to it."""

    kubeconfig: str | None
    context: str | None
    gateway: str
    address: str | None
    image: str
    version: str


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("gateway conformance")
    group.addoption("--gateway", help=f"<namespace>/<name> of the Gateway; without --context {LOCAL_GATEWAY}")
    group.addoption("--context", help="kube context; without it the cluster of `serin cluster up`")
    group.addoption("--address", help="http://host:port of the listener; without it the Gateway's status says it")
    group.addoption("--image", help=f"an image with python3 for the backends; in another context {PYTHON_IMAGE}")
    group.addoption("--gateway-version", help="what to call the implementation in the report")
    group.addoption("--report", action="append", default=[], help="write the answers to this .json or .md file")
    group.addoption("--brief", action="store_true", help="shorter series, for a quick look")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "required: a behaviour of a gateway without which a roll-out is not safe")
    FINDINGS.clear()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if not FINDINGS:
        return
    about = config.stash.get(ABOUT, {})
    terminalreporter.section("what the gateway does")
    for name, value in about.items():
        terminalreporter.write_line(f"{name}: {value}")
    for need in Need:
        for finding in (one for one in FINDINGS if one.need is need):
            terminalreporter.write_line(f"{need:8} {finding.held:11} {finding.behaviour} {finding.seen}")
    for file in (Path(name) for name in config.getoption("--report", []) or []):
        file.write_text((as_json if file.suffix == ".json" else as_markdown)(about, FINDINGS))
        terminalreporter.write_line(f"written: {file}")


@pytest.fixture(scope="session")
def target(request: pytest.FixtureRequest) -> Target:
    """What the options name, and what they leave out."""

    def option(name: str) -> str | None:
        value: str | None = request.config.getoption(name, None)
        return value

    if option("--context") is None:
        return _local(option)
    gateway = option("--gateway")
    if gateway is None or "/" not in gateway:
        pytest.fail("name the Gateway of that context: --gateway <namespace>/<name>", pytrace=False)
    version = option("--gateway-version") or "not named"
    return Target(None, option("--context"), gateway, option("--address"), option("--image") or PYTHON_IMAGE, version)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def ground(request: pytest.FixtureRequest, target: Target) -> AsyncIterator[Ground]:
    """The suite's own namespace behind the Gateway."""
    brief = bool(request.config.getoption("--brief", False))
    wrong = ""
    try:
        async with (
            connected(target.kubeconfig, target.context) as api,
            prepared(api, target.gateway, target.address, target.image, brief) as made,
        ):
            controller = (made.gateway_class or {}).get("spec", {}).get("controllerName", "cannot be read")
            request.config.stash[ABOUT] = {
                "gateway": f"{target.gateway}, {target.version}",
                "controller": controller,
                "series": "brief" if brief else "whole",
            }
            yield made
    except ValueError as error:
        wrong = str(error)
    if wrong:
        pytest.fail(wrong, pytrace=False)


def _local(option: Callable[[str], str | None]) -> Target:
    found = status.look(DEFAULT_NAME)
    if not (found.running and found.node_ready and found.gateway_ready):
        pytest.fail("the local cluster's gateway is not ready; run `make cluster`, or name a --context", pytrace=False)
    cluster = load()
    image = option("--image") or _serving_image(cluster.kubectl("-n", "serin-system", "get", "deploy", "-o", "json"))
    version = option("--gateway-version") or f"Traefik {cluster.versions.get('traefik', '')}"
    return Target(
        cluster.kubeconfig, cluster.context, option("--gateway") or LOCAL_GATEWAY,
        option("--address") or cluster.gateway_url, image, version,
    )  # fmt: skip


def _serving_image(deployments: str) -> str:
    """The image that the operator gives to serving pods: it is in the cluster and has a Python."""
    for deployment in json.loads(deployments)["items"]:
        for container in deployment["spec"]["template"]["spec"]["containers"]:
            for variable in container.get("env") or ():
                if variable["name"] == "SERIN_SERVING_IMAGE":
                    return str(variable["value"])
    pytest.fail("no operator says which image to use for backends; name one by --image", pytrace=False)

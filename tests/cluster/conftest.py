"""A real API server for every test in this folder, and Serin's own kinds in it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tests.support import api_server as servers
from tests.support.api_server import ApiServer

ROOT = Path(__file__).parents[2]
CRD_PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@pytest.fixture(scope="session")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A server alone, without nodes and controllers; its end takes everything with it."""
    _skip_without_programs()
    with servers.running(tmp_path_factory.mktemp("api-server")) as server:
        yield server


@pytest.fixture(scope="module")
def empty_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A server of one module's own, for tests that install and remove what the others share."""
    _skip_without_programs()
    with servers.running(tmp_path_factory.mktemp("api-server")) as server:
        yield server


@pytest.fixture(scope="session")
def served(api_server: ApiServer) -> ApiServer:
    """The server once it serves Serin's kinds."""
    for path in sorted((ROOT / "crds").glob("*.yaml")):
        crd = yaml.safe_load(path.read_text())
        answer = api_server.apply(f"{CRD_PATH}/{crd['metadata']['name']}", crd)
        assert answer.ok, answer.message
        _wait_until_served(api_server, crd["spec"]["names"]["plural"])
    return api_server


def _skip_without_programs() -> None:
    missing = servers.missing_programs()
    if missing:
        pytest.skip(f"{', '.join(missing)} not found; `serin cluster up` builds what Debian does not have")


def _wait_until_served(server: ApiServer, plural: str) -> None:
    deadline = time.monotonic() + 30
    while not server.request("GET", f"/apis/serin.dev/v1alpha1/{plural}").ok:
        assert time.monotonic() < deadline, f"{plural} were not served within 30 s"
        time.sleep(0.1)

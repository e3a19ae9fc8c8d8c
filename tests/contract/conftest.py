"""Real model servers on loopback, read by the operator's own code: no cluster, nothing faked between them."""

from __future__ import annotations

import hashlib
import logging
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from sklearn.datasets import load_wine
from tests.support import bundles
from tests.unit.serving.running import Case, Running, run, wait_for_ends

from serin_contract.keys import KeyRing, derive_ring, encode
from serin_operator.decide.observation import PodFacts
from serin_operator.observe.pods import Poller
from serin_operator.observe.workloads import SeenPod
from serin_operator.runtime.metrics import Metrics

DEPLOYMENT = "wine"
STABLE = "wine-stable"
CANDIDATE = "wine-candidate"


class Arms:
    """Both arms of a trial as running servers."""

    def __init__(self, stable: Running, candidate: Running) -> None:
        self.stable, self.candidate = stable, candidate
        self.origins = {STABLE: origin(stable.stats_port), CANDIDATE: origin(candidate.stats_port)}

    @property
    def pods(self) -> tuple[SeenPod, SeenPod]:
        return serving_pod(STABLE), serving_pod(CANDIDATE)


@pytest.fixture(scope="session", autouse=True)
def _ends() -> Iterator[None]:
    yield
    wait_for_ends()


@pytest.fixture(scope="session")
def ring() -> KeyRing:
    return derive_ring({"k1": b"1" * 32}, "k1", "uid-of-wine")


@pytest.fixture(scope="session")
def keys_file(tmp_path_factory: pytest.TempPathFactory, ring: KeyRing) -> Path:
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    path.write_bytes(encode(ring))
    return path


@pytest.fixture(scope="session")
def stable_case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return _case(tmp_path_factory.mktemp("stable") / "bundle")


@pytest.fixture(scope="session")
def candidate_case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return _case(tmp_path_factory.mktemp("candidate") / "bundle", swapped=True)


@pytest.fixture(scope="session")
def servers(stable_case: Case, candidate_case: Case, keys_file: Path) -> Iterator[tuple[Running, Running]]:
    """Stable's and the candidate's."""
    with (
        run(stable_case, keys_file, revision=STABLE, pod_uid=f"uid-of-{STABLE}") as stable,
        run(candidate_case, keys_file, revision=CANDIDATE, pod_uid=f"uid-of-{CANDIDATE}") as candidate,
    ):
        yield stable, candidate


@pytest.fixture
def arms(servers: tuple[Running, Running]) -> Arms:
    return Arms(*servers)


@pytest.fixture
def cohort(request: pytest.FixtureRequest) -> str:
    """A cohort of this test's own: the servers and their counters outlive it."""
    return f"{CANDIDATE}.1.{hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:12]}"


@pytest.fixture
async def poller(arms: Arms) -> AsyncIterator[Poller]:
    """The operator's own poller; only the address of a pod is told to it by the test."""
    async with aiohttp.ClientSession() as session:
        yield Poller(session, Metrics().poll_errors, lambda pod: arms.origins[pod.facts.revision])


def origin(port: int) -> str:
    """Where a server on this machine is asked."""
    return f"http://127.0.0.1:{port}"


def serving_pod(revision: str, **changes: Any) -> SeenPod:
    """A running, ready pod as the operator sees it."""
    facts: dict[str, Any] = {
        "name": f"{revision}-0",
        "uid": f"uid-of-{revision}",
        "revision": revision,
        "purpose": "serve",
        "phase": "Running",
        "ready": True,
        "terminating": False,
        "created_at": 0.0,
    }
    return SeenPod(PodFacts(**{**facts, **changes}), "127.0.0.1")


def _case(out: Path, *, swapped: bool = False) -> Case:
    digest = bundles.wine(out, swapped=swapped)
    data = load_wine()
    return Case(name=DEPLOYMENT, path=out, digest=digest, model=None, rows=data.data, labels=data.target)


@pytest.fixture
def process_as_it_was() -> Iterator[None]:
    """The entry point sets up signals and logging for a process of its own; this one is pytest's."""
    on_term, root = signal.getsignal(signal.SIGTERM), logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    signal.signal(signal.SIGTERM, on_term)
    root.handlers[:], root.level = handlers, level

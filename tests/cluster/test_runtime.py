"""The operator as a process against a real API server: Lease, events, signals, probes, settings."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.api_server import ApiServer

pytestmark = pytest.mark.cluster

Json = dict[str, Any]
_numbers = itertools.count()
START_SECONDS = 30.0


class Process:
    """One operator."""

    def __init__(self, server: ApiServer, namespace: str, name: str, directory: Path, **environment: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.log = directory / f"{name}.log"
        env = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(sys.path),
            "KUBECONFIG": str(server.kubeconfig),
            "SERIN_NAMESPACE": namespace,
            "SERIN_POD_NAME": name,
            "SERIN_SERVING_IMAGE": "image:1",
            "SERIN_MASTER_KEYS_DIR": str(directory / "keys"),
            "SERIN_HTTP_PORT": str(self.port),
            **environment,
        }
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "serin_operator.main"], env=env, stdout=log, stderr=log
            )

    def ask(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=2) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    @property
    def leads(self) -> bool:
        return "serin_operator_leader 1.0" in self.ask("/metrics")[1]

    def end(self, how: signal.Signals) -> float:
        """Send the signal; returns the seconds until the process was gone."""
        started = time.monotonic()
        self.process.send_signal(how)
        self.process.wait(timeout=30)
        return time.monotonic() - started


class World:
    """A namespace for the Lease, one for deployments, and operators that end with the test."""

    def __init__(self, server: ApiServer, directory: Path) -> None:
        self.server, self.directory = server, directory
        self.namespace = f"operator-{next(_numbers)}"
        self.processes: list[Process] = []
        (directory / "keys").mkdir()
        (directory / "keys" / "k1").write_bytes(b"1" * 32)
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}
        assert server.apply(f"/api/v1/namespaces/{self.namespace}", namespace).ok

    def operator(self, name: str, **environment: str) -> Process:
        self.processes.append(Process(self.server, self.namespace, name, self.directory, **environment))
        return self.processes[-1]

    def path(self, name: str) -> str:
        return f"/apis/serin.dev/v1alpha1/namespaces/{self.namespace}/modeldeployments/{name}"

    def create(self, name: str, uri: str = "pvc://models/wine/7") -> None:
        spec = {"model": {"uri": uri}, "traffic": {"parentRefs": [{"name": "public"}]}}
        kind = {"apiVersion": "serin.dev/v1alpha1", "kind": "ModelDeployment", "metadata": {"name": name}}
        answer = self.server.apply(self.path(name), {**kind, "spec": spec}, manager="user")
        assert answer.ok, answer.message

    def status(self, name: str) -> Json:
        return dict(self.server.request("GET", self.path(name)).body.get("status") or {})

    def lease(self) -> Json:
        path = f"/apis/coordination.k8s.io/v1/namespaces/{self.namespace}/leases/serin-operator"
        return dict(self.server.request("GET", path).body.get("spec") or {})


@pytest.fixture
def world(served: ApiServer, tmp_path: Path) -> Iterator[World]:
    made = World(served, tmp_path)
    yield made
    for operator in made.processes:
        if operator.process.poll() is None:
            operator.process.kill()
            operator.process.wait(timeout=10)
        print(operator.log.read_text()[-4000:])


def within(seconds: float, reached: Callable[[], bool]) -> float:
    """Wait until it is so; returns how long that took."""
    started = time.monotonic()
    while not reached():
        assert time.monotonic() - started < seconds, f"not so within {seconds:g} s"
        time.sleep(0.05)
    return time.monotonic() - started


def test_from_start_to_sigterm(world: World) -> None:
    world.create("early")
    operator = world.operator("a")
    within(START_SECONDS, lambda: operator.ask("/readyz")[0] == 200)
    assert operator.ask("/healthz") == (200, "ok\n")
    within(5, lambda: world.status("early").get("phase") == "Pending")
    lease = world.lease()
    assert (lease["holderIdentity"], lease["leaseDurationSeconds"], lease["leaseTransitions"]) == ("a", 15, 0)
    time.sleep(2)
    world.create("late")
    assert within(5, lambda: world.status("late").get("phase") == "Pending") < 2.0, "an event, not the resync"
    assert operator.end(signal.SIGTERM) < 3.0
    assert operator.process.returncode == 0
    assert "holderIdentity" not in world.lease()


def test_a_released_lease_is_taken_within_seconds(world: World) -> None:
    first = world.operator("a")
    within(START_SECONDS, lambda: first.leads)
    second = world.operator("b")
    within(START_SECONDS, lambda: second.ask("/readyz")[0] == 200)
    assert not second.leads
    first.end(signal.SIGTERM)
    assert within(5, lambda: second.leads) < 3.0
    assert world.lease()["leaseTransitions"] == 1


def test_after_sigkill_the_successor_acts_within_twenty_seconds(world: World) -> None:
    first, second = world.operator("a"), None
    within(START_SECONDS, lambda: first.leads)
    second = world.operator("b")
    within(START_SECONDS, lambda: second.ask("/readyz")[0] == 200)
    first.end(signal.SIGKILL)
    world.create("orphan")
    assert within(22, lambda: world.status("orphan").get("phase") == "Pending") < 20.0


def test_a_container_that_restarts_goes_on_at_once(world: World) -> None:
    first = world.operator("a")
    within(START_SECONDS, lambda: first.leads)
    first.end(signal.SIGKILL)
    again = world.operator("a")
    within(START_SECONDS, lambda: again.ask("/readyz")[0] == 200)
    assert within(5, lambda: again.leads) < 3.0


def test_a_process_that_finds_the_lease_taken_ends(world: World) -> None:
    operator = world.operator("a")
    within(START_SECONDS, lambda: operator.leads)
    path = f"/apis/coordination.k8s.io/v1/namespaces/{world.namespace}/leases/serin-operator"
    usurper = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "serin-operator"},
        "spec": {"holderIdentity": "usurper"},
    }
    assert world.server.apply(path, usurper).ok
    operator.process.wait(timeout=15)
    assert operator.process.returncode == 1
    assert "is lost; this process ends" in operator.log.read_text()
    assert world.lease()["holderIdentity"] == "usurper", "what is another's is not released"


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"SERIN_SERVING_IMAGE": ""}, "SERIN_SERVING_IMAGE is not set"),
        ({"SERIN_MASTER_KEYS_DIR": "/nowhere"}, "mount the Secret that holds them"),
        ({"KUBECONFIG": "/nowhere"}, "the API server cannot be found"),
        ({"SERIN_LOG_LEVEL": "LOUD"}, "SERIN_LOG_LEVEL"),
        ({"SERIN_WORKERS": "many"}, "write a number from 1 to 64"),
    ],
)
def test_a_setting_that_must_be_mended_is_named(world: World, environment: dict[str, str], said: str) -> None:
    operator = world.operator("a", **environment)
    operator.process.wait(timeout=START_SECONDS)
    assert operator.process.returncode == 78
    text = operator.log.read_text()
    assert said in text
    assert "Traceback" not in text

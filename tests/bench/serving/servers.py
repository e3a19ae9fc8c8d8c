"""The servers of the bench: how each is set up and started, and what it answered first."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.serving import environments, processes
from tests.bench.serving.models import NAME, Request, Served

PATH = f"/v2/models/{NAME}/infer"
START_SECONDS_MAX = 90.0
_HERE = Path(__file__).parent
_PEERS = _HERE / "peers"


@dataclass(frozen=True)
class Command:
    """What starts a server."""

    arguments: list[str]
    env: dict[str, str]


@dataclass(frozen=True)
class Started:
    """A running server."""

    name: str
    port: int
    pid: int
    cold_start_seconds: float
    """From exec to the first right answer."""
    cold_start_cpu_seconds: float
    """Processor time of its processes until then; says more than the seconds where the machine has other work."""


Setup = Callable[[Served, int, Path], Command]
"""From a model, a port and an empty directory to the command."""


def serin(sources: Path | None = None, more: Mapping[str, str] | None = None) -> Setup:
    """Serin's full server as a candidate's pod has it, from this checkout or from another one's sources.

    `more` are settings beside those or in place of them, as the pod's environment has them.
    """

    def setup(model: Served, port: int, _scratch: Path) -> Command:
        env = {
            "SERIN_DEPLOYMENT": NAME,
            "SERIN_REVISION": f"{NAME}-2",
            "SERIN_POD_UID": "bench-pod",
            "SERIN_BUNDLE_DIR": str(model.bundle),
            "SERIN_BUNDLE_DIGEST": model.digest,
            "SERIN_KEYS_FILE": str(model.keys),
            "SERIN_STABLE_PROFILE_FILE": str(model.stable_profile),
            "SERIN_TERMINATION_LOG": os.devnull,
            "SERIN_HOST": "127.0.0.1",
            "SERIN_INFERENCE_PORT": str(port),
            "SERIN_STATS_PORT": "0",
            "SERIN_DRAIN_SECONDS": "0",
            # What the image sets: one core, one thread.
            "OMP_NUM_THREADS": "1",
            **(more or {}),
        }
        if sources is not None:
            env["PYTHONPATH"] = str(sources / "serving")
        return Command([sys.executable, "-m", "serin_serving.main", "serve"], env)

    return setup


def _mlserver(parallel_workers: int) -> Setup:
    def setup(model: Served, port: int, scratch: Path) -> Command:
        # The default installation does not start: uvloop 0.22 took away what its worker relies on.
        python = environments.python("mlserver", ["mlserver==1.7.1", "mlserver-sklearn==1.7.1", "uvloop<0.22"])
        about = {
            "name": NAME,
            "implementation": "mlserver_sklearn.SKLearnModel",
            "parameters": {"uri": str(model.joblib)},
        }
        (scratch / "model-settings.json").write_text(json.dumps(about))
        served = {
            "host": "127.0.0.1",
            "http_port": port,
            "grpc_port": free_port(),
            "metrics_port": free_port(),
            "parallel_workers": parallel_workers,
        }
        (scratch / "settings.json").write_text(json.dumps(served))
        return Command([str(python.parent / "mlserver"), "start", str(scratch)], {"OMP_NUM_THREADS": "1"})

    return setup


def _kserve(model: Served, port: int, _scratch: Path) -> Command:
    python = environments.python("kserve", ["kserve==0.21.0"])
    script = str(_PEERS / "kserve_server.py")
    return Command([str(python), script, str(model.joblib), str(port)], {"OMP_NUM_THREADS": "1"})


def _bentoml(model: Served, port: int, scratch: Path) -> Command:
    python = environments.python("bentoml", ["bentoml==1.4.39"])
    address = ["--host", "127.0.0.1", "--port", str(port)]
    env = {
        "BENCH_MODEL": str(model.joblib),
        "BENTOML_HOME": str(scratch),
        "BENTOML_DO_NOT_TRACK": "True",
        "OMP_NUM_THREADS": "1",
    }
    command = [str(python), "-m", "bentoml", "serve", "bentoml_server:Bench", "--working-dir", str(_PEERS), *address]
    return Command(command, env)


def _litserve(model: Served, port: int, _scratch: Path) -> Command:
    python = environments.python("litserve", ["litserve==0.2.19"])
    script = str(_PEERS / "litserve_server.py")
    return Command([str(python), script, str(model.joblib), str(port)], {"OMP_NUM_THREADS": "1"})


SERIN = "serin"
SETUPS: dict[str, Setup] = {
    SERIN: serin(),
    # With its one worker process, as it is installed, and with none, which is faster.
    "mlserver": _mlserver(1),
    "mlserver-0": _mlserver(0),
    "kserve": _kserve,
    "bentoml": _bentoml,
    "litserve": _litserve,
}


@contextmanager
def running(name: str, setup: Setup, model: Served, scratch: Path) -> Iterator[Started]:
    """Start a server and end it with all that it started.

    Its byte code is kept, as images have it: the first start of a checkout or an environment is slower than any after.

    Raises:
        RuntimeError: it ended, or gave no right answer in time; the end of its output is told.
    """
    scratch.mkdir()
    port = free_port()
    command = setup(model, port, scratch)
    output = scratch.parent / f"{scratch.name}.log"
    with output.open("wb") as log:
        began = time.perf_counter()
        process = subprocess.Popen(
            command.arguments,
            env={**os.environ, **command.env, "PYTHONDONTWRITEBYTECODE": ""},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=scratch,
            start_new_session=True,
        )
        try:
            _await_answer(process, port, model.requests[1], began, output)
            seconds = time.perf_counter() - began
            yield Started(name, port, process.pid, seconds, processes.cpu_seconds(process.pid))
        finally:
            processes.end(process)


def answers(port: int, request: Request) -> list[Any]:
    """The predicted classes.

    Raises:
        OSError: no connection.
        RuntimeError: another answer than 200.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        headers = {"content-type": "application/json", "x-serin-cohort": f"{NAME}-2.1.a"}
        connection.request("POST", PATH, request.body.read_bytes(), headers)
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    if response.status != 200:
        raise RuntimeError(f"status {response.status}: {body[:200]!r}")
    found: list[Any] = next(output["data"] for output in json.loads(body)["outputs"])
    return found


def _await_answer(process: subprocess.Popen[bytes], port: int, request: Request, began: float, output: Path) -> None:
    trouble = "no connection"
    while time.perf_counter() - began < START_SECONDS_MAX:
        if process.poll() is not None:
            trouble = f"it ended with status {process.returncode}"
            break
        try:
            if answers(port, request) == request.expected:
                return
            trouble = "its answer is not scikit-learn's"
        except (OSError, http.client.HTTPException, RuntimeError) as error:
            trouble = str(error)
        time.sleep(0.005)
    raise RuntimeError(f"no right answer: {trouble}\n{output.read_text(errors='replace')[-1500:]}")


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port

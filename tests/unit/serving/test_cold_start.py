"""What a server of a compiled model leaves alone until its first answer: what is not imported costs no start."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE

import pytest
from tests.unit.serving.running import Case, Running
from tests.unit.serving.test_drain import environment

from serin_contract.startup import EXIT_REFUSED

LEFT_ALONE = {
    "scikit-learn and what it stands on": ("sklearn", "scipy", "joblib", "threadpoolctl", "pandas"),
    "the reader of skops files": ("skops", "serin_serving.skops_model", "serin_serving.runtimes"),
    "the compiler, and the packager with it": ("onnx", "skl2onnx", "serin_bundle"),
    "other models' libraries": ("xgboost", "lightgbm", "mlflow"),
    "gRPC, which is off": ("grpc", "google", "serin_serving.grpc_service"),
    "traces, which are off": ("opentelemetry", "requests", "serin_serving.otlp"),
    "what fetches bundles": ("obstore", "serin_serving.fetch", "tarfile"),
    "the operator and its clients": ("serin_operator", "kopf", "kubernetes", "aiohttp", "httpx"),
    "the metadata of packages, which brings mail and archives with it": ("importlib.metadata", "zipfile"),
    "tools for developers": ("pytest", "hypothesis", "setuptools", "unittest", "pdb"),
}

TELLING = """
import atexit, json, sys
from serin_serving.main import main
atexit.register(lambda: print(json.dumps(sorted(sys.modules))))
sys.exit(main(["serve"]))
"""
"""The server's program, and what it has imported when it ends."""

REFUSED = """
import gc, json
from serin_serving.main import main
before = sum(each["collections"] for each in gc.get_stats())
status = main(["serve"])
print(json.dumps([status, sum(each["collections"] for each in gc.get_stats()) - before, gc.isenabled()]))
"""


@pytest.fixture(scope="module")
def imported(wine: Case, keys_file: Path) -> set[str]:
    """The modules of a server that has answered one caller and a look at its stats."""
    env = {**os.environ, **environment(wine, keys_file, "0"), "SERIN_GRPC_PORT": "", "SERIN_COMPILE": "require"}
    command = [sys.executable, "-c", TELLING]
    with subprocess.Popen(command, env=env, stdout=PIPE, stderr=PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            lines = (json.loads(line) for line in server.stderr)
            ready = next(line for line in lines if line["message"] == "ready")
            running = Running(wine, ready["inference_port"], ready["stats_port"])
            assert running.infer(wine.rows[:1]).status == 200
            assert running.stats()["runtime"] == "onnx"
            server.send_signal(signal.SIGTERM)
            said, _ = server.communicate(timeout=20)
            return set(json.loads(said))
        finally:
            server.kill()


@pytest.mark.parametrize("what", LEFT_ALONE)
def test_the_first_answer_needs_nothing_of(imported: set[str], what: str) -> None:
    assert sorted(imported & set(LEFT_ALONE[what])) == []


def test_a_server_that_starts_looks_for_no_garbage(wine: Case, keys_file: Path, tmp_path: Path) -> None:
    # It is refused after all of its imports, most of the start.
    missing = {"SERIN_KEYS_FILE": str(tmp_path / "none"), "SERIN_TERMINATION_LOG": str(tmp_path / "end")}
    env = {**os.environ, **environment(wine, keys_file, "0"), **missing}
    ran = subprocess.run([sys.executable, "-c", REFUSED], env=env, capture_output=True, timeout=60, check=True)
    status, collections, enabled = json.loads(ran.stdout)
    assert (status, enabled) == (EXIT_REFUSED, True)
    assert collections <= 3

"""A server process whose model is slow, at full load: everything but the model goes on answering at once."""

from __future__ import annotations

import json
import statistics
import threading
import time
import warnings
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
import pytest
from sklearn.neural_network import MLPClassifier
from tests.unit.serving.running import Case, Running, settings
from tests.unit.serving.test_drain import process

from serin_bundle import package
from serin_serving import startup

CALLERS = 8
ASKED = 20
SECONDS_MAX = 0.05
READS = {
    "liveness": ("/v2/health/live", False),
    "readiness": ("/v2/health/ready", False),
    "stats": ("/serin/v1/stats", True),
    "metrics": ("/metrics", True),
}


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """A network so wide that 64 rows take many milliseconds, compiled or not."""
    draw = np.random.default_rng(0)
    rows, labels = draw.normal(size=(64, 8)), draw.integers(0, 3, 64)
    out = tmp_path_factory.mktemp("slow") / "wide"
    with warnings.catch_warnings():
        # One step of training is enough to be slow.
        warnings.simplefilter("ignore")
        model = MLPClassifier((1000, 1000), max_iter=1).fit(rows, labels)
        made = package(model, rows, labels, out, name="wide", golden_rows=8)
    return Case("wide", out, made.digest, model, rows, labels)


def call_until(ended: threading.Event, server: Running, statuses: list[int]) -> None:
    tensor = {"name": "x", "shape": [64, 8], "datatype": "FP64", "data": server.case.rows[:64].ravel().tolist()}
    body = json.dumps({"inputs": [tensor]})
    with closing(HTTPConnection("127.0.0.1", server.inference_port, timeout=60)) as connection:
        while not ended.is_set():
            connection.request("POST", server.path("infer"), body)
            response = connection.getresponse()
            response.read()
            statuses.append(response.status)


@pytest.mark.slow
def test_a_slow_model_holds_up_no_probe_and_no_reader(
    slow: Case, keys_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As in the image: one core, one thread.
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert startup.load(settings(slow, keys_file)).slow
    found: dict[str, list[float]] = {name: [] for name in READS}
    ended, statuses = threading.Event(), list[int]()
    with process(slow, keys_file, drain="0") as (_, server):
        callers = [threading.Thread(target=call_until, args=(ended, server, statuses)) for _ in range(CALLERS)]
        for caller in callers:
            caller.start()
        try:
            for _ in range(ASKED):
                for name, (path, stats) in READS.items():
                    begun = time.perf_counter()
                    assert server.call("GET", path, stats=stats).status == 200
                    found[name].append(time.perf_counter() - begun)
        finally:
            ended.set()
            for caller in callers:
                caller.join()
    assert set(statuses) == {200}
    # The median, as other work on the machine holds up some.
    assert {name: seconds for name in READS if (seconds := statistics.median(found[name])) > SECONDS_MAX} == {}

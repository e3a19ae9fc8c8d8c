"""A real server process that is told to end while callers go on."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.support.open_loop import OpenLoop
from tests.unit.serving.running import Case, Running

from serin_serving import oip_messages

DEADLINE_SECONDS = 60
SPREAD_SECONDS = 0.5
"""How long callers go on connecting to a pod that is ending: endpoint removal takes its time."""


def environment(case: Case, keys_file: Path, drain: str) -> dict[str, str]:
    return {
        "SERIN_DEPLOYMENT": case.name,
        "SERIN_REVISION": f"{case.name}-1",
        "SERIN_POD_UID": "pod-1",
        "SERIN_BUNDLE_DIR": str(case.path),
        "SERIN_BUNDLE_DIGEST": case.digest,
        "SERIN_KEYS_FILE": str(keys_file),
        "SERIN_TERMINATION_LOG": os.devnull,
        "SERIN_HOST": "127.0.0.1",
        "SERIN_INFERENCE_PORT": "0",
        "SERIN_STATS_PORT": "0",
        "SERIN_GRPC_PORT": "0",
        "SERIN_DRAIN_SECONDS": drain,
    }


@contextlib.contextmanager
def process(case: Case, keys_file: Path, drain: str) -> Iterator[tuple[subprocess.Popen[str], Running]]:
    env = {**os.environ, **environment(case, keys_file, drain)}
    command = [sys.executable, "-m", "serin_serving.main", "serve"]
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            lines = (json.loads(line) for line in server.stderr)
            ready = next(line for line in lines if line["message"] == "ready")
            yield server, Running(case, ready["inference_port"], ready["stats_port"], ready["grpc_port"])
        finally:
            server.kill()


class Callers:
    """Threads that call on kept or on fresh connections and note every request that was lost."""

    def __init__(self, server: Running) -> None:
        self.server = server
        self.answered = 0
        self.lost: list[str] = []
        self.asked_to_end = threading.Event()
        """Set when fresh callers should have heard that the pod is gone."""
        self._lock = threading.Lock()
        tensor = {"name": "x", "shape": [1, 13], "datatype": "FP64", "data": server.case.rows[0].tolist()}
        self._body = json.dumps({"inputs": [tensor]})
        self._threads = [threading.Thread(target=self._fresh) for _ in range(4)]
        self._threads += [threading.Thread(target=self._kept) for _ in range(4)]

    def __enter__(self) -> Callers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.asked_to_end.set()
        for thread in self._threads:
            thread.join()

    def _fresh(self) -> None:
        while not self.asked_to_end.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", self.server.inference_port, timeout=10)
            self._call(connection)
            connection.close()

    def _kept(self) -> None:
        """Goes on until an answer says that the connection ends; then another pod would be asked."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.inference_port, timeout=10)
        while self._call(connection):
            pass
        connection.close()

    def _call(self, connection: http.client.HTTPConnection) -> bool:
        try:
            connection.request("POST", self.server.path("infer"), self._body)
            response = connection.getresponse()
            response.read()
            problem = None if response.status == 200 else str(response.status)
        except (OSError, http.client.HTTPException) as error:
            problem, response = type(error).__name__, None
        with self._lock:
            self.answered += problem is None
            if problem is not None:
                self.lost.append(problem)
        return response is not None and response.getheader("connection") != "close"


def until(condition: Any) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.005)


@pytest.mark.slow
def test_a_drain_loses_no_request(wine: Case, keys_file: Path) -> None:
    with process(wine, keys_file, drain="1") as (ended, server):
        with Callers(server) as callers:
            until(lambda: callers.answered > 50)
            told = time.monotonic()
            ended.send_signal(signal.SIGTERM)
            until(lambda: server.call("GET", "/v2/health/ready").status == 503)
            assert server.call("GET", "/v2/health/live").status == 200
            assert server.call("GET", "/v2/health/ready", stats=True).headers["connection"] == "close"
            before = callers.answered
            until(lambda: time.monotonic() > told + SPREAD_SECONDS)
            assert server.stats()["revision"] == "wine-1"
            assert callers.answered > before
        assert ended.wait(DEADLINE_SECONDS) == 0
        assert time.monotonic() - told >= 1
    assert callers.lost == []


@pytest.mark.slow
def test_a_drain_loses_no_call_of_grpc(wine: Case, keys_file: Path) -> None:
    request = oip_messages.ModelInferRequest(model_name="wine")
    contents = {"fp64_contents": wine.rows[0].tolist()}
    request.inputs.add(name="x", datatype="FP64", shape=[1, 13], contents=contents)
    with process(wine, keys_file, drain="1") as (ended, first), process(wine, keys_file, drain="1") as (_, second):
        both = f"ipv4:127.0.0.1:{first.grpc_port},127.0.0.1:{second.grpc_port}"
        # Each call goes to the next of the two pods that are there.
        turns = [("grpc.service_config", json.dumps({"loadBalancingConfig": [{"round_robin": {}}]}))]
        with grpc.insecure_channel(both, options=turns) as channel:
            call = channel.unary_unary(f"/{oip_messages.SERVICE}/ModelInfer")
            data, answered = request.SerializeToString(), 0
            until(lambda: bool(call(data)) and first.stats()["requests"] > 5)
            ended.send_signal(signal.SIGTERM)
            while ended.poll() is None:
                assert call(data, timeout=10)
                answered += 1
            assert answered > 50
            before = second.stats()["requests"]
            call(data)
            assert second.stats()["requests"] == before + 1
        assert ended.returncode == 0


@pytest.mark.slow
def test_a_second_signal_skips_the_wait(wine: Case, keys_file: Path) -> None:
    with process(wine, keys_file, drain="600") as (ended, server):
        ended.send_signal(signal.SIGTERM)
        until(lambda: server.call("GET", "/v2/health/ready").status == 503)
        ended.send_signal(signal.SIGTERM)
        assert ended.wait(DEADLINE_SECONDS) == 0


def request(server: Running) -> bytes:
    tensor = {"name": "x", "shape": [1, 13], "datatype": "FP64", "data": server.case.rows[0].tolist()}
    body = json.dumps({"inputs": [tensor]}).encode()
    return f"POST {server.path('infer')} HTTP/1.1\r\nhost: a\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


@pytest.mark.slow
async def test_callers_who_do_not_wait_lose_no_request_while_one_pod_of_two_ends(wine: Case, keys_file: Path) -> None:
    with process(wine, keys_file, drain="1.5") as (ended, one), process(wine, keys_file, drain="1") as (_, other):
        endpoints = [one.inference_port, other.inference_port]
        turn = itertools.count()
        over = asyncio.Event()
        load = OpenLoop(request(one), lambda: endpoints[next(turn) % len(endpoints)], rate=150)
        sending = asyncio.create_task(load.send_until(over))
        await asyncio.sleep(0.5)
        ended.send_signal(signal.SIGTERM)
        await asyncio.sleep(SPREAD_SECONDS)
        # From here on new connections go to the other pod alone.
        endpoints.remove(one.inference_port)
        kept = load.opened["kept"]
        await asyncio.sleep(0.8)
        assert ended.poll() is None
        assert load.opened["kept"] - kept < 20, "those who keep connections have gone over"
        assert await asyncio.to_thread(ended.wait, DEADLINE_SECONDS) == 0
        await asyncio.sleep(0.3)
        over.set()
        await sending
    assert load.lost == []
    assert min(load.answered.values()) > 300


@pytest.mark.slow
def test_a_request_whose_body_is_still_coming_when_the_drain_is_over_is_answered(wine: Case, keys_file: Path) -> None:
    with process(wine, keys_file, drain="0.2") as (ended, server):
        whole = request(server)
        with socket.create_connection(("127.0.0.1", server.inference_port), timeout=DEADLINE_SECONDS) as caller:
            caller.sendall(whole[:-10])
            until(lambda: server.stats()["in_flight"] == 1)
            ended.send_signal(signal.SIGTERM)
            until(lambda: _refuses(server.inference_port))
            caller.sendall(whole[-10:])
            answer = caller.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"connection: close" in answer
        assert ended.wait(DEADLINE_SECONDS) == 0


def _refuses(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


@pytest.mark.slow
def test_a_process_that_is_told_to_end_before_it_serves_ends_well(wine: Case, tmp_path: Path) -> None:
    waiting = tmp_path / "keys.json"
    os.mkfifo(waiting)
    env = {**os.environ, **environment(wine, waiting, drain="600")}
    command = [sys.executable, "-m", "serin_serving.main", "serve"]
    with subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL) as starting:
        try:
            # Opens when the other end does: the process has read its settings and loads.
            with waiting.open("wb"):
                starting.send_signal(signal.SIGTERM)
                assert starting.wait(DEADLINE_SECONDS) == 0
        finally:
            starting.kill()


def test_a_signal_while_loading_ends_at_once() -> None:
    import serin_serving.main as entry

    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as caught:
            entry.main(["--help"])
        assert caught.value.code == 0
        # The handler stands before anything else was done.
        with pytest.raises(SystemExit) as caught:
            signal.raise_signal(signal.SIGTERM)
        assert caught.value.code == 0
    finally:
        signal.signal(signal.SIGTERM, before)

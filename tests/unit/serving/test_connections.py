"""Callers on kept connections of a real server, while the operator announces."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.serving.running import Case, Running, run

from serin_contract.keys import KeyRing
from serin_serving.connections import COHORTS_REMEMBERED, Connections
from serin_serving.http_connection import HEAD_BYTES_MAX


@pytest.fixture
def pod(wine: Case, keys_file: Path) -> Iterator[Running]:
    with run(wine, keys_file) as running:
        yield running


@pytest.fixture
def dial(pod: Running) -> Iterator[Dial]:
    """Makes callers, and hangs up for them at the end."""
    with contextlib.ExitStack() as stack:
        yield lambda: stack.enter_context(contextlib.closing(Caller(pod)))


Dial = Callable[[], "Caller"]


class Caller:
    """Keeps one connection for as long as the server lets it."""

    def __init__(self, pod: Running) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", pod.inference_port, timeout=10)
        self._path = pod.path("infer")
        tensor = {"name": "x", "shape": [1, 13], "datatype": "FP64", "data": pod.case.rows[0].tolist()}
        self._body = json.dumps({"inputs": [tensor]})

    def close(self) -> None:
        self._connection.close()

    def infer(self, **headers: str) -> bool:
        """Call; whether the server asked to close the connection."""
        return self._call("POST", self._path, self._body, headers)

    def ask_ready(self) -> bool:
        return self._call("GET", "/v2/health/ready", None, {})

    def _call(self, method: str, path: str, body: Any, headers: dict[str, str]) -> bool:
        made_anew = self._connection.sock is None
        self._connection.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
        response = self._connection.getresponse()
        response.read()
        assert response.status == 200
        # http.client forgets its socket where the server closes, and connects anew at the next call.
        assert (self._connection.sock is None) == (response.getheader("connection") == "close")
        self.made_anew = made_anew
        return self._connection.sock is None


def test_each_open_connection_is_closed_once_and_new_ones_are_kept(pod: Running, ring: KeyRing, dial: Dial) -> None:
    early = [dial() for _ in range(3)]
    assert [caller.infer() for caller in early] == [False] * 3
    assert pod.announce(ring, cohort="c", reconnect=True).status == 200
    late = dial()
    assert not late.infer()
    assert [caller.infer() for caller in early] == [True] * 3
    assert [caller.infer() for caller in early] == [False] * 3
    assert all(caller.made_anew for caller in early)
    assert not late.infer()


def test_any_answer_closes_a_stale_connection(pod: Running, ring: KeyRing, dial: Dial) -> None:
    caller = dial()
    caller.infer()
    pod.announce(ring, reconnect=True)
    assert caller.ask_ready()
    assert not caller.infer()


def test_every_answer_closes_until_the_next_announcement_and_the_pod_stays_ready(
    pod: Running, ring: KeyRing, dial: Dial
) -> None:
    caller = dial()
    caller.infer()
    pod.announce(ring, refuse_connections=True)
    assert [caller.infer(), caller.infer(), caller.ask_ready()] == [True] * 3
    pod.announce(ring)
    assert [caller.infer(), caller.infer()] == [False] * 2


def test_the_stats_port_keeps_its_connections(pod: Running, ring: KeyRing) -> None:
    pod.announce(ring, refuse_connections=True)
    connection = http.client.HTTPConnection("127.0.0.1", pod.stats_port, timeout=10)
    with contextlib.closing(connection):
        connection.request("GET", "/serin/v1/stats")
        assert connection.getresponse().getheader("connection") is None


def test_a_connection_counts_once_in_each_cohort(pod: Running, dial: Dial) -> None:
    first, second = dial(), dial()
    for caller, cohort in [(first, "a"), (first, "b"), (first, "a"), (second, "a"), (second, "a")]:
        caller.infer(x_serin_cohort=cohort)
    dial().ask_ready()
    cohorts = pod.stats()["cohorts"]
    assert (cohorts["a"]["connections"], cohorts["a"]["requests"]) == (2, 4)
    assert (cohorts["b"]["connections"], cohorts["b"]["requests"]) == (1, 1)


def test_a_connection_that_was_drawn_under_another_split_counts_only_once_made_anew(
    pod: Running, ring: KeyRing, dial: Dial
) -> None:
    caller = dial()
    caller.infer()
    pod.announce(ring, cohort="c", reconnect=True)
    caller.infer()
    assert pod.stats()["cohorts"]["c"]["requests"] == 1
    assert pod.stats()["cohorts"]["c"]["connections"] == 0
    caller.infer()
    assert pod.stats()["cohorts"]["c"]["connections"] == 1


def test_one_connection_remembers_a_bounded_number_of_cohorts() -> None:
    connection = Connections().open()
    names = [str(number) for number in range(COHORTS_REMEMBERED + 1)]
    assert all(connection.meets(name) for name in names)
    assert not any(connection.meets(name) for name in names[1:])
    assert connection.meets(names[0])


def test_headers_without_an_end_are_refused_before_they_fill_memory(server: Running) -> None:
    with socket.create_connection(("127.0.0.1", server.inference_port), timeout=10) as connection:
        connection.sendall(b"POST /v2/models/wine/infer HTTP/1.1\r\n")
        with contextlib.suppress(ConnectionError):
            for _ in range(64):
                connection.sendall(b"x-filler: " + b"a" * 64 * 1024 + b"\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 431 ")


def test_headers_in_small_pieces_are_taken_however_many_requests_follow_one_another(server: Running) -> None:
    head = b"GET /v2/health/live HTTP/1.1\r\nhost: a\r\nx-filler: " + b"a" * 8000 + b"\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.inference_port), timeout=10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(2 * HEAD_BYTES_MAX // len(head)):
            for start in range(0, len(head), 1000):
                connection.sendall(head[start : start + 1000])
            answer = b""
            while not answer.endswith(b'{"live":true}'):
                answer += connection.recv(1000)
            assert answer.startswith(b"HTTP/1.1 200 ")

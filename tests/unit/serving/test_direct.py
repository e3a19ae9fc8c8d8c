"""A request that came whole is answered past ASGI, and neither its caller nor the counts can tell."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import pytest
from tests.unit.serving.running import Running

from serin_contract import callers
from serin_contract.callers import Stickiness
from serin_serving.direct import DirectInference
from serin_serving.headers import sorted_out
from serin_serving.http_cycles import WholeRequest

ROW = [13.2, 1.78, 2.14, 11.2, 100.0, 2.65, 2.76, 0.26, 1.28, 4.38, 1.05, 3.4, 1050.0]
TENSOR = {"name": "x", "shape": [1, 13], "datatype": "FP64", "data": ROW}
GOOD = {"inputs": [TENSOR]}
STICKY = callers.header_value(Stickiness("serin", "wine-1", 20, 10))


@dataclass(frozen=True)
class Asked:
    """One request; the query of a path of ASGI's is empty, and means nothing."""

    body: Any
    headers: Mapping[str, str] | None = None
    path: str = "/infer"
    version: str = "1.1"

    def piece(self, pod: Running, cohort: str, query: str) -> bytes:
        """All of it, in one piece."""
        body = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        lines = [f"POST {pod.path()}{self.path}{query} HTTP/{self.version}", "host: a", f"x-serin-cohort: {cohort}"]
        lines += [f"{name}: {value}" for name, value in (self.headers or {}).items()]
        return "\r\n".join([*lines, f"content-length: {len(body)}", "", ""]).encode() + body


ALIKE = {
    "one row": Asked(GOOD),
    "an id of the caller's own": Asked(GOOD | {"id": "mine"}),
    "probabilities alone": Asked(GOOD | {"outputs": [{"name": "probabilities"}]}),
    "a request id": Asked(GOOD, {"x-request-id": "abc"}),
    "two request ids": Asked(GOOD, {"x-request-id": "abc", "X-Request-Id": "def"}),
    "a caller that is told apart": Asked(GOOD, {"x-serin-stickiness": STICKY}),
    "a path that names the revision counts in no cohort": Asked(GOOD, path="/versions/wine-1/infer"),
    "a path that names another revision": Asked(GOOD, path="/versions/wine-9/infer"),
    "a caller of HTTP/1.0 is hung up on": Asked(GOOD, version="1.0"),
    "a caller that wants to be hung up on": Asked(GOOD, {"connection": "close"}),
    "no JSON": Asked(b"{"),
    "a row that is too short": Asked({"inputs": [TENSOR | {"shape": [1, 12], "data": ROW[:12]}]}),
    "a gap where the model takes none": Asked({"inputs": [TENSOR | {"data": [None, *ROW[1:]]}]}),
    "a text among the numbers": Asked({"inputs": [TENSOR | {"data": ["1e999", *ROW[1:]]}]}),
    "binary answers": Asked(GOOD | {"parameters": {"binary_data_output": True}}),
    "a body with an encoding": Asked(GOOD, {"content-encoding": "gzip"}),
}


@pytest.mark.parametrize("sentence", ALIKE)
def test_it_is_answered_and_counted_as_through_asgi(server: Running, sentence: str) -> None:
    asked, found = ALIKE[sentence], []
    for query in ("", "?"):
        cohort = server.cohort()
        requests = server.stats()["requests"]
        answer = call(server, asked.piece(server, cohort, query))
        stats = server.stats()
        found.append((told(answer), counted(stats["cohorts"].get(cohort)), stats["requests"] - requests))
    assert found[0] == found[1]
    assert found[0][0][0] in range(200, 600)


def test_whole_requests_one_after_the_other_are_answered_in_their_order(server: Running) -> None:
    ids = [f"n{number}" for number in range(5)]
    pieces = [Asked(GOOD | {"id": each}).piece(server, server.cohort(), "") for each in ids]
    last = Asked(GOOD | {"id": "last"}, {"connection": "close"}).piece(server, server.cohort(), "")
    answers = call(server, b"".join([*pieces, last]))
    assert re.findall(rb'"id":"(\w+)"', answers) == [each.encode() for each in [*ids, "last"]]


def test_a_caller_that_has_hung_up_is_counted_and_harms_nobody(server: Running) -> None:
    cohort = server.cohort()
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", server.inference_port)) as line:
            line.sendall(Asked(GOOD).piece(server, cohort, ""))
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    assert call(server, Asked(GOOD).piece(server, cohort, "")).startswith(b"HTTP/1.1 200")
    assert 1 <= server.stats()["cohorts"][cohort]["requests"] <= 4


@dataclass
class Line:
    """What a request needs of its connection."""

    url: bytes
    headers: list[tuple[bytes, bytes]]


TAKEN = {
    "a post to the model's path": (True, b"POST", b"/infer", {}, b"{}"),
    "one to the revision's path": (True, b"POST", b"/versions/1/infer", {}, b"{}"),
    "another method": (False, b"PUT", b"/infer", {}, b"{}"),
    "another path": (False, b"POST", b"/ready", {}, b"{}"),
    "a query": (False, b"POST", b"/infer?a=1", {}, b"{}"),
    "a path in other letters": (False, b"POST", b"/%69nfer", {}, b"{}"),
    "an encoded body": (False, b"POST", b"/infer", {b"content-encoding": b"gzip"}, b"{}"),
    "JSON before binary tensors": (False, b"POST", b"/infer", {b"inference-header-content-length": b"2"}, b"{}"),
    "JSON that asks for binary tensors": (False, b"POST", b"/infer", {}, b'{"a": {"binary_data_output": true}}'),
}


@pytest.mark.parametrize("sentence", TAKEN)
async def test_it_takes_only(sentence: str) -> None:
    taken, method, url, headers, body = TAKEN[sentence]
    direct = DirectInference(cast(Any, None), cast(Any, None), {b"/infer": False, b"/versions/1/infer": True})
    line = cast(Any, Line(url, list(headers.items())))
    request = WholeRequest(line, method, sorted_out(line.headers), body, keep_alive=True)
    assert direct.takes(request) is taken


def call(pod: Running, piece: bytes) -> bytes:
    """Send it and read until an answer's body is there, or the server hangs up."""
    with socket.create_connection(("127.0.0.1", pod.inference_port), timeout=10) as line:
        line.sendall(piece)
        if b"connection: close" in piece:
            return b"".join(iter(lambda: line.recv(65536), b""))
        data = line.recv(65536)
        head, _, body = data.partition(b"\r\n\r\n")
        length = int(re.search(rb"content-length: (\d+)", head).group(1))  # type: ignore[union-attr]
        while len(body) < length:
            body += line.recv(65536)
        return head + b"\r\n\r\n" + body


def told(answer: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body, but for what differs from answer to answer."""
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    for name in ("date", "content-length", "x-serin-prediction-id"):
        headers[name] = "" if name in headers else "none"
    headers["set-cookie"] = headers.get("set-cookie", "").partition("=")[0]
    if headers.get("x-request-id", "abc") != "abc":
        headers["x-request-id"] = "made"
    return int(status.split()[1]), headers, re.sub(rb'"prediction_id":"[^"]+"', b"", body)


def counted(cohort: dict[str, Any] | None) -> dict[str, Any] | None:
    """What was counted, but for times."""
    if cohort is None:
        return None
    slots = sum(slot["predictions"] for slot in cohort["slots"])
    return cohort | {"latency": sum(cohort["latency"]), "slots": slots}

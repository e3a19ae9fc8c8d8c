"""Request ids in answers and in the log, and what the log says and leaves out."""

from __future__ import annotations

import http.client
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.serving.running import Case, Running, run, settings, wait_for_ends

from serin_serving import log, startup
from serin_serving.app import App
from serin_serving.keys import Keys
from serin_serving.log import LINES_PER_SECOND_MAX, LineFormatter, LineLimit
from serin_serving.server import Server
from serin_serving.wire import Answer, Receive, Scope

ODD = {
    "none": None,
    "too long": "a" * 129,
    "empty": "",
    "with a space": "a b",
    "with quotes": '"a"',
    "that begins like an option": "-rf",
    "of other letters": "é",
}


@pytest.mark.parametrize("request_id", ["mine-7", "a" * 128, "0f:1/2+3=4@5.6_7"])
def test_a_callers_id_comes_back_with_any_answer(server: Running, request_id: str) -> None:
    for method, path in [("POST", "infer"), ("GET", ""), ("GET", "nowhere")]:
        reply = server.call(method, server.path(path), x_request_id=request_id)
        assert reply.headers["x-request-id"] == request_id


@pytest.mark.parametrize("path", ["/v2", "/openapi.json", "/docs"])
def test_an_answer_that_is_made_once_has_no_other_callers_id(server: Running, path: str) -> None:
    assert server.call("GET", path, x_request_id="first").headers["x-request-id"] == "first"
    assert "x-request-id" not in server.call("GET", path).headers


def test_a_good_answer_without_an_id_of_its_caller_has_none(server: Running) -> None:
    assert "x-request-id" not in server.infer(server.case.rows[:1]).headers


@pytest.mark.parametrize("name", ODD)
def test_a_refused_request_gets_an_id_where_the_caller_sent(server: Running, name: str) -> None:
    value = ODD[name]
    headers = {} if value is None else {"x_request_id": value}
    first = server.call("POST", server.path("infer"), b"{", **headers).headers["x-request-id"]
    second = server.call("POST", server.path("infer"), b"{", **headers).headers["x-request-id"]
    assert first not in (value, second)
    assert len(first) == 32


def test_two_ids_are_none(server: Running) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.inference_port, timeout=10)
    connection.putrequest("GET", "/v2/health/live")
    connection.putheader("x-request-id", "one")
    connection.putheader("x-request-id", "two")
    connection.endheaders()
    assert connection.getresponse().getheader("x-request-id") is None
    connection.close()


async def fail(_scope: Scope, _receive: Receive) -> Answer:
    """A route with a bug."""
    raise ZeroDivisionError("the caller sent 4242")


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """What the log of this process is written to for the length of a test."""
    wait_for_ends()
    root = logging.getLogger()
    before = root.handlers[:], root.level
    written = io.StringIO()
    log.set_up(written)
    try:
        yield written
    finally:
        root.handlers[:], root.level = before[0], before[1]


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


async def test_a_failure_is_found_in_the_log_by_the_id_in_its_answer(
    wine: Case, keys_file: Path, stream: io.StringIO
) -> None:
    configured = settings(wine, keys_file)
    server = Server(configured, startup.load(configured), Keys(keys_file, 0.0))
    app = App(server, {"/bug": {"GET": fail}})
    for sent in ([(b"x-request-id", b"mine-7")], []):
        answers: list[Any] = []

        async def send(message: Any, answers: list[Any] = answers) -> None:
            answers.append(message)

        scope = {"path": "/bug", "method": "GET", "headers": sent}
        await app(scope, None, send)  # type: ignore[arg-type]
        headers = dict(answers[0]["headers"])
        line = lines(stream)[-1]
        assert (answers[0]["status"], line["message"]) == (500, "a request failed")
        assert line["request_id"] == headers[b"x-request-id"].decode()
        assert line["request_id"] == "mine-7" or len(line["request_id"]) == 32
        assert line["exception"] == "ZeroDivisionError"
        assert line["at"]
    server.close()
    assert "4242" not in stream.getvalue()


def test_requests_are_logged_where_that_is_asked_for(wine: Case, keys_file: Path, stream: io.StringIO) -> None:
    with run(wine, keys_file, logs_requests=True) as server:
        server.infer(wine.rows[:3], cohort="wine-2.1.a", id="do-not-log-me")
        server.call("POST", server.path("infer"), b"{", x_request_id="mine-7")
    wait_for_ends()
    good, refused = [line for line in lines(stream) if line["message"] == "answered"]
    assert (good["status"], good["rows"], good["cohort"], len(good["request_id"])) == (200, 3, "wine-2.1.a", 32)
    assert (refused["status"], refused["rows"], refused["request_id"]) == (400, 0, "mine-7")
    assert 0 < good["seconds"] < 10
    assert "do-not-log-me" not in stream.getvalue()


def test_no_request_is_logged_by_default(wine: Case, keys_file: Path, stream: io.StringIO) -> None:
    with run(wine, keys_file) as server:
        server.infer(wine.rows[:3])
        server.call("POST", server.path("infer"), b"{")
    wait_for_ends()
    assert not [line for line in lines(stream) if line["message"] == "answered"]


def test_one_kind_of_line_does_not_bury_another_and_says_how_many_were_left_out() -> None:
    now = 100.2
    limit = LineLimit(clock=lambda: now)

    def passes(text: str, *values: object) -> bool:
        record = logging.LogRecord("serin", logging.INFO, __file__, 1, text, values, None)
        kept = limit.filter(record)
        passed.append(record)
        return kept

    passed: list[logging.LogRecord] = []
    kept = [passes("answered %d", number) for number in range(LINES_PER_SECOND_MAX + 30)]
    assert kept == [True] * LINES_PER_SECOND_MAX + [False] * 30
    assert passes("draining")
    now = 101.0
    assert passes("answered %d", 51)
    assert json.loads(LineFormatter().format(passed[-1]))["left_out"] == 30
    assert passes("answered %d", 52)
    assert "left_out" not in json.loads(LineFormatter().format(passed[-1]))


def test_a_log_of_ever_new_texts_holds_few_of_them() -> None:
    limit = LineLimit(clock=lambda: 100.0)
    kept = [limit.filter(logging.LogRecord("a", 20, "", 1, f"text {n}", (), None)) for n in range(5000)]
    assert sum(kept) == 256


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_person_at_a_terminal_reads_text(stream: io.StringIO) -> None:
    terminal = Terminal()
    log.set_up(terminal)
    logging.getLogger("serin_serving").info("ready\nor not", extra={"fields": {"inference_port": 8080}})
    assert terminal.getvalue().splitlines()[0][12:] == " info ready\\nor not inference_port=8080"
    assert terminal.getvalue().count("\n") == 1

"""Probing through a gateway: answers of a real server, in every way that it may answer or fail to."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from serin_contract import http
from serin_operator.decide.observation import ParentProbe, ProbeFacts
from serin_operator.observe import sessions
from serin_operator.observe.gateways import Parent, Target
from serin_operator.observe.probe import Prober, Question

VALUE = "0123456789abcdef0123456789abcdef"
OURS = {http.REVISION_HEADER: "wine-v2"}


class Gateway:
    """Answers as it is told, one answer after the other, the last one for ever."""

    def __init__(self) -> None:
        self.answers: list[Callable[[], web.Response] | float] = [good]
        self.asked: list[tuple[str, str, str]] = []
        self.connections: set[object] = set()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.path, request.host, request.headers.get(http.PROBE_HEADER, "")))
        self.connections.add(request.transport)
        wanted = self.answers[min(len(self.asked), len(self.answers)) - 1]
        if isinstance(wanted, float):
            await asyncio.sleep(wanted)
            return web.Response()
        return wanted()


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


@pytest.fixture
async def server(gateway: Gateway) -> AsyncIterator[TestServer]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", gateway.answer)
    async with TestServer(app) as server:
        yield server


@asynccontextmanager
async def probing(clock: list[float], request_seconds: float) -> AsyncIterator[Prober]:
    async with sessions.session() as session:
        prober = Prober(session, clock=lambda: clock[0], request_seconds=request_seconds)
        try:
            yield prober
        finally:
            await prober.close()


@pytest.fixture
async def prober(clock: list[float]) -> AsyncIterator[Prober]:
    async with probing(clock, 10.0) as prober:
        yield prober


@pytest.fixture
async def hasty(clock: list[float]) -> AsyncIterator[Prober]:
    """Waits no longer than a test may take."""
    async with probing(clock, 0.3) as prober:
        yield prober


def question(*origins: str, host: str = "wine.example.com") -> Question:
    targets = tuple(Target(origin, host) for origin in origins)
    return Question((Parent("infra/public", targets),), VALUE, "wine", "wine-v2", "wine-v1")


def origin(server: TestServer) -> str:
    return f"http://127.0.0.1:{server.port}"


async def test_asks_for_the_model_under_the_routes_host_each_time_on_a_connection_of_its_own(
    prober: Prober, gateway: Gateway, server: TestServer
) -> None:
    facts = await prober.round(question(origin(server)))
    assert facts == ProbeFacts((ParentProbe("infra/public", 5),))
    assert gateway.asked == [("/v2/models/wine", "wine.example.com", VALUE)] * 5
    assert len(gateway.connections) == 5


def good() -> web.Response:
    return web.Response(headers=OURS)


@pytest.mark.parametrize(
    ("answers", "in_a_row", "answered"),
    [
        ([lambda: web.Response(status=404)], 0, "404 without a revision"),
        ([lambda: web.Response(status=503)], 0, "503 without a revision"),
        ([lambda: web.Response(headers={http.REVISION_HEADER: "wine-v1"})], 0, "200 from wine-v1"),
        ([lambda: web.Response(headers={http.REVISION_HEADER: "<b>"})], 0, "200 from another revision"),
        ([lambda: web.Response(status=500, headers=OURS)], 0, "500 from the candidate"),
        ([lambda: web.Response(status=302, headers={"Location": "/x"})], 0, "302 without a revision"),
        ([good, good, good, lambda: web.Response(status=404)], 3, "404 without a revision"),
    ],
)
async def test_an_answer_that_is_not_the_candidates_ends_the_row(
    prober: Prober,
    gateway: Gateway,
    server: TestServer,
    answers: list[Callable[[], web.Response] | float],
    in_a_row: int,
    answered: str,
) -> None:
    gateway.answers = answers
    facts = await prober.round(question(origin(server)))
    assert facts.parents == (ParentProbe("infra/public", in_a_row, answered),)
    assert len(gateway.asked) == in_a_row + 1


async def test_a_long_answer_is_not_read(prober: Prober, gateway: Gateway, server: TestServer) -> None:
    gateway.answers = [lambda: web.Response(headers=OURS, body=b"x" * 20_000_000)]
    assert (await prober.round(question(origin(server)))).parents[0].in_a_row == 5


async def test_an_answer_that_does_not_come_ends_the_row(hasty: Prober, gateway: Gateway, server: TestServer) -> None:
    gateway.answers = [good, 5.0]
    facts = await hasty.round(question(origin(server)))
    said = "no answer to one of several requests: it did not answer within 0.3 s"
    assert facts.parents == (ParentProbe("infra/public", 1, said),)
    assert len(gateway.asked) == 2


async def test_a_gateway_that_is_silent_or_not_there_cannot_be_told_of(
    hasty: Prober, gateway: Gateway, server: TestServer, closed_port: int
) -> None:
    gateway.answers = [5.0]
    silent = await hasty.round(question(origin(server)))
    gone = await hasty.round(question(f"http://127.0.0.1:{closed_port}"))
    assert silent.parents == (ParentProbe("infra/public", unknown="it did not answer within 0.3 s"),)
    assert gone.parents == (ParentProbe("infra/public", unknown="it cannot be reached (ClientConnectorError)"),)


async def test_a_certificate_of_an_unknown_authority_cannot_be_told_of(
    prober: Prober, gateway: Gateway, tmp_path: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*self_signed(tmp_path))
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", gateway.answer)
    server = TestServer(app, scheme="https")
    await server.start_server(ssl=context)
    facts = await prober.round(question(f"https://127.0.0.1:{server.port}"))
    await server.close()
    said = "its certificate does not hold for the host by the system's authorities"
    assert facts.parents == (ParentProbe("infra/public", unknown=said),)
    assert gateway.asked == []


def self_signed(directory: Path) -> tuple[Path, Path]:
    certificate, key = directory / "tls.crt", directory / "tls.key"
    wanted = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=wine.example.com -days 2"
    command = ["openssl", "req", "-x509", *wanted.split(), "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True, timeout=20)
    return certificate, key


async def test_what_answers_wrongly_outweighs_what_does_not_answer(
    prober: Prober, gateway: Gateway, server: TestServer, closed_port: int
) -> None:
    gateway.answers = [lambda: web.Response(status=404)]
    facts = await prober.round(question(f"http://127.0.0.1:{closed_port}", origin(server)))
    assert facts.parents == (ParentProbe("infra/public", 0, "404 without a revision"),)


async def test_one_listener_that_cannot_be_asked_leaves_the_parent_untold(
    prober: Prober, server: TestServer, closed_port: int
) -> None:
    facts = await prober.round(question(origin(server), f"http://127.0.0.1:{closed_port}"))
    assert facts.parents[0].unknown == "it cannot be reached (ClientConnectorError)"


async def test_a_parent_without_an_address_is_passed_on(prober: Prober) -> None:
    asked = replace(question(), parents=(Parent("infra/public", unknown="its status publishes no address"),))
    facts = await prober.round(asked)
    assert facts.parents == (ParentProbe("infra/public", unknown="its status publishes no address"),)


async def until_found(prober: Prober, asked: Question, answered: str = "") -> ProbeFacts:
    """What a round found, once one has ended with that answer."""
    for _ in range(1000):
        found = prober.ask("u1", asked)
        if found.parents and found.parents[0].answered == answered:
            return found
        await asyncio.sleep(0.01)
    raise AssertionError("no such round has ended")


async def test_asking_never_waits_and_begins_one_round_a_second(
    prober: Prober, gateway: Gateway, server: TestServer, clock: list[float]
) -> None:
    asked = question(origin(server))
    assert prober.ask("u1", asked) == ProbeFacts()
    assert (await until_found(prober, asked)).parents[0].in_a_row == 5
    assert len(gateway.asked) == 5
    clock[0] = 0.9
    prober.ask("u1", asked)
    await asyncio.sleep(0.05)
    assert len(gateway.asked) == 5
    gateway.answers = [lambda: web.Response(status=404)]
    clock[0] = 1.0
    assert prober.ask("u1", asked).parents[0].in_a_row == 5, "what the latest round found stands until the next ends"
    assert (await until_found(prober, asked, "404 without a revision")).parents[0].in_a_row == 0


async def test_another_trial_begins_without_what_was_found_of_the_last(
    prober: Prober, server: TestServer, clock: list[float]
) -> None:
    asked = question(origin(server))
    await until_found(prober, asked)
    assert prober.ask("u1", replace(asked, value="f" * 32)) == ProbeFacts()

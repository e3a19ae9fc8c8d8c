"""Sources of custom gates: a real server that lies, dawdles or answers with everything but a number."""

from __future__ import annotations

import asyncio
import ipaddress
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from serin_operator.api.deployment import CandidateStatus, ModelDeploymentStatus, StableStatus, WatchStatus
from serin_operator.decide.gate_policies import CustomPolicy
from serin_operator.decide.judge.look import CustomAnswer
from serin_operator.observe.custom import Addresses, CustomSources, Trial, trial_of
from serin_operator.observe.custom_fetch import is_refused

TRIAL = Trial("digits-2", "digits-1", "digits-2.1.abc")
LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)


class Source:
    """Answers as it is told."""

    def __init__(self) -> None:
        self.answer: Callable[[], web.StreamResponse] = lambda: web.json_response({"value": 1.5})
        self.wait_seconds = 0.0
        self.asked: list[tuple[str, dict[str, str]]] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.path, dict(request.query)))
        await asyncio.sleep(self.wait_seconds)
        return self.answer()


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
async def server(source: Source) -> AsyncIterator[TestServer]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", source.handle)
    async with TestServer(app) as server:
        yield server


@asynccontextmanager
async def asking(server: TestServer, clock: list[float], request_seconds: float) -> AsyncIterator[CustomSources]:
    where = Addresses(f"http://127.0.0.1:{server.port}/prom/", frozenset({f"127.0.0.1:{server.port}"}), LOOPBACK)
    sources = CustomSources(where, lambda: clock[0], lambda: 1000.0 + clock[0], request_seconds=request_seconds)
    try:
        yield sources
    finally:
        await sources.close()


@pytest.fixture
async def sources(server: TestServer, clock: list[float]) -> AsyncIterator[CustomSources]:
    async with asking(server, clock, 10.0) as sources:
        yield sources


@pytest.fixture
async def hasty(server: TestServer, clock: list[float]) -> AsyncIterator[CustomSources]:
    """Wait no longer than a test may take."""
    async with asking(server, clock, 0.3) as sources:
        yield sources


QUERY = CustomPolicy("custom/rate", "Enforce", 'sum(x{namespace="shop",r="{{revision}}"})', None, None, 1.0, None, 60.0)


def document(server: TestServer, field: str = "/value") -> CustomPolicy:
    return CustomPolicy(
        "custom/revenue", "Enforce", None, f"http://127.0.0.1:{server.port}/{{{{name}}}}", field, 1.0, None, 60.0
    )


async def asked(
    sources: CustomSources, gate: CustomPolicy, trial: Trial = TRIAL, at: float | None = None
) -> CustomAnswer:
    """What comes of the first question, or of the one that was asked then."""
    for _ in range(1000):
        found = sources.ask("uid", "shop", "digits", (gate,), trial)
        if found and at in (None, found[0].asked_at):
            return found[0]
        await asyncio.sleep(0.01)
    raise AssertionError("no answer")


def vector(*values: Any) -> dict[str, Any]:
    result = [{"metric": {}, "value": [1.0, value]} for value in values]
    return {"status": "success", "data": {"resultType": "vector", "result": result}}


async def test_prometheus_is_asked_an_instant_query_with_its_parameters(source: Source, sources: CustomSources) -> None:
    source.answer = lambda: web.json_response(vector("0.25"))
    assert await asked(sources, QUERY) == CustomAnswer("custom/rate", 1000.0, 0.25)
    path, query = source.asked[0]
    assert (path, query["query"]) == ("/prom/api/v1/query", 'sum(x{namespace="shop",r="digits-2"})')


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        (vector("3"), 3.0),
        (vector("-1e-3"), -0.001),
        ({"status": "success", "data": {"resultType": "scalar", "result": [1.0, "7"]}}, 7.0),
    ],
)
async def test_a_scalar_and_a_vector_of_one_are_a_number(
    source: Source, sources: CustomSources, answer: Any, value: float
) -> None:
    source.answer = lambda: web.json_response(answer)
    assert (await asked(sources, QUERY)).value == value


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (vector(), "finds no series"),
        (vector("1", "2"), "several series"),
        (vector("NaN"), "not a finite number"),
        (vector("+Inf"), "not a finite number"),
        (vector("secret"), "no number"),
        (vector(1.5), "no single number"),
        ({"status": "error", "errorType": "bad_data", "error": "secret"}, "no single number"),
        ({"status": "success", "data": {"resultType": "matrix", "result": []}}, "no single number"),
        ({"status": "success", "data": {"resultType": "string", "result": [1, "5"]}}, "no single number"),
        ([], "no single number"),
        ("secret", "no single number"),
        (None, "no single number"),
    ],
)
async def test_every_other_answer_of_prometheus_is_an_error_that_quotes_nothing(
    source: Source, sources: CustomSources, answer: Any, said: str
) -> None:
    source.answer = lambda: web.json_response(answer)
    found = await asked(sources, QUERY)
    assert found.value is None
    assert said in (found.error or "")
    assert "secret" not in (found.error or "")


@pytest.mark.parametrize(
    ("content", "pointer", "value"),
    [
        ({"value": 2}, "/value", 2.0),
        ({"a": [{"b": 1.5}]}, "/a/0/b", 1.5),
        ({"a/b": {"m~n": 3}}, "/a~1b/m~0n", 3.0),
        ({"": 4}, "/", 4.0),
        ({"~1": 5}, "/~01", 5.0),
    ],
)
async def test_a_documents_number_is_found_by_its_pointer(
    source: Source, sources: CustomSources, server: TestServer, content: Any, pointer: str, value: float
) -> None:
    source.answer = lambda: web.json_response(content)
    assert await asked(sources, document(server, pointer)) == CustomAnswer("custom/revenue", 1000.0, value)
    assert source.asked[0][0] == "/digits"


BIG = 70 * 1024


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda: web.json_response({"other": 1}), "nothing where the gate's field points"),
        (lambda: web.json_response([1]), "nothing where the gate's field points"),
        (lambda: web.json_response({"value": "12"}), "is no number"),
        (lambda: web.json_response({"value": True}), "is no number"),
        (lambda: web.json_response({"value": None}), "is no number"),
        (lambda: web.json_response({"value": {"secret": 1}}), "is no number"),
        (lambda: web.Response(text='{"value": NaN}'), "not a finite number"),
        (lambda: web.Response(text='{"value": 1e999}'), "not a finite number"),
        (lambda: web.Response(text='{"value": ' + "9" * 400 + "}"), "not a finite number"),
        (lambda: web.Response(text='{"value": ' + "9" * 5000 + "}"), "is no JSON"),
        (lambda: web.Response(text="<html>secret</html>"), "is no JSON"),
        (lambda: web.Response(body=b"\xff\xfe\xff"), "is no JSON"),
        (lambda: web.Response(text="[" * 60000), "is no JSON"),
        (lambda: web.Response(text=json.dumps({"value": 1, "x": "y" * BIG})), "more than 64 KiB"),
        (lambda: web.Response(headers={"Content-Encoding": "gzip"}, body=b"x"), "compressed"),
        (lambda: web.Response(headers={"X": "y" * 20000}), "cannot be reached"),
        (lambda: web.Response(status=404, text="secret"), "status 404"),
        (lambda: web.Response(status=500, text='{"value": 2}'), "status 500"),
        (lambda: web.Response(status=204), "status 204"),
        (
            lambda: web.Response(status=302, headers={"Location": "http://169.254.169.254/latest/secret"}),
            "a redirect (302), which is not followed",
        ),
    ],
)
async def test_every_other_document_is_an_error_that_quotes_nothing(
    source: Source, sources: CustomSources, server: TestServer, answer: Callable[[], web.Response], said: str
) -> None:
    source.answer = answer
    found = await asked(sources, document(server))
    assert found.value is None
    assert said in (found.error or "")
    assert "secret" not in (found.error or "")
    assert len(source.asked) == 1


async def test_a_slow_source_delays_nobody_and_is_an_error(
    source: Source, hasty: CustomSources, server: TestServer
) -> None:
    source.wait_seconds = 5.0
    assert hasty.ask("uid", "shop", "digits", (document(server),), TRIAL) == ()
    assert (await asked(hasty, document(server))).error == "it did not answer within 0.3 s"


async def test_a_source_that_is_not_there_is_an_error(clock: list[float], closed_port: int) -> None:
    sources = CustomSources(Addresses(f"http://127.0.0.1:{closed_port}"), lambda: 0.0)
    assert "cannot be reached" in ((await asked(sources, QUERY)).error or "")
    await sources.close()


async def test_both_kinds_are_off_until_the_settings_name_where_to_ask(server: TestServer, source: Source) -> None:
    sources = CustomSources(Addresses())
    assert "queries are off" in ((await asked(sources, QUERY)).error or "")
    assert "documents are off" in ((await asked(sources, document(server))).error or "")
    assert source.asked == []
    await sources.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_an_allowed_name_that_leads_to_the_operator_itself_is_not_asked(
    server: TestServer, source: Source, host: str
) -> None:
    sources = CustomSources(Addresses(None, frozenset({f"{host}:{server.port}"})))
    gate = replace(document(server), url=f"http://{host}:{server.port}/")
    assert "loopback, link-local or metadata address" in ((await asked(sources, gate)).error or "")
    assert source.asked == []
    await sources.close()


async def test_a_query_that_is_refused_is_not_sent(sources: CustomSources, source: Source) -> None:
    found = await asked(sources, replace(QUERY, query="sum(up)"))
    assert 'lacks namespace="shop"' in (found.error or "")
    assert source.asked == []


async def test_a_source_is_asked_once_per_interval_and_at_once_for_a_new_cohort(
    source: Source, sources: CustomSources, server: TestServer, clock: list[float]
) -> None:
    gate = document(server)
    assert (await asked(sources, gate)).asked_at == 1000.0
    clock[0] = 59.0
    assert (await asked(sources, gate)).asked_at == 1000.0
    await asyncio.sleep(0.05)
    assert len(source.asked) == 1
    clock[0] = 60.0
    source.wait_seconds = 0.05
    assert (await asked(sources, gate)).asked_at == 1000.0, "the old answer stands while it is asked anew"
    assert (await asked(sources, gate, at=1060.0)).value == 1.5
    assert sources.ask("uid", "shop", "digits", (gate,), replace(TRIAL, cohort="digits-2.2.abc")) == ()
    assert (await asked(sources, gate, replace(TRIAL, cohort="digits-2.2.abc"))).asked_at == 1060.0
    assert len(source.asked) == 3


@pytest.mark.parametrize(
    ("address", "refused"),
    [
        ("10.96.0.10", False),
        ("192.168.3.4", False),
        ("203.0.113.9", False),
        ("fd00::9", False),
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("0.0.0.0", True),
        ("169.254.169.254", True),
        ("100.100.100.200", True),
        ("168.63.129.16", True),
        ("224.0.0.1", True),
        ("::", True),
        ("::1", True),
        ("fe80::1", True),
        ("fd00:ec2::254", True),
        ("::ffff:127.0.0.1", True),
        ("::ffff:169.254.169.254", True),
        ("64:ff9b::a9fe:a9fe", True),
        ("2002:7f00:1::", True),
    ],
)
def test_addresses_of_the_operator_its_node_and_its_cloud_are_refused(address: str, refused: bool) -> None:
    assert is_refused(ipaddress.ip_address(address)) is refused


STABLE = StableStatus(revision="digits-1")
CANDIDATE = CandidateStatus(
    revision="digits-2", trial_started_at="2026-11-01T00:00:00Z", step_started_at="2026-11-01T00:00:10Z",
    cohort="digits-2.1.abc",
)  # fmt: skip
WATCH = WatchStatus(
    revision="digits-2", since="2026-11-01T00:00:00Z", until="2026-11-02T00:00:00Z", cohort="digits-2.watch.1"
)


@pytest.mark.parametrize(
    ("status", "trial"),
    [
        (ModelDeploymentStatus(stable=STABLE, candidate=CANDIDATE), TRIAL),
        (ModelDeploymentStatus(stable=STABLE), None),
        (ModelDeploymentStatus(stable=STABLE, candidate=CANDIDATE.model_copy(update={"cohort": None})), None),
        (ModelDeploymentStatus(stable=STABLE, candidate=CANDIDATE.model_copy(update={"step_started_at": None})), None),
        (ModelDeploymentStatus(stable=STABLE, watch=WATCH), Trial("digits-2", "", "digits-2.watch.1")),
        (
            ModelDeploymentStatus(stable=STABLE, candidate=CANDIDATE.model_copy(update={"cohort": None}), watch=WATCH),
            None,
        ),
    ],
)
def test_sources_are_asked_while_a_step_or_a_watch_runs(status: ModelDeploymentStatus, trial: Trial | None) -> None:
    assert trial_of(status) == trial

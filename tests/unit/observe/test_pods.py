"""Asking pods: nothing that one answers, or fails to answer, can raise."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import aiohttp
import pytest
from aiohttp import web

from serin_contract import http, profile, stats
from serin_contract.profile import PredictionBins, Profile
from serin_contract.stats import PodStats
from serin_operator.decide.observation import PodFacts
from serin_operator.observe import pods as observed
from serin_operator.observe.pods import Poller, origin_of
from serin_operator.observe.workloads import SeenPod
from serin_operator.runtime.metrics import Metrics

FACTS = PodFacts("p", "u1", "m-1", "serve", "Running", True, False, 0.0)
PROFILE = profile.encode(Profile([], PredictionBins("classification", ["a"], [], [1.0]), 1))


def seen(**change: object) -> SeenPod:
    return SeenPod(replace(FACTS, **change), "127.0.0.1")  # type: ignore[arg-type]


class Pods:
    """Serving pods, all at one address."""

    def __init__(self) -> None:
        self.answers: dict[str, web.Response | float] = {}
        self.at_once = self.most_at_once = 0

    async def answer(self, request: web.Request) -> web.Response:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            wanted = self.answers[request.path]
            await asyncio.sleep(wanted if isinstance(wanted, float) else 0.005)
            return wanted if isinstance(wanted, web.Response) else web.Response()
        finally:
            self.at_once -= 1


@pytest.fixture
def world() -> Pods:
    return Pods()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
async def poller(world: Pods, metrics: Metrics, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Poller]:
    monkeypatch.setattr(observed, "POLL_SECONDS", 0.5)
    app = web.Application()
    app.router.add_get("/{path:.*}", world.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with aiohttp.ClientSession() as session:
        yield Poller(session, metrics.poll_errors, lambda pod: f"{url}/{pod.facts.name}" if pod.address else None)
    await runner.cleanup()


def counted(uid: str = "u1", revision: str = "m-1") -> web.Response:
    return web.Response(body=stats.encode(PodStats(revision, uid, "start-1")))


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        pytest.param(counted(), None, id="stats"),
        pytest.param(counted(uid="u2"), "another pod answers at its address", id="the address was given out again"),
        pytest.param(web.Response(status=503), "it answered 503", id="a refusal"),
        pytest.param(web.Response(status=302, headers={"Location": "http://169.254.169.254/"}), "302", id="a redirect"),
        pytest.param(web.Response(text="<html>"), "not a stats document", id="something else"),
        pytest.param(web.Response(body=b" " * (http.STATS_BYTES_MAX + 1)), "longer than", id="far too much"),
        pytest.param(5.0, "did not answer within", id="no answer in time"),
    ],
)
async def test_an_answer(
    world: Pods, poller: Poller, metrics: Metrics, answer: web.Response | float, error: str | None
) -> None:
    world.answers["/p" + http.STATS_PATH] = answer
    (got,) = await poller.stats([seen()])
    assert (got.pod_uid, got.revision) == ("u1", "m-1")
    errors = metrics.registry.get_sample_value("serin_operator_stats_poll_errors_total")
    if error is None:
        assert got.stats is not None
        assert (got.error, errors) == (None, 0.0)
    else:
        assert error in (got.error or "")
        assert (got.stats, errors) == (None, 1.0)


async def test_a_pod_that_is_gone_is_an_answer_with_an_error(metrics: Metrics) -> None:
    async with aiohttp.ClientSession() as session:
        (got,) = await Poller(session, metrics.poll_errors, lambda _: "http://127.0.0.1:9").stats([seen()])
    assert "it cannot be reached" in (got.error or "")


@pytest.mark.parametrize(
    ("pod", "asked"),
    [
        pytest.param(seen(terminating=True), True, id="a terminating pod is asked as long as it answers"),
        pytest.param(seen(ready=False), True, id="a pod that lost its readiness still knows what it counted"),
        pytest.param(seen(phase="Pending"), False, id="a pod that has not started"),
        pytest.param(seen(phase="Succeeded"), False, id="a pod that has ended"),
        pytest.param(seen(purpose="resolve"), False, id="a pod that resolves a digest"),
        pytest.param(SeenPod(FACTS, None), False, id="a pod without an address"),
        pytest.param(seen(counts=False), False, id="a container of the user's own"),
    ],
)
async def test_who_is_asked(world: Pods, poller: Poller, pod: SeenPod, asked: bool) -> None:
    world.answers["/p" + http.STATS_PATH] = counted()
    assert bool(await poller.stats([pod])) is asked


async def test_one_budget_of_polls_for_all(world: Pods, poller: Poller) -> None:
    world.answers["/p" + http.STATS_PATH] = counted()
    await asyncio.gather(*(poller.stats([seen()] * 40) for _ in range(3)))
    assert 1 < world.most_at_once <= observed.POLLS_AT_ONCE


async def test_the_profile_comes_from_the_first_pod_that_gives_one(world: Pods, poller: Poller) -> None:
    world.answers |= {
        "/bad" + http.PROFILE_PATH: web.Response(text="{}"),
        "/p" + http.PROFILE_PATH: web.Response(body=PROFILE),
    }
    pods = [seen(name="cold", ready=False), seen(name="leaving", terminating=True), seen(name="bad"), seen()]
    assert await poller.profile(pods) == (PROFILE.decode(), None)


async def test_a_container_of_the_users_own_is_not_asked_for_a_profile(world: Pods, poller: Poller) -> None:
    text, error = await poller.profile([seen(counts=False)])
    assert (text, error) == (None, "no pod of the stable revision is ready")


async def test_why_there_is_no_profile(world: Pods, poller: Poller) -> None:
    assert await poller.profile([seen(ready=False)]) == (None, "no pod of the stable revision is ready")
    world.answers["/p" + http.PROFILE_PATH] = web.Response(status=404)
    assert await poller.profile([seen()]) == (None, "pod p gave no profile: it answered 404")


@pytest.mark.parametrize(
    ("address", "url"), [("10.0.0.1", "http://10.0.0.1:8081"), ("fd00::1", "http://[fd00::1]:8081"), (None, None)]
)
def test_where_a_pod_is_asked(address: str | None, url: str | None) -> None:
    assert origin_of(SeenPod(FACTS, address)) == url

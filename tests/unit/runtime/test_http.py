"""What the probes tell of, each as a sentence."""

from __future__ import annotations

import socket
from typing import Any

import aiohttp
import pytest

from serin_operator.runtime import http
from serin_operator.runtime.http import Health
from serin_operator.runtime.metrics import Metrics

WELL: dict[str, Any] = {"resynced_at": 1000.0}


@pytest.mark.parametrize(
    ("state", "said"),
    [
        pytest.param(WELL, None, id="all is well"),
        pytest.param({}, None, id="before the first listing it is not ready, but a restart would not help"),
        pytest.param(WELL | {"lag_seconds": 6.0}, "the event loop lags 6.0 s", id="the loop is blocked"),
        pytest.param(
            WELL | {"working_since": {"ns/a": 800.0}},
            "the pass over ns/a has been running for 300 s",
            id="a pass hangs",
        ),
        pytest.param(WELL | {"working_since": {"ns/a": 1000.0}}, None, id="a pass takes its time"),
        pytest.param(
            {"resynced_at": 100.0}, "the last listing of all deployments is 1000 s old", id="listing has stopped"
        ),
        pytest.param(
            WELL | {"elector_alive": lambda: False}, "the elector of the Lease has ended", id="the elector is dead"
        ),
    ],
)
def test_health(state: dict[str, Any], said: str | None) -> None:
    health = Health(lambda: 1100.0, resync_seconds=300.0, step_deadline_seconds=60.0, **state)
    assert health.problems() == ([said] if said else [])


async def test_the_three_endpoints() -> None:
    health, metrics = Health(lambda: 1100.0, 300.0, 60.0), Metrics()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    close = await http.serve(http.application(health, metrics.registry), port, "127.0.0.1")

    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:

        async def ask(path: str) -> tuple[int, str]:
            async with session.get(path) as answer:
                return answer.status, await answer.text()

        assert await ask("/healthz") == (200, "ok\n")
        assert (await ask("/readyz"))[0] == 503
        health.resynced_at = 1099.0
        assert await ask("/readyz") == (200, "ok\n")
        health.lag_seconds = 9.0
        assert await ask("/healthz") == (503, "the event loop lags 9.0 s\n")
        status, text = await ask("/metrics")
        assert status == 200
        assert "serin_operator_queue_depth 0.0" in text
    await close()

"""/healthz, /readyz and /metrics, served from the loop that does the work: a blocked one fails by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

LAG_SECONDS_MAX = 5.0
RESYNCS_MISSED_MAX = 3
_BEAT_SECONDS = 1.0


@dataclass
class Health:
    """What the probes tell of, written by the parts that know."""

    monotonic: Callable[[], float]
    resync_seconds: float
    step_deadline_seconds: float
    resynced_at: float | None = None
    """When the last listing of all deployments ended; None before the first."""
    elector_alive: Callable[[], bool] = lambda: True
    working_since: dict[str, float] = field(default_factory=dict)
    """By key in work, when its pass began."""
    lag_seconds: float = 0.0

    def problems(self) -> list[str]:
        """Why a restart would help, in sentences; none while all is well."""
        now = self.monotonic()
        said = []
        if self.lag_seconds > LAG_SECONDS_MAX:
            said.append(f"the event loop lags {self.lag_seconds:.1f} s")
        for key, since in sorted(self.working_since.items()):
            if now - since > 2 * self.step_deadline_seconds:
                said.append(f"the pass over {key} has been running for {now - since:.0f} s")
        if self.resynced_at is not None:
            age = now - self.resynced_at
            if age > RESYNCS_MISSED_MAX * self.resync_seconds:
                said.append(f"the last listing of all deployments is {age:.0f} s old")
        if not self.elector_alive():
            said.append("the elector of the Lease has ended")
        return said

    @property
    def ready(self) -> bool:
        """Whether all deployments are known. Leading is no part of it, else our own update would stall."""
        return self.resynced_at is not None

    async def beat(self) -> None:
        """Measure how late the loop calls back, for ever."""
        while True:
            before = self.monotonic()
            await asyncio.sleep(_BEAT_SECONDS)
            self.lag_seconds = max(0.0, self.monotonic() - before - _BEAT_SECONDS)


def application(health: Health, registry: CollectorRegistry) -> web.Application:
    """The three endpoints."""

    async def healthz(_: web.Request) -> web.Response:
        said = health.problems()
        return web.Response(text="\n".join(said or ["ok"]) + "\n", status=503 if said else 200)

    async def readyz(_: web.Request) -> web.Response:
        if health.ready:
            return web.Response(text="ok\n")
        return web.Response(text="the deployments have not been listed yet\n", status=503)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)
    return app


async def serve(app: web.Application, port: int, host: str | None = None) -> Callable[[], Awaitable[None]]:
    """Listen on all addresses or on one; returns what closes it.

    Raises:
        OSError: the port is taken.
    """
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return runner.cleanup

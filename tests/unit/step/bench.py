"""The real step with the real decisions, over a small API server and toy controllers; time is a number."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from kubernetes.aio.client.api_client import ApiClient
from tests.support.announcing import ToyAnnouncer
from tests.support.fake_api import FakeApi, serving
from tests.support.toy_cluster import ToyCluster, ToyPoller

from serin_operator.apply.keys import KeyRings
from serin_operator.apply.workloads import Applier
from serin_operator.decide.rollout import decide
from serin_operator.errors import ApiError, ConflictError
from serin_operator.observe.cluster import Observer, OwnKeys
from serin_operator.observe.held import HeldEvidence
from serin_operator.report import Reporter
from serin_operator.runtime import httproute
from serin_operator.runtime.kube import Kube
from serin_operator.runtime.metrics import Metrics
from serin_operator.runtime.queue import Key
from serin_operator.runtime.record import Recorder
from serin_operator.step import Parts, step

KEY = Key("default", "m")
Json = dict[str, Any]


class KilledError(BaseException):
    """The process dies here; no code of ours may catch it."""


class Killer:
    """Lets the process die once, around its k-th write."""

    def __init__(self, before: int | None = None, after: int | None = None) -> None:
        self.writes = 0
        self._before, self._after = before, after

    def before_write(self, verb: str, kind: str, name: str) -> None:
        if self.writes + 1 == self._before:
            self._before = None
            raise KilledError(f"before {verb} {kind} {name}")

    def after_write(self, verb: str, kind: str, name: str) -> None:
        self.writes += 1
        if self.writes == self._after:
            self._after = None
            raise KilledError(f"after {verb} {kind} {name}")


class Bench:
    """A deployment, the world around it, and an operator that can die and start again."""

    def __init__(self, api: FakeApi, client: Callable[[], ApiClient], keys: Path, killer: Killer) -> None:
        self.api, self.cluster, self.killer = api, ToyCluster(api), killer
        self.metrics = Metrics()
        self.now = 1_793_491_200.0
        self.requests_per_pass = 0
        self.look_seconds = 1.0
        self.starts = 0
        self.record_dir: Path | None = None
        self._client, self._keys = client, keys
        self._open = AsyncExitStack()
        self._parts: Parts | None = None

    async def start(self) -> Parts:
        """A fresh process: nothing but what stands in the API server is known."""
        self.starts += 1

        async def sleep(_: float) -> None:
            return None

        kube = Kube(self._client(), self.metrics, lambda: 10.0, self.killer, sleep)
        self._open.push_async_callback(kube.close)
        rings, held = KeyRings(self._keys), HeldEvidence()
        observer = Observer(
            kube,
            ToyPoller(self.cluster),  # type: ignore[arg-type]
            held,
            "image:1",
            lambda uid: OwnKeys(rings.fingerprint(uid), rings.applied(uid)),
            lambda: self.now,
        )
        applier, reporter = Applier(kube, rings, ToyAnnouncer(self.cluster)), Reporter(kube, self.metrics, "operator-1")
        return Parts(observer, decide, applier, reporter, held, Recorder(self.record_dir))

    async def end(self) -> None:
        await self._open.aclose()

    def ask_for(self, uri: str, **spec: Any) -> None:
        """Set the deployment's model, as its user does."""
        item = self.api.get("modeldeployments", "m")
        wanted = {
            "model": {"uri": uri},
            "traffic": {"parentRefs": [{"name": "public"}]},
            "rollout": {"steps": [{"weight": 10, "for": "10s"}, {"weight": 50, "for": "10s"}]},
            **spec,
        }
        if item is None:
            self.api.put("gateways", {"metadata": {"name": "public"}})
            kind = {"apiVersion": "serin.dev/v1alpha1", "kind": "ModelDeployment"}
            self.api.put("modeldeployments", {**kind, "metadata": {"name": "m"}, "spec": wanted})
        elif item["spec"] != wanted:
            item["metadata"]["generation"] += 1
            self.api.put("modeldeployments", item | {"spec": wanted})

    @property
    def status(self) -> Json:
        return dict((self.api.get("modeldeployments", "m") or {}).get("status") or {})

    @property
    def weights(self) -> dict[str, int]:
        route = self.api.get("httproutes", "m")
        split = httproute.split(route) if route is not None else None
        return dict(split.weights) if split is not None else {}

    def serving_uri(self) -> str:
        """Of the model that answers all requests."""
        (revision,) = [name for name, weight in self.weights.items() if weight == 100]
        return self.cluster.uri(revision)

    async def once(self) -> None:
        """The world moves on, then one pass; a death starts a new process."""
        self.cluster.tick()
        self.cluster.traffic(self.requests_per_pass)
        self.cluster.connections(self.requests_per_pass)
        if self._parts is None:
            self._parts = await self.start()
        try:
            await self.one_pass(self._parts)
        except KilledError:
            self._parts = None
        self.check()
        self.now += self.look_seconds

    async def one_pass(self, parts: Parts) -> None:
        """One pass of one process; what workers would try again is let go here."""
        with suppress(ApiError, ConflictError):
            await step(parts, KEY)

    async def until(self, reached: Callable[[], bool], passes: int = 200) -> int:
        """Pass after pass until it is so; returns how many it took."""
        for number in range(passes):
            if reached():
                return number
            await self.once()
        raise AssertionError(f"not reached in {passes} passes; the status is {self.status}")

    def forget_process(self) -> None:
        """The next pass is a new process's."""
        self._parts = None

    async def rest(self, passes: int = 5) -> None:
        """Some more passes, to let what is left be done."""
        for _ in range(passes):
            await self.once()

    def check(self) -> None:
        """What must hold whatever happens; that a backend with weight has ready pods, traffic() sees to."""
        if self.weights:
            assert sum(self.weights.values()) == 100, self.weights

    def outcome(self) -> Json:
        """What a story came to, without what differs from run to run by right: times and random parts."""
        status = self.status
        return {
            "phase": status["phase"],
            "stable": status["stable"]["revision"],
            "candidate": status.get("candidate"),
            "history": [(entry["revision"], entry["outcome"]) for entry in status.get("history", ())],
            "weights": self.weights,
            "objects": sorted(
                (kind, name) for kind, _, name in self.api.objects if kind not in ("events", "pods", "endpointslices")
            ),
            "verdicts": {
                name: item.get("status", {}).get("verdict")
                for (kind, _, name), item in self.api.objects.items()
                if kind == "modelrevisions"
            },
        }


Make = Callable[..., Awaitable[Bench]]


@asynccontextmanager
async def benches(keys: Path) -> AsyncIterator[Make]:
    """Makes benches, each with an API server of its own; all end with the block."""
    (keys / "k1").write_bytes(b"1" * 32)
    async with AsyncExitStack() as stack:

        async def bench(killer: Killer | None = None) -> Bench:
            api = FakeApi()
            client = await stack.enter_async_context(serving(api))
            made = Bench(api, client, keys, killer or Killer())
            stack.push_async_callback(made.end)
            return made

        yield bench

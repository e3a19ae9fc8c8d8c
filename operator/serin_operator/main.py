"""The entry point, and the only module that knows Kopf: it supplies watch streams, and no more.

Events only add keys to the queue. They are hints: a listing of all deployments every few minutes would do
alone, so nothing is lost where a stream stalls, an event is dropped or a kind appears later.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import kopf
from kubernetes.aio.client.configuration import Configuration

from serin_contract import labels
from serin_operator import settings as operator_settings
from serin_operator.apply.announcements import Announcer
from serin_operator.apply.keys import KeyRings
from serin_operator.apply.workloads import Applier
from serin_operator.decide.rollout import decide
from serin_operator.errors import ApiError, SettingsError
from serin_operator.observe import sessions
from serin_operator.observe.cluster import Observer, OwnKeys
from serin_operator.observe.custom import Addresses, CustomSources
from serin_operator.observe.held import HeldEvidence
from serin_operator.observe.pods import Origin, Poller, origin_of
from serin_operator.observe.probe import Prober
from serin_operator.report import Reporter
from serin_operator.runtime import connect, http, logs, resources
from serin_operator.runtime.http import Health
from serin_operator.runtime.kube import Kube
from serin_operator.runtime.leader import Elector
from serin_operator.runtime.metrics import Metrics
from serin_operator.runtime.queue import Key, WorkQueue
from serin_operator.runtime.record import Recorder
from serin_operator.runtime.resources import Resource
from serin_operator.runtime.workers import Again, Pool
from serin_operator.settings import Settings
from serin_operator.step import Parts, step

EXIT_LOST = 1
EXIT_SETTINGS = 78
"""EX_CONFIG of sysexits.h: a person must mend a setting; a restart alone would not help."""

LEASE_NAME = "serin-operator"
STEP_DEADLINE_SECONDS = 60.0
STOP_GRACE_SECONDS = 3.0
LAST_RESORT_SECONDS = 6.0
LIST_AGAIN_SECONDS = 3.0
SPREAD_SECONDS_MAX = 30.0

WATCHED = (
    resources.MODEL_DEPLOYMENT,
    resources.MODEL_REVISION,
    resources.DEPLOYMENT,
    resources.POD,
    resources.ENDPOINT_SLICE,
    resources.HTTP_ROUTE,
)
_OWN_KINDS = (resources.MODEL_DEPLOYMENT, resources.MODEL_REVISION)

log = logging.getLogger(__name__)


def main() -> None:
    """Run the operator until it is told to stop; exits 78 where a setting must be mended."""
    try:
        config = operator_settings.read()
        logs.configure(config.log_format, config.log_level)
        code = asyncio.run(run(config))
    except SettingsError as error:
        sys.stderr.write(f"serin-operator: {error}\n")
        code = EXIT_SETTINGS
    sys.exit(code)


async def run(config: Settings, kubeconfig: Path | None = None, origin: Origin = origin_of) -> int:
    """Run until SIGTERM or until the Lease is lost; returns the exit status.

    Raises:
        SettingsError: the API server or the master keys cannot be found.
    """
    operator = Operator(config, await connect.configuration(kubeconfig), origin)
    try:
        await operator.start()
        await kopf.operator(
            registry=registry_of(operator, kubeconfig),
            settings=kopf_settings(),
            standalone=True,
            clusterwide=True,
            # Named here, because Kopf would look the user up, and the image has none for this user id.
            identity=config.pod_name,
            stop_flag=operator.stopping,
        )
    finally:
        await operator.stop()
    return operator.exit_code


class Operator:
    """The parts of this process, put together, started and stopped."""

    def __init__(self, config: Settings, configuration: Configuration, origin: Origin) -> None:
        """Raises SettingsError where the master keys cannot be read."""
        self._config = config
        self._metrics = Metrics()
        self._kube = Kube(connect.client(configuration), self._metrics, self.valid_seconds)
        self._elector = Elector(self._kube, config.namespace, LEASE_NAME, config.pod_name, time.monotonic, time.time)
        self._rings = KeyRings(config.master_keys_dir)
        self._held = HeldEvidence()
        self._reporter = Reporter(self._kube, self._metrics, config.pod_name)
        self._origin = origin
        self._health = Health(time.monotonic, config.resync_seconds, STEP_DEADLINE_SECONDS)
        self._tasks: list[asyncio.Task[None]] = []
        self._open = AsyncExitStack()
        self.queue = WorkQueue(asyncio.get_running_loop())
        self.stopping = asyncio.Event()
        self.listed = asyncio.Event()
        self.exit_code = 0

    def valid_seconds(self) -> float:
        """For how long a write may still be under way."""
        return self._elector.valid_seconds()

    async def start(self) -> None:
        """Begin to serve probes, to want the Lease and to list; passes begin with the Lease."""
        self._open.push_async_callback(self._kube.close)
        session = await self._open.enter_async_context(aiohttp.ClientSession(trust_env=False))
        poller = Poller(session, self._metrics.poll_errors, self._origin)
        prober = Prober(await self._open.enter_async_context(sessions.session()), self._config.gateway_addresses)
        self._open.push_async_callback(prober.close)
        sources = CustomSources(
            Addresses(self._config.prometheus_url, self._config.custom_hosts, self._config.custom_ranges)
        )
        self._open.push_async_callback(sources.close)
        passes = self._pass(session, poller, prober, sources)
        pool = Pool(self._config.workers, self.queue, passes, self._health, self._metrics)
        app = http.application(self._health, self._metrics.registry)
        self._open.push_async_callback(await http.serve(app, self._config.http_port))
        # Left in reverse: first no more passes, then the Lease goes back, then the connections.
        self._open.push_async_callback(self._elector.release)
        self._open.push_async_callback(self._cancel)
        self._open.push_async_callback(pool.stop, STOP_GRACE_SECONDS)
        elector = self._spawn(self._lead(), "elector")
        self._health.elector_alive = lambda: not elector.done()
        self._spawn(self._health.beat(), "heartbeat")
        self._spawn(self._resync(), "resync")
        self._spawn(self._begin(pool), "passes")

    async def stop(self) -> None:
        """End everything; safe to be called twice."""
        # After a signal Kopf would otherwise wait five seconds for its own waiter on this.
        self.stopping.set()
        if self.exit_code != 0:
            # Without the Lease nothing may linger, whatever hangs.
            asyncio.get_running_loop().call_later(LAST_RESORT_SECONDS, os._exit, self.exit_code)
        await self._open.aclose()

    def _pass(
        self, session: aiohttp.ClientSession, poller: Poller, prober: Prober, sources: CustomSources
    ) -> Callable[[Key], Awaitable[Again]]:
        observer = Observer(
            self._kube,
            poller,
            self._held,
            self._config.serving_image,
            self._own_keys,
            poll_seconds=self._config.poll_seconds,
            prober=prober,
            sources=sources,
            fetch_ranges=tuple(str(network) for network in self._config.artefact_ranges),
        )
        parts = Parts(
            observer=observer,
            decide=decide,
            applier=Applier(self._kube, self._rings, Announcer(session, self._rings)),
            reporter=self._reporter,
            held=self._held,
            recorder=Recorder(self._config.record_dir, bytes_kept=self._config.record_mebibytes * 2**20),
        )
        return lambda key: step(parts, key)

    def _own_keys(self, uid: str) -> OwnKeys:
        return OwnKeys(self._rings.fingerprint(uid), self._rings.applied(uid))

    async def _lead(self) -> None:
        await self._elector.run()
        self.exit_code = EXIT_LOST
        self.stopping.set()

    async def _begin(self, pool: Pool) -> None:
        await self._elector.leading.wait()
        self._metrics.leader.set(1)
        pool.start()

    async def _resync(self) -> None:
        """List all deployments again and again: what events have lost is found here."""
        first = True
        while True:
            try:
                items = await self._kube.list_metadata(resources.MODEL_DEPLOYMENT)
            except ApiError as error:
                log.warning("the ModelDeployments cannot be listed: %s; are Serin's CRDs installed?", error)
                await asyncio.sleep(LIST_AGAIN_SECONDS)
                continue
            spread = 0.0 if first else min(SPREAD_SECONDS_MAX, self._config.resync_seconds / 10)
            self._take_in([item["metadata"] for item in items], spread)
            first = False
            # Not for secrecy: only so that two operators do not list at the same time.
            await asyncio.sleep(self._config.resync_seconds * random.uniform(0.9, 1.1))  # noqa: S311

    def _take_in(self, found: list[Mapping[str, Any]], spread_seconds: float) -> None:
        keys = [Key(metadata["namespace"], metadata["name"]) for metadata in found]
        for key in keys:
            self.queue.add_after(key, random.uniform(0, spread_seconds))  # noqa: S311
        uids = [metadata["uid"] for metadata in found]
        self._held.keep_only(uids)
        self._rings.keep_only(uids)
        self._reporter.forget(keys)
        try:
            self._rings.refresh()
        except SettingsError as error:
            log.error("%s; the keys read before stay in use", error)
        self._health.resynced_at = time.monotonic()
        self.listed.set()

    def _spawn(self, work: Awaitable[None], name: str) -> asyncio.Task[None]:
        task = asyncio.ensure_future(_until_broken(work, self._broken))
        task.set_name(name)
        self._tasks.append(task)
        return task

    def _broken(self) -> None:
        """A part that runs for ever has ended with a bug: a new process is better than half of one."""
        self.exit_code = EXIT_LOST
        self.stopping.set()

    async def _cancel(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _until_broken(work: Awaitable[None], broken: Callable[[], None]) -> None:
    try:
        await work
    except Exception:
        log.exception("a part of the operator has failed; the process ends")
        broken()


class Hints:
    """Which deployment an event is about, and whether it tells anything that was not known."""

    def __init__(self) -> None:
        self._generations: dict[str, int] = {}

    def key(self, resource: Resource, kind: str | None, body: Mapping[str, Any]) -> Key | None:
        """The deployment to look at, or None where the event is an echo of our own status write.

        Arguments:
            resource: what the event is of
            kind: its type; None on the first listing
            body: the object
        """
        metadata = body["metadata"]
        if resource in _OWN_KINDS and self._is_echo(kind, metadata):
            return None
        if resource is resources.MODEL_DEPLOYMENT:
            return Key(metadata["namespace"], metadata["name"])
        name = (metadata.get("labels") or {}).get(labels.DEPLOYMENT_LABEL)
        return Key(metadata["namespace"], name) if name else None

    def _is_echo(self, kind: str | None, metadata: Mapping[str, Any]) -> bool:
        uid = metadata["uid"]
        if kind == "DELETED":
            self._generations.pop(uid, None)
            return False
        known = self._generations.get(uid)
        self._generations[uid] = metadata["generation"]
        return kind == "MODIFIED" and known == metadata["generation"] and "deletionTimestamp" not in metadata


def registry_of(operator: Operator, kubeconfig: Path | None) -> kopf.OperatorRegistry:
    """Handlers of our own registry: Kopf's global one would be shared by every test in a process."""
    registry = kopf.OperatorRegistry()
    hints = Hints()

    # Credentials are read as the client reads them, and again whenever the API server refuses the old ones.
    async def login(**_: Any) -> kopf.ConnectionInfo:
        return await _credentials(kubeconfig)

    # Kopf asks once which kinds there are, so our CRDs have to be served by then.
    async def wait_until_listed(**_: Any) -> None:
        await operator.listed.wait()

    # Kopf waits for every task in the loop that began after it, so ours are ended before it looks.
    async def stop(**_: Any) -> None:
        await operator.stop()

    kopf.on.login(registry=registry)(login)
    kopf.on.startup(registry=registry)(wait_until_listed)
    kopf.on.cleanup(registry=registry)(stop)
    for resource in WATCHED:
        _watch(registry, resource, operator.queue, hints)
    return registry


def _watch(registry: kopf.OperatorRegistry, resource: Resource, queue: WorkQueue, hints: Hints) -> None:
    async def hint(type: str | None, body: Mapping[str, Any], **_: Any) -> None:  # noqa: A002
        key = hints.key(resource, type, body)
        if key is not None:
            queue.add(key)

    kopf.on.event(*_names(resource), registry=registry, id=f"hint-{resource.plural}")(hint)


def _names(resource: Resource) -> tuple[str, str, str]:
    group, _, version = resource.api_version.rpartition("/")
    return group, version, resource.plural


async def _credentials(kubeconfig: Path | None) -> kopf.ConnectionInfo:
    found = await connect.configuration(kubeconfig)
    # The library writes the scheme itself, and not always in the same case.
    header = await found.get_api_key_with_prefix("BearerToken", alias="authorization")
    token = header.split(" ", 1)[-1] if header else None
    return kopf.ConnectionInfo(
        server=found.host,
        ca_path=found.ssl_ca_cert,
        insecure=not found.verify_ssl,
        certificate_path=found.cert_file,
        private_key_path=found.key_file,
        scheme="Bearer" if token else None,
        token=token,
    )


def kopf_settings() -> kopf.OperatorSettings:
    """Watch streams only: no events, no peering, no scanning for kinds, nothing written on our objects."""
    settings = kopf.OperatorSettings()
    settings.scanning.disabled = True
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.networking.connect_timeout = 10
    settings.networking.request_timeout = 30
    settings.networking.error_backoffs = _Backoffs()
    settings.watching.server_timeout = 600
    settings.watching.chunk_size = 500
    settings.process.ultimate_exiting_timeout = 25
    # Kopf removes the finalizer of this name wherever it meets it, so it must be one that nobody sets.
    settings.persistence.finalizer = f"{labels.GROUP}/kopf-unused"
    for resource in WATCHED:
        if resource is not resources.MODEL_DEPLOYMENT:
            settings.watching.label_selectors[_names(resource)] = labels.DEPLOYMENT_LABEL
    return settings


class _Backoffs:
    """Pauses after a failed request of Kopf's, with jitter, so that two operators do not come back in step."""

    def __iter__(self) -> Any:
        return (seconds * random.uniform(0.75, 1.25) for seconds in (0.5, 1, 2, 4, 8, 16))  # noqa: S311


if __name__ == "__main__":
    main()

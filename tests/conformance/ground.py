"""Where the checks run: a namespace of the suite's own with backends behind one Gateway."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tests.conformance import manifests
from tests.conformance.api import GATEWAY_API, Api, ApiRefusedError, Json
from tests.conformance.callers import Callers

POD_SECONDS = 90.0
ROUTE_SECONDS = 20.0
END_SECONDS = 90.0
ANY_SECONDS = 8.0
SETTLE_SECONDS = 1.0
ARMS = ("a", "b")
EMPTY = "empty"
"""A Service without pods."""
MISSING = "missing"
"""The name of no Service."""


@dataclass
class Route:
    """One HTTPRoute of the suite, and the host that callers ask for."""

    ground: Ground
    name: str
    host: str

    @property
    def identity(self) -> tuple[str, str, str, str]:
        """What the API server calls it."""
        return GATEWAY_API, "HTTPRoute", self.ground.namespace, self.name

    async def set(self, *rules: Json) -> Json:
        """Write these rules; returns the route as the API server has it."""
        g = self.ground
        return await g.api.apply(manifests.route(g.namespace, self.name, g.parent, self.host, *rules))

    async def split(self, weights: dict[str, int]) -> Json:
        """Write one rule with these weights."""
        return await self.set(manifests.rule(weights))

    async def accepted(self) -> Json:
        """Wait until the gateway has accepted the generation that stands."""
        return await self.ground.api.until(
            lambda seen: condition(seen, "Accepted") == "True", f"route {self.name} is accepted", ROUTE_SECONDS,
            self.identity,
        )  # fmt: skip

    async def answers_anything(self) -> None:
        """Wait until the gateway knows the host: it answers other than it does for a host that no route has.

        A rule that is refused may never answer well, so what it says instead is given a moment to settle.
        """
        limit = time.monotonic() + ANY_SECONDS
        nobody = (await self.ground.callers.ask(self.ground.host("nobody"))).status
        while time.monotonic() < limit:
            if (await self.ground.callers.ask(self.host)).status != nobody:
                break
            await asyncio.sleep(0.05)
        await self.settled()

    async def settled(self) -> None:
        """Give the gateway time to take what was written, where no answer could show that it has."""
        await asyncio.sleep(SETTLE_SECONDS)

    async def said(self) -> str:
        """What the parent says of the route, in words."""
        seen = await self.ground.api.get(*self.identity)
        known = [f"{kind}={one['status']} ({one['reason']})" for kind, one in sorted(conditions(seen).items())]
        return "status says " + (", ".join(known) or "nothing of this generation")

    async def answers(self, arm: str | None = None) -> None:
        """Wait until the gateway answers for the host, by this arm if one is named, three times in a row."""
        limit, row = time.monotonic() + ROUTE_SECONDS, 0
        while row < 3:
            seen = await self.ground.callers.ask(self.host)
            row = row + 1 if seen.status == 200 and arm in (None, seen.arm) else 0
            if time.monotonic() > limit:
                raise TimeoutError(
                    f"not within {ROUTE_SECONDS:g} s: the gateway answers for {self.host}"
                    f" by {arm or 'any arm'}; last it answered {seen.status} by {seen.arm or 'no arm'}"
                )
            await asyncio.sleep(0.02)


@dataclass
class Ground:
    """A Gateway under test and everything that the checks need."""

    api: Api
    callers: Callers
    namespace: str
    gateway: Json
    gateway_class: Json | None
    """None where it may not be read."""
    listener: Json
    address: str
    image: str
    brief: bool

    @property
    def parent(self) -> Json:
        """The reference to the Gateway's listener."""
        metadata = self.gateway["metadata"]
        return {
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "sectionName": self.listener["name"],
        }

    @property
    def features(self) -> list[str] | None:
        """The features that the GatewayClass lists; None where it lists none."""
        listed = ((self.gateway_class or {}).get("status") or {}).get("supportedFeatures")
        # Until Gateway API 1.1 the list held bare names.
        return None if listed is None else [str(one["name"] if isinstance(one, dict) else one) for one in listed]

    @asynccontextmanager
    async def route(self, name: str, host_of: str | None = None) -> AsyncIterator[Route]:
        """A route that is removed when the block ends, of a host of its own or of another route's."""
        made = Route(self, name, self.host(host_of or name))
        try:
            yield made
        finally:
            await self.api.delete(*made.identity, grace=None)

    def host(self, name: str) -> str:
        """A host name that the listener takes."""
        wanted = self.listener.get("hostname") or f"*.{self.namespace}.example.com"
        return f"{name}{wanted.removeprefix('*')}"

    async def start_pod(self, name: str, arm: str) -> None:
        """Start one backend pod and wait until it is ready."""
        await self.api.apply(manifests.backend_pod(self.namespace, name, arm, self.image))
        await self.pod_ready(name)

    async def pod_ready(self, name: str) -> None:
        """Wait until the pod is ready and its Service knows it."""
        pod = await self.api.until(
            lambda seen: condition_of_pod(seen) == "True", f"pod {name} is ready", POD_SECONDS,
            ("v1", "Pod", self.namespace, name),
        )  # fmt: skip
        await self._endpoint(pod["metadata"]["labels"]["arm"], pod["status"]["podIP"])

    async def _endpoint(self, arm: str, address: str) -> None:
        limit = time.monotonic() + POD_SECONDS
        while time.monotonic() < limit:
            selector = f"kubernetes.io/service-name={arm}"
            slices = await self.api.list("discovery.k8s.io/v1", "EndpointSlice", self.namespace, selector)
            for endpoint in (one for each in slices for one in each.get("endpoints") or ()):
                if address in endpoint["addresses"] and endpoint.get("conditions", {}).get("ready"):
                    return
            await asyncio.sleep(0.1)
        raise TimeoutError(f"not within {POD_SECONDS:g} s: {address} is an endpoint of Service {arm}")


@asynccontextmanager
async def prepared(api: Api, gateway_name: str, address: str | None, image: str, brief: bool) -> AsyncIterator[Ground]:
    """The namespace with its backends, removed when the block ends.

    Raises ValueError where the Gateway cannot be used as it is.
    """
    namespace = f"serin-conformance-{secrets.token_hex(3)}"
    gateway_namespace, _, name = gateway_name.partition("/")
    try:
        gateway = await api.get(GATEWAY_API, "Gateway", gateway_namespace, name)
    except ApiRefusedError as error:
        raise ValueError(f"Gateway {gateway_name} cannot be read: {error}") from error
    listener = http_listener(gateway)
    found = address or status_address(gateway, listener)
    if found is None:
        raise ValueError(f"Gateway {gateway_name} has no address in its status; name one by --address")
    ground = Ground(
        api, Callers(found), namespace, gateway, await _class_of(api, gateway), listener, found, image, brief
    )
    first = await ground.callers.ask(ground.host("nobody"))
    if first.status == 0:
        why = first.content["error"]
        raise ValueError(f"the gateway does not answer at {found} ({why}); name another address by --address")
    try:
        await _fill(ground)
        yield ground
    finally:
        # Nobody asks any more, so nothing has to be drained.
        for pod in await api.list("v1", "Pod", namespace, manifests.LABEL):
            await api.delete("v1", "Pod", namespace, pod["metadata"]["name"], grace=0)
        await api.delete("v1", "Namespace", None, namespace, grace=None)
        await api.until_gone(END_SECONDS, ("v1", "Namespace", None, namespace))


async def _fill(ground: Ground) -> None:
    for manifest in (
        manifests.namespace(ground.namespace),
        manifests.source(ground.namespace),
        *(manifests.service(ground.namespace, arm) for arm in (*ARMS, EMPTY, "pair")),
    ):
        await ground.api.apply(manifest)
    await asyncio.gather(*(ground.start_pod(f"{arm}-1", arm) for arm in ARMS))


async def _class_of(api: Api, gateway: Json) -> Json | None:
    try:
        return await api.get(GATEWAY_API, "GatewayClass", None, gateway["spec"]["gatewayClassName"])
    except ApiRefusedError:
        return None


def http_listener(gateway: Json) -> Json:
    """The first HTTP listener that takes hosts of the suite's own; raises ValueError without one."""
    for listener in gateway["spec"]["listeners"]:
        if listener["protocol"] == "HTTP" and listener.get("hostname", "*").startswith("*"):
            found: Json = listener
            return found
    raise ValueError(
        f"Gateway {gateway['metadata']['name']} has no HTTP listener without a host name or with a wildcard;"
        " add one whose allowedRoutes take other namespaces"
    )


def status_address(gateway: Json, listener: Json) -> str | None:
    """Where the Gateway's status says that the listener answers, or None."""
    addresses = (gateway.get("status") or {}).get("addresses") or ()
    for address in addresses:
        value = str(address["value"])
        return f"http://[{value}]:{listener['port']}" if ":" in value else f"http://{value}:{listener['port']}"
    return None


def condition(route: Json, kind: str) -> str | None:
    """What the parent says of the generation that stands: `True`, `False`, or None while it says nothing of it."""
    found = conditions(route).get(kind)
    return None if found is None else str(found["status"])


def conditions(route: Json) -> dict[str, Json]:
    """The parent's conditions that speak of the generation that stands, by type."""
    parents = (route.get("status") or {}).get("parents") or ()
    generation = route["metadata"]["generation"]
    return {
        one["type"]: one
        for parent in parents
        for one in parent.get("conditions") or ()
        if one.get("observedGeneration") == generation
    }


def condition_of_pod(pod: Json) -> str | None:
    """Whether the pod is ready."""
    known = (pod.get("status") or {}).get("conditions") or ()
    return next((str(one["status"]) for one in known if one["type"] == "Ready"), None)

"""Where a route can be reached through its Gateways: which listeners take it, at which address, under which host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

Json = Mapping[str, Any]

LISTENERS_MAX = 4
"""Of one parent that are asked; more of them say nothing more."""
_PROTOCOLS = {"HTTP": "http", "HTTPS": "https"}
_WILDCARD = "*."
_LABEL = "serin-probe."
"""Stands for the part that a wildcard leaves open."""


@dataclass(frozen=True)
class Target:
    """One address that leads to the route."""

    origin: str
    """`scheme://host:port`."""
    host: str
    """What the Host header, and with TLS the name, say."""


@dataclass(frozen=True)
class Parent:
    """One parent of the route, with the addresses to ask it at or why there are none."""

    name: str
    """`namespace/name`."""
    targets: tuple[Target, ...] = ()
    unknown: str | None = None


def parents_of(route: Json, gateways: Mapping[str, Json], addresses: Mapping[str, str]) -> tuple[Parent, ...]:
    """Every parent of the route.

    Args:
        route: the HTTPRoute.
        gateways: the Gateways that exist, by `namespace/name`.
        addresses: URLs to use instead of what a Gateway's status says, by `namespace/name`.
    """
    refs = (route.get("spec") or {}).get("parentRefs") or ()
    return tuple(_parent(route, ref, gateways, addresses) for ref in refs)


def _parent(route: Json, ref: Json, gateways: Mapping[str, Json], addresses: Mapping[str, str]) -> Parent:
    namespace = route["metadata"]["namespace"]
    name = f"{ref.get('namespace') or namespace}/{ref['name']}"
    if ref.get("kind", "Gateway") != "Gateway":
        return Parent(name, unknown="a mesh splits at the caller, and no address leads through it")
    gateway = gateways.get(name)
    if gateway is None:
        return Parent(name, unknown="the Gateway cannot be read")
    hostnames = tuple((route.get("spec") or {}).get("hostnames") or ())
    listeners = [listener for listener in _listeners(gateway, ref) if _takes(listener, gateway, namespace, hostnames)][
        :LISTENERS_MAX
    ]
    if not listeners:
        return Parent(name, unknown="none of its HTTP and HTTPS listeners is known to take the route")
    if name in addresses:
        return Parent(name, _overridden(addresses[name], listeners, hostnames))
    address = next((str(entry["value"]) for entry in (gateway.get("status") or {}).get("addresses") or ()), None)
    if address is None:
        return Parent(name, unknown="its status publishes no address")
    return Parent(name, tuple(_target(address, listener, hostnames) for listener in listeners))


def _listeners(gateway: Json, ref: Json) -> list[Json]:
    listeners = (gateway.get("spec") or {}).get("listeners") or ()
    wanted, port = ref.get("sectionName"), ref.get("port")
    return [
        listener
        for listener in listeners
        if wanted in (None, listener.get("name")) and port in (None, listener.get("port"))
    ]


def _takes(listener: Json, gateway: Json, namespace: str, hostnames: tuple[str, ...]) -> bool:
    """Whether it is known to take the route. A namespace selector is not: it would have to be evaluated."""
    if listener.get("protocol") not in _PROTOCOLS:
        return False
    allowed = listener.get("allowedRoutes") or {}
    kinds = [kind.get("kind") for kind in allowed.get("kinds") or ()]
    admits = (allowed.get("namespaces") or {}).get("from", "Same")
    same = gateway["metadata"]["namespace"] == namespace
    if (kinds and "HTTPRoute" not in kinds) or not (admits == "All" or (admits == "Same" and same)):
        return False
    own = listener.get("hostname")
    return not own or not hostnames or any(_meet(own, hostname) for hostname in hostnames)


def _meet(a: str, b: str) -> bool:
    """Whether two host names, wildcards or not, have a name in common."""
    if a.startswith(_WILDCARD) and b.startswith(_WILDCARD):
        return a.endswith(b[1:]) or b.endswith(a[1:])
    if a.startswith(_WILDCARD):
        return b.endswith(a[1:])
    return a.endswith(b[1:]) if b.startswith(_WILDCARD) else a == b


def _host(listener: Json, hostnames: tuple[str, ...], address: str) -> str:
    """A name that both the route and the listener answer to, else the address."""
    own = listener.get("hostname")
    names = [name for name in hostnames if not own or _meet(own, name)] or ([own] if own else [])
    if not names:
        return address
    name = own if own and names[0].startswith(_WILDCARD) and not own.startswith(_WILDCARD) else names[0]
    return _LABEL + name[len(_WILDCARD) :] if name.startswith(_WILDCARD) else str(name)


def _target(address: str, listener: Json, hostnames: tuple[str, ...]) -> Target:
    host = f"[{address}]" if ":" in address else address
    origin = f"{_PROTOCOLS[listener['protocol']]}://{host}:{int(listener['port'])}"
    return Target(origin, _host(listener, hostnames, host))


def _overridden(url: str, listeners: list[Json], hostnames: tuple[str, ...]) -> tuple[Target, ...]:
    """One address stands for all listeners; it is asked under the host name of one that speaks its protocol."""
    parts = urlsplit(url)
    spoken = [listener for listener in listeners if _PROTOCOLS[listener["protocol"]] == parts.scheme]
    return (Target(f"{parts.scheme}://{parts.netloc}", _host((spoken or listeners)[0], hostnames, parts.netloc)),)

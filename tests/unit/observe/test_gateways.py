"""Where a route can be reached: from what the route and its Gateways say."""

from __future__ import annotations

from typing import Any

import pytest

from serin_operator.observe.gateways import Target, parents_of

ALL = {"namespaces": {"from": "All"}}


def listener(**changes: Any) -> dict[str, Any]:
    return {"name": "web", "protocol": "HTTP", "port": 80, "allowedRoutes": ALL} | changes


def gateway(*listeners: dict[str, Any], address: str | None = "10.0.0.9", namespace: str = "infra") -> dict[str, Any]:
    addresses = [{"type": "IPAddress", "value": address}] if address else []
    return {
        "metadata": {"name": "public", "namespace": namespace},
        "spec": {"listeners": list(listeners)},
        "status": {"addresses": addresses},
    }


def route(*hostnames: str, **ref: Any) -> dict[str, Any]:
    parent = {"name": "public", "namespace": "infra"} | ref
    return {"metadata": {"namespace": "shop"}, "spec": {"parentRefs": [parent], "hostnames": list(hostnames)}}


PLAIN = gateway(listener())
TLS = listener(name="tls", protocol="HTTPS", port=443, hostname="*.example.com")


@pytest.mark.parametrize(
    ("sentence", "asked", "known", "targets"),
    [
        ("without any host name the address is one", route(), PLAIN, [("http://10.0.0.9:80", "10.0.0.9")]),
        ("the route's first host name", route("a.io", "b.io"), PLAIN, [("http://10.0.0.9:80", "a.io")]),
        (
            "the listener's host name where the route has none",
            route(),
            gateway(listener(hostname="x.io")),
            [("http://10.0.0.9:80", "x.io")],
        ),
        (
            "a listener that narrows the route's wildcard",
            route("*.io"),
            gateway(listener(hostname="x.io")),
            [("http://10.0.0.9:80", "x.io")],
        ),
        ("a wildcard gets a label", route("*.io"), PLAIN, [("http://10.0.0.9:80", "serin-probe.io")]),
        (
            "every listener that takes it",
            route("wine.example.com"),
            gateway(listener(), TLS),
            [("http://10.0.0.9:80", "wine.example.com"), ("https://10.0.0.9:443", "wine.example.com")],
        ),
        (
            "only the listener that is named",
            route("wine.example.com", sectionName="tls"),
            gateway(listener(), TLS),
            [("https://10.0.0.9:443", "wine.example.com")],
        ),
        ("not one of another host", route("b.io"), gateway(listener(), TLS), [("http://10.0.0.9:80", "b.io")]),
        (
            "not one that takes no HTTP",
            route(),
            gateway(listener(protocol="TCP"), listener(port=81)),
            [("http://10.0.0.9:81", "10.0.0.9")],
        ),
        (
            "not one that admits its own namespace only",
            route(),
            gateway(listener(allowedRoutes={}), listener(port=81)),
            [("http://10.0.0.9:81", "10.0.0.9")],
        ),
        (
            "not one for routes of another kind",
            route(),
            gateway(listener(allowedRoutes=ALL | {"kinds": [{"kind": "GRPCRoute"}]}), listener(port=81)),
            [("http://10.0.0.9:81", "10.0.0.9")],
        ),
        ("an IPv6 address", route(), gateway(listener(), address="fd00::9"), [("http://[fd00::9]:80", "[fd00::9]")]),
    ],
)
def test_a_route_is_reached_at(
    sentence: str, asked: dict[str, Any], known: dict[str, Any], targets: list[tuple[str, str]]
) -> None:
    (parent,) = parents_of(asked, {"infra/public": known}, {})
    assert (parent.name, parent.unknown) == ("infra/public", None), sentence
    assert parent.targets == tuple(Target(*target) for target in targets), sentence


def test_its_own_namespace_is_admitted_by_default() -> None:
    known = {"shop/public": gateway(listener(allowedRoutes={}), namespace="shop")}
    (parent,) = parents_of(route(namespace=None), known, {})
    assert parent.targets == (Target("http://10.0.0.9:80", "10.0.0.9"),)


@pytest.mark.parametrize(
    ("asked", "known", "said"),
    [
        (route(), {}, "the Gateway cannot be read"),
        (route(kind="Service"), {}, "a mesh splits at the caller, and no address leads through it"),
        (route(), {"infra/public": gateway(listener(), address=None)}, "its status publishes no address"),
        (
            route("b.io"),
            {"infra/public": gateway(TLS)},
            "none of its HTTP and HTTPS listeners is known to take the route",
        ),
        (
            route(),
            {"infra/public": gateway(listener(allowedRoutes={"namespaces": {"from": "Selector"}}))},
            "none of its HTTP and HTTPS listeners is known to take the route",
        ),
    ],
)
def test_what_has_no_address_says_why(asked: dict[str, Any], known: dict[str, Any], said: str) -> None:
    (parent,) = parents_of(asked, known, {})
    assert (parent.targets, parent.unknown) == ((), said)


def test_a_named_url_stands_for_the_published_address() -> None:
    known = {"infra/public": gateway(listener(), TLS, address=None)}
    asked = route("wine.example.com")
    (parent,) = parents_of(asked, known, {"infra/public": "https://traefik.infra.svc:8443/"})
    assert parent.targets == (Target("https://traefik.infra.svc:8443", "wine.example.com"),)

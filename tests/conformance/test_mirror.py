"""What the gateway says it can do, and whether it copies requests."""

from __future__ import annotations

import asyncio

from tests.conformance import manifests
from tests.conformance.answers import Answer, Need, behaviour, cannot_tell, no, told
from tests.conformance.callers import described
from tests.conformance.ground import Ground, Route

COPIES = 100


@behaviour(Need.KNOWS, "The GatewayClass lists its supportedFeatures.")
async def test_features_are_listed(ground: Ground) -> Answer:
    if ground.gateway_class is None:
        return cannot_tell("the GatewayClass may not be read")
    if ground.features is None:
        return no("the list is absent: whether an optional feature is there can only be tried")
    routes = [name for name in ground.features if name.startswith("HTTPRoute")]
    return told(bool(routes), f"{len(ground.features)} features, {len(routes)} of HTTPRoute")


def listed(ground: Ground, feature: str) -> Answer:
    if ground.features is None:
        return cannot_tell("the GatewayClass lists no features, or may not be read")
    return told(feature in ground.features, "listed" if feature in ground.features else "not listed")


@behaviour(Need.KNOWS, "HTTPRouteRequestMirror is listed.")
async def test_mirroring_is_listed(ground: Ground) -> Answer:
    return listed(ground, "HTTPRouteRequestMirror")


@behaviour(Need.KNOWS, "HTTPRouteRequestPercentageMirror is listed.")
async def test_mirroring_of_a_percentage_is_listed(ground: Ground) -> Answer:
    return listed(ground, "HTTPRouteRequestPercentageMirror")


@behaviour(Need.KNOWS, "HTTPRouteResponseHeaderModification is listed.")
async def test_response_headers_are_listed(ground: Ground) -> Answer:
    return listed(ground, "HTTPRouteResponseHeaderModification")


@behaviour(Need.KNOWS, "A RequestMirror filter copies every request, and callers notice nothing.")
async def test_requests_are_mirrored(ground: Ground) -> Answer:
    mark = {"x-mark": f"{ground.namespace}-copies"}
    async with ground.route("mirrored") as route, ground.route("copies") as direct:
        await direct.split({"b": 100})
        await direct.answers("b")
        await mirrored(route)
        await route.answers_anything()
        sent = await ground.callers.count(route.host, COPIES, headers=mark)
        # Copies are sent beside the answer, so the last ones may still be on their way.
        await asyncio.sleep(1)
        seen = await ground.callers.ask(direct.host, list(mark.items()))
    copies = int(seen.content.get("seen", 0))
    good = all(request.arm == "a" and not request.failed for request in sent)
    return told(good and copies == COPIES, f"callers got {described(sent)}; {copies} of {COPIES} copies arrived")


@behaviour(Need.USES, "A filter that the gateway does not know shows in the route's status.")
async def test_an_unknown_filter_shows_in_status(ground: Ground) -> Answer:
    if ground.features is None or "HTTPRouteRequestMirror" in ground.features:
        return cannot_tell("tried with RequestMirror, which the gateway knows or does not speak of")
    async with ground.route("unknown-filter") as route:
        await mirrored(route)
        await route.answers_anything()
        words = await route.said()
        seen = await ground.callers.ask(route.host)
    return told("=False" in words, f"{words}; callers get {seen.status}")


async def mirrored(route: Route) -> None:
    copy = {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "b", "port": manifests.PORT}}}
    await route.set(manifests.rule({"a": 100}, filters=[copy]))

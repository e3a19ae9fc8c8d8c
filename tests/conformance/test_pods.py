"""What callers see when a pod behind the route ends, and whether the gateway is reached from inside."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from tests.conformance import manifests
from tests.conformance.answers import Answer, Need, behaviour, cannot_tell, told
from tests.conformance.callers import Load, described
from tests.conformance.ground import Ground, Route, status_address

RATE = 200.0
PAIR = "pair"


End = Callable[[Ground, Route, str], Awaitable[None]]


async def deleted(ground: Ground, _: Route, pod: str) -> None:
    """End the pod as a node drain or a roll-out does."""
    await ground.api.delete("v1", "Pod", ground.namespace, pod, grace=None)
    await ground.api.until_gone(60, ("v1", "Pod", ground.namespace, pod))


async def crashed(ground: Ground, route: Route, _: str) -> None:
    """End whichever pod gets this request; its caller alone hears of it here, and is not one of the load's."""
    await ground.callers.ask(route.host, [("x-die", "now")])
    await asyncio.sleep(3)


async def pod_ends(ground: Ground, end: End) -> tuple[Load, list[str]]:
    """Requests at a constant rate to two pods while one of them ends; returns them and which pods answer after it."""
    names = [f"pair-{secrets.token_hex(2)}" for _ in range(2)]
    await asyncio.gather(*(ground.start_pod(name, PAIR) for name in names))
    try:
        async with ground.route("ending") as route:
            await route.split({PAIR: 1})
            await route.answers(PAIR)
            async with ground.callers.open_loop(route.host, RATE) as load:
                await asyncio.sleep(1)
                await end(ground, route, names[0])
                await asyncio.sleep(1)
            left = {str((await ground.callers.ask(route.host)).content.get("pod", "none")) for _ in range(6)}
    finally:
        for name in names:
            await ground.api.delete("v1", "Pod", ground.namespace, name, grace=0)
            await ground.api.until_gone(60, ("v1", "Pod", ground.namespace, name))
    return load, sorted(left)


@behaviour(Need.REQUIRES, "A pod that is deleted and drains loses no request while another serves.")
async def test_a_draining_pod_loses_nothing(ground: Ground) -> Answer:
    load, left = await pod_ends(ground, deleted)
    words = f"{len(load.failures)} of {len(load.requests):,} failed at {RATE:.0f} requests a second"
    if load.failures:
        words += f": {described(load.failures)}"
    # Had the pod not ended, nothing would have been tried.
    return told(not load.failures and len(left) == 1, f"{words}; after it {len(left)} pod answers")


@behaviour(Need.KNOWS, "A pod that crashes loses no request of other callers while another pod serves.")
async def test_a_crashing_pod(ground: Ground) -> Answer:
    load, _ = await pod_ends(ground, crashed)
    words = f"{len(load.failures)} of {len(load.requests):,} failed at {RATE:.0f} requests a second"
    if load.failures:
        words += f": {described(load.failures)}"
    return told(not load.failures, words)


@behaviour(Need.USES, "The address in the Gateway's status answers from inside the cluster.")
async def test_the_address_answers_from_inside(ground: Ground) -> Answer:
    address = status_address(ground.gateway, ground.listener)
    if address is None:
        return cannot_tell("the Gateway's status has no address")
    async with ground.route("inside") as route:
        await route.split({"a": 100})
        await route.answers("a")
        pod = manifests.asking_pod(ground.namespace, "asking", ground.image, address, route.host)
        await ground.api.apply(pod)
        try:
            ended = await ground.api.until(
                lambda seen: _last_words(seen) is not None, "the asking pod has ended", 60,
                ("v1", "Pod", ground.namespace, "asking"),
            )  # fmt: skip
        finally:
            await ground.api.delete("v1", "Pod", ground.namespace, "asking", grace=0)
    words = _last_words(ended) or "no words"
    return told(words == "200", f"a pod that asks {address} hears {words}")


def _last_words(pod: dict[str, Any]) -> str | None:
    for container in (pod.get("status") or {}).get("containerStatuses") or ():
        if "terminated" in container["state"]:
            return str(container["state"]["terminated"].get("message", ""))
    return None

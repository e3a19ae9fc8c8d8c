"""Whether weights move without losing a request, how fast, and what route status says meanwhile."""

from __future__ import annotations

import asyncio
import math
import time

from tests.conformance.answers import Answer, Need, behaviour, cannot_tell, no, told, yes
from tests.conformance.callers import Load, Request, described, last_answer_seconds, median
from tests.conformance.ground import Ground, Route, condition, conditions

RATE = 250.0
QUIET_SECONDS = 0.5
"""A change is over once the old split has answered nothing for so long."""

CHANGE_SECONDS = 15.0
FORCE_SECONDS_MAX = 1.0
OLD = {"a": 100, "b": 0}


def changes(ground: Ground) -> int:
    return 6 if ground.brief else 20


async def flip(route: Route, load: Load, to: str) -> tuple[float, float]:
    """Give all weight to an arm and wait until the other is quiet; returns when it was written and when it was over."""
    written_at = time.monotonic()
    await route.split({"a": 100 * (to == "a"), "b": 100 * (to == "b")})
    while time.monotonic() < written_at + CHANGE_SECONDS:
        await asyncio.sleep(0.05)
        recent = load.since(time.monotonic() - QUIET_SECONDS)
        if recent and time.monotonic() > written_at + QUIET_SECONDS and all(one.arm in (to, "") for one in recent):
            return written_at, time.monotonic()
    return written_at, math.inf


async def flipped(ground: Ground, name: str) -> tuple[Load, list[float]]:
    """Requests at a constant rate through a series of changes of all weight, and how long each change took."""
    async with ground.route(name) as route:
        await route.split(OLD)
        await route.answers("a")
        async with ground.callers.open_loop(route.host, RATE) as load:
            await asyncio.sleep(0.5)
            spans = []
            for old, new in (("a", "b"), ("b", "a")) * (changes(ground) // 2):
                began, ended = await flip(route, load, new)
                spans.append((old, began, ended))
                if ended == math.inf:
                    break
    return load, [last_answer_seconds(load.requests, old, began, ended) for old, began, ended in spans]


@behaviour(Need.REQUIRES, "No request is lost while weights change under load.")
async def test_changes_under_load_lose_nothing(ground: Ground) -> Answer:
    load, seconds = await flipped(ground, "flips")
    words = f"{len(load.failures)} of {len(load.requests):,} failed over {len(seconds)} changes of 0/100"
    if load.failures:
        return no(f"{words}: {described(load.failures)}")
    # A gateway that never took a change would lose nothing either.
    if len(seconds) < changes(ground):
        return cannot_tell(f"a change was not in force after {CHANGE_SECONDS:g} s; {words}")
    return yes(words)


@behaviour(Need.USES, "A change of weights is in force within a second: nothing is answered by the old split later.")
async def test_changes_are_in_force_soon(ground: Ground) -> Answer:
    _, seconds = await flipped(ground, "speed")
    words = f"p50 {median(seconds):.2f} s, max {max(seconds):.2f} s over {len(seconds)} changes, from the write"
    return told(max(seconds) <= FORCE_SECONDS_MAX, words)


@behaviour(Need.REQUIRES, "A backend that stood at weight 0 loses no request when it gets its first weight.")
async def test_the_first_weight_loses_nothing(ground: Ground) -> Answer:
    return await first_weights(ground, "introduced", before=OLD)


@behaviour(Need.KNOWS, "A backend that enters the route with a weight, without standing at 0 first, loses no request.")
async def test_a_backend_that_enters_with_a_weight_loses_nothing(ground: Ground) -> Answer:
    return await first_weights(ground, "entering", before={"a": 100})


async def first_weights(ground: Ground, name: str, before: dict[str, int]) -> Answer:
    """Each trial has a route of its own, so that the gateway cannot know the backend from an earlier one."""
    sent: list[Request] = []
    times, reached = (2 if ground.brief else 5), 0
    for number in range(times):
        async with ground.route(f"{name}-{number}") as route:
            await route.split(before)
            await route.answers("a")
            async with ground.callers.open_loop(route.host, RATE) as load:
                await asyncio.sleep(0.5)
                await route.split({"a": 50, "b": 50})
                await asyncio.sleep(1.5)
            sent += load.requests
            reached += any(request.arm == "b" for request in load.requests)
    failed = [request for request in sent if request.failed]
    words = f"{len(failed)} of {len(sent):,} failed over {times} first weights"
    if failed:
        words += f": {described(failed)}"
    if reached < times:
        words += f"; the backend answered in {reached} of them"
    return told(not failed and reached == times, words)


@behaviour(Need.REQUIRES, "Accepted and ResolvedRefs follow every generation of a route.")
async def test_route_status_follows(ground: Ground) -> Answer:
    seconds: list[float] = []
    async with ground.route("status") as route:
        for number in range(10):
            written_at = time.monotonic()
            await route.split({"a": 90 - number, "b": 10 + number})
            try:
                seen = await ground.api.until(
                    lambda found: {"Accepted", "ResolvedRefs"} <= conditions(found).keys(),
                    "Accepted and ResolvedRefs speak of this generation", CHANGE_SECONDS, route.identity,
                )  # fmt: skip
            except TimeoutError as error:
                return no(str(error))
            if (condition(seen, "Accepted"), condition(seen, "ResolvedRefs")) != ("True", "True"):
                return no(f"a good route has {conditions(seen)}")
            seconds.append(time.monotonic() - written_at)
    return told(True, f"p50 {median(seconds):.2f} s, max {max(seconds):.2f} s over {len(seconds)} generations")

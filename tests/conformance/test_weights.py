"""Whether weights mean what they say, and what becomes of shares that nobody can answer."""

from __future__ import annotations

import asyncio
from collections import Counter

from tests.conformance.answers import Answer, Need, behaviour, cannot_tell, told
from tests.conformance.callers import bound, described
from tests.conformance.ground import EMPTY, MISSING, Ground, conditions

REQUESTS = 2000
SPLITS = ({"a": 95, "b": 5}, {"a": 75, "b": 25}, {"a": 50, "b": 50})
LARGE = {"a": 785_714, "b": 214_286}
FEW = 400


async def shares(ground: Ground, name: str, splits: tuple[dict[str, int], ...], *, fresh: bool) -> Answer:
    """Send requests under each split and compare the share of `b` with its weight."""
    words, all_hold = [], True
    for number, weights in enumerate(splits):
        async with ground.route(f"{name}-{number}") as route:
            await route.split(weights)
            await route.answers()
            sent = await ground.callers.count(route.host, REQUESTS, fresh=fresh)
        share = weights["b"] / sum(weights.values())
        low, high = bound(REQUESTS, share)
        by_b = sum(request.arm == "b" for request in sent)
        failed = sum(request.failed for request in sent)
        all_hold = all_hold and low <= by_b <= high and not failed
        words.append(f"{by_b} of {REQUESTS:,} at {100 * share:.4g} % ({low} to {high} agree)")
        if failed:
            words.append(described(sent))
    return told(all_hold, "; ".join(words))


@behaviour(Need.REQUIRES, "Weights split requests over kept connections as asked.")
async def test_weights_split_kept_connections(ground: Ground) -> Answer:
    return await shares(ground, "kept", SPLITS, fresh=False)


@behaviour(Need.REQUIRES, "Weights split requests over fresh connections as asked.")
async def test_weights_split_fresh_connections(ground: Ground) -> Answer:
    return await shares(ground, "fresh", SPLITS[:1] if ground.brief else SPLITS, fresh=True)


@behaviour(Need.KNOWS, "Weights up to a million are taken and kept to.")
async def test_large_weights(ground: Ground) -> Answer:
    return await shares(ground, "large", (LARGE,), fresh=False)


@behaviour(Need.REQUIRES, "A backend of weight 0 gets no request.")
async def test_weight_0_gets_nothing(ground: Ground) -> Answer:
    async with ground.route("zero") as route:
        await route.split({"a": 100, "b": 0})
        await route.answers()
        sent = await ground.callers.count(route.host, REQUESTS)
    return told(all(request.arm == "a" and not request.failed for request in sent), described(sent))


@behaviour(Need.REQUIRES, "A backend of weight 0 without ready endpoints harms no request.")
async def test_an_empty_backend_of_weight_0_does_no_harm(ground: Ground) -> Answer:
    async with ground.route("zero-empty") as route:
        await route.split({"a": 100, EMPTY: 0})
        await route.answers_anything()
        sent = await ground.callers.count(route.host, FEW)
    return told(all(request.arm == "a" and not request.failed for request in sent), described(sent))


@behaviour(
    Need.KNOWS, "The share of a backend without ready endpoints is answered 503, and the others' shares are answered."
)
async def test_the_share_of_an_empty_backend(ground: Ground) -> Answer:
    async with ground.route("empty") as route:
        await route.split({"a": 50, EMPTY: 50})
        await route.accepted()
        await route.answers_anything()
        sent = await ground.callers.count(route.host, FEW)
    return _half_is(503, sent_as=described(sent), statuses=[request.status for request in sent])


@behaviour(
    Need.KNOWS, "The share of a Service that does not exist is answered 500, and the others' shares are answered."
)
async def test_the_share_of_a_missing_service(ground: Ground) -> Answer:
    async with ground.route("missing") as route:
        await route.split({"a": 50, MISSING: 50})
        await route.answers_anything()
        sent = await ground.callers.count(route.host, FEW)
    return _half_is(500, sent_as=described(sent), statuses=[request.status for request in sent])


@behaviour(
    Need.USES, "A route that names a Service that does not exist has ResolvedRefs=False, reason BackendNotFound."
)
async def test_what_status_says_of_a_missing_service(ground: Ground) -> Answer:
    async with ground.route("missing-said") as route:
        await route.split({"a": 100, MISSING: 0})
        try:
            seen = await ground.api.until(
                lambda found: "ResolvedRefs" in conditions(found), "ResolvedRefs speaks of this generation", 10,
                route.identity,
            )  # fmt: skip
        except TimeoutError as error:
            return cannot_tell(str(error))
    said = conditions(seen)["ResolvedRefs"]
    words = f"ResolvedRefs={said['status']}, {said['reason']}"
    return told((said["status"], said["reason"]) == ("False", "BackendNotFound"), words)


@behaviour(Need.KNOWS, "A Service of weight 0 that does not exist harms no request.")
async def test_a_missing_service_of_weight_0(ground: Ground) -> Answer:
    async with ground.route("missing-zero") as route:
        await route.split({"a": 100, MISSING: 0})
        await route.answers_anything()
        sent = await ground.callers.count(route.host, FEW)
    return told(all(request.arm == "a" and not request.failed for request in sent), described(sent))


@behaviour(Need.REQUIRES, "Callers with long-lived connections follow a change of weights: the split is by request.")
async def test_the_split_is_by_request(ground: Ground) -> Answer:
    connections, ended = 6, asyncio.Event()
    async with ground.route("long") as route:
        await route.split({"a": 100, "b": 0})
        await route.answers("a")
        callers = [asyncio.create_task(ground.callers.one_by_one(route.host, ended)) for _ in range(connections)]
        await asyncio.sleep(1)
        await route.split({"a": 50, "b": 50})
        await asyncio.sleep(4)
        ended.set()
        sent = await asyncio.gather(*callers)
    first = [{request.arm for request in requests[:20]} for requests, _ in sent]
    last = [Counter(request.arm for request in requests[-50:]) for requests, _ in sent]
    reopened = sum(opened - 1 for _, opened in sent)
    failed = sum(request.failed for requests, _ in sent for request in requests)
    both = sum(counts["a"] > 0 and counts["b"] > 0 for counts in last)
    words = (
        f"{both} of {connections} connections saw both arms in their last 50 answers,"
        f" {reopened} were opened again, {failed} requests failed"
    )
    return told(all(arms == {"a"} for arms in first) and both == connections and not failed, words)


def _half_is(status: int, sent_as: str, statuses: list[int]) -> Answer:
    low, high = bound(len(statuses), 0.5)
    counted = Counter(statuses)
    return told(low <= counted[status] <= high and counted[status] + counted[200] == len(statuses), sent_as)

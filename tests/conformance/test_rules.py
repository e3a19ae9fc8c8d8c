"""Headers that rules set and remove, which rule a request takes, and what a rule's name is good for."""

from __future__ import annotations

from collections.abc import Iterable

from tests.conformance import manifests
from tests.conformance.answers import Answer, Need, behaviour, told
from tests.conformance.api import Json
from tests.conformance.callers import bound, described
from tests.conformance.ground import Ground

from serin_contract import callers
from serin_contract.http import COHORT_HEADER as COHORT
from serin_contract.http import PROBE_HEADER as PROBE

TO_A, TO_B = {"a": 100}, {"b": 100}
FEW = 400


def request_headers(**change: object) -> Json:
    return {"type": "RequestHeaderModifier", "requestHeaderModifier": change}


def response_headers(**change: object) -> Json:
    return {"type": "ResponseHeaderModifier", "responseHeaderModifier": change}


def header(name: str, value: str) -> Json:
    return {"name": name, "value": value}


@behaviour(Need.REQUIRES, "A header that a rule sets replaces whatever the caller sent under that name.")
async def test_set_replaces_what_the_caller_sent(ground: Ground) -> Answer:
    async with ground.route("set") as route:
        await route.set(manifests.rule(TO_A, filters=[request_headers(set=[header(COHORT, "ours")])]))
        await route.answers()
        sent = [("X-Serin-COHORT", "theirs"), ("X-Serin-COHORT", "theirs too")]
        seen = await ground.callers.ask(route.host, sent)
    return told(seen.saw(COHORT) == ["ours"], f"sent twice by the caller, the backend saw {seen.saw(COHORT)}")


@behaviour(Need.REQUIRES, "A header that a rule removes does not reach the backend.")
async def test_removed_headers_do_not_arrive(ground: Ground) -> Answer:
    async with ground.route("removed") as route:
        await route.set(manifests.rule(TO_A, filters=[request_headers(remove=[COHORT])]))
        await route.answers()
        seen = await ground.callers.ask(route.host, [("X-Serin-COHORT", "theirs"), ("x-other", "kept")])
    words = f"the backend saw {seen.saw(COHORT)} of it and {seen.saw('x-other')} of another"
    return told(seen.saw(COHORT) == [] and seen.saw("x-other") == ["kept"], words)


@behaviour(
    Need.KNOWS, "A rule sets and adds response headers, and a cookie that it adds stands beside the backend's own."
)
async def test_rules_change_response_headers(ground: Ground) -> Answer:
    added = response_headers(set=[header("x-arm-said", "by the rule")], add=[header("Set-Cookie", "serin=7")])
    async with ground.route("response") as route:
        await route.set(manifests.rule(TO_A, filters=[added]))
        await route.answers()
        seen = await ground.callers.ask(route.host, [("x-answer-cookie", "own=1")])
    said, cookies = seen.came_with("x-arm-said"), sorted(seen.came_with("Set-Cookie"))
    return told(said == ["by the rule"] and cookies == ["own=1", "serin=7"], f"{said}, cookies {cookies}")


@behaviour(Need.KNOWS, "A filter on a single backendRef works.")
async def test_filters_on_a_backend(ground: Ground) -> Answer:
    rule = manifests.rule(TO_A)
    rule["backendRefs"][0]["filters"] = [request_headers(set=[header("x-by-backend", "yes")])]
    async with ground.route("backend-filter") as route:
        await route.set(rule)
        await route.answers_anything()
        seen = await ground.callers.ask(route.host)
        said = await route.said()
    saw = seen.saw("x-by-backend")
    what = "is applied" if saw else f"is not applied, the request is answered {seen.status}"
    return told(saw == ["yes"], f"it {what}; {said}")


@behaviour(Need.REQUIRES, "In one route a rule with an exact header match goes before the rule of the path alone.")
async def test_a_header_match_goes_first_in_its_route(ground: Ground) -> Answer:
    async with ground.route("precedence") as route:
        # The order of the rules must not be what decides.
        await route.set(manifests.rule(TO_A), manifests.rule(TO_B, matches=[manifests.header_match(PROBE, "7f3a")]))
        await route.answers("a")
        return await precedence(ground, route.host)


@behaviour(Need.USES, "A rule with an exact header match goes first from a second HTTPRoute of the same host as well.")
async def test_a_header_match_of_another_route_goes_first(ground: Ground) -> Answer:
    async with ground.route("users-own") as route, ground.route("probe", host_of="users-own") as probe:
        await route.set(manifests.rule(TO_A))
        await route.answers("a")
        await probe.set(manifests.rule(TO_B, matches=[manifests.header_match(PROBE, "7f3a")]))
        await probe.accepted()
        await probe.settled()
        return await precedence(ground, route.host)


async def precedence(ground: Ground, host: str) -> Answer:
    """Requests with the header, with another value of it, and without."""
    right = await ground.callers.count(host, 100, headers={PROBE: "7f3a"})
    wrong = await ground.callers.count(host, 100, headers={PROBE: "7f3"})
    plain = await ground.callers.count(host, 100)
    words = f"with it {described(right)}; with another value {described(wrong)}; without {described(plain)}"
    holds = all(one.arm == "b" and not one.failed for one in right) and all(
        one.arm == "a" and not one.failed for one in (*wrong, *plain)
    )
    return told(holds, words)


MINE = callers.audience(offset=90, weight=50)
"""The candidate's buckets of the cookie `serin`: 90 to 99 and 0 to 39."""

COOKIES = {
    "serin=07.x.y.z": "b",
    "serin=41.x.y.z": "a",
    "first=1; serin=07.x.y.z": "b",
    "first=1;serin=39.x.y.z; last=2": "b",
    "first=1; serin=40.x.y.z; last=2": "a",
    "serin=99.x.y.z; last=2": "b",
    "myserin=07.x.y.z": "a",
    "first=07.x.y.z": "a",
    "first=1; last=2": "a",
}
"""Which arm each Cookie header must lead to, where callers without a cookie of ours are led to a."""


def sticky(weights: dict[str, int]) -> list[Json]:
    """The rules of a trial that keeps callers with their arm: one for each arm's buckets, one for the rest."""
    others = sorted(set(range(callers.BUCKETS)) - set(MINE))

    def bucket(arm: str, buckets: Iterable[int]) -> Json:
        pattern = callers.cookie_pattern("serin", buckets)
        match = manifests.header_match("Cookie", pattern, "RegularExpression", path="/v2")
        return manifests.rule({arm: 100}, matches=[match], filters=[stamped])

    stamped = request_headers(set=[header(COHORT, "ours")])
    rest = manifests.rule(weights, matches=[{"path": {"type": "PathPrefix", "value": "/v2"}}], filters=[stamped])
    probe = manifests.header_match(PROBE, "7f3a", path="/v2")
    unseen = request_headers(remove=[COHORT, PROBE])
    return [bucket("b", MINE), bucket("a", others), rest, manifests.rule(TO_B, matches=[probe], filters=[unseen])]


@behaviour(Need.USES, "A header match by regular expression finds one cookie among several.")
async def test_a_regular_expression_on_the_cookie_header(ground: Ground) -> Answer:
    async with ground.route("cookie") as route:
        await route.set(*sticky({"a": 100, "b": 0}))
        await route.answers("a")
        led = {cookie: (await ground.callers.ask(route.host, [("Cookie", cookie)])).arm for cookie in COOKIES}
    wrong = {cookie: arm or "none" for cookie, arm in led.items() if arm != COOKIES[cookie]}
    words = f"{len(COOKIES) - len(wrong)} of {len(COOKIES)} Cookie headers led to the right arm"
    return told(not wrong, words + (f"; wrong: {wrong}" if wrong else ""))


@behaviour(Need.USES, "Bucket rules, weights and the probe's rule work side by side in one route.")
async def test_a_whole_trial(ground: Ground) -> Answer:
    async with ground.route("trial") as route:
        await route.set(*sticky({"a": 50, "b": 50}))
        await route.answers()
        kept = [
            await ground.callers.count(route.host, 100, headers={"Cookie": f"serin={bucket:02d}.x.y.z"})
            for bucket in (MINE[0], MINE[-1], 50)
        ]
        plain = await ground.callers.count(route.host, FEW)
        probe = await ground.callers.ask(route.host, [(PROBE, "7f3a"), (COHORT, "theirs")])
    low, high = bound(FEW, 0.5)
    by_b = sum(one.arm == "b" for one in plain)
    arms = [{one.arm for one in some} for some in kept]
    failed = sum(one.failed for some in (*kept, plain) for one in some)
    left = probe.saw(COHORT) + probe.saw(PROBE)
    led = ", ".join("/".join(sorted(arm)) for arm in arms)
    words = (
        f"callers with a bucket of b, b and a were led to {led}, those without one {by_b} of {FEW} times to b,"
        f" the probe to {probe.arm or 'none'} with {left} left of its headers; {failed} failed"
    )
    right = arms == [{"b"}, {"b"}, {"a"}] and low <= by_b <= high and (probe.arm, left) == ("b", [])
    return told(right and not failed, words)


@behaviour(Need.KNOWS, "A regular expression must match a header's whole value, not a part of it.")
async def test_a_regular_expression_is_of_the_whole_value(ground: Ground) -> Answer:
    async with ground.route("partial") as route:
        match = manifests.header_match("x-whole", "b+", "RegularExpression")
        await route.set(manifests.rule(TO_A), manifests.rule(TO_B, matches=[match]))
        await route.answers("a")
        whole = (await ground.callers.ask(route.host, [("x-whole", "bb")])).arm
        part = (await ground.callers.ask(route.host, [("x-whole", "abba")])).arm
    return told((whole, part) == ("b", "a"), f"`b+` led bb to {whole or 'none'} and abba to {part or 'none'}")


@behaviour(Need.USES, "Rules keep their names, and two routes of one host stand side by side.")
async def test_rules_keep_their_names(ground: Ground) -> Answer:
    named = [{"path": {"type": "PathPrefix", "value": "/v2/named"}}]
    async with ground.route("named") as route, ground.route("beside", host_of="named") as beside:
        await route.set(manifests.rule(TO_A, name="rest"), manifests.rule(TO_A, name="inference", matches=named))
        other = [{"path": {"type": "PathPrefix", "value": "/v2/other"}}]
        await beside.set(manifests.rule(TO_B, matches=other))
        await route.accepted()
        changed = manifests.rule({"a": 0, "b": 100}, name="inference", matches=named)
        await route.set(manifests.rule(TO_A, name="rest"), changed)
        kept = await route.accepted()
        await beside.accepted()
        await route.settled()
        led = {path: (await ground.callers.ask(route.host, path=path)).arm for path in ("", "named", "other")}
    names = [rule.get("name") for rule in kept["spec"]["rules"]]
    words = f"names {names}; /v2/ led to {led['']}, /v2/named to {led['named']}, /v2/other to {led['other']}"
    return told(names == ["rest", "inference"] and led == {"": "a", "named": "b", "other": "b"}, words)

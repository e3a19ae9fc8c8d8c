from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serin_contract import callers
from serin_contract.callers import Caller, Stickiness
from serin_contract.keys import derive_ring

RING = derive_ring({"m1": b"1" * 32, "m2": b"2" * 32}, "m2", "uid")
ROTATED = derive_ring({"m2": b"2" * 32, "m3": b"3" * 32}, "m3", "uid")
OTHER = derive_ring({"m2": b"2" * 32}, "m2", "another uid")

offsets = st.integers(0, callers.BUCKETS - 1)
weights = st.integers(0, callers.BUCKETS)


@given(offsets, st.integers(0, callers.BUCKETS - 1))
def test_a_larger_weight_only_adds_to_the_audience(offset: int, weight: int) -> None:
    smaller, larger = callers.audience(offset, weight), callers.audience(offset, weight + 1)
    assert len(smaller) == weight
    assert set(smaller) < set(larger)


@given(offsets, weights, st.sampled_from(["wine-1", "wine-2"]))
def test_the_route_sends_a_drawn_caller_to_the_arm_that_drew_it(offset: int, weight: int, revision: str) -> None:
    drawn = callers.draw(Stickiness("serin", "wine-2", offset, weight), revision)
    pattern = callers.cookie_pattern("serin", callers.audience(offset, weight))
    header = f"a=b; serin={callers.cookie_value(drawn, RING)}; c=d"
    # An arm without an audience still answers the callers that reach it; they have any bucket.
    if weight and revision == "wine-2":
        assert re.match(pattern, header)
    if weight < callers.BUCKETS and revision == "wine-1":
        assert not (weight and re.match(pattern, header))


@given(st.text(max_size=30))
def test_a_cookie_says_what_was_drawn_and_where_it_was_counted(cohort: str) -> None:
    drawn = callers.draw(Stickiness("serin", "wine-2", 7, 10), "wine-1")
    counted = Caller(drawn.id, callers.mark_of(cohort))
    assert callers.caller_of(callers.cookie_value(counted, RING), RING) == counted


@given(st.data())
def test_no_changed_character_passes(data: st.DataObject) -> None:
    value = callers.cookie_value(Caller("07." + "r" * 12, callers.mark_of("c")), RING)
    place = data.draw(st.integers(0, len(value) - 1))
    changed = data.draw(st.characters().filter(lambda character: character != value[place]))
    assert callers.caller_of(value[:place] + changed + value[place + 1 :], RING) is None


@given(st.text(max_size=80))
def test_noise_is_no_caller(text: str) -> None:
    assert callers.caller_of(text, RING) is None


def test_a_caller_outlives_one_rotation() -> None:
    value = callers.cookie_value(Caller("07." + "r" * 12, ""), RING)
    assert callers.caller_of(value, ROTATED) == Caller("07." + "r" * 12, "")


def test_a_caller_of_another_deployment_is_none() -> None:
    assert callers.caller_of(callers.cookie_value(Caller("07." + "r" * 12, ""), OTHER), RING) is None


def test_two_cohorts_have_two_marks_and_none_has_none() -> None:
    assert callers.mark_of("wine-2.1.a") != callers.mark_of("wine-2.2.a")
    assert callers.mark_of("") == ""


@given(st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True), offsets, weights)
def test_the_route_and_the_server_mean_the_same(cookie: str, offset: int, weight: int) -> None:
    stickiness = Stickiness(cookie, "wine-2", offset, weight)
    assert callers.parse_header(callers.header_value(stickiness)) == stickiness


MALFORMED = {
    "nothing": "",
    "three parts": "serin;wine-2;7",
    "five parts": "serin;wine-2;7;10;1",
    "no cookie": ";wine-2;7;10",
    "a cookie that would be two headers": "serin\r\nx: y;wine-2;7;10",
    "a cookie with an equals sign": "a=b;wine-2;7;10",
    "a cookie of 65 characters": "s" * 65 + ";wine-2;7;10",
    "an offset beyond the buckets": "serin;wine-2;100;10",
    "a weight above 100": "serin;wine-2;7;101",
    "a negative weight": "serin;wine-2;7;-1",
    "digits of another alphabet": "serin;wine-2;٧;10",
    "a header that is too long": "serin;" + "w" * 600 + ";7;10",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_stickiness_header_is_ignored_with(name: str) -> None:
    assert callers.parse_header(MALFORMED[name]) is None

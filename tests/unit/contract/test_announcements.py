from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serin_contract import announcements
from serin_contract.announcements import ANNOUNCEMENT_BYTES_MAX, Announcement, ShadowOrder
from serin_contract.keys import derive_ring
from serin_contract.seals import ForgedError
from serin_contract.stats import PodStats
from serin_contract.stats import decode as decode_stats
from serin_contract.stats import encode as encode_stats

RING = derive_ring({"m1": b"1" * 32, "m2": b"2" * 32}, "m2", "uid")
ROTATED = derive_ring({"m2": b"2" * 32, "m3": b"3" * 32}, "m3", "uid")
OTHER = derive_ring({"m2": b"2" * 32}, "m2", "another uid")
FULL = Announcement("pod-1", 3, "wine-2.1.a", True, True, ShadowOrder("wine-2.0.s", 50, ["10.0.0.7:8081"], 1000.5))


@pytest.mark.parametrize("announcement", [FULL, Announcement("pod-1", 1), Announcement("pod-1", 2, "")])
def test_an_announcement_is_read_back(announcement: Announcement) -> None:
    body, mac = announcements.encode(announcement, RING)
    assert announcements.decode(body, mac, RING) == announcement


def test_an_announcement_outlives_one_rotation() -> None:
    assert announcements.decode(*announcements.encode(FULL, RING), ROTATED) == FULL


@given(st.data())
def test_no_changed_byte_passes(data: st.DataObject) -> None:
    body, mac = announcements.encode(FULL, RING)
    changed = bytearray(body)
    changed[data.draw(st.integers(0, len(body) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ForgedError):
        announcements.decode(bytes(changed), mac, RING)


FORGED = {
    "no header": "",
    "a key that is gone": "m0." + "A" * 22,
    "a MAC of another deployment": announcements.encode(FULL, OTHER)[1],
    "the MAC without its key": announcements.encode(FULL, RING)[1].partition(".")[2],
    "letters of another alphabet": "m2.é",
}


@pytest.mark.parametrize("name", FORGED)
def test_an_announcement_does_not_hold_with(name: str) -> None:
    body, _ = announcements.encode(FULL, RING)
    with pytest.raises(ForgedError, match="does not hold"):
        announcements.decode(body, FORGED[name], RING)


def test_a_prediction_ids_mac_is_none_of_an_announcement() -> None:
    body, _ = announcements.encode(FULL, RING)
    digest = hashlib.blake2b(body, key=RING.signing_key(), digest_size=16).digest()
    with pytest.raises(ForgedError):
        announcements.decode(body, f"m2.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}", RING)


def test_one_that_is_too_long_is_not_looked_at() -> None:
    with pytest.raises(ValueError, match="at most"):
        announcements.decode(b" " * (ANNOUNCEMENT_BYTES_MAX + 1), "", RING)


def test_the_stats_of_a_pod_that_knows_no_announcements_are_read() -> None:
    old = b'{"revision":"wine-1","pod_uid":"pod-1","started_at":"x","cohorts":{"c":{"requests":1}}}'
    document = decode_stats(old)
    assert (document.announced, document.requests, document.cohorts["c"].callers) == (None, 0, 0)
    assert decode_stats(encode_stats(PodStats("r", "p", "s"))) == PodStats("r", "p", "s")

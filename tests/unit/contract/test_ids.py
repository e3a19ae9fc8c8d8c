from __future__ import annotations

import base64
import hashlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serin_contract import ids
from serin_contract.keys import derive_ring

RING = derive_ring({"m1": b"1" * 32, "m2": b"2" * 32}, "m2", "uid")
ROTATED = derive_ring({"m2": b"2" * 32, "m3": b"3" * 32}, "m3", "uid")

predictions = st.lists(
    st.one_of(st.text(max_size=20), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.booleans()),
    min_size=1,
    max_size=20,
)


@given(st.text(max_size=30), st.text(max_size=30), st.integers(0, 2**40), predictions)
def test_an_id_says_what_was_signed(revision: str, cohort: str, at: int, answers: list[ids.Prediction]) -> None:
    claimed = ids.verify(RING, ids.sign(RING, revision, cohort, at, answers))
    assert (claimed.revision, claimed.cohort, claimed.predicted_at) == (revision, cohort, at)
    assert claimed.predictions == answers
    assert [type(answer) for answer in claimed.predictions] == [type(answer) for answer in answers]
    assert claimed.rows == len(answers)


@given(predictions, st.data())
def test_no_changed_byte_passes(answers: list[ids.Prediction], data: st.DataObject) -> None:
    text = ids.sign(RING, "wine-1", "c", 7, answers)
    signed = bytearray(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    place = data.draw(st.integers(0, len(signed) - 1))
    signed[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ValueError, match="prediction id"):
        ids.verify(RING, base64.urlsafe_b64encode(bytes(signed)).rstrip(b"=").decode())


@given(st.text(max_size=200))
def test_noise_is_no_id(text: str) -> None:
    with pytest.raises(ValueError, match="prediction id"):
        ids.verify(RING, text)


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_an_id_says_what_its_request_weighs(weight: float) -> None:
    assert ids.verify(RING, ids.sign(RING, "r", "c", 1, [0], weight)).weight == weight


def test_an_id_without_a_weight_weighs_one() -> None:
    body = msgspec.msgpack.encode(["m2", "r", "c", 1, [0], b"12345678"])
    key = RING.key("m2")
    assert key is not None
    mac = hashlib.blake2b(body, key=key, digest_size=ids.MAC_BYTES).digest()
    assert ids.verify(RING, base64.urlsafe_b64encode(mac + body).rstrip(b"=").decode()).weight == 1


def test_two_ids_of_equal_answers_differ() -> None:
    assert ids.sign(RING, "r", "c", 1, [0]) != ids.sign(RING, "r", "c", 1, [0])


def test_an_id_outlives_one_rotation() -> None:
    text = ids.sign(RING, "r", "c", 1, [0])
    assert ids.verify(ROTATED, text).key_id == "m2"


def test_a_retired_key_is_told_apart() -> None:
    old = derive_ring({"m1": b"1" * 32}, "m1", "uid")
    with pytest.raises(ids.UnknownKeyError):
        ids.verify(ROTATED, ids.sign(old, "r", "c", 1, [0]))


def test_an_id_of_another_deployment_does_not_hold() -> None:
    other = derive_ring({"m2": b"2" * 32}, "m2", "another uid")
    with pytest.raises(ValueError, match="does not hold"):
        ids.verify(RING, ids.sign(other, "r", "c", 1, [0]))


def test_an_id_that_is_too_long_is_not_looked_at() -> None:
    with pytest.raises(ValueError, match="at most"):
        ids.verify(RING, "A" * (ids.ID_CHARS_MAX + 1))


def test_the_largest_request_of_numbers_has_an_id_that_can_be_read() -> None:
    text = ids.sign(RING, "r" * 63, "c" * 128, 2**40, [0.1] * ids.ROWS_MAX)
    assert ids.verify(RING, text).rows == ids.ROWS_MAX

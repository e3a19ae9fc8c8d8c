"""Seals: what was sealed for one use holds for that use, and nothing in a header can do worse than not hold."""

from __future__ import annotations

import pytest

from serin_contract import keys, seals

RING = keys.derive_ring({"k1": b"m" * 32}, "k1", "uid-1")
OTHER = keys.derive_ring({"k1": b"m" * 32}, "k1", "uid-2")
SEALED = seals.seal(b"words", RING, b"one-use")


def test_a_seal_holds() -> None:
    seals.check(b"words", SEALED, RING, b"one-use")


@pytest.mark.parametrize(
    ("sentence", "data", "sealed", "ring", "person"),
    [
        ("other words", b"sword", SEALED, RING, b"one-use"),
        ("another deployment's key", b"words", SEALED, OTHER, b"one-use"),
        ("another use of the key", b"words", SEALED, RING, b"other-use"),
        ("a key that is gone", b"words", f"k0.{SEALED.partition('.')[2]}", RING, b"one-use"),
        ("nothing", b"words", "", RING, b"one-use"),
        ("a key id alone", b"words", "k1.", RING, b"one-use"),
        ("characters that no seal has", b"words", "k1.é", RING, b"one-use"),
    ],
)
def test_what_does_not_hold(sentence: str, data: bytes, sealed: str, ring: keys.KeyRing, person: bytes) -> None:
    with pytest.raises(seals.ForgedError, match="does not hold"):
        seals.check(data, sealed, ring, person)
    assert sentence

"""The seeds of the fuzzer, and what Hypothesis makes of them: no target has a bug there."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, strategies
from hypothesis import settings as hypothesis_settings
from tests.fuzz.run import SEEDS
from tests.fuzz.targets import TARGETS
from tests.support.quick import examples

PARTS = [b"null", b"1e308", b"-1", b"[]", b"{}", b'"a"', b"true", b"NaN", b"\xff", b"\0", b"9223372036854775808"]


def seeds(target: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((SEEDS / target).iterdir())]


@pytest.mark.parametrize("target", TARGETS)
def test_the_seeds_pass(target: str) -> None:
    found = seeds(target)
    assert len(found) >= 3
    for data in found:
        TARGETS[target](data)


# The property stands inside, where pytest does not see that there is one.
@pytest.mark.hypothesis
@pytest.mark.parametrize("target", TARGETS)
def test_what_is_near_a_seed_passes(target: str) -> None:
    found = seeds(target)

    @hypothesis_settings(examples(150), derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(seed=strategies.sampled_from(found), luck=strategies.randoms(use_true_random=False))
    def passes(seed: bytes, luck: random.Random) -> None:
        data = bytearray(seed)
        for _ in range(luck.randint(1, 3)):
            start = luck.randrange(len(data) + 1)
            data[start : start + luck.randint(0, 6)] = luck.choice(PARTS)
        TARGETS[target](bytes(data))

    passes()

"""Records are read back as what was written."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.support.quick import slow
from tests.support.rows_world import a_rows_spec, a_served_rows_world
from tests.support.world import World, a_served_world, a_spec

from serin_contract.stats import LabelCounts
from serin_operator.api.deployment import StableStatus
from serin_operator.decide.observation import Observation
from serin_operator.decide.plan import Plan
from serin_operator.decide.rollout import decide
from serin_operator.runtime.record import encode
from serin_operator.runtime.recorded import RecordError, decode


def on_disk(value: Any) -> Any:
    """As a record holds it."""
    return msgspec.json.decode(msgspec.json.encode(encode(value)))


def observations(world: World, seconds: int) -> Iterator[Observation]:
    for _ in range(seconds):
        seen = world.observe()
        yield seen
        world.step(seen)
        world.pass_time(1.0)


def a_trial() -> Iterator[Observation]:
    world = a_served_world()
    world.change(a_spec(2))
    yield from observations(world, 45)


def a_trial_with_bins() -> Iterator[Observation]:
    world = a_served_rows_world()
    world.change(a_rows_spec(2, gates={"accuracy": {}, "dataDrift": {}}))
    yield from observations(world, 25)


def a_watch() -> Iterator[Observation]:
    world = a_served_world()
    steps = {"steps": [{"weight": 50, "for": "10s"}]}
    world.change(a_spec(2, rollout=steps, gates={"errorRate": {"max": 0.1}}, watch={"for": "1h"}))
    assert world.run(lambda world: world.status.phase == "Watching", seconds=300)
    yield from observations(world, 5)


@pytest.mark.parametrize("every", [3, slow(1)])
@pytest.mark.parametrize("worlds", [a_trial, a_trial_with_bins, a_watch])
def test_what_was_seen_and_decided_in_a_roll_out_comes_back(worlds: Any, every: int) -> None:
    for seen in itertools.islice(worlds(), 0, None, every):
        assert decode(on_disk(seen), Observation) == seen
        plan = decide(seen)
        read = decode(on_disk(plan), Plan)
        assert on_disk(read) == on_disk(plan)
        assert (read.evidence, read.watched, read.status) == (plan.evidence, plan.watched, plan.status)


@dataclass(frozen=True)
class Leaf:
    number: float
    labels: LabelCounts = field(default_factory=LabelCounts)


@dataclass(frozen=True)
class Other:
    word: str


@dataclass(frozen=True, eq=False)
class Whole:
    leaf: Leaf | Other | None
    numbers: tuple[float, ...] = ()
    pairs: Mapping[tuple[str, int], float] = field(default_factory=dict)
    vector: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    state: StableStatus | None = None
    names: frozenset[str] = frozenset()


floats = st.floats(allow_nan=False)
leaves = st.one_of(
    st.none(),
    st.builds(Other, st.text()),
    st.builds(Leaf, floats, st.builds(LabelCounts, labelled=floats, correct=floats)),
)


@given(
    st.builds(
        Whole,
        leaves,
        st.lists(floats).map(tuple),
        st.dictionaries(st.tuples(st.text(), st.integers(-(2**53), 2**53)), floats),
        st.lists(floats).map(np.array),
        st.none() | st.builds(StableStatus, revision=st.text(max_size=9), weight=st.none() | st.integers(0, 100)),
        st.frozensets(st.text()),
    )
)
def test_any_value_of_the_kinds_that_are_recorded_comes_back(whole: Whole) -> None:
    read = decode(on_disk(whole), Whole)
    assert (read.leaf, read.numbers, read.pairs, read.state, read.names) == (
        whole.leaf, whole.numbers, whole.pairs, whole.state, whole.names,
    )  # fmt: skip
    assert np.array_equal(read.vector, whole.vector)


def test_what_is_no_number_comes_back_as_such() -> None:
    assert math.isnan(decode(on_disk(Leaf(math.nan)), Leaf).number)


def test_a_field_that_an_older_record_lacks_takes_its_default() -> None:
    assert decode({"$type": "Leaf", "number": 1, "gone": True}, Leaf) == Leaf(1.0)


WRONG = [
    ({"$type": "Other", "word": "a"}, "Leaf is of the type 'Other', not Leaf"),
    ({"$type": "Leaf", "number": "many"}, "Leaf.number: could not convert"),
    ({"$type": "Leaf"}, "missing 1 required positional argument"),
    ([], "Leaf: list indices must be integers"),
]


@pytest.mark.parametrize(("document", "sentence"), WRONG, ids=[sentence for _, sentence in WRONG])
def test_a_document_that_does_not_fit_says_where(document: Any, sentence: str) -> None:
    with pytest.raises(RecordError) as error:
        decode(document, Leaf)
    assert sentence in str(error.value)

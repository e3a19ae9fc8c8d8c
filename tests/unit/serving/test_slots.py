from __future__ import annotations

from collections import defaultdict

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serin_contract.stats import SLOT_SECONDS_MIN, SLOTS_MAX, SlotCounts
from serin_serving.slots import LabelSums, Slots

BEGIN = 1_800_000_000

few = st.integers(1, 8)
events = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 600), st.integers(0, 72 * 3600)),
        st.sampled_from(["prediction", "r-1", "r-2"]),
        st.integers(1, 16),
    ),
    max_size=300,
)


def filled(happened: list[tuple[int, str, int]], slots_max: int = SLOTS_MAX) -> Slots:
    slots = Slots(slots_max)
    for after, what, rows in happened:
        slot = slots.at(BEGIN + after + 0.5)
        if what == "prediction":
            slot.predictions += 1
        else:
            slot.labels.setdefault(what, LabelSums()).add(1 / rows, correct=rows % 2 == 0, error=rows)
    return slots


@given(events, few)
def test_the_slots_sum_to_what_happened(happened: list[tuple[int, str, int]], slots_max: int) -> None:
    found = filled(happened, slots_max).snapshot()
    assert sum(slot.predictions for slot in found) == sum(what == "prediction" for _, what, _ in happened)
    for revision in ("r-1", "r-2"):
        rows = [rows for _, what, rows in happened if what == revision]
        sums = [slot.labels[revision] for slot in found if revision in slot.labels]
        assert sum(labels.labelled for labels in sums) == pytest.approx(sum(1 / m for m in rows))
        assert sum(labels.correct for labels in sums) == pytest.approx(sum(1 / m for m in rows if m % 2 == 0))
        assert sum(labels.error for labels in sums) == pytest.approx(len(rows))
        assert sum(labels.error_2 for labels in sums) == pytest.approx(sum(rows))
        assert sum(labels.error_4 for labels in sums) == pytest.approx(sum(m**3 for m in rows))


@given(events, few)
def test_the_slots_are_few_aligned_and_rise(happened: list[tuple[int, str, int]], slots_max: int) -> None:
    slots = filled(happened, slots_max)
    starts = [slot.start for slot in slots.snapshot()]
    assert len(starts) <= slots_max
    assert starts == sorted(set(starts))
    assert all(start % slots.seconds == 0 for start in starts)
    doublings = slots.seconds // SLOT_SECONDS_MIN
    assert doublings * SLOT_SECONDS_MIN == slots.seconds
    assert doublings & (doublings - 1) == 0


@given(events, few)
def test_everything_is_in_the_slot_of_its_time_in_whatever_order_it_came(
    happened: list[tuple[int, str, int]], slots_max: int
) -> None:
    slots = filled(happened, slots_max)
    expected: dict[int, int] = defaultdict(int)
    for after, what, _ in happened:
        expected[(BEGIN + after) // slots.seconds * slots.seconds] += what == "prediction"
    assert {slot.start: slot.predictions for slot in slots.snapshot()} == expected
    turned = filled(happened[::-1], slots_max).snapshot()
    assert [(slot.start, slot.predictions) for slot in turned] == sorted(expected.items())


@given(events, few)
def test_slots_are_no_longer_than_they_must_be(happened: list[tuple[int, str, int]], slots_max: int) -> None:
    seconds = filled(happened, slots_max).seconds
    half = {(BEGIN + after) // (seconds // 2) for after, _, _ in happened}
    assert seconds == SLOT_SECONDS_MIN or len(half) > slots_max


def test_a_pod_that_only_learns_labels_has_slots() -> None:
    (slot,) = filled([(8, "r-1", 1)]).snapshot()
    assert slot == SlotCounts(BEGIN + 8, 0.0, {"r-1": slot.labels["r-1"]})
    assert slot.labels["r-1"].labelled == 1


def test_a_label_older_than_all_slots_is_not_taken_for_a_younger_one() -> None:
    found = filled([(400, "prediction", 1), (0, "r-1", 1)]).snapshot()
    assert [(slot.start - BEGIN, slot.predictions, list(slot.labels)) for slot in found] == [
        (0, 0, ["r-1"]),
        (400, 1, []),
    ]


def test_three_days_of_two_arms_fit_in_a_few_thousand_bytes() -> None:
    happened = [(after, what, 3) for after in range(0, 72 * 3600, 60) for what in ("prediction", "r-1", "r-2")]
    assert len(msgspec.json.encode(filled(happened).snapshot())) < 16_000

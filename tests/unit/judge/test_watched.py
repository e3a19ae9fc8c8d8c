"""What a watch counts: every count once, whatever becomes of pods and of the operator, and when it was."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.quick import slow

from serin_contract.stats import BinCounts, CohortStats, LabelCounts, PodStats, QualityCounts
from serin_operator.decide.judge import watched, watched_saved
from serin_operator.decide.judge.watched import WatchEvidence, absorb
from serin_operator.decide.judge.watched_slots import DAY_SECONDS, HOUR_SECONDS
from serin_operator.decide.judge.watched_trail import RESOLUTION, Trail, grown

NOW = 1_800_000_000.0
NONCE = "0123456789ab"
COHORT = watched.cohort_name("wine-b", 1, NONCE)


def pod(
    counted: float,
    *,
    uid: str = "pod-1",
    revision: str = "wine-b",
    started_at: str = "start-1",
    cohort: str = COHORT,
    wrong: float = 0.0,
) -> PodStats:
    """A pod that has answered and got labels for so many requests, bins and quality included."""
    slow = int(counted) // 10
    counts = CohortStats(
        requests=int(counted),
        predictions=counted,
        failed=int(wrong),
        latency=[int(counted) - slow, *[0] * 12, slow],
        labels={"wine-b": LabelCounts(counted, counted - wrong, 2 * counted, 5 * counted)},
        own_bins=BinCounts("p1", [counted / 2, counted / 2, 0.0], [counted]),
        quality=QualityCounts("p1", counted, [wrong], [0.0], [0.0], [0.0]),
    )
    return PodStats(revision, uid, started_at, cohorts={cohort: counts})


def absorbed(*polls: Iterable[PodStats], every_seconds: float = 60.0) -> WatchEvidence:
    evidence = watched.start("wine-b", NONCE)
    for place, answers in enumerate(polls):
        evidence = absorb(evidence, answers, NOW + place * every_seconds, {"pod-1", "pod-2"})
    return evidence


@pytest.mark.parametrize(
    ("sentence", "polls", "requests", "refused"),
    [
        ("what grew since the last look is added", [[pod(100)], [pod(150)]], 150, 0),
        ("an answer that is read twice counts once", [[pod(100)], [pod(100)]], 100, 0),
        ("a look without an answer loses nothing", [[pod(100)], [], [pod(180)]], 180, 0),
        ("pods add up", [[pod(100), pod(30, uid="pod-2")]], 130, 0),
        ("a process that began anew counts from 0", [[pod(100)], [pod(20, started_at="start-2")]], 120, 0),
        (
            "a late answer of a process that has ended is refused",
            [[pod(100)], [pod(20, started_at="start-2")], [pod(110)]],
            120,
            1,
        ),
        ("a counter that fell is refused", [[pod(100)], [pod(90)]], 100, 1),
        ("more errors than requests cannot be", [[pod(100, wrong=200)]], 0, 1),
        ("a trial's cohort counts in no watch", [[pod(100, cohort="wine-b.3.0123456789ab")]], 0, 0),
        (
            "nor does an earlier watch of the same revision",
            [[pod(100, cohort=watched.cohort_name("wine-b", 1, "ffffffffffff"))]],
            0,
            0,
        ),
        (
            "a route that was set anew goes on in another cohort",
            [[pod(100)], [pod(40, cohort=watched.cohort_name("wine-b", 2, NONCE))]],
            140,
            0,
        ),
        ("pods of other revisions add labels alone", [[pod(100, revision="wine-a")]], 0, 0),
    ],
)
def test_every_count_is_added_once(sentence: str, polls: list[list[PodStats]], requests: float, refused: int) -> None:
    evidence = absorbed(*polls)
    assert (evidence.total[0], evidence.refused) == (requests, refused), sentence
    in_trail = sum(block.sums[0] for block in evidence.requests.blocks)
    assert in_trail == requests, "the windows hold what the total holds"


def test_labels_count_whichever_pod_they_were_posted_to() -> None:
    evidence = absorbed([pod(100, revision="wine-a", wrong=10)])
    assert evidence.total[:5] == (0.0, 0.0, 0.0, 100.0, 90.0)


def test_where_nothing_moved_the_same_object_comes_back() -> None:
    evidence = absorbed([pod(100)])
    assert absorb(evidence, [pod(100)], NOW + 60, {"pod-1"}) is evidence


def test_bins_are_kept_a_day_by_the_hour_and_a_week_by_the_day() -> None:
    hours = 24 * 11
    evidence = absorbed(*([pod(10 * (hour + 1))] for hour in range(hours)), every_seconds=HOUR_SECONDS)
    now = NOW + (hours - 1) * HOUR_SECONDS
    slots = evidence.slots
    assert len(slots.hours) == 25
    assert len(slots.days) == 7
    assert sum(slots.last_hours(1, now).prediction) == 10
    assert sum(slots.last_hours(8, now).prediction) == 80
    assert sum(slots.last_days(1).prediction) == 250, "24 hours and what there is of the present one"
    assert sum(slots.last_days(3).prediction) == pytest.approx(10 * 72, abs=10 * 24)
    assert sum(slots.last_days(7).quality[:1]) == pytest.approx(10 * 168, abs=10 * 24)


def test_bins_on_other_edges_begin_anew() -> None:
    other = pod(50, uid="pod-2")
    counts = other.cohorts[COHORT]
    moved = CohortStats(requests=50, predictions=50, own_bins=BinCounts("p2", [50.0, 0.0, 0.0], [50.0]))
    assert counts.own_bins is not None
    evidence = absorbed([pod(100)], [pod(100), PodStats("wine-b", "pod-2", "start-1", cohorts={COHORT: moved})])
    assert evidence.slots.last_hours(1, NOW + 60).profile_hash == "p2"
    assert evidence.total[0] == 150


def through_json(evidence: WatchEvidence, now: float) -> WatchEvidence:
    """Written to the API server, which sorts what it is given, and read back."""
    text = json.dumps({"watch": watched_saved.dump(evidence, now)}, sort_keys=True)
    return watched_saved.restore(json.loads(text), "wine-b", NONCE)


def test_evidence_comes_back_as_it_was_written() -> None:
    evidence = absorbed([pod(100.25, wrong=3.5)], [pod(333.125, wrong=4.5), pod(7, uid="pod-2")])
    assert through_json(evidence, NOW) == evidence


@pytest.mark.parametrize(
    ("sentence", "spoil"),
    [
        ("a missing part", lambda saved: saved.pop("pods")),
        ("a sum that is no number", lambda saved: saved["total"].__setitem__(0, "many")),
        ("a sum too few", lambda saved: saved["total"].pop()),
        ("a block of another width", lambda saved: saved["labels"][0].append(1.0)),
        ("another format", lambda saved: saved.update(format=99)),
        ("another watch", lambda saved: saved.update(nonce="ffffffffffff")),
    ],
)
def test_what_cannot_be_read_is_a_new_start_whole(sentence: str, spoil: Any) -> None:
    saved = json.loads(json.dumps(watched_saved.dump(absorbed([pod(100)]), NOW)))
    spoil(saved)
    assert watched_saved.restore({"watch": saved}, "wine-b", NONCE) == watched.start("wine-b", NONCE), sentence


@pytest.mark.parametrize("seed", [0, *map(slow, range(1, 5))])
def test_ten_restarts_at_random_looks_change_no_sum(seed: int) -> None:
    """What was saved is up to five minutes old, and pods go on counting: nothing is lost and nothing counts twice."""
    draws = random.Random(seed)
    looks = 600
    restarts = set(draws.sample(range(1, looks), 10))
    counted = {"pod-1": 0.0, "pod-2": 0.0}
    kept = lost = watched.start("wine-b", NONCE)
    saved = watched_saved.dump(lost, NOW)
    for look in range(looks):
        now = NOW + 60.0 * look
        for uid in counted:
            counted[uid] += draws.randint(0, 40) / draws.choice([1, 2, 16])
        answers = [pod(number, uid=uid, wrong=int(number) // 20) for uid, number in counted.items()]
        kept = absorb(kept, answers, now, counted)
        if look in restarts:
            lost = watched_saved.restore(json.loads(json.dumps({"watch": saved})), "wine-b", NONCE)
        lost = absorb(lost, answers, now, counted)
        if look % 5 == 0:
            saved = watched_saved.dump(lost, now)
    assert lost.total == pytest.approx(kept.total, rel=1e-12)
    assert lost.pods == kept.pods, "the same is remembered of each pod"
    assert lost.slots.last_days(7).prediction == pytest.approx(kept.slots.last_days(7).prediction)
    assert sum(lost.slots.last_days(7).features) == pytest.approx(sum(counted.values()), rel=1e-12)


@given(st.lists(st.tuples(st.floats(0.0, 200.0), st.floats(1.0, 4000.0)), min_size=1, max_size=300))
def test_a_trail_keeps_all_it_is_given_and_stays_short(looks: list[tuple[float, float]]) -> None:
    trail, now, total = Trail(), NOW, 0.0
    for weight, seconds in looks:
        now, total = now + seconds, total + weight
        trail = grown(trail, (weight, weight / 2), now, smallest=25.0, most=1e12)
    assert sum(block.sums[0] for block in trail.blocks) == pytest.approx(total)
    assert len(trail.blocks) <= 4 * RESOLUTION * 8
    starts = [block.started_at for block in trail.blocks]
    assert starts == sorted(starts)
    sizes = [window.sums[0] for window in trail.suffixes]
    assert sizes == sorted(sizes), "every window holds the shorter ones"


@pytest.mark.slow
def test_the_windows_of_a_long_trail_are_dense_at_every_length() -> None:
    """However far back a change lies, a window begins within an eighth of that before or after it."""
    trail = Trail()
    for look in range(20_000):
        trail = grown(trail, (30.0,), NOW + 60.0 * look, smallest=25.0, most=1e12)
    sizes = [window.sums[0] for window in trail.suffixes]
    for wanted in (50, 100, 200, 400, 800, 1600, 3200, 100_000, 500_000):
        nearest = min(sizes, key=lambda size: abs(size - wanted))
        assert abs(nearest - wanted) <= max(30.0, wanted / RESOLUTION)
    assert len(sizes) < 120


def test_a_trail_forgets_what_is_older_than_it_reaches() -> None:
    trail = Trail()
    for look in range(5_000):
        trail = grown(trail, (30.0,), NOW + 60.0 * look, smallest=25.0, most=6400.0)
    assert 6400.0 <= sum(block.sums[0] for block in trail.blocks) <= 9600.0


def test_a_silence_of_a_year_spends_the_budget_of_a_day() -> None:
    trail = grown(Trail(), (30.0,), NOW, smallest=25.0, most=1e9)
    trail = grown(trail, (30.0,), NOW + 365 * DAY_SECONDS, smallest=25.0, most=1e9)
    assert trail.blocks[-1].gap_seconds == DAY_SECONDS

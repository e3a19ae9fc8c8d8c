"""Bins are added once, whatever the order, the repeats, the losses and the restarts."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from tests.support.quick import examples
from tests.unit.judge.bins_build import EVEN, FAR, LIKE_TRAINING, Pods, counted, profile, rows_of
from tests.unit.judge.build import policy

from serin_contract.profile import NumericFeature, PredictionBins, Profile, profile_hash
from serin_contract.stats import BinCounts, CohortStats, PodStats
from serin_operator.decide.judge import binned, binned_saved, evidence
from serin_operator.decide.judge.bets import STAKES
from serin_operator.decide.judge.binned import DRAIN_SECONDS, Arms, BinEvidence
from serin_operator.decide.observation import StatsAnswer

OWN, STABLE = profile(rows=20_000), profile()
ARMS = Arms("c", "s", {"c": OWN, "s": STABLE})
FIRST, SECOND = "c.1.a", "c.2.b"
ROUNDED = 10.0 / 512
"""What rounding to parts of 1/256 makes of the sum over a feature's bins, or over a few pods."""


def pod(uid: str, revision: str, served: float | dict[str, float], started_at: str = "start-1") -> PodStats:
    """A pod that has answered so many rows, by cohort or in the first one."""
    own = OWN if revision == "c" else STABLE
    cohorts = {
        name: CohortStats(
            own_bins=counted(own, LIKE_TRAINING, samples),
            stable_bins=counted(STABLE, LIKE_TRAINING, samples) if revision == "c" else None,
        )
        for name, samples in (served if isinstance(served, dict) else {FIRST: served}).items()
    }
    return PodStats(revision, uid, started_at, cohorts=cohorts)


def both(c: float | dict[str, float], s: float | dict[str, float]) -> tuple[PodStats, PodStats]:
    return pod("pod-c", "c", c), pod("pod-s", "s", s)


def absorbed(*polls: tuple[PodStats, ...], began: BinEvidence = binned.NO_BINS, now: float = 0.0) -> BinEvidence:
    for later, answers in enumerate(polls):
        began = binned.absorb(began, ARMS, answers, now + later, sticky=False)
    return began


def rows(bins: BinEvidence, arm: str = "candidate") -> float:
    """How many rows of that arm count."""
    flat, axes = bins.total(arm), bins.candidate_axes if arm == "own" else bins.stable_axes
    return float(axes.layout.sums(flat).max()) if flat is not None and axes is not None else 0.0


def test_each_arm_counts_on_the_profiles_that_are_its_own():
    bins = absorbed(both(10.0, 90.0))
    assert [rows(bins, arm) for arm in ("candidate", "own", "stable")] == [10.0, 10.0, 90.0]


@pytest.mark.parametrize(
    ("sentence", "polls", "counts", "refused"),
    [
        ("nobody has answered", ((),), 0.0, 0),
        ("growth is added once", (both(10, 90), both(15, 95)), 15.0, 0),
        ("an answer that comes again adds nothing", (both(10, 90), both(10, 90)), 10.0, 0),
        ("an answer that was lost is made up for", (both(10, 90), (), both(15, 95)), 15.0, 0),
        (
            "a pod that starts anew goes on from nothing",
            ((pod("p", "c", 10),), (pod("p", "c", 4, "start-2"),)),
            14.0,
            0,
        ),
        (
            "a late answer of a start that has ended adds nothing",
            ((pod("p", "c", 10),), (pod("p", "c", 4, "start-2"),), (pod("p", "c", 12),)),
            14.0,
            1,
        ),
        ("counts that fell are left out", ((pod("p", "c", 10),), (pod("p", "c", 5),)), 10.0, 2),
        ("pods add up", ((pod("p", "c", 10), pod("q", "c", 7)),), 17.0, 0),
        ("a pod of a third revision counts for nobody", ((structs.replace(pod("p", "c", 9), revision="r"),),), 0.0, 0),
        ("a cohort of another trial does not count", ((pod("p", "c", {"d.1.a": 10.0, "cc.1.a": 10.0}),),), 0.0, 0),
        ("nor do copies in a shadow step", ((pod("p", "c", {"shadow.c.1.a": 10.0}),),), 0.0, 0),
    ],
)
def test_rows_of_the_candidate(sentence, polls, counts, refused):
    bins = absorbed(*polls)
    assert (rows(bins), bins.refused) == (pytest.approx(counts, abs=ROUNDED), refused), sentence


GOOD = counted(STABLE, LIKE_TRAINING, 10.0)


@pytest.mark.parametrize(
    ("sentence", "told"),
    [
        ("too few numbers", BinCounts(GOOD.profile_hash, GOOD.features[:-1], GOOD.prediction)),
        ("too many", BinCounts(GOOD.profile_hash, GOOD.features, [*GOOD.prediction, 1.0])),
        ("a negative one", BinCounts(GOOD.profile_hash, [-1.0, *GOOD.features[1:]], GOOD.prediction)),
        ("no number", BinCounts(GOOD.profile_hash, [float("nan"), *GOOD.features[1:]], GOOD.prediction)),
        ("endless", BinCounts(GOOD.profile_hash, [float("inf"), *GOOD.features[1:]], GOOD.prediction)),
        ("more than can be", BinCounts(GOOD.profile_hash, [1e13, *GOOD.features[1:]], GOOD.prediction)),
    ],
)
def test_counts_that_cannot_be_are_refused(sentence, told):
    bins = absorbed((PodStats("s", "p", "start-1", cohorts={FIRST: CohortStats(own_bins=told)}),))
    assert (rows(bins, "stable"), bins.refused) == (0.0, 1), sentence


def test_bins_on_another_profile_are_never_merged_and_the_pod_that_tells_them_is_named():
    other = profile(rows=30_000)
    told = CohortStats(own_bins=counted(other, LIKE_TRAINING, 5.0), stable_bins=counted(other, LIKE_TRAINING, 5.0))
    bins = absorbed((*both(10, 90), PodStats("c", "q", "start-1", cohorts={FIRST: told})))
    assert (rows(bins), rows(bins, "own")) == (10.0, 10.0)
    assert bins.strangers == (profile_hash(other),)
    assert absorbed(both(11, 91), began=bins).strangers == ()


def test_a_candidate_with_stables_very_profile_may_tell_its_bins_once():
    arms = Arms("c", "s", {"c": STABLE, "s": STABLE})
    answer = PodStats("c", "p", "start-1", cohorts={FIRST: CohortStats(own_bins=GOOD)})
    bins = binned.absorb(binned.NO_BINS, arms, (answer,), 0.0, sticky=False)
    assert (rows(bins), rows(bins, "own")) == (10.0, 10.0)


@pytest.mark.parametrize("late", ["c", "s"])
def test_bins_wait_in_the_pods_until_their_profile_is_known(late):
    early = Arms("c", "s", {name: known for name, known in ARMS.profiles.items() if name != late})
    bins = binned.absorb(binned.NO_BINS, early, both(10, 90), 0.0, sticky=False)
    assert rows(bins, "own" if late == "c" else "stable") == 0.0
    bins = binned.absorb(bins, ARMS, both(12, 95), 1.0, sticky=False)
    assert [rows(bins, arm) for arm in ("candidate", "own", "stable")] == [12.0, 12.0, 95.0]


def test_without_any_profile_nothing_is_kept():
    assert binned.absorb(binned.NO_BINS, Arms("c", "s", {}), both(10, 90), 0.0, sticky=False) is binned.NO_BINS


def test_the_first_block_of_a_cohort_may_cost_the_stakes_on_shifts_and_keeps_the_other():
    bins = Pods()
    bins.serve("c", {"age": EVEN, "income": FAR}, 500.0)
    bins.serve("s", LIKE_TRAINING, 500.0)
    bins.look()
    assert bins.evidence.log_e is not None
    still, shifted, prediction = bins.evidence.log_e
    assert (still, prediction) == (pytest.approx(math.log(STAKES[0])), pytest.approx(math.log(STAKES[0])))
    assert shifted > 10.0
    rows_of(bins, 1, {"age": EVEN, "income": FAR}, LIKE_TRAINING, (100.0, 100.0))
    assert bins.evidence.log_e is not None
    assert bins.evidence.log_e[1] > 10.0 > 1.0 > bins.evidence.log_e[0]


def test_a_new_cohort_bets_on_what_others_showed_unless_callers_return():
    moved = {"age": EVEN, "income": FAR}
    found = {}
    for sticky in (False, True):
        pods = rows_of(Pods(), 5, moved, LIKE_TRAINING, (500.0, 500.0), sticky=sticky)
        pods.serve("c", moved, 20.0, "c.2.b")
        pods.serve("s", LIKE_TRAINING, 20.0, "c.2.b")
        pods.look(sticky=sticky)
        found[sticky] = float(pods.evidence.cohorts["c.2.b"].log_e[1])
    assert found[False] > 3.0
    assert found[True] == 0.0


def test_a_cohort_is_closed_once_its_successor_is_old_enough_and_then_grows_no_more():
    bins = absorbed(both({FIRST: 10.0}, {FIRST: 90.0}))
    bins = absorbed(both({FIRST: 10.0, SECOND: 5.0}, {FIRST: 90.0, SECOND: 5.0}), began=bins, now=10.0)
    before = absorbed((), began=bins, now=10.0 + DRAIN_SECONDS - 1.0)
    assert not before.cohorts[FIRST].closed
    late = both({FIRST: 12.0, SECOND: 5.0}, {FIRST: 92.0, SECOND: 5.0})
    still = absorbed(late, began=before, now=10.0 + DRAIN_SECONDS - 0.5)
    assert rows(still) == pytest.approx(17.0, abs=ROUNDED), "it drains"
    closed = absorbed((), began=still, now=10.0 + DRAIN_SECONDS)
    assert [cohort.closed for cohort in closed.cohorts.values()] == [True, False]
    assert {name for memory in closed.pods.values() for name, _ in memory.arrays} == {SECOND}
    later = both({FIRST: 50.0, SECOND: 5.0}, {FIRST: 150.0, SECOND: 5.0})
    assert rows(absorbed(later, began=closed, now=500.0)) == pytest.approx(17.0, abs=ROUNDED)


def test_the_time_before_connections_are_drawn_anew_is_older_than_the_cohort_itself():
    bins = absorbed(both({FIRST: 1.0, f"{SECOND}.early": 1.0, SECOND: 1.0, "c.10.a": 1.0}, {FIRST: 1.0}))
    found = {id(cohort): name for name, cohort in bins.cohorts.items()}
    assert [found[id(cohort)] for cohort in binned.in_order(bins)] == [FIRST, f"{SECOND}.early", SECOND, "c.10.a"]


def test_the_same_object_comes_back_where_nothing_moved():
    bins = absorbed(both(10, 90))
    assert absorbed(both(10, 90), (), began=bins) is bins


# Properties

growth = st.lists(
    st.tuples(st.sampled_from(["p", "q", "r", "s", "t"]), st.sampled_from([FIRST, SECOND]), st.integers(0, 40)),
    max_size=25,
)


def told(history: list[tuple[str, str, int]]) -> list[tuple[PodStats, ...]]:
    """What all pods answer after each growth; p and q are the candidate's."""
    served: dict[str, dict[str, float]] = {name: {} for name in ("p", "q", "r", "s", "t")}
    polls = []
    for name, cohort, rows_more in history:
        served[name][cohort] = served[name].get(cohort, 0.0) + rows_more
        polls.append(tuple(pod(uid, "c" if uid in "pq" else "s", dict(of)) for uid, of in served.items()))
    return polls


def sums(bins: BinEvidence) -> list[list[float]]:
    return [list(found) for arm in ("candidate", "stable", "own") if (found := bins.total(arm)) is not None]


@examples(40)
@given(growth, st.data())
def test_lost_and_repeated_polls_and_the_order_of_answers_change_no_sum(history, data):
    polls = told(history)
    whole = absorbed(*polls)
    kept = [poll for poll in polls[:-1] for _ in range(data.draw(st.integers(0, 2)))] + polls[-1:]
    shuffled = [tuple(data.draw(st.permutations(poll))) for poll in kept]
    assert sums(absorbed(*shuffled)) == sums(whole)
    in_order = absorbed(*polls)
    assert absorbed(*[poll[::-1] for poll in polls]) == in_order, "the e-processes are the same as well"


@examples(40)
@given(growth, st.data())
def test_a_restart_at_any_poll_changes_nothing(history, data):
    polls = told(history)
    restarts = data.draw(st.sets(st.integers(0, max(0, len(polls) - 1)), max_size=10))
    bins = binned.NO_BINS
    for place, poll in enumerate(polls):
        bins = absorbed(poll, began=bins, now=float(place))
        if place in restarts:
            bins = binned_saved.restore(json.loads(json.dumps(binned_saved.dump(bins))).get("bins"))
    straight = binned.NO_BINS
    for place, poll in enumerate(polls):
        straight = absorbed(poll, began=straight, now=float(place))
    assert bins == straight


@examples(30)
@given(growth)
def test_two_pods_count_as_one_that_did_both_their_work(history):
    polls = told(history)
    merged = [
        (
            pod("x", "c", _added(*(one for one in poll if one.revision == "c"))),
            pod("y", "s", _added(*(one for one in poll if one.revision == "s"))),
        )
        for poll in polls
    ]
    several, one = absorbed(*polls), absorbed(*merged)
    for theirs, ours in zip(sums(several), sums(one), strict=True):
        assert theirs == pytest.approx(ours, abs=ROUNDED)


def _added(*pods: PodStats) -> dict[str, float]:
    total: dict[str, float] = {}
    for one in pods:
        for name, cohort in one.cohorts.items():
            assert cohort.own_bins is not None
            total[name] = total.get(name, 0.0) + sum(cohort.own_bins.prediction)
    return total


# Saved


def test_it_is_saved_with_all_other_evidence():
    kept = evidence.start("c", "s")
    answers = tuple(StatsAnswer(one.pod_uid, one.revision, one) for one in both(10, 90))
    kept = evidence.absorb(kept, answers, 0.0, policy(), ARMS.profiles)
    assert rows(kept.bins) == 10.0
    document = json.loads(json.dumps(evidence.dump(kept)))
    assert evidence.restore(document, "c", "s") == kept
    document["bins"]["counts"] = document["bins"]["counts"][:-8]
    assert evidence.restore(document, "c", "s") == evidence.start("c", "s"), "all of it or nothing"


@pytest.mark.parametrize(
    ("sentence", "damage"),
    [
        ("a count is missing", {"cohorts": []}),
        ("a name is missing", {"names": []}),
        ("the axes are others", {"stable": ["h", [3, 3]]}),
        ("no bins", {"stable": ["h", []]}),
        ("not packed", {"counts": "no"}),
        ("not text", {"counts": 5}),
        ("no pods", {"pods": None}),
    ],
)
def test_a_dump_that_was_damaged_is_none(sentence, damage):
    document = binned_saved.dump(absorbed(both(10, 90)))["bins"]
    with pytest.raises((KeyError, TypeError, ValueError, IndexError, AttributeError)):
        binned_saved.restore(document | damage)


def wide(features: int, seed: int) -> Profile:
    return Profile(
        [
            NumericFeature(f"f{place}", [float(edge) for edge in range(9)], [1000.0] * 10 + [float(seed)])
            for place in range(features)
        ],
        PredictionBins("classification", [0, 1], [0.55 + 0.05 * place for place in range(8)], [555.0] * 18),
        10_000,
    )


def _wide_answers(features: int, pods: int, rows_each: int) -> tuple[Arms, list[tuple[PodStats, ...]]]:
    """Half the pods of either arm, in two open cohorts; rows come alone and in requests of 7."""
    draws = np.random.default_rng(5)
    own, stable = wide(features, 1), wide(features, 2)

    def table(on: Profile) -> BinCounts:
        alone = draws.multinomial(rows_each, [0.1] * 10 + [0.0], size=features).ravel().astype(float)
        together = draws.multinomial(rows_each, [0.1] * 10 + [0.0], size=features).ravel() / 7.0
        return BinCounts(profile_hash(on), (alone + together).tolist(), [rows_each / 18.0] * 18)

    answers = []
    for place in range(pods):
        of_candidate = place < pods // 2
        cohorts = {
            name: CohortStats(
                own_bins=table(own if of_candidate else stable), stable_bins=table(stable) if of_candidate else None
            )
            for name in (FIRST, SECOND)
        }
        answers.append(PodStats("c" if of_candidate else "s", f"pod-{place}", "start-1", cohorts=cohorts))
    return Arms("c", "s", {"c": own, "s": stable}), [tuple(answers)]


def test_twenty_pods_with_256_features_stay_far_below_a_megabyte():
    arms, (poll,) = _wide_answers(features=256, pods=20, rows_each=100_000)
    bins = binned.absorb(binned.NO_BINS, arms, poll, 0.0, sticky=False)
    document = binned_saved.dump(bins)
    assert len(json.dumps(document)) < 500_000
    assert binned_saved.restore(document["bins"]) == bins


def test_what_is_too_large_is_left_out_as_a_whole_and_a_restart_says_so(monkeypatch):
    bins = absorbed(both(10, 90), both(30, 190))
    monkeypatch.setattr(binned_saved, "PACKED_BYTES_MAX", 10)
    restored = binned_saved.restore(binned_saved.dump(bins)["bins"])
    assert (restored.lost, restored.cohorts) == (True, {})
    again = absorbed(both(30, 190), began=restored)
    assert (rows(again), again.lost) == (30.0, True)
    alone = absorbed(both(30, 190))
    assert again.log_e == pytest.approx(alone.log_e), "the e-values begin at 1 again, with all that the pods hold"

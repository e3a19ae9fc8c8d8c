"""What pods count is added once, whatever the order, the repeats and the restarts."""

from __future__ import annotations

import json
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.quick import examples
from tests.unit.judge.build import COHORT, answer, both, policy, served

from serin_contract.stats import CohortStats, LabelCounts, PodStats
from serin_operator.decide.judge import evidence as evidences
from serin_operator.decide.judge.formulas import Stratum, two_arm_log_e
from serin_operator.decide.judge.sums import matured
from serin_operator.decide.observation import StatsAnswer

POLICY = policy(maximum=0.01)


def absorbed(*polls, began=None):
    evidence = began or evidences.start("c", "s")
    for now, answers in enumerate(polls):
        evidence = evidences.absorb(evidence, tuple(answers), float(now), POLICY)
    return evidence


def test_requests_go_to_the_arm_of_the_pod_and_labels_to_the_arm_that_predicted():
    evidence = absorbed(both(served(10, failed=1, refused=1), served(90, candidate=(5.0, 4.0), stable=(40.0, 39.0))))
    cohort = evidence.cohorts[COHORT]
    assert cohort.candidate == evidences.ArmCounts(10.0, 2.0, 8.0, 5.0, 4.0)
    assert cohort.stable == evidences.ArmCounts(90.0, 0.0, 90.0, 40.0, 39.0)
    assert cohort.opened_at == 0.0


def test_labels_posted_to_a_pod_of_an_older_revision_count_and_its_requests_do_not():
    evidence = absorbed((answer("old", "r", served(50, candidate=(3.0, 3.0))),))
    assert evidence.total("candidate") == evidences.ArmCounts(labelled=3.0, correct=3.0)
    assert evidence.total("stable") == evidences.ArmCounts()


@pytest.mark.parametrize("name", ["d.1.x", "cc.1.x", "c", "", "s.1.x"])
def test_cohorts_of_another_trial_do_not_count(name):
    assert absorbed((answer("pod-c", "c", {name: served(10)}),)).cohorts == {}


def test_counters_that_do_not_move_change_nothing():
    answers = both(served(10), served(90, candidate=(5.0, 4.0), stable=(40.0, 39.0)))
    first = absorbed(answers)
    assert evidences.absorb(first, answers, 50.0, POLICY) is first
    assert evidences.absorb(first, (), 60.0, POLICY) is first


def test_a_pod_that_cannot_be_read_keeps_what_it_had_and_its_next_answer_catches_up():
    broken = StatsAnswer("pod-s", "s", None, "connection refused")
    evidence = absorbed(both(served(5), served(40)), (broken,), both(served(9), served(80)))
    assert evidence.total("stable").requests == 80.0
    assert evidence.total("candidate").requests == 9.0


def test_ten_restarts_of_a_pod_never_count_twice():
    evidence = evidences.start("c", "s")
    for restart in range(10):
        for requests in (10, 25, 25):
            answers = (answer("pod-c", "c", served(requests), f"start-{restart}"),)
            evidence = evidences.absorb(evidence, answers, float(restart), POLICY)
    assert evidence.total("candidate").requests == 250.0
    assert evidence.refused == 0
    assert len(evidence.pods) == 1


def test_a_late_answer_of_an_ended_process_is_refused():
    evidence = absorbed(
        (answer("pod-c", "c", served(10), "one"),),
        (answer("pod-c", "c", served(7), "two"),),
        (answer("pod-c", "c", served(15), "one"),),
    )
    assert evidence.total("candidate").requests == 17.0
    assert evidence.refused == 1


def test_a_counter_that_falls_within_one_start_adds_nothing_until_it_has_caught_up():
    polls = [(answer("pod-c", "c", served(n)),) for n in (10, 4, 12)]
    evidence = absorbed(*polls)
    assert evidence.total("candidate").requests == 12.0
    assert evidence.refused == 1


@pytest.mark.parametrize(
    "stats",
    [
        CohortStats(requests=5, failed=6),
        CohortStats(requests=-5),
        CohortStats(requests=5, predictions=math.nan),
        CohortStats(requests=5, predictions=math.inf),
        CohortStats(requests=10**18),
        CohortStats(requests=5, labels={"c": LabelCounts(2.0, 3.0)}),
        CohortStats(requests=5, labels={"s": LabelCounts(math.nan, 0.0)}),
    ],
)
def test_counters_that_cannot_be_are_refused(stats):
    evidence = absorbed((answer("pod-c", "c", stats),))
    assert evidence.total("candidate") == evidences.ArmCounts()
    assert evidence.refused == 1


def test_an_address_that_answers_for_another_pod_is_refused():
    foreign = PodStats("s", "pod-x", "start-1", cohorts={COHORT: served(10)})
    evidence = absorbed((StatsAnswer("pod-c", "c", foreign), StatsAnswer("pod-x", "c", foreign)))
    assert evidence.cohorts == {}
    assert evidence.refused == 2


def test_one_block_per_call_is_bet_with_what_earlier_calls_knew():
    first = absorbed(both(served(0), served(0, candidate=(100.0, 81.0), stable=(200.0, 182.0))))
    assert first.log_e("accuracy") == 0.0
    second = absorbed(both(served(0), served(0, candidate=(150.0, 121.0), stable=(300.0, 274.0))), began=first)
    assert second.log_e("accuracy") == pytest.approx(2.062173, abs=1e-6)


def two_cohorts(first, second):
    """Labels (candidate, stable) of two cohorts, as one pod answers them."""
    cohorts = {f"c.{k}.x": served(0, candidate=c, stable=s) for k, (c, s) in enumerate((first, second), 1)}
    return (answer("pod-s", "s", cohorts),)


EARLY = ((100.0, 81.0), (200.0, 182.0))
LATER = ((150.0, 121.0), (300.0, 274.0))
NONE = ((0.0, 0.0), (0.0, 0.0))


def test_cohorts_multiply():
    evidence = absorbed(two_cohorts(EARLY, EARLY), two_cohorts(LATER, LATER))
    parts = [cohort.log_e["accuracy"] for cohort in evidence.cohorts.values()]
    assert len(parts) == 2
    assert min(parts) > 1.5
    assert evidence.log_e("accuracy") == pytest.approx(sum(parts))


def test_the_first_block_of_a_cohort_is_bet_with_thirty_samples_of_what_other_cohorts_showed():
    evidence = absorbed(two_cohorts(EARLY, NONE), two_cohorts(EARLY, ((50.0, 40.0), (100.0, 92.0))))
    expected = two_arm_log_e(Stratum(40.0, 50.0, 92.0, 100.0), Stratum(24.3, 30.0, 27.3, 30.0))
    assert evidence.cohorts["c.2.x"].log_e["accuracy"] == pytest.approx(expected)


def test_a_block_is_never_bet_with_what_arrived_in_the_same_call():
    evidence = absorbed(two_cohorts(EARLY, EARLY))
    assert evidence.log_e("accuracy") == 0.0


def test_ten_cohorts_of_two_pods_are_absorbed_the_same_in_any_order():
    rng = random.Random(3)
    polls = [_many_pods(rng, step) for step in range(1, 6)]
    reference = absorbed(*polls)
    for _ in range(5):
        shuffled = [rng.sample(poll, len(poll)) for poll in polls]
        assert absorbed(*shuffled) == reference


def _many_pods(rng, step):
    answers = []
    for pod in range(6):
        cohorts = {
            f"c.{k}.x": served(step * (10 + k), candidate=(step / 3, step / 7), stable=(step / 5, step / 9))
            for k in range(10)
        }
        answers.append(answer(f"pod-{pod}", "c" if pod % 2 else "s", cohorts))
    return answers


def test_a_dump_restores_to_the_same_evidence_through_json():
    rng = random.Random(4)
    evidence = absorbed(*[_many_pods(rng, step) for step in range(1, 6)])
    document = json.loads(json.dumps(evidences.dump(evidence), allow_nan=False))
    assert evidences.restore(document, "c", "s") == evidence
    as_kubernetes = json.loads(json.dumps(document).replace(".0,", ",").replace(".0]", "]"))
    assert evidences.restore(as_kubernetes, "c", "s") == evidence


def test_a_restored_operator_goes_on_without_counting_anything_twice():
    polls = [both(served(5 * n), served(45 * n, candidate=(4.0 * n, 3.0 * n))) for n in range(1, 9)]
    evidence = evidences.start("c", "s")
    for now, poll in enumerate(polls):
        evidence = evidences.restore(json.loads(json.dumps(evidences.dump(evidence))), "c", "s")
        evidence = evidences.absorb(evidence, poll, float(now), POLICY)
    assert evidence == absorbed(*polls)


def test_an_older_dump_counts_what_came_since_as_one_block():
    early, late = both(served(5), served(45)), both(served(25), served(200))
    old = evidences.dump(absorbed(early))
    assert absorbed(late, began=evidences.restore(old, "c", "s")).total("stable").requests == 200.0


def test_without_a_dump_the_sums_come_back_whole_and_the_e_process_starts_at_one():
    poll = both(served(100), served(900, candidate=(100.0, 60.0), stable=(900.0, 860.0)))
    again = absorbed(poll, began=evidences.restore(None, "c", "s"))
    assert again.total("candidate") == evidences.ArmCounts(100.0, 0.0, 100.0, 100.0, 60.0)
    assert again.log_e("accuracy") == 0.0


@pytest.mark.parametrize(
    "spoil",
    [
        lambda d: d.update(format=2),
        lambda d: d.update(candidate="other"),
        lambda d: d.update(stable="other"),
        lambda d: d.pop("pods"),
        lambda d: d["cohorts"][0].pop(),
        lambda d: d["cohorts"][0].__setitem__(1, "much"),
        lambda d: d["cohorts"][0].__setitem__(3, -1.0),
        lambda d: d["cohorts"][0].__setitem__(1, math.inf),
        lambda d: d["pods"]["pod-c"].pop(),
        lambda d: d["pods"].update({"pod-c": None}),
        lambda d: d.update(names=[]),
        lambda d: d.update(ring=[[5.0, 1.0, 1.0], [4.0, 1.0, 1.0]]),
    ],
)
def test_a_dump_that_cannot_be_read_or_is_of_another_pair_is_dropped_whole(spoil):
    document = json.loads(json.dumps(evidences.dump(absorbed(both(served(5), served(45))))))
    spoil(document)
    assert evidences.restore(document, "c", "s") == evidences.start("c", "s")


@pytest.mark.parametrize("now", [0.0, 99.0])
def test_no_prediction_is_old_before_the_delay_has_passed(now):
    delayed = policy(delay=100.0)
    evidence = evidences.absorb(evidences.start("c", "s"), both(served(5), served(45)), 0.0, delayed)
    assert matured(evidence, now, 100.0) == (0.0, 0.0)
    assert matured(evidence, 100.0, 100.0) == (5.0, 45.0)


def test_old_predictions_are_never_undercounted_and_the_ring_stays_small():
    delayed = policy(delay=600.0)
    evidence = evidences.start("c", "s")
    for second in range(0, 4000, 4):
        evidence = evidences.absorb(evidence, both(served(second), served(9 * second)), float(second), delayed)
        old = max(0, second - 600)
        candidate, stable = matured(evidence, float(second), 600.0)
        if second > 660:
            assert old <= candidate <= old + 22
            assert stable == 9 * candidate
    assert len(evidence.ring) < 70


def test_a_clock_that_steps_back_does_no_harm():
    delayed = policy(delay=60.0)
    evidence = evidences.start("c", "s")
    for now, count in ((100.0, 5), (40.0, 9), (120.0, 12)):
        evidence = evidences.absorb(evidence, both(served(count), served(count)), now, delayed)
    assert [at for at, _, _ in evidence.ring] == sorted(at for at, _, _ in evidence.ring)
    assert evidence.total("candidate").requests == 12.0


numbers = st.one_of(st.integers(-3, 200), st.sampled_from([10**15, 10**16]))
floats = st.floats(allow_nan=True, allow_infinity=True)
label_counts = st.builds(LabelCounts, labelled=floats, correct=floats)
cohort_stats = st.builds(
    CohortStats,
    requests=numbers,
    failed=numbers,
    refused=numbers,
    predictions=floats,
    labels=st.dictionaries(st.sampled_from(["c", "s", "r"]), label_counts, max_size=3),
)


@examples(150)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["c", "s", "r"]),
            st.sampled_from(["one", "two"]),
            st.dictionaries(st.sampled_from(["c.1.x", "c.2.x", "d.1.x"]), cohort_stats, max_size=2),
        ),
        max_size=6,
    )
)
def test_whatever_pods_answer_the_sums_stay_finite_and_rise(answers):
    evidence = evidences.start("c", "s")
    for now, (revision, started_at, cohorts) in enumerate(answers):
        poll = (answer(f"pod-{revision}", revision, cohorts, started_at),)
        grown = evidences.absorb(evidence, poll, float(now), POLICY)
        for arm in ("candidate", "stable"):
            before, after = evidence.total(arm), grown.total(arm)
            pairs = zip(vars(before).values(), vars(after).values(), strict=True)
            assert all(math.isfinite(b) and b >= a >= 0.0 for a, b in pairs)
            assert after.errors <= after.requests + 1e-6
            assert after.correct <= after.labelled + 1e-6
        assert math.isfinite(grown.log_e("accuracy"))
        assert evidences.restore(json.loads(json.dumps(evidences.dump(grown))), "c", "s") == grown
        evidence = grown

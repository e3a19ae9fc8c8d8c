"""Vectors of a trial: what pods tell is added once, whatever polls are lost, repeated or late, and restarts."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from tests.unit.judge.build import COHORT, policy

from serin_contract.stats import (
    LATENCY_BOUNDS_SECONDS,
    CohortStats,
    LabelCounts,
    PodStats,
    QualityCounts,
    SlotCounts,
)
from serin_operator.decide.gate_policies import LATENCY, AccuracyPolicy, LatencyPolicy
from serin_operator.decide.judge import coverage, tallied, tallied_saved
from serin_operator.decide.judge import evidence as evidences
from serin_operator.decide.judge.sums import Evidence
from serin_operator.decide.judge.tallied import NO_TALLIES, TallyEvidence
from serin_operator.decide.observation import StatsAnswer
from serin_operator.decide.policy import Policy

BUCKETS = len(LATENCY_BOUNDS_SECONDS) + 1
RULES = replace(policy(), gates=(LatencyPolicy("Enforce", 0.99, 0.25),))


def cohort(number: int, slow: int = 0, malformed: int = 0) -> CohortStats:
    """After that many requests: labels of both arms posted here, values of two features looked at."""
    times = [0] * BUCKETS
    times[5], times[-1] = number - slow, slow
    return CohortStats(
        requests=number,
        refused=malformed,
        malformed={"shape": malformed} if malformed else {},
        latency=times,
        labels={"c": LabelCounts(number / 4, 0.0, number / 8, number / 16, number / 64)},
        error_clip=2.0,
        quality=QualityCounts("p", float(number), [float(slow), 0.0], [0.0, 0.0], [0.0, 1.0], [0.0, 0.0]),
        slot_seconds=4,
        slots=[SlotCounts(0, number / 2, {"c": LabelCounts(number / 8)}), SlotCounts(4, number / 2)],
    )


def a_pod(uid: str, revision: str, counted: CohortStats, started_at: str = "1") -> PodStats:
    return PodStats(revision, uid, started_at, cohorts={COHORT: counted})


def absorbed(*polls: list[PodStats], began: TallyEvidence = NO_TALLIES, of: Policy = RULES) -> TallyEvidence:
    for number, answers in enumerate(polls):
        began = tallied.absorb(began, "c", "s", answers, 100.0 + number, of)
    return began


def test_the_sums_of_both_arms() -> None:
    pods = [a_pod("a", "c", cohort(40, 2, 1)), a_pod("b", "c", cohort(10)), a_pod("s", "s", cohort(400, 4))]
    (tally,) = absorbed(pods).cohorts.values()
    assert tally.candidate[tallied.TIMES].tolist() == [0] * 5 + [48] + [0] * (BUCKETS - 7) + [2]
    assert tally.stable[tallied.REFUSALS].tolist() == [0.0, 400.0]
    assert tally.candidate[tallied.REFUSALS].tolist() == [1.0, 50.0]
    assert tally.candidate[tallied.ERRORS].tolist() == [450 / 8, 450 / 16, 450 / 64, 450 / 4, 2.0 * 450 / 4], (
        "a label counts for the revision that predicted, whichever pod it was posted to"
    )
    assert tally.candidate[tallied.QUALITY].tolist() == [50.0, 2.0, 0.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0]
    assert tally.candidate[tallied.MATURED][:2].tolist() == [50.0, 450 / 8]
    assert tallied.ERRORS not in tally.stable


@pytest.mark.parametrize("seed", range(20))
def test_lost_repeated_and_late_polls_and_restarts_change_no_sum(seed: int) -> None:
    draws = random.Random(seed)
    grown = [(10 * step, step // 3, step // 5) for step in range(1, 13)]
    sent = [[a_pod("a", "c", cohort(*step)), a_pod("s", "s", cohort(*step))] for step in grown]
    whole = absorbed(*sent)
    seen = NO_TALLIES
    for answers in sent:
        if draws.random() < 0.4 and answers is not sent[-1]:
            continue
        for _ in range(draws.randrange(1, 3)):
            draws.shuffle(answers)
            seen = tallied.absorb(seen, "c", "s", answers, 100.0, RULES)
        if draws.random() < 0.5:
            document = json.loads(json.dumps(tallied_saved.dump(seen)))
            seen = tallied_saved.restore(document.get("tallies"))
    for arm in ("candidate", "stable"):
        ours, theirs = getattr(seen.cohorts[COHORT], arm), getattr(whole.cohorts[COHORT], arm)
        assert ours.keys() == theirs.keys()
        for kind, vector in ours.items():
            assert vector == pytest.approx(theirs[kind]), kind
    assert seen.refused == 0


def test_a_dump_is_read_as_it_was_written() -> None:
    seen = absorbed(
        [a_pod("a", "c", cohort(40, 2)), a_pod("s", "s", cohort(400, 4))], [a_pod("a", "c", cohort(5), "2")]
    )
    assert tallied_saved.restore(json.loads(json.dumps(tallied_saved.dump(seen)))["tallies"]) == seen


def test_a_new_start_counts_anew_and_an_ended_one_never_again() -> None:
    seen = absorbed([a_pod("a", "c", cohort(40))], [a_pod("a", "c", cohort(5), "2")], [a_pod("a", "c", cohort(90))])
    assert seen.cohorts[COHORT].candidate[tallied.REFUSALS][1] == 45.0
    assert seen.refused == 1


def test_what_fell_or_cannot_be_adds_nothing_and_is_counted() -> None:
    bad = msgspec.structs.replace(cohort(50), quality=QualityCounts("p", float("nan"), [0.0], [0.0], [0.0], [0.0]))
    seen = absorbed([a_pod("a", "c", cohort(40))], [a_pod("a", "c", cohort(30))], [a_pod("b", "c", bad)])
    assert seen.cohorts[COHORT].candidate[tallied.TIMES].sum() == 90.0
    assert seen.refused > 0
    assert np.isfinite(seen.cohorts[COHORT].candidate[tallied.QUALITY]).all()


def test_slow_requests_are_evidence_and_equal_ones_are_none() -> None:
    def after(slow: int) -> float:
        polls = [[a_pod("a", "c", cohort(30 * k, slow * k)), a_pod("s", "s", cohort(30 * k))] for k in range(1, 8)]
        return tallied.combined(absorbed(*polls), LATENCY, sticky=False)

    assert after(0) <= 0.0
    assert after(6) > 3.0


LATE = replace(policy(), gates=(AccuracyPolicy("Enforce", None, 0.02, 50.0, 0.8),))


def ripe(polls: list[tuple[float, CohortStats]]) -> Evidence:
    evidence = evidences.start("c", "s")
    for now, counted in polls:
        answers = tuple(StatsAnswer(uid, uid, a_pod(uid, uid, counted)) for uid in ("c", "s"))
        evidence = evidences.absorb(evidence, answers, now, LATE)
    return evidence


def test_a_prediction_matures_with_the_end_of_its_slot_and_the_delay() -> None:
    counted = cohort(40)
    for now, predictions in ((53.9, 0.0), (54.0, 20.0), (57.9, 20.0), (58.0, 40.0)):
        evidence = ripe([(now, counted)])
        assert coverage.ripened(evidence, 50.0).total("candidate").predictions == predictions, now
    assert ripe([(53.9, counted), (58.0, counted)]).tallies.cohorts[COHORT].candidate[tallied.MATURED][0] == 40.0


def test_slots_that_double_add_nothing_until_the_whole_has_matured() -> None:
    fine, coarse = cohort(40), msgspec.structs.replace(
        cohort(40), slot_seconds=8, slots=[SlotCounts(0, 40.0, {"c": LabelCounts(5.0)})]
    )  # fmt: skip
    evidence = ripe([(54.0, fine), (55.0, coarse), (58.0, coarse)])
    assert evidence.tallies.refused == 0
    assert evidence.tallies.cohorts[COHORT].candidate[tallied.MATURED][0] == 40.0


def test_without_a_delay_or_slots_labels_count_as_they_come() -> None:
    evidence = ripe([(60.0, cohort(40))])
    assert coverage.ripened(evidence, 0.0) is evidence
    bare = msgspec.structs.replace(cohort(40), slot_seconds=0, slots=[])
    evidence = ripe([(60.0, bare)])
    assert coverage.ripened(evidence, 50.0) is evidence

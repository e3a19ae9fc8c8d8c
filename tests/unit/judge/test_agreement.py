"""The agreement gate: equal answers on copied requests, and how the counts behind it grow."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from tests.unit.judge.build import a_look, policy

from serin_contract.stats import CohortStats, PodStats, ShadowCounts
from serin_operator.decide.judge import evidence as evidences
from serin_operator.decide.judge import shadowed
from serin_operator.decide.judge.agreement import judge_agreement
from serin_operator.decide.judge.findings import Finding
from serin_operator.decide.judge.shadowed import NO_SHADOW, ShadowEvidence
from serin_operator.decide.observation import StatsAnswer
from serin_operator.decide.policy import AgreementPolicy

GATE = AgreementPolicy("Enforce", 0.95, 0.01)
SHARE = 0.05
COHORT = shadowed.cohort_name("wine-2", 1, "ab")


def asked(shadow: ShadowEvidence, gate: AgreementPolicy, share: float) -> Finding:
    evidence = replace(evidences.start("c", "s"), shadow=shadow)
    return judge_agreement(a_look(evidence, policy(), share=share), gate)


def counted(compared: float, agreed: float, failed: float = 0.0, dropped: float = 0.0) -> ShadowEvidence:
    return ShadowEvidence((compared, agreed, compared, failed, compared, dropped))


@pytest.mark.parametrize(
    ("sentence", "compared", "agreed", "verdict", "reason"),
    [
        ("nothing was compared", 0, 0, "NoData", "NoShadow"),
        ("all of a few agree, which proves nothing yet", 60, 60, "NotYet", "TooFewSamples"),
        ("99 of 100 agree for long enough", 400, 396, "Pass", "AgreesWithStable"),
        ("a little over the minimum is not proven by a few hundred", 400, 384, "NotYet", "NotProven"),
        ("a little over the minimum is proven by many", 40_000, 38_400, "Pass", "AgreesWithStable"),
        ("just at the minimum is never passed by much data", 40_000, 38_000, "NotYet", "NotProven"),
        ("a little under the minimum may be chance", 200, 187, "NotYet", "LikelyWorse"),
        ("well under the minimum fails", 200, 160, "Fail", "DisagreesWithStable"),
        ("a candidate that answers nothing fails within a handful", 4, 0, "Fail", "DisagreesWithStable"),
    ],
)
def test_the_verdict(sentence: str, compared: float, agreed: float, verdict: str, reason: str) -> None:
    finding = asked(counted(compared, agreed), GATE, SHARE)
    assert (finding.verdict, finding.reason) == (verdict, reason), sentence


def test_without_a_share_of_the_budget_nothing_fails() -> None:
    assert asked(counted(1000, 100), GATE, 0.0).verdict == "NotYet"


def test_the_bound_lies_below_the_estimate_and_closes_in() -> None:
    few, many = (asked(counted(n, 0.97 * n), GATE, SHARE) for n in (1_000, 100_000))
    assert few.bound is not None
    assert many.bound is not None
    assert few.bound < many.bound < 0.97
    assert many.bound > 0.96


def test_the_needed_samples_lead_to_a_pass() -> None:
    needed = asked(counted(200, 195), GATE, SHARE).needed
    assert needed is not None
    assert asked(counted(needed, 0.975 * needed), GATE, SHARE).verdict == "Pass"
    assert asked(counted(0.9 * needed, 0.975 * 0.9 * needed), GATE, SHARE).verdict == "NotYet"


def test_the_smallest_share_of_other_answers_fails_and_no_less() -> None:
    smallest = asked(counted(400, 396), GATE, SHARE).smallest_drop
    assert smallest is not None
    assert asked(counted(400, 400 * (1 - 1.01 * smallest)), GATE, SHARE).verdict == "Fail"
    assert asked(counted(400, 400 * (1 - 0.99 * smallest)), GATE, SHARE).verdict == "NotYet"


def test_too_few_pairs_reveal_nothing() -> None:
    assert asked(counted(1, 1), GATE, SHARE).smallest_drop is None
    assert asked(counted(400, 396), GATE, 0.0).smallest_drop is None


def test_the_sentence_names_what_was_lost() -> None:
    said = asked(counted(500, 480, failed=3), GATE, SHARE).message
    assert said.startswith("0.9600 of 500 mirrored requests agree, 3 of them without an answer")
    nothing = asked(ShadowEvidence((0, 0, 0, 0, 0, 7)), GATE, SHARE).message
    assert nothing == "no mirrored request has been compared yet; 7 copies were dropped"


@pytest.mark.slow
@pytest.mark.parametrize("at", [0.95, 0.97])
def test_a_candidate_within_the_limit_is_hardly_ever_rolled_back(at: float) -> None:
    rng, failed, runs = random.Random(7), 0, 200
    for _ in range(runs):
        compared = agreed = 0
        for _ in range(60):
            compared += 20
            agreed += sum(rng.random() < at for _ in range(20))
            if asked(counted(compared, agreed), GATE, SHARE).verdict == "Fail":
                failed += 1
                break
    assert failed <= 0.05 * runs


def pod(uid: str, start: str, **counts: float) -> PodStats:
    shadow = ShadowCounts(**counts)  # type: ignore[arg-type]
    return PodStats("wine-2", uid, start, cohorts={COHORT: CohortStats(shadow=shadow)})


def test_counters_are_added_once_however_often_they_are_read() -> None:
    first = shadowed.absorb(NO_SHADOW, "wine-2", [pod("a", "1", compared=10, agreed=9)])
    again = shadowed.absorb(first, "wine-2", [pod("a", "1", compared=10, agreed=9)])
    assert again is first
    more = shadowed.absorb(
        again, "wine-2", [pod("a", "1", compared=15, agreed=14), pod("b", "1", compared=5, agreed=5)]
    )
    assert (more.compared, more.agreed) == (20, 19)


@pytest.mark.parametrize(
    ("sentence", "answer"),
    [
        ("a counter that fell", pod("a", "1", compared=5, agreed=5)),
        ("more agreed than compared", pod("a", "1", compared=11, agreed=13)),
    ],
)
def test_what_cannot_be_adds_nothing(sentence: str, answer: PodStats) -> None:
    first = shadowed.absorb(NO_SHADOW, "wine-2", [pod("a", "1", compared=10, agreed=9)])
    assert shadowed.absorb(first, "wine-2", [answer]) is first, sentence


def test_a_new_start_begins_at_zero() -> None:
    first = shadowed.absorb(NO_SHADOW, "wine-2", [pod("a", "1", compared=10, agreed=9)])
    second = shadowed.absorb(first, "wine-2", [pod("a", "2", compared=4, agreed=4)])
    assert (second.compared, second.agreed) == (14, 13)


def test_another_candidates_shadow_is_left_out() -> None:
    assert shadowed.absorb(NO_SHADOW, "wine-3", [pod("a", "1", compared=10, agreed=9)]) is NO_SHADOW


def test_evidence_survives_being_saved() -> None:
    evidence = evidences.start("wine-2", "wine-1")
    answer = StatsAnswer("a", "wine-2", pod("a", "1", compared=10.5, agreed=9))
    grown = evidences.absorb(evidence, (answer,), 100.0, policy(agreement=0.95))
    assert grown.shadow.compared == 10.5
    restored = evidences.restore(evidences.dump(grown), "wine-2", "wine-1")
    assert restored == grown
    assert evidences.absorb(restored, (answer,), 101.0, policy(agreement=0.95)) == grown


def test_a_shadow_cohort_adds_nothing_to_the_gates_on_callers_requests() -> None:
    evidence = evidences.start("wine-2", "wine-1")
    stats = PodStats("wine-2", "a", "1", cohorts={COHORT: CohortStats(requests=50, failed=50, predictions=50)})
    assert evidences.absorb(evidence, (StatsAnswer("a", "wine-2", stats),), 100.0, policy()).cohorts == {}

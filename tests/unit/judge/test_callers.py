"""Callers who stay with their arm: a few heavy ones must not make a verdict, and nor must the same ones again."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from tests.support.quick import slow
from tests.unit.judge.build import answer, judged, policy, served

from serin_contract import callers
from serin_operator.decide.judge import evidence as evidences
from serin_operator.decide.judge import formulas
from serin_operator.decide.judge.evidence import Evidence
from serin_operator.decide.judge.sums import ArmCounts, CohortEvidence
from serin_operator.decide.policy import Policy

BUDGET = 0.05
POLLS = 5
"""Looks at each cohort."""


@dataclass(frozen=True)
class Crowd:
    """Callers who use two models that are equally good for each of them, though not for all of them alike."""

    callers: int
    requests: int
    """Of each caller in each cohort."""
    alpha: float
    beta: float
    """Accuracies of the callers are drawn from Beta(alpha, beta)."""
    weights: tuple[int, ...]
    """One cohort each."""


def rolls_back(crowd: Crowd, rules: Policy, seed: int, *, once: bool) -> bool:
    """Whether a trial of two equal models ends in a Fail at any look; `once` counts each caller once in a cohort."""
    draws = np.random.default_rng(seed)
    accuracy = draws.beta(crowd.alpha, crowd.beta, crowd.callers)
    bucket = draws.integers(0, callers.BUCKETS, crowd.callers)
    offset = int(draws.integers(0, callers.BUCKETS))
    evidence = evidences.start("c", "s")
    for number, weight in enumerate(crowd.weights, start=1):
        mine = np.isin(bucket, callers.audience(offset, weight))
        # A caller who counts once does so at one of the looks; one who counts always does so at all of them.
        first = draws.integers(1, POLLS + 1, crowd.callers)
        right = draws.binomial(1 if once else crowd.requests // POLLS, accuracy, (POLLS, crowd.callers))
        for look in range(1, POLLS + 1):
            counted = (first <= look) if once else np.full(crowd.callers, look * (crowd.requests // POLLS))
            correct = (first <= look) * right[0] if once else right[:look].sum(axis=0)
            cohort = f"c.{number}.x"
            evidence = looked(evidence, cohort, rules, counted, correct, mine)
            gates = judged(
                evidence, rules, shares={"accuracy": BUDGET}, cohort=cohort, now=float(number), now_text="now"
            )
            if gates[0].verdict == "Fail":
                return True
    return False


def looked(evidence: Evidence, cohort: str, rules: Policy, counted: Any, correct: Any, mine: Any) -> Evidence:
    """The evidence after one more look at both arms."""
    arms = [(float(counted[arm].sum()), float(correct[arm].sum())) for arm in (mine, ~mine)]
    answers = (
        answer("pod-c", "c", {cohort: served(int(arms[0][0]))}),
        answer("pod-s", "s", {cohort: served(int(arms[1][0]), candidate=arms[0], stable=arms[1])}),
    )
    return evidences.absorb(evidence, answers, float(cohort.split(".")[1]), rules)


def false_rollbacks(crowd: Crowd, rules: Policy, runs: int, *, once: bool) -> float:
    return sum(rolls_back(crowd, rules, seed, once=once) for seed in range(runs)) / runs


HEAVY = Crowd(callers=40, requests=2000, alpha=4.5, beta=0.5, weights=(5, 25, 50))
STUBBORN = Crowd(callers=400, requests=1, alpha=0.09, beta=0.01, weights=(50,) * 8)
"""The models are always right for some callers and always wrong for others, so each cohort repeats the last."""


@pytest.mark.parametrize("runs", [60, slow(400)])
def test_a_few_heavy_callers_do_not_roll_a_good_candidate_back(runs: int) -> None:
    assert false_rollbacks(HEAVY, policy(budget=BUDGET, sticky=True), runs, once=True) <= BUDGET


def test_they_would_if_each_of_their_requests_counted() -> None:
    assert false_rollbacks(HEAVY, policy(budget=BUDGET, sticky=True), 50, once=False) > 4 * BUDGET


@pytest.mark.slow
def test_the_same_callers_in_cohort_after_cohort_do_not_roll_a_good_candidate_back() -> None:
    assert false_rollbacks(STUBBORN, policy(budget=BUDGET, sticky=True), 300, once=True) <= BUDGET


@pytest.mark.slow
def test_they_would_if_cohorts_were_multiplied() -> None:
    assert false_rollbacks(STUBBORN, policy(budget=BUDGET, sticky=False), 100, once=True) > 1.5 * BUDGET


def test_a_candidate_that_is_worse_is_found_by_one_cohort_alone() -> None:
    rules = policy(budget=BUDGET, sticky=True)
    evidence = evidences.start("c", "s")
    for look in range(1, 21):
        arms = ((20.0 * look, 16.0 * look), (20.0 * look, 19.0 * look))
        answers = (
            answer("pod-c", "c", {"c.1.x": served(20 * look)}),
            answer("pod-s", "s", {"c.1.x": served(20 * look, candidate=arms[0], stable=arms[1])}),
        )
        evidence = evidences.absorb(evidence, answers, 1.0, rules)
    (gate,) = judged(evidence, rules, shares={"accuracy": BUDGET}, cohort="c.1.x", now=1.0, now_text="now")
    assert gate.verdict == "Fail"


def test_the_weights_of_cohorts_never_sum_to_more_than_one() -> None:
    total = math.fsum(math.exp(formulas.log_weight(order)) for order in range(1, 2000))
    assert 0.999 < total < 1.0


def test_what_other_cohorts_showed_is_not_bet_on() -> None:
    before = Evidence("c", "s", cohorts={"c.1.x": CohortEvidence(0.0, arm(200.0, 100.0), arm(200.0, 190.0))})
    answers = (
        answer("pod-c", "c", {"c.2.x": served(50)}),
        answer("pod-s", "s", {"c.2.x": served(50, candidate=(50.0, 25.0), stable=(50.0, 48.0))}),
    )
    alone = evidences.absorb(before, answers, 1.0, policy(sticky=True))
    pooled = evidences.absorb(before, answers, 1.0, policy(sticky=False))
    assert alone.cohorts["c.2.x"].log_e["accuracy"] == 0.0, "nothing is known before a cohort's first look"
    assert pooled.cohorts["c.2.x"].log_e["accuracy"] > 1.0


def test_a_pass_rests_on_the_current_cohort_alone() -> None:
    enough = CohortEvidence(0.0, arm(5000.0, 4750.0), arm(5000.0, 4750.0))
    begun = CohortEvidence(1.0, arm(60.0, 57.0), arm(60.0, 57.0))
    evidence = Evidence("c", "s", cohorts={"c.1.x": enough, "c.2.x": begun}, ring=((0.0, 1.0, 1.0), (1.0, 1.0, 1.0)))

    def verdict(sticky: bool) -> tuple[str, str]:
        rules = policy(max_drop=0.05, sticky=sticky)
        (gate,) = judged(evidence, rules, shares={"accuracy": BUDGET}, cohort="c.2.x", now=2.0, now_text="now")
        return gate.verdict, gate.reason

    assert verdict(sticky=False) == ("Pass", "WithinMaxDrop")
    assert verdict(sticky=True) == ("NotYet", "TooFewSamples")


def arm(labelled: float, correct: float) -> ArmCounts:
    return ArmCounts(labelled, 0.0, labelled, labelled, correct)

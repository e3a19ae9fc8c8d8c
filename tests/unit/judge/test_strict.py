"""`strict`: a Fail needs proof that the loss is larger than `maxDrop`, and not only of any loss."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.judge.build import COHORT, answer, judged, policy, served

from serin_operator.decide.judge import evidence as evidences
from serin_operator.decide.judge.evidence import Evidence
from serin_operator.decide.judge.formulas import Stratum, margin_log_e, two_arm_log_e
from serin_operator.decide.policy import AccuracyPolicy

STRICT = replace(policy(), gates=(AccuracyPolicy("Enforce", None, 0.05, 0.0, 0.8, strict=True),))
LENIENT = replace(policy(), gates=(AccuracyPolicy("Enforce", None, 0.05, 0.0, 0.8),))


def chance(hits: int, n: int, p: float) -> float:
    return math.comb(n, hits) * p**hits * (1.0 - p) ** (n - hits)


@given(
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.floats(0.0, 0.3),
    st.floats(0.0, 1.0),
    st.floats(0.0, 1.0),
    st.tuples(st.integers(0, 40), st.integers(40, 60), st.integers(0, 60), st.integers(60, 80)),
)
def test_a_block_has_a_mean_of_at_most_one_wherever_the_loss_is_within_the_margin(sizes, margin, stable, more, seen):
    candidate = max(0.0, stable - margin) + more * (1.0 - max(0.0, stable - margin))
    before = Stratum(*map(float, seen))
    mean = sum(
        chance(c, sizes[0], candidate)
        * chance(s, sizes[1], stable)
        * math.exp(margin_log_e(Stratum(c, sizes[0], s, sizes[1]), before, margin))
        for c, s in product(range(sizes[0] + 1), range(sizes[1] + 1))
    )
    assert mean <= 1.0 + 1e-9


def test_without_a_margin_it_is_the_test_of_any_loss():
    block, before = Stratum(3.0, 8.0, 38.0, 40.0), Stratum(10.0, 30.0, 95.0, 100.0)
    assert margin_log_e(block, before, 0.0) == pytest.approx(two_arm_log_e(block, before))


def trial(of, accuracy: float, seed: int = 1) -> Evidence:
    """Forty looks at 40 labels of the candidate and 400 of stable, which is right in 95 of 100."""
    draws, evidence = np.random.default_rng(seed), evidences.start("c", "s")
    right = np.zeros(2)
    for look in range(1, 41):
        right += draws.binomial((40, 400), (accuracy, 0.95))
        labels = served(candidate=(40.0 * look, right[0]), stable=(400.0 * look, right[1]))
        evidence = evidences.absorb(evidence, (answer("p", "s", labels),), float(look), of)
    return evidence


@pytest.mark.parametrize(
    ("sentence", "accuracy", "lenient", "strict"),
    [
        ("a loss far beyond the limit fails either way", 0.75, "Fail", "Fail"),
        ("one a little beyond it is proven to be a loss, not to be beyond", 0.89, "Fail", "NotYet"),
        ("an equal candidate passes either way", 0.95, "Pass", "Pass"),
    ],
)
def test_the_verdict(sentence: str, accuracy: float, lenient: str, strict: str) -> None:
    for of, verdict in ((LENIENT, lenient), (STRICT, strict)):
        evidence = replace(trial(of, accuracy), ring=((0.0, 1.0, 1.0),))
        (gate,) = judged(evidence, of, shares=of.shares, now=100.0)
        assert gate.verdict == verdict, (sentence, gate.message)


def test_a_dump_keeps_it() -> None:
    evidence = trial(STRICT, 0.75)
    assert evidence.cohorts[COHORT].log_e["accuracy beyond 0.05"] > 3.0
    assert evidences.restore(json.loads(json.dumps(evidences.dump(evidence))), "c", "s") == evidence

"""Small seeded trials, looked at after every poll: how often blameless candidates fall, and bad ones do.

Bounds are those of the promise (5 in 100) plus three standard errors of the number of runs, so a change that
breaks the promise outright is seen here at once; the large runs are in the bench.
"""

from __future__ import annotations

import math
import os

import numpy as np
import pytest
from tests.unit.judge.build import answer, judged, policy, served

from serin_operator.decide.judge import evidence as evidences

pytestmark = pytest.mark.slow

RUNS = int(os.environ.get("JUDGE_RUNS", "200"))
SEED = int(os.environ.get("JUDGE_SEED", "1"))
POLLS = 24
POLICY = policy()
RAMP = (0.05, 0.25, 0.5)
PROMISE = 0.05 + 3.0 * math.sqrt(0.05 * 0.95 / RUNS)


def labels_by_arrival(rng, accuracy, weights, rate, delays, rows):
    """Cumulative (labelled, correct) of candidate and stable: [cohort, poll, 4].

    `delays` are mean polls until the label of a right and of a wrong prediction. With rows > 1 a request has
    so many rows, whose right or wrong share has intra-class correlation 1/2.
    """
    added = np.zeros((len(weights), POLLS, 4))
    for poll in range(POLLS):
        cohort = poll * len(weights) // POLLS
        requests = rng.poisson(rate)
        split = rng.binomial(requests, weights[cohort])
        for arm, number in enumerate((split, requests - split)):
            truth = accuracy(poll / (POLLS - 1))[arm]
            shares = rng.beta(truth, 1.0 - truth, size=(number, 1)) if rows > 1 else np.full((number, 1), truth)
            right = (rng.random((number, rows)) < shares).ravel()
            at = poll + rng.exponential(np.where(right, *delays)).astype(int)
            kept = at < POLLS
            np.add.at(added[cohort, :, 2 * arm], at[kept], 1.0 / rows)
            np.add.at(added[cohort, :, 2 * arm + 1], at[kept & right], 1.0 / rows)
    return added.cumsum(axis=1)


def first_fail(sums, share):
    """Candidate labels at the first look that says Fail, or None."""
    evidence = evidences.start("c", "s")
    for poll in range(POLLS):
        cohorts = {
            f"c.{k}.x": served(candidate=tuple(map(float, row[:2])), stable=tuple(map(float, row[2:])))
            for k, row in enumerate(sums[:, poll])
        }
        evidence = evidences.absorb(evidence, (answer("pod-s", "s", cohorts),), float(poll), POLICY)
        if evidence.log_e("accuracy") < -math.log(share):
            continue
        (gate,) = judged(evidence, POLICY, shares={"accuracy": share}, cohort="c.0.x", now=float(poll))
        if gate.verdict == "Fail":
            return gate.samples
    return None


@pytest.mark.parametrize(
    ("accuracy", "delays", "rows"),
    [
        (lambda _: (0.9, 0.9), (1e-9, 1e-9), 1),
        (lambda at: (0.95 - 0.1 * at,) * 2, (1e-9, 1e-9), 1),
        (lambda at: (0.95 - 0.1 * at,) * 2, (2.0, 8.0), 1),
        (lambda _: (0.9, 0.9), (8.0, 2.0), 1),
        (lambda _: (0.9, 0.9), (1e-9, 1e-9), 16),
    ],
    ids=["identical", "traffic gets harder", "harder, errors late", "errors early", "16 rows a request"],
)
def test_identical_models_are_rolled_back_no_more_often_than_promised(accuracy, delays, rows):
    rng = np.random.default_rng([SEED, 1])
    failed = sum(
        first_fail(labels_by_arrival(rng, accuracy, RAMP, 110, delays, rows), 0.05) is not None for _ in range(RUNS)
    )
    print(f"rolled back: {failed / RUNS:.4f} of {RUNS}")
    assert failed / RUNS <= PROMISE


def test_a_ten_point_drop_at_ninety_percent_is_found_within_six_hundred_candidate_labels():
    rng = np.random.default_rng([SEED, 2])
    within = 0
    for _ in range(RUNS):
        sums = labels_by_arrival(rng, lambda _: (0.8, 0.9), (0.1,), 300, (1e-9, 1e-9), 1)
        samples = first_fail(sums, 0.05)
        within += samples is not None and samples <= 600
    print(f"found within 600: {within / RUNS:.4f} of {RUNS}")
    assert within / RUNS >= 0.99 - 3.0 * math.sqrt(0.99 * 0.01 / RUNS)


def test_the_mean_of_e_at_the_stop_that_favours_it_is_at_most_one():
    """Stopped at E ≥ 4 or at the end, E has mean at most 1 over identical models (Ville, optional stopping)."""
    rng = np.random.default_rng([SEED, 3])
    stopped = []
    for _ in range(RUNS):
        sums = labels_by_arrival(rng, lambda at: (0.95 - 0.1 * at,) * 2, RAMP, 110, (1e-9, 1e-9), 1)
        evidence = evidences.start("c", "s")
        for poll in range(POLLS):
            cohorts = {
                f"c.{k}.x": served(candidate=tuple(map(float, row[:2])), stable=tuple(map(float, row[2:])))
                for k, row in enumerate(sums[:, poll])
            }
            evidence = evidences.absorb(evidence, (answer("pod-s", "s", cohorts),), float(poll), POLICY)
            if evidence.log_e("accuracy") >= math.log(4.0):
                break
        stopped.append(math.exp(evidence.log_e("accuracy")))
    assert np.mean(stopped) <= 1.0 + 3.0 * np.std(stopped) / math.sqrt(RUNS)

"""The gates on times, on errors of regressors and on the quality of inputs: one row, one sentence."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.unit.judge.build import COHORT, judged, policy

from serin_contract.profile import CategoryFeature, NumericFeature, PredictionBins, Profile
from serin_contract.stats import (
    LATENCY_BOUNDS_SECONDS,
    CohortStats,
    LabelCounts,
    PodStats,
    QualityCounts,
)
from serin_operator.decide.gate_policies import LatencyPolicy, RegressionErrorPolicy, SchemaPolicy
from serin_operator.decide.judge import evidence as evidences
from serin_operator.decide.judge.evidence import Evidence
from serin_operator.decide.judge.formulas import below_log_e
from serin_operator.decide.judge.latency import LOG_E_INTERVAL, interval_seconds, quantile_seconds
from serin_operator.decide.observation import StatsAnswer
from serin_operator.decide.policy import Policy

BUCKETS = len(LATENCY_BOUNDS_SECONDS) + 1
PROFILE = Profile(
    features=[
        NumericFeature("age", [40.0], [500.0, 490.0, 10.0], 18.0, 90.0),
        CategoryFeature("sort", ["a", "b"], [500.0, 500.0, 0.0, 0.0]),
    ],
    prediction=PredictionBins("classification", [0, 1], [], [500.0, 500.0]),
    rows=1000,
)
KNOWN = {"profiles": {"c": PROFILE, "s": PROFILE}}


def said(of: Policy, candidate: list[CohortStats], stable: list[CohortStats], **known: Any) -> Any:
    """The one gate after looks at one pod of each arm."""
    evidence = evidences.start("c", "s")
    for number, counted in enumerate(zip(candidate, stable, strict=True)):
        answers = tuple(
            StatsAnswer(name, name, PodStats(name, name, "1", cohorts={COHORT: one}))
            for name, one in zip("cs", counted, strict=True)
        )
        evidence = evidences.absorb(evidence, answers, 100.0 + number, of)
    (gate,) = judged(evidence, of, shares=of.shares, now=200.0, **known)
    return gate


def in_looks(made: Any, looks: int = 10) -> list[CohortStats]:
    """What a pod tells at each look on the way to these counts."""
    return [made(look / looks) for look in range(1, looks + 1)]


def timed(requests: int, slow: int, seconds: float = 0.6) -> list[CohortStats]:
    place = int(np.searchsorted(LATENCY_BOUNDS_SECONDS, seconds))

    def at(part: float) -> CohortStats:
        times = [0] * BUCKETS
        times[place], times[8] = round(slow * part), round(requests * part) - round(slow * part)
        return CohortStats(requests=round(requests * part), latency=times)

    return in_looks(at)


LATENCY = replace(policy(), gates=(LatencyPolicy("Enforce", 0.99, 0.25),))


@pytest.mark.parametrize(
    ("sentence", "candidate", "stable", "verdict", "reason"),
    [
        ("nobody was asked", timed(0, 0), timed(0, 0), "NoData", "NoTraffic"),
        ("only stable was asked", timed(0, 0), timed(500, 0), "NoData", "NoTraffic"),
        ("a few requests prove nothing", timed(20, 0), timed(400, 0), "NotYet", "TooFewSamples"),
        ("many fast ones do", timed(1500, 0), timed(3000, 0), "Pass", "WithinMaximum"),
        ("one in five slow and stable fast fails", timed(300, 60), timed(3000, 0), "Fail", "SlowerThanStable"),
        ("both as slow blames nobody", timed(400, 80), timed(4000, 800), "NotYet", "NotProven"),
        ("both as slow for long passes", timed(40_000, 8000), timed(80_000, 16_000), "Pass", "NoSlowerThanStable"),
    ],
)
def test_latency(sentence: str, candidate: Any, stable: Any, verdict: str, reason: str) -> None:
    gate = said(LATENCY, candidate, stable)
    assert (gate.verdict, gate.reason) == (verdict, reason), (sentence, gate.message)
    assert gate.limit == 0.25


def test_a_bucket_that_holds_the_limit_proves_neither_slow_nor_fast() -> None:
    between = replace(policy(), gates=(LatencyPolicy("Enforce", 0.99, 0.55),))
    candidate, stable = timed(2000, 400, 0.6), timed(4000, 0)
    assert said(between, candidate, stable).verdict == "NotYet"
    assert said(between, timed(2000, 400, 0.9), stable).verdict == "Fail"


def test_the_quantile_lies_in_its_interval_which_closes_in() -> None:
    times = np.zeros(BUCKETS)
    times[10], times[20] = 950.0, 50.0
    assert quantile_seconds(times, 0.9) == LATENCY_BOUNDS_SECONDS[10]
    low, high = interval_seconds(times, 0.9)
    assert (low, high) == (LATENCY_BOUNDS_SECONDS[9], LATENCY_BOUNDS_SECONDS[10])
    few_low, few_high = interval_seconds(times / 100.0, 0.9)
    assert few_low <= low
    assert few_high is None or few_high >= LATENCY_BOUNDS_SECONDS[10]


@pytest.mark.parametrize("seed", range(5))
def test_the_interval_is_the_one_that_asking_at_every_bound_gives(seed: int) -> None:
    times = np.random.default_rng(seed).multinomial(200, np.full(BUCKETS, 1.0 / BUCKETS)).astype(np.float64)
    within = np.cumsum(times)[:-1]
    above = [below_log_e(fast, 200.0, 0.7) >= LOG_E_INTERVAL for fast in within]
    below = [below_log_e(200.0 - fast, 200.0, 0.3) >= LOG_E_INTERVAL for fast in within]
    expected = LATENCY_BOUNDS_SECONDS[above.index(False) - 1], LATENCY_BOUNDS_SECONDS[below.index(True)]
    assert interval_seconds(times, 0.7) == expected


def erring(labels: int, mean: float, seed: int = 1, clip: float | None = 4.0, looks: int = 10) -> list[CohortStats]:
    """Exponential errors of that mean, clipped at 4, labelled as predictions come."""
    errors = np.minimum(np.random.default_rng(seed).exponential(mean, labels), 4.0)

    def at(part: float) -> CohortStats:
        seen = errors[: round(labels * part)]
        sums = (float(len(seen)), 0.0, float(seen.sum()), float((seen**2).sum()), float((seen**4).sum()))
        name = "c" if seed == 1 else "s"
        return CohortStats(
            requests=len(seen), predictions=float(len(seen)), labels={name: LabelCounts(*sums)}, error_clip=clip
        )

    return in_looks(at, looks)


MAE = replace(policy(), gates=(RegressionErrorPolicy("Enforce", "mae", 0.1, 0.0, 0.8),))
RMSE = replace(policy(), gates=(RegressionErrorPolicy("Enforce", "rmse", 0.1, 0.0, 0.8),))


@pytest.mark.parametrize("of", [MAE, RMSE], ids=["mae", "rmse"])
@pytest.mark.parametrize(
    ("sentence", "candidate", "stable", "verdict", "reason"),
    [
        ("no label has come", erring(0, 1.0), erring(0, 1.0, 2), "NoData", "NoTraffic"),
        ("nobody says the clip", erring(50, 1.0, clip=None), erring(50, 1.0, 2, None), "NoData", "ErrorsUnknown"),
        ("a few labels are too few", erring(20, 1.0), erring(400, 1.0, 2), "NotYet", "TooFewSamples"),
        ("twice the error fails", erring(400, 2.0), erring(4000, 1.0, 2), "Fail", "WorseThanStable"),
        ("the same error passes with many", erring(20_000, 1.0), erring(60_000, 1.0, 2), "Pass", "WithinMaxRise"),
        ("the same error is not proven by some", erring(300, 1.0), erring(3000, 1.0, 2), "NotYet", "NotProven"),
    ],
)  # fmt: skip
def test_regression_error(of: Policy, sentence: str, candidate: Any, stable: Any, verdict: str, reason: str) -> None:
    gate = said(of, candidate, stable)
    assert (gate.verdict, gate.reason) == (verdict, reason), (sentence, gate.message)


@pytest.mark.slow
def test_errors_that_are_alike_are_seldom_taken_for_worse() -> None:
    failed = sum(said(MAE, _draw(run, 1.0), _stable(run)).verdict == "Fail" for run in range(100))
    assert failed <= 12, "5 in 100 and three standard errors"


def _draw(run: int, mean: float) -> list[CohortStats]:
    return _renamed(erring(600, mean, 1000 + run, looks=20), "c")


def _stable(run: int) -> list[CohortStats]:
    return _renamed(erring(3000, 1.0, 5000 + run, looks=20), "s")


def _renamed(told: list[CohortStats], name: str) -> list[CohortStats]:
    return [
        CohortStats(
            requests=one.requests,
            predictions=one.predictions,
            labels={name: next(iter(one.labels.values()))},
            error_clip=one.error_clip,
        )
        for one in told
    ]


def rows(number: int, missing: float = 0.01, unseen: float = 0.0, above: float = 0.0, malformed: int = 0) -> Any:
    def at(part: float) -> CohortStats:
        n = number * part
        quality = QualityCounts("p", n, [n * missing, 0.0], [0.0, n * unseen], [0.0, 0.0], [n * above, 0.0])
        refused = round(malformed * part)
        return CohortStats(
            requests=round(n) + refused,
            refused=refused,
            malformed={"shape": refused} if refused else {},
            quality=quality if number else None,
        )

    return in_looks(at)


SCHEMA = replace(policy(), gates=(SchemaPolicy("Enforce", 0.01),))
ROLLS_BACK = replace(SCHEMA, on_shared_drift="RollBack")
IGNORES = replace(SCHEMA, on_shared_drift="Ignore")


@pytest.mark.parametrize(
    ("sentence", "of", "candidate", "stable", "verdict", "reason"),
    [
        ("nothing was looked at", SCHEMA, rows(0), rows(0), "NoData", "NoTraffic"),
        ("a few rows are too few", SCHEMA, rows(20), rows(200), "NotYet", "TooFewSamples"),
        ("as in training passes with many", SCHEMA, rows(8000), rows(8000), "Pass", "WithinTraining"),
        ("a third missing and stable sound fails", SCHEMA, rows(300, 0.3), rows(3000), "Fail", "OutsideTraining"),
        ("a third unseen fails", SCHEMA, rows(300, unseen=0.3), rows(3000), "Fail", "OutsideTraining"),
        ("a third above the range fails", SCHEMA, rows(300, above=0.3), rows(3000), "Fail", "OutsideTraining"),
        ("a third missing in both holds", SCHEMA, rows(300, 0.3), rows(3000, 0.3), "NotYet", "SharedViolations"),
        ("or rolls back", ROLLS_BACK, rows(300, 0.3), rows(3000, 0.3), "Fail", "SharedViolations"),
        ("or is passed over", IGNORES, rows(8000, 0.3), rows(8000, 0.3), "Pass", "WithinTraining"),
        ("a little beyond is likely", SCHEMA, rows(300, 0.03), rows(3000), "NotYet", "LikelyWorse"),
        ("a third malformed fails", SCHEMA, rows(300, malformed=100), rows(3000), "Fail", "MoreMalformed"),
    ],
)
def test_schema(sentence: str, of: Policy, candidate: Any, stable: Any, verdict: str, reason: str) -> None:
    gate = said(of, candidate, stable, **KNOWN)
    assert (gate.verdict, gate.reason) == (verdict, reason), (sentence, gate.message)


def test_the_schema_gates_bound_is_within_the_limit_just_where_it_passes() -> None:
    for number, verdict in ((600, "NotYet"), (8000, "Pass")):
        gate = said(SCHEMA, rows(number), rows(8000), **KNOWN)
        assert (gate.verdict, gate.bound < gate.limit) == (verdict, verdict == "Pass"), gate.message
        assert gate.bound > 0.0, "as many are missing as in training, so a little more is never excluded"


def test_the_schema_gates_bound_is_the_largest_of_what_each_violation_has_by_itself() -> None:
    missing, above = (
        said(SCHEMA, rows(1000, 0.04), rows(8000), **KNOWN),
        said(SCHEMA, rows(1000, above=0.031), rows(8000), **KNOWN),
    )
    assert missing.value - 0.01 < above.value < above.bound < missing.bound, "more than is seen lies in the commoner"
    assert said(SCHEMA, rows(1000, 0.04, above=0.031), rows(8000), **KNOWN).bound == missing.bound


def test_the_schema_gate_proves_its_smallest_drop_and_no_less() -> None:
    smallest = said(SCHEMA, rows(400), rows(3000), **KNOWN).smallest_drop
    assert SCHEMA.shares["schema"] == 0.05
    for part, verdict in ((1.05, "Fail"), (0.95, "NotYet")):
        assert said(SCHEMA, rows(400, unseen=part * smallest), rows(3000), **KNOWN).verdict == verdict


OVER = [
    ("latency", "of stable over 300 and 3000 requests,"),
    ("regressionError", "of stable over 400 and 4000 labels:"),
    ("schema", " over 300 and 3000 rows, in which stable fits its own training;"),
]


@pytest.mark.parametrize(("name", "words"), OVER, ids=[row[0] for row in OVER])
def test_a_rollback_says_over_how_many_of_each_arm(name: str, words: str) -> None:
    of, candidate, stable = {
        "latency": (LATENCY, timed(300, 200), timed(3000, 0)),
        "regressionError": (MAE, erring(400, 3.0), erring(4000, 1.0, 2)),
        "schema": (SCHEMA, rows(300, 0.9), rows(3000)),
    }[name]
    gate = said(of, candidate, stable, **KNOWN)
    assert (gate.verdict, words in gate.message) == ("Fail", True), gate.message


def test_without_a_profile_its_limits_are_not_known() -> None:
    gate = said(SCHEMA, rows(8000), rows(8000))
    assert (gate.verdict, gate.reason) == ("NoData", "ProfileUnreadable")


@pytest.mark.parametrize("of", [LATENCY, MAE, SCHEMA], ids=["latency", "regressionError", "schema"])
def test_a_gate_without_a_share_fails_nobody(of: Policy) -> None:
    bad = {LATENCY: timed(300, 200), MAE: erring(400, 3.0), SCHEMA: rows(300, 0.9)}[of]
    good = {LATENCY: timed(3000, 0), MAE: erring(4000, 1.0, 2), SCHEMA: rows(3000)}[of]
    evidence: Evidence = evidences.start("c", "s")
    for number, (c, s) in enumerate(zip(bad, good, strict=True)):
        answers = (
            StatsAnswer("c", "c", PodStats("c", "c", "1", cohorts={COHORT: c})),
            StatsAnswer("s", "s", PodStats("s", "s", "1", cohorts={COHORT: s})),
        )
        evidence = evidences.absorb(evidence, answers, 100.0 + number, of)
    (gate,) = judged(evidence, of, shares={}, now=200.0, **KNOWN)
    assert gate.verdict == "NotYet"
    (gate,) = judged(evidence, of, shares=of.shares, now=200.0, **KNOWN)
    assert gate.verdict == "Fail"

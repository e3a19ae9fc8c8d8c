"""The drift gates' verdicts: which arm has moved, against what, and how much of it is proven."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.unit.judge.bins_build import EVEN, FAR, LIKE_TRAINING, NEAR, Kind, Pods, profile, rows_of
from tests.unit.judge.build import judged, policy

from serin_operator.api.deployment import GateStatus
from serin_operator.decide.gate_policies import DataDriftPolicy, PredictionDriftPolicy
from serin_operator.decide.judge import drifted
from serin_operator.decide.judge.sums import start
from serin_operator.decide.policy import Policy

MOVED: Kind = {"age": EVEN, "income": FAR}
NEWER: Kind = {"age": EVEN, "income": EVEN, "tenure": EVEN}
SURE: Kind = {"age": EVEN, "income": EVEN, "prediction": (0.45, 0.05, 0.05, 0.45)}
MANY = (1000.0, 5000.0)


def drift_policy(**changes: Any) -> Policy:
    gates = (DataDriftPolicy("Enforce", 0.2), PredictionDriftPolicy("Enforce", 0.2))
    return replace(policy(), **({"gates": gates} | changes))


def verdicts(pods: Pods, of: Policy | None = None, share: float = 0.01, **known: Any) -> dict[str, GateStatus]:
    """What both gates say of what the pods have told, by name."""
    evidence = replace(start("c", "s"), bins=pods.evidence)
    profiles = {"c": pods.candidate, "s": pods.stable}
    shares = {"dataDrift": share, "predictionDrift": share} if share else {}
    found = judged(evidence, of or drift_policy(), shares=shares, **({"profiles": profiles} | known))
    return {gate.name: gate for gate in found}


def said(gate: GateStatus) -> tuple[str, str]:
    return gate.verdict, gate.reason


# What the candidate sees, what stable sees, what each was trained on, samples of both; the verdict on the inputs.
INPUTS = [
    ("nothing differs", (LIKE_TRAINING, LIKE_TRAINING), {}, MANY, ("Pass", "WithinMaxDrift")),
    (
        "a difference well within the limit is a Pass as well",
        ({"age": NEAR, "income": EVEN}, LIKE_TRAINING),
        {},
        MANY,
        ("Pass", "WithinMaxDrift"),
    ),
    (
        "a difference that is certain and small fails nobody",
        ({"age": (0.15, 0.18, 0.2, 0.22, 0.25, 0.0), "income": EVEN}, LIKE_TRAINING),
        {},
        (20_000.0, 100_000.0),
        ("Pass", "WithinMaxDrift"),
    ),
    ("only the candidate sees other incomes", (MOVED, LIKE_TRAINING), {}, MANY, ("Fail", "DriftedFromStable")),
    (
        "it may be chance as long as few rows show it",
        (MOVED, LIKE_TRAINING),
        {},
        (15.0, 75.0),
        ("NotYet", "LikelyDrifted"),
    ),
    ("thirty rows in the cohort are the least", (LIKE_TRAINING,) * 2, {}, (29.0, 500.0), ("NotYet", "TooFewSamples")),
    ("a hundred rows in all are the least", (LIKE_TRAINING,) * 2, {}, (99.0, 500.0), ("NotYet", "TooFewSamples")),
    ("a hundred rows exclude no PSI of 0.2", (LIKE_TRAINING,) * 2, {}, (120.0, 600.0), ("NotYet", "NotProven")),
    ("the world has moved for both arms", (MOVED, MOVED), {}, MANY, ("NotYet", "SharedDrift")),
    (
        "while that may be chance nobody is held for it by name",
        (MOVED, MOVED),
        {},
        (120.0, 120.0),
        ("NotYet", "NotProven"),
    ),
    (
        "stable's many rows prove it where the candidate has few",
        (MOVED, MOVED),
        {},
        (60.0, 5000.0),
        ("NotYet", "SharedDrift"),
    ),
    (
        "a candidate trained on the new world is not at fault, nor held",
        (MOVED, MOVED),
        {"candidate": MOVED},
        MANY,
        ("Pass", "WithinMaxDrift"),
    ),
    (
        "a candidate trained on something else is, where stable fits",
        (LIKE_TRAINING, LIKE_TRAINING),
        {"candidate": MOVED},
        MANY,
        ("Fail", "OffOwnProfile"),
    ),
    (
        "which stable cannot say before it has a hundred rows",
        (LIKE_TRAINING, LIKE_TRAINING),
        {"candidate": MOVED},
        (1000.0, 90.0),
        ("NotYet", "TooFewSamples"),
    ),
    (
        "and the candidate not before it is proven",
        (LIKE_TRAINING, LIKE_TRAINING),
        {"candidate": MOVED},
        (110.0, 5000.0),
        ("NotYet", "LikelyDrifted"),
    ),
    (
        "a feature that stable does not know is compared with the candidate's own profile",
        ({**LIKE_TRAINING, "tenure": FAR}, LIKE_TRAINING),
        {"candidate": NEWER, "stable": LIKE_TRAINING},
        MANY,
        ("Fail", "OffOwnProfile"),
    ),
    (
        "and is not blamed where the world moves in what both know",
        ({**MOVED, "tenure": FAR}, MOVED),
        {"candidate": NEWER, "stable": LIKE_TRAINING},
        MANY,
        ("NotYet", "SharedDrift"),
    ),
    (
        "without a feature in common a Pass rests on the own profile",
        ({"tenure": EVEN}, LIKE_TRAINING),
        {"candidate": {"tenure": EVEN}, "stable": LIKE_TRAINING},
        MANY,
        ("Pass", "WithinMaxDrift"),
    ),
]


@pytest.mark.parametrize(("sentence", "seen", "trained", "samples", "answer"), INPUTS)
def test_the_verdict_on_the_inputs(sentence, seen, trained, samples, answer):
    stable = profile(trained.get("stable", LIKE_TRAINING))
    pods = Pods(profile(trained.get("candidate", trained.get("stable", LIKE_TRAINING))), stable)
    gate = verdicts(rows_of(pods, 10, *seen, samples))["dataDrift"]
    assert said(gate) == answer, (sentence, gate.message)


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ("Hold", ("NotYet", "SharedDrift")),
        ("RollBack", ("Fail", "SharedDrift")),
        ("Ignore", ("Pass", "WithinMaxDrift")),
    ],
)
def test_what_shared_drift_does_is_the_users_choice(asked, answer):
    pods = rows_of(Pods(), 10, MOVED, MOVED, MANY)
    assert said(verdicts(pods, drift_policy(on_shared_drift=asked))["dataDrift"]) == answer


@pytest.mark.parametrize(
    ("sentence", "shares", "reason"),
    [
        ("the answers are alike", (LIKE_TRAINING, LIKE_TRAINING), "WithinMaxDrift"),
        ("the candidate alone is more sure", (SURE, LIKE_TRAINING), "DriftedFromStable"),
        ("both are more sure than at training", (SURE, SURE), "SharedDrift"),
    ],
)
def test_the_verdict_on_the_answers(sentence, shares, reason):
    found = verdicts(rows_of(Pods(), 10, *shares, MANY))
    assert found["predictionDrift"].reason == reason, sentence
    assert found["dataDrift"].reason == "WithinMaxDrift", "answers are no inputs"


def test_a_feature_that_is_ignored_judges_nobody():
    gate = DataDriftPolicy("Enforce", 0.2, frozenset({"income"}))
    for candidate, stable in ((MOVED, LIKE_TRAINING), (MOVED, MOVED)):
        found = verdicts(rows_of(Pods(), 10, candidate, stable, MANY), drift_policy(gates=(gate,)))
        assert said(found["dataDrift"]) == ("Pass", "WithinMaxDrift")


def test_a_gate_that_came_later_holds_no_budget_and_fails_nobody():
    pods = rows_of(Pods(), 10, MOVED, LIKE_TRAINING, MANY)
    assert said(verdicts(pods, share=0.0)["dataDrift"]) == ("NotYet", "LikelyDrifted")
    pods = rows_of(Pods(), 10, MOVED, MOVED, MANY)
    of = drift_policy(on_shared_drift="RollBack")
    assert verdicts(pods, of, share=0.0)["dataDrift"].verdict == "NotYet"


@pytest.mark.parametrize("missing", ["c", "s"])
def test_without_a_profile_nobody_knows_what_the_bins_mean(missing):
    pods = rows_of(Pods(), 10, MOVED, LIKE_TRAINING, MANY)
    gate = verdicts(pods, profiles={name: pods.stable for name in ("c", "s") if name != missing})["dataDrift"]
    assert said(gate) == ("NoData", "ProfileUnreadable")
    assert f"no pod of {missing} has told its profile" in gate.message


def test_pods_that_bin_on_another_profile_than_that_of_the_present_stable_are_named():
    pods = Pods(profile(), profile(rows=20_000))
    pods.told_as_stable = profile(rows=30_000)
    gate = verdicts(rows_of(pods, 3, LIKE_TRAINING, LIKE_TRAINING, MANY))["dataDrift"]
    assert said(gate) == ("NoData", "OtherProfile")


def test_before_the_first_answer_there_is_no_data():
    assert said(verdicts(Pods())["dataDrift"]) == ("NoData", "NoTraffic")
    pods = rows_of(Pods(), 3, LIKE_TRAINING, LIKE_TRAINING, MANY)
    assert said(verdicts(pods, cohort="c.2.y")["dataDrift"]) == ("NoData", "NoTraffic")


def test_the_words_name_the_features_and_the_numbers():
    gate = verdicts(rows_of(Pods(), 10, MOVED, LIKE_TRAINING, MANY))["dataDrift"]
    assert gate.message.startswith("against stable at the same time PSI 0.9")
    assert "in income over 1000 and 5000 rows, 0.20 is acceptable, evidence 10^" in gate.message
    assert [feature.name for feature in gate.features or ()] == ["income", "age"]
    worst = (gate.features or ())[0]
    assert worst.value == pytest.approx(0.97, abs=0.02)
    assert worst.reference == pytest.approx(0.0, abs=0.01), "stable against its own training data"
    assert (worst.log10_e or 0.0) > 2.0
    assert gate.value == worst.value
    assert (gate.limit, gate.samples, gate.budget) == (0.2, 1000.0, 0.01)


def test_shared_drift_offers_retraining():
    gate = verdicts(rows_of(Pods(), 10, MOVED, MOVED, MANY))["dataDrift"]
    assert "in income" in gate.message
    assert "retrain on recent data and apply the new bundle, or set verdicts.onSharedDrift" in gate.message
    assert [feature.name for feature in gate.features or ()] == ["income"]


def test_a_pass_says_how_much_it_excludes_and_before_it_how_many_rows_that_takes():
    early = verdicts(rows_of(Pods(), 10, LIKE_TRAINING, LIKE_TRAINING, (150.0, 750.0)))["dataDrift"]
    assert said(early) == ("NotYet", "NotProven")
    assert (early.bound or 0.0) > 0.2
    needed = early.needed or 0.0
    late = verdicts(rows_of(Pods(), 10, LIKE_TRAINING, LIKE_TRAINING, (needed, 5 * needed)))["dataDrift"]
    assert said(late) == ("Pass", "WithinMaxDrift"), (needed, late.message)
    assert (late.bound or 1.0) < 0.2
    assert (late.smallest_drop or 9.0) < (early.smallest_drop or 0.0)


def test_where_callers_return_each_cohort_is_tested_alone():
    """Two cohorts prove together what neither proves alone: the product counts only where callers differ."""
    pods = Pods()
    for number, cohort in enumerate(("c.1.a", "c.2.b", "c.3.c")):
        for now in range(10):
            pods.serve("c", MOVED, 1.5, cohort)
            pods.serve("s", LIKE_TRAINING, 15.0, cohort)
            pods.look(float(10 * number + now))
    of = drift_policy()
    pooled = verdicts(pods, of, cohort="c.3.c")["dataDrift"]
    alone = verdicts(pods, replace(of, sticky=True), cohort="c.3.c")["dataDrift"]
    assert pooled.verdict == "Fail"
    assert said(alone) == ("NotYet", "LikelyDrifted")


def test_where_callers_return_a_pass_rests_on_the_present_cohort():
    pods = Pods()
    for cohort, samples in (("c.1.a", 2000.0), ("c.2.b", 150.0)):
        pods.serve("c", LIKE_TRAINING, samples, cohort)
        pods.serve("s", LIKE_TRAINING, samples, cohort)
        pods.look()
    of = drift_policy()
    assert verdicts(pods, of, cohort="c.2.b")["dataDrift"].verdict == "Pass"
    assert said(verdicts(pods, replace(of, sticky=True), cohort="c.2.b")["dataDrift"]) == ("NotYet", "NotProven")


def test_where_callers_return_each_cohort_holds_its_own_part_of_the_budget():
    values = [np.zeros(2), np.zeros(2)]
    alone = drifted.proof(values, sticky=True)
    assert [part for part, _ in alone.processes] == pytest.approx([-math.log(2.0), -math.log(6.0)])
    assert [part for part, _ in drifted.proof(values[:1], sticky=False).processes] == [0.0]

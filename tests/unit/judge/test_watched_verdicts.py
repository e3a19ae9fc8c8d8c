"""What the gates of a watch say of what was counted, and how much evidence the declared rate of false alarms asks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from tests.support.world import a_spec

from serin_contract.profile import NumericFeature, PredictionBins, Profile, profile_hash
from serin_contract.stats import LATENCY_BOUNDS_SECONDS, BinCounts, CohortStats, LabelCounts, PodStats, QualityCounts
from serin_operator.api.deployment import GateStatus, ModelDeploymentSpec
from serin_operator.decide import policy, timestamps
from serin_operator.decide.judge import formulas, watched, watched_verdicts
from serin_operator.decide.judge.look import CustomAnswer
from serin_operator.decide.judge.watched import WatchEvidence
from serin_operator.decide.judge.watched_formulas import YEAR_SECONDS, log_needed, loss_log_e, strongest
from serin_operator.decide.judge.watched_look import WatchLook
from serin_operator.decide.judge.watched_trail import Trail, grown

NOW = 1_800_000_000.0
NONCE = "0123456789ab"
COHORT = watched.cohort_name("wine-b", 1, NONCE)
HOUR = 3600.0

PROFILE = Profile(
    features=[
        NumericFeature(name=name, edges=[1.0, 2.0, 3.0], counts=[2500.0, 2500.0, 2500.0, 2500.0, 0.0])
        for name in ("age", "size")
    ],
    prediction=PredictionBins("regression", [], [0.5], [5000.0, 5000.0]),
    rows=10_000,
    error_clip=10.0,
)
EVEN = (0.25, 0.25, 0.25, 0.25)


@dataclass
class Stretch:
    """What is counted between two looks, in the mean."""

    looks: int = 30
    seconds: float = 60.0
    requests: int = 100
    wrong: float = 0.05
    """Share of the labels."""
    labels: float = 1.0
    """Share of the requests."""
    failed: float = 0.0
    slow: float = 0.0
    error: float = 2.0
    age: tuple[float, ...] = EVEN
    """Shares of the bins of the feature `age`."""
    missing: float = 0.0


@dataclass
class Story:
    """A pod that lives through stretches, looked at as a watch looks."""

    evidence: WatchEvidence = field(default_factory=lambda: watched.start("wine-b", NONCE))
    now: float = NOW
    sums: dict[str, Any] = field(default_factory=lambda: {"age": np.zeros(5), "size": np.zeros(5)})

    def live(self, stretch: Stretch) -> Story:
        for _ in range(stretch.looks):
            self.now += stretch.seconds
            self._add(stretch)
            self.evidence = watched.absorb(self.evidence, [self._answer()], self.now, {"pod-1"})
        return self

    def _add(self, s: Stretch) -> None:
        labelled = s.requests * s.labels
        for name, grown_by in {
            "requests": s.requests,
            "failed": s.requests * s.failed,
            "slow": s.requests * s.slow,
            "labelled": labelled,
            "correct": labelled * (1 - s.wrong),
            "error": labelled * s.error,
            "missing": s.requests * s.missing,
        }.items():
            self.sums[name] = self.sums.get(name, 0.0) + grown_by
        self.sums["age"] = self.sums["age"] + s.requests * np.array([*s.age, 0.0])
        self.sums["size"] = self.sums["size"] + s.requests * np.array([*EVEN, 0.0])

    def _answer(self) -> PodStats:
        s = self.sums
        hash_ = profile_hash(PROFILE)
        requests, slow = round(s["requests"]), round(s["slow"])
        counts = CohortStats(
            requests=requests,
            predictions=s["requests"],
            failed=round(s["failed"]),
            latency=[0, 0, requests - slow, *[0] * (len(LATENCY_BOUNDS_SECONDS) - 4), slow, 0],
            labels={"wine-b": LabelCounts(s["labelled"], s["correct"], s["error"], s["error"] ** 2 / 1e3)},
            error_clip=10.0,
            own_bins=BinCounts(hash_, [*s["age"], *s["size"]], [s["requests"] / 2, s["requests"] / 2]),
            quality=QualityCounts(hash_, s["requests"], [s["missing"], 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]),
        )
        return PodStats("wine-b", "pod-1", "start-1", cohorts={COHORT: counts})


def judged(
    story: Story,
    gates: dict[str, Any],
    proven: Mapping[str, float] | None = None,
    *,
    alarms: float = 1.0,
    custom: tuple[CustomAnswer, ...] = (),
) -> GateStatus:
    """What the one gate says at the last look."""
    spec = a_spec(gates=gates, watch={"for": "72h", "falseAlarmsPerYear": alarms})
    look = WatchLook(
        evidence=story.evidence,
        policy=policy.resolve(ModelDeploymentSpec.model_validate(spec)),
        proven=proven or {},
        since=NOW,
        now=story.now,
        now_text=timestamps.text(story.now),
        profile=PROFILE,
        custom={answer.gate: answer for answer in custom},
    )
    (gate,) = watched_verdicts.judge(look)
    return gate


ACCURACY: dict[str, Any] = {"accuracy": {"maxDrop": 0.02}}
ERRORS: dict[str, Any] = {"errorRate": {"max": 0.01}}
DRIFT: dict[str, Any] = {"dataDrift": {"max": 0.2}}
OFF = (0.55, 0.25, 0.15, 0.05)
"""A PSI of about .5."""
LIVELY = Stretch(looks=30 * 4, seconds=HOUR / 4, requests=50)


@pytest.mark.parametrize(
    ("sentence", "gates", "proven", "stretches", "verdict", "reason"),
    [
        ("as accurate as proven", ACCURACY, {"accuracy": 0.95}, [Stretch()], "Pass", "NotBreached"),
        ("within maxDrop of it", ACCURACY, {"accuracy": 0.95}, [Stretch(wrong=0.06)], "Pass", "NotBreached"),
        ("ten points worse", ACCURACY, {"accuracy": 0.95}, [Stretch(wrong=0.15)], "Fail", "WorseThanProven"),
        (
            "worse since a while, after a long time as good",
            ACCURACY, {"accuracy": 0.95}, [Stretch(looks=1000), Stretch(wrong=0.15)], "Fail", "WorseThanProven",
        ),
        (
            "worse for a while, and as good as ever since",
            ACCURACY, {"accuracy": 0.95}, [Stretch(wrong=0.15), Stretch(looks=1, requests=4000)], "NotYet", "Recovered",
        ),
        (
            "below min, though not below what was proven",
            {"accuracy": {"min": 0.9, "maxDrop": 0.2}}, {"accuracy": 0.95}, [Stretch(wrong=0.2)],
            "Fail", "WorseThanProven",
        ),
        (
            "as many labels short as minLabelCoverage forbids count as correct",
            ACCURACY, {"accuracy": 0.95}, [Stretch(wrong=0.15, labels=0.2)], "Pass", "NotBreached",
        ),
        ("no labels", ACCURACY, {"accuracy": 0.95}, [Stretch(labels=0)], "NoData", "NoLabels"),
        ("nothing was proven and there is no min", ACCURACY, {}, [Stretch()], "NoData", "NothingProven"),
        ("few errors", ERRORS, {}, [Stretch(failed=0.01)], "Pass", "NotBreached"),
        ("five in a hundred", ERRORS, {}, [Stretch(failed=0.05)], "Fail", "AboveMaximum"),
        (
            "callers whose requests failed with every revision",
            ERRORS, {"errorRate": 0.05}, [Stretch(failed=0.05)], "Pass", "NotBreached",
        ),
        (
            "and fail more than max on top",
            ERRORS, {"errorRate": 0.05}, [Stretch(failed=0.15)], "Fail", "AboveMaximum",
        ),
        (
            "slow answers within the quantile",
            {"latency": {"quantile": 0.99, "max": "250ms"}}, {}, [Stretch(slow=0.01)], "Pass", "NotBreached",
        ),
        (
            "slow answers beyond it",
            {"latency": {"quantile": 0.99, "max": "250ms"}}, {}, [Stretch(slow=0.05)], "Fail", "AboveMaximum",
        ),
        (
            "slow answers in the bucket from 7 to 10 s, all of it beyond the maximum",
            {"latency": {"quantile": 0.99, "max": "7s"}}, {}, [Stretch(slow=0.05)], "Fail", "AboveMaximum",
        ),
        (
            "the same, and they may all have been in time",
            {"latency": {"quantile": 0.99, "max": "8s"}}, {}, [Stretch(slow=0.05)], "Pass", "NotBreached",
        ),
        (
            "an error as proven",
            {"regressionError": {"maxRise": 0.05}}, {"regressionError": 2.0}, [Stretch(error=2.05)],
            "Pass", "NotBreached",
        ),
        (
            "half as large again",
            {"regressionError": {"maxRise": 0.05}}, {"regressionError": 2.0}, [Stretch(error=3.0)],
            "Fail", "WorseThanProven",
        ),
        ("features as in training for two days", DRIFT, {}, [LIVELY], "Pass", "NotBreached"),
        (
            "off training for some hours only",
            DRIFT, {}, [Stretch(looks=8, seconds=HOUR / 4, age=OFF)], "NotYet", "OffProfileBriefly",
        ),
        (
            "off training for two days",
            DRIFT, {}, [Stretch(looks=192, seconds=HOUR / 4, requests=50, age=OFF)], "Fail", "OffProfile",
        ),
        (
            "off training in a feature that is ignored",
            {"dataDrift": {"max": 0.2, "ignore": ["age"]}}, {},
            [Stretch(looks=192, seconds=HOUR / 4, requests=50, age=OFF)], "Pass", "NotBreached",
        ),
        (
            "values missing that training had",
            {"schema": {"maxViolations": 0.01}}, {}, [Stretch(missing=0.1)], "Fail", "AboveMaximum",
        ),
        (
            "hardly any missing",
            {"schema": {"maxViolations": 0.01}}, {}, [Stretch(missing=0.005)], "Pass", "NotBreached",
        ),
    ],
)  # fmt: skip
def test_each_gate_of_a_watch(
    sentence: str,
    gates: dict[str, Any],
    proven: dict[str, float],
    stretches: list[Stretch],
    verdict: str,
    reason: str,
) -> None:
    story = Story()
    for stretch in stretches:
        story.live(stretch)
    gate = judged(story, gates, proven)
    assert (gate.verdict, gate.reason) == (verdict, reason), f"{sentence}: {gate.message}"
    assert gate.message


def test_hours_off_training_name_the_feature_and_say_that_they_only_alert() -> None:
    gate = judged(Story().live(Stretch(looks=8, seconds=HOUR / 4, age=OFF)), DRIFT)
    assert gate.features is not None
    assert gate.features[0].name == "age"
    assert "alert and take no traffic back" in gate.message


SURE: list[tuple[str, dict[str, Any], dict[str, float], Stretch]] = [
    ("accuracy", ACCURACY, {"accuracy": 0.95}, Stretch()),
    ("regressionError", {"regressionError": {"maxRise": 0.05}}, {"regressionError": 2.0}, Stretch()),
    ("errorRate", ERRORS, {}, Stretch()),
    ("latency", {"latency": {"quantile": 0.99, "max": "250ms"}}, {}, Stretch()),
    ("schema", {"schema": {"maxViolations": 0.01}}, {}, Stretch()),
    ("dataDrift", DRIFT, {}, Stretch()),
]


@pytest.mark.parametrize(("gates", "proven", "stretch"), [row[1:] for row in SURE], ids=[row[0] for row in SURE])
def test_a_gate_of_a_watch_tells_how_much_evidence_it_asks_for(
    gates: dict[str, Any], proven: dict[str, float], stretch: Stretch
) -> None:
    one, half = (judged(Story().live(stretch), gates, proven, alarms=alarms) for alarms in (1.0, 0.5))
    assert one.log10_e is not None
    assert one.budget is not None
    assert half.budget == pytest.approx(one.budget / 2)
    assert -math.log10(one.budget) > 3.5, "there are many hours in a year with one false alarm"


SHOWN = [
    ("accuracy", ACCURACY, {"accuracy": 0.95}, "wrong"),
    ("errorRate", ERRORS, {}, "failed"),
    ("schema", {"schema": {"maxViolations": 0.01}}, {}, "missing"),
]


@pytest.mark.parametrize(("gates", "proven", "what"), [row[1:] for row in SHOWN], ids=[row[0] for row in SHOWN])
def test_what_lies_as_far_beyond_the_limit_as_is_said_alarms_and_less_does_not(
    gates: dict[str, Any], proven: dict[str, float], what: str
) -> None:
    """Of one look, so that there is one window."""
    known = judged(Story().live(Stretch(looks=1, requests=20_000)), gates, proven)
    assert known.smallest_drop is not None
    assert known.limit is not None
    limit = 1.0 - known.limit if what == "wrong" else known.limit
    for part, verdict in ((1.02, "Fail"), (0.98, "NotYet")):
        stretch = Stretch(looks=1, requests=20_000, **{what: limit + part * known.smallest_drop})
        assert judged(Story().live(stretch), gates, proven).verdict == verdict, part


def test_the_bound_of_a_watch_closes_in_on_what_is_seen() -> None:
    few, many = (judged(Story().live(Stretch(looks=looks)), ACCURACY, {"accuracy": 0.95}) for looks in (3, 300))
    assert few.bound is not None
    assert many.bound is not None
    assert few.bound < many.bound < 0.95
    assert many.bound > 0.94


def test_fewer_false_alarms_a_year_ask_for_more_evidence() -> None:
    story = Story().live(Stretch(looks=5, requests=30, wrong=0.25))
    once_a_year, hardly_ever = (judged(story, ACCURACY, {"accuracy": 0.95}, alarms=a) for a in (1.0, 1e-9))
    assert (once_a_year.verdict, hardly_ever.verdict) == ("Fail", "NotYet")


def test_a_custom_gate_goes_on_as_in_a_trial() -> None:
    gates = {"custom": [{"name": "revenue", "url": "http://shop/revenue", "field": "/x", "min": 1.0}]}
    gate = judged(Story(), gates, custom=(CustomAnswer("custom/revenue", NOW, 0.5),))
    assert (gate.verdict, gate.breaches) == ("NotYet", 1)


def test_agreement_is_not_asked_without_a_shadow() -> None:
    spec = a_spec(
        gates={"agreement": {}},
        rollout={"steps": [{"shadow": {"percent": 100}, "for": "5m"}, {"weight": 5, "for": "5m"}]},
    )
    asked = policy.resolve(ModelDeploymentSpec.model_validate(spec))
    assert watched_verdicts.gates_of(asked) == ()


def test_the_parts_of_the_gates_add_up_to_the_declared_rate() -> None:
    """A gate beside others may raise a part of the false alarms alone, and so asks for more evidence."""
    alone, beside = log_needed(1.0, 60.0), log_needed(4 / 5, 60.0)
    assert beside - alone == pytest.approx(math.log(5 / 4))


def test_all_tests_that_begin_in_a_year_spend_a_year_of_the_budget() -> None:
    draws = np.random.default_rng(3)
    trail, now, spent, seen = Trail(), NOW, 0.0, set[float]()
    while now < NOW + YEAR_SECONDS / 12:
        now += float(draws.exponential(600.0))
        trail = grown(trail, (float(draws.integers(0, 60)),), now, smallest=25.0, most=1e9)
        newest = trail.blocks[-1] if trail.blocks else None
        if newest is not None and newest.started_at not in seen:
            seen.add(newest.started_at)
            spent += math.exp(-log_needed(2.0, newest.gap_seconds))
    assert spent <= 2.0 / 12 + 1e-3, "no more than the declared rate"
    assert spent > 1.9 / 12, "and hardly less"


def test_losses_between_0_and_1_hold_the_same_bound() -> None:
    """Exact for 0 and 1; for losses between, the mean of the e-value under a mean at the limit is at most 1."""
    draws = np.random.default_rng(5)
    means = draws.beta(2.0, 8.0, size=(4000, 60)).sum(axis=1)
    assert np.mean([math.exp(loss_log_e(float(loss), 60.0, 0.2)) for loss in means]) < 1.0
    assert loss_log_e(12.0, 60.0, 0.2) == formulas.below_log_e(48.0, 60.0, 0.8)


def test_a_change_is_found_by_the_window_that_begins_with_it() -> None:
    trail = Trail()
    for look in range(400):
        wrong = 2.0 if look < 360 else 10.0
        trail = grown(trail, (30.0, wrong), NOW + 60.0 * look, smallest=25.0, most=1e9)
    proof = strongest(trail, lambda sums: loss_log_e(sums[1], sums[0], 0.1), 1.0)
    assert proof is not None
    assert proof.holds
    assert abs(proof.started_at - (NOW + 60.0 * 360)) <= 60.0 * 6

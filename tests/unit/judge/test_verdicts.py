"""What the gates say of given counts: one row, one sentence."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.quick import examples
from tests.unit.judge.build import COHORT, judged, policy

from serin_operator.api.deployment import GateStatus
from serin_operator.decide.judge import GateReason
from serin_operator.decide.judge.sums import ArmCounts, CohortEvidence, Evidence

LN10 = math.log(10.0)


def arm(requests=0.0, errors=0.0, labelled=0.0, correct=0.0, predictions=None):
    made = max(requests - errors, labelled) if predictions is None else predictions
    return ArmCounts(max(requests, made + errors), errors, made, labelled, correct)


def found(candidate, stable, log10_e=0.0, *, of=None, cohort=COHORT, shares=None, now=0.0, previous=(), older=None):
    """Gates by name, for these counts in the current cohort."""
    of = of or policy()
    gates = {"accuracy": log10_e * LN10, "errorRate": log10_e * LN10}
    cohorts = {COHORT: CohortEvidence(0.0, candidate, stable, gates)}
    if older is not None:
        cohorts["c.0.x"] = CohortEvidence(0.0, *older)
    evidence = Evidence("c", "s", cohorts)
    totals = (evidence.total("candidate").predictions, evidence.total("stable").predictions)
    evidence = replace(evidence, ring=((0.0, *totals),))
    said = judged(
        evidence,
        of,
        shares=of.shares if shares is None else shares,
        cohort=cohort,
        now=now,
        now_text="2030-01-01T00:00:00Z",
        previous=previous,
    )
    return {gate.name: gate for gate in said}


def labels(n, accuracy, predictions=None):
    return arm(labelled=float(n), correct=n * accuracy, predictions=predictions)


ACCURACY = [
    (
        "ten points lower and proven fails",
        labels(400, 0.85),
        labels(4000, 0.95),
        3.1,
        {},
        "Fail",
        "WorseThanStable",
    ),
    (
        "ten points lower and not proven waits",
        labels(40, 0.85),
        labels(400, 0.95),
        0.9,
        {},
        "NotYet",
        "LikelyWorse",
    ),
    (
        "proven lower, but by one point of two, does not fail",
        labels(20000, 0.94),
        labels(20000, 0.95),
        9.0,
        {},
        "Pass",
        "WithinMaxDrop",
    ),
    (
        "evidence just short of the budget does not fail",
        labels(400, 0.85),
        labels(4000, 0.95),
        1.30,
        {},
        "NotYet",
        "LikelyWorse",
    ),
    (
        "with a minimum half the wealth is staked elsewhere",
        labels(400, 0.85),
        labels(4000, 0.95),
        1.35,
        {"minimum": 0.5},
        "NotYet",
        "LikelyWorse",
    ),
    ("equal over many labels passes", labels(4000, 0.9), labels(4000, 0.9), 0.0, {}, "Pass", "WithinMaxDrop"),
    ("equal over few labels waits", labels(400, 0.9), labels(4000, 0.9), 0.0, {}, "NotYet", "NotProven"),
    ("better passes sooner", labels(1200, 0.95), labels(1200, 0.9), 0.0, {}, "Pass", "WithinMaxDrop"),
    (
        "no label of the candidate is no data",
        labels(0, 1.0, 50),
        labels(400, 0.9),
        0.0,
        {},
        "NoData",
        "NoLabels",
    ),
    ("no label of stable is no data", labels(400, 0.9), labels(0, 1.0, 50), 0.0, {}, "NoData", "NoLabels"),
    (
        "no request of the candidate is no traffic",
        labels(0, 1.0),
        labels(400, 0.9),
        0.0,
        {},
        "NoData",
        "NoTraffic",
    ),
    (
        "a wide limit still wants a hundred labels",
        labels(60, 1.0),
        labels(600, 1.0),
        0.0,
        {"max_drop": 0.9},
        "NotYet",
        "TooFewSamples",
    ),
    (
        "thin coverage of the candidate waits",
        labels(4000, 0.9, 8000),
        labels(4000, 0.9),
        0.0,
        {},
        "NotYet",
        "LabelsMissing",
    ),
    (
        "thin coverage of stable waits",
        labels(4000, 0.9),
        labels(4000, 0.9, 8000),
        0.0,
        {},
        "NotYet",
        "LabelsMissing",
    ),
    (
        "thin coverage that was asked for passes",
        labels(4000, 0.9, 8000),
        labels(4000, 0.9),
        0.0,
        {"coverage": 0.4},
        "Pass",
        "WithinMaxDrop",
    ),
    (
        "a trial younger than the label delay waits",
        labels(4000, 0.9),
        labels(4000, 0.9),
        0.0,
        {"delay": 60.0},
        "NotYet",
        "LabelsPending",
    ),
    (
        "as good as stable, but proven under the minimum, fails",
        labels(400, 0.8),
        labels(400, 0.8),
        0.0,
        {"minimum": 0.9},
        "Fail",
        "BelowMinimum",
    ),
    (
        "under the minimum by chance waits",
        labels(4000, 0.898),
        labels(4000, 0.898),
        0.0,
        {"minimum": 0.9},
        "NotYet",
        "UnderMinimum",
    ),
    (
        "above the minimum passes",
        labels(4000, 0.91),
        labels(4000, 0.91),
        0.0,
        {"minimum": 0.9},
        "Pass",
        "WithinMaxDrop",
    ),
    (
        "early labels of wrong predictions do not break the minimum",
        labels(100, 0.6, 1000),
        labels(100, 0.6, 1000),
        0.0,
        {"minimum": 0.9},
        "NotYet",
        "UnderMinimum",
    ),
]


@pytest.mark.parametrize(
    ("candidate", "stable", "log10_e", "of", "verdict", "reason"),
    [row[1:] for row in ACCURACY],
    ids=[row[0] for row in ACCURACY],
)
def test_accuracy(candidate, stable, log10_e, of, verdict, reason):
    gate = found(candidate, stable, log10_e, of=policy(**of))["accuracy"]
    assert (gate.verdict, gate.reason) == (verdict, reason)


def requests(n, errors=0):
    return arm(requests=float(n), errors=float(errors))


ERRORS = [
    ("no error in seven hundred requests passes", requests(700), requests(700), 0.0, "Pass", "WithinMaximum"),
    ("no error in four hundred requests waits", requests(400), requests(4000), 0.0, "NotYet", "NotProven"),
    ("no error in fifty requests are too few", requests(50), requests(4000), 0.0, "NotYet", "TooFewSamples"),
    (
        "five in a hundred against none, proven, fails",
        requests(200, 10),
        requests(1800),
        4.0,
        "Fail",
        "WorseThanStable",
    ),
    (
        "five in a hundred against none, not proven, waits",
        requests(200, 10),
        requests(1800),
        0.5,
        "NotYet",
        "LikelyWorse",
    ),
    (
        "proven worse than stable, but below the maximum, does not fail",
        requests(9000, 45),
        requests(9000),
        5.0,
        "Pass",
        "WithinMaximum",
    ),
    (
        "both arms above the maximum alike, few requests: waits",
        requests(900, 36),
        requests(900, 36),
        0.0,
        "NotYet",
        "NotProven",
    ),
    (
        "both arms above the maximum alike, many requests: passes",
        requests(20000, 800),
        requests(20000, 800),
        0.0,
        "Pass",
        "NoWorseThanStable",
    ),
    (
        "above the maximum but below stable is not worse",
        requests(900, 36),
        requests(900, 90),
        0.0,
        "Pass",
        "NoWorseThanStable",
    ),
    ("no request of the candidate is no data", requests(0), requests(900), 0.0, "NoData", "NoTraffic"),
    ("no request of stable is no data", requests(900), requests(0), 0.0, "NoData", "NoTraffic"),
]


@pytest.mark.parametrize(
    ("candidate", "stable", "log10_e", "verdict", "reason"),
    [row[1:] for row in ERRORS],
    ids=[row[0] for row in ERRORS],
)
def test_error_rate(candidate, stable, log10_e, verdict, reason):
    gate = found(candidate, stable, log10_e, of=policy(accuracy=False, maximum=0.01))["errorRate"]
    assert (gate.verdict, gate.reason) == (verdict, reason)


def test_the_message_says_the_numbers():
    gate = found(labels(412, 0.902), labels(4000, 0.951), 3.1)["accuracy"]
    assert gate.message == (
        "accuracy 0.902 against 0.951 of stable over 412 and 4000 labels: 4.9 points lower, "
        "evidence 10^3.1 of 10^1.3 needed"
    )


def test_the_numbers_beside_the_verdict_are_those_of_the_counts():
    gate = found(labels(400, 0.9), labels(4000, 0.92), 0.4)["accuracy"]
    assert gate.value == pytest.approx(0.9)
    assert gate.reference == pytest.approx(0.92)
    assert gate.log10_e == pytest.approx(0.4)
    assert (gate.samples, gate.limit, gate.budget) == (400.0, 0.02, 0.05)
    assert gate.bound is not None
    assert gate.bound > 0.02
    assert gate.smallest_drop is not None
    assert 0.03 < gate.smallest_drop < 0.08


@pytest.mark.parametrize("share", [400, 1200, 4000])
def test_the_labels_said_to_be_needed_are_enough(share):
    gate = found(labels(share, 0.9), labels(9 * share, 0.9))["accuracy"]
    assert gate.needed is not None
    there = math.ceil(gate.needed * 1.001)
    assert found(labels(there, 0.9), labels(9 * there, 0.9))["accuracy"].verdict == "Pass"
    short = gate.needed * 0.98
    assert found(labels(short, 0.9), labels(9 * short, 0.9))["accuracy"].verdict == "NotYet"


def test_the_requests_said_to_be_needed_are_enough():
    of = policy(accuracy=False, maximum=0.01)
    gate = found(requests(200), requests(1800), of=of)["errorRate"]
    assert gate.needed is not None
    assert gate.needed <= 700
    assert found(requests(gate.needed), requests(1800), of=of)["errorRate"].verdict == "Pass"


def test_a_pass_rests_on_the_present_weight_too():
    older = (labels(4000, 0.9), labels(4000, 0.9))
    gate = found(labels(29, 0.9), labels(400, 0.9), older=older)["accuracy"]
    assert (gate.verdict, gate.reason) == ("NotYet", "TooFewSamples")
    gate = found(labels(30, 0.9), labels(400, 0.9), older=older)["accuracy"]
    assert gate.verdict == "Pass"


def test_without_data_in_the_present_cohort_an_older_one_still_fails():
    evidence = Evidence(
        "c",
        "s",
        {"c.1.x": CohortEvidence(0.0, labels(400, 0.7), labels(4000, 0.95), {"accuracy": 5.0 * LN10})},
    )
    of = policy()
    for cohort in ("c.2.x", None):
        (gate,) = judged(evidence, of, shares=of.shares, cohort=cohort, now=0.0)
        assert gate.verdict == "Fail"


def test_before_anything_was_seen_there_is_no_data_and_no_number():
    of = policy(minimum=0.9, maximum=0.01)
    for cohort in (COHORT, None):
        gates = judged(Evidence("c", "s"), of, shares=of.shares, cohort=cohort, now=0.0)
        assert [(gate.name, gate.verdict, gate.value) for gate in gates] == [
            ("accuracy", "NoData", None),
            ("errorRate", "NoData", None),
        ]


def test_a_gate_without_a_share_of_the_budget_cannot_fail():
    gate = found(labels(400, 0.5), labels(4000, 0.95), 300.0, shares={})["accuracy"]
    assert (gate.verdict, gate.budget, gate.smallest_drop) == ("NotYet", None, None)


def test_a_verdict_keeps_its_time_until_it_changes():
    before = found(labels(40, 0.9), labels(400, 0.9))["accuracy"].model_copy(update={"since": "before"})
    same = found(labels(60, 0.9), labels(500, 0.9), previous=(before,))["accuracy"]
    assert (same.verdict, same.since) == ("NotYet", "before")
    other = found(labels(4000, 0.9), labels(4000, 0.9), previous=(before,))["accuracy"]
    assert (other.verdict, other.since) == ("Pass", "2030-01-01T00:00:00Z")


def test_gates_that_the_policy_does_not_name_are_not_judged():
    assert found(labels(1, 1.0), labels(1, 1.0), of=policy(accuracy=False)) == {}


amounts = st.one_of(st.just(0.0), st.floats(0.0, 5000.0), st.floats(0.0, 1e15))
shares = st.floats(0.0, 1.0)


@st.composite
def arms(draw):
    asked, labelled = draw(amounts), draw(amounts)
    return ArmCounts(asked, asked * draw(shares), draw(amounts), labelled, labelled * draw(shares))


cohorts = st.builds(
    CohortEvidence,
    opened_at=st.just(0.0),
    candidate=arms(),
    stable=arms(),
    log_e=st.fixed_dictionaries({"accuracy": st.floats(-1e6, 1e6), "errorRate": st.floats(-1e6, 1e6)}),
)


@examples(300)
@given(
    st.dictionaries(st.sampled_from(["c.1.x", "c.2.x", "c.3.x"]), cohorts),
    st.sampled_from([None, 0.0, 0.5, 0.9, 1.0]),
    st.sampled_from([1e-6, 0.02, 0.5, 0.999]),
    st.sampled_from([1e-9, 0.01, 0.99]),
    st.sampled_from([0.0, 0.025, 0.5]),
)
def test_every_evidence_gets_an_answer_in_finite_numbers(by_name, minimum, max_drop, maximum, share):
    of = policy(minimum=minimum, max_drop=max_drop, maximum=maximum)
    gates = judged(
        Evidence("c", "s", by_name),
        of,
        shares={"accuracy": share, "errorRate": share},
        cohort="c.1.x",
        now=0.0,
    )
    assert [gate.name for gate in gates] == ["accuracy", "errorRate"]
    for gate in gates:
        text = json.dumps(gate.model_dump(), allow_nan=False)
        assert GateStatus.model_validate(json.loads(text)) == gate
        assert GateReason(gate.reason)
        assert not (gate.verdict == "Fail" and share == 0.0)

"""Custom gates: what each series of answers comes to, with the count in status and nowhere else."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.judge.build import COHORT, policy

from serin_operator.api.deployment import GateStatus
from serin_operator.decide import timestamps
from serin_operator.decide.gate_policies import CustomPolicy
from serin_operator.decide.judge import verdicts
from serin_operator.decide.judge.look import CustomAnswer, Look
from serin_operator.decide.judge.sums import CohortEvidence, Evidence

NAME = "custom/revenue"
GATE = CustomPolicy(NAME, "Enforce", "q", None, None, 1.0, 2.0, 60.0)
OPENED = 1000.0
EVIDENCE = Evidence("c", "s", {COHORT: CohortEvidence(OPENED)})
Said = float | str | None
"""What the source answers: a number, why there is none, or nothing at all."""


def look(now: float, answer: CustomAnswer | None, evidence: Evidence = EVIDENCE, cohort: str | None = COHORT) -> Look:
    custom = {NAME: answer} if answer is not None else {}
    of = replace(policy(accuracy=False), gates=(GATE,))
    return Look(evidence, of, 0.0, cohort, now, timestamps.text(now), custom=custom)


def answer(at: float, said: Said) -> CustomAnswer | None:
    if said is None:
        return None
    return CustomAnswer(NAME, at, None, said) if isinstance(said, str) else CustomAnswer(NAME, at, said)


def judged(seen: Look, before: GateStatus | None = None) -> GateStatus:
    (found,) = verdicts.judge(seen, {}, (before,) if before is not None else ())
    return found


def series(*said: Said, looks: int = 3) -> list[str]:
    """The verdict after each answer, every answer being looked at several times."""
    before: GateStatus | None = None
    found = []
    for index, value in enumerate(said):
        at = OPENED + 60.0 * (index + 1)
        for again in range(looks):
            before = judged(look(at + again, answer(at, value)), before)
        assert before is not None
        found.append(f"{before.verdict} {before.reason} {before.breaches}")
    return found


@pytest.mark.parametrize(
    ("said", "ends"),
    [
        # Three in a row fail, on whichever side.
        ((0.5, 0.5, 0.5), "Fail BeyondLimits 3"),
        ((0.5, 9.0, 0.5), "Fail BeyondLimits 3"),
        # Two do not.
        ((0.5, 0.5), "NotYet BeyondLimitsOnce 2"),
        # One within begins anew.
        ((0.5, 0.5, 1.5, 0.5, 0.5), "NotYet BeyondLimitsOnce 2"),
        ((0.5, 0.5, 1.5), "Pass WithinLimits 0"),
        # Limits belong to what is acceptable.
        ((1.0,), "Pass WithinLimits 0"),
        ((2.0,), "Pass WithinLimits 0"),
        # An error counts for neither side: what was counted stays.
        ((0.5, 0.5, "it did not answer"), "Error SourceFailed 2"),
        ((0.5, 0.5, "it did not answer", 0.5), "Fail BeyondLimits 3"),
        ((0.5, 0.5, "it did not answer", 1.5), "Pass WithinLimits 0"),
        (("it did not answer",) * 5, "Error SourceFailed 0"),
        ((1.5, "it did not answer"), "Error SourceFailed 0"),
        # Silence is no data, and forgets nothing: an operator that began anew has no answer yet.
        ((None,), "NoData NoAnswer 0"),
        ((0.5, 0.5, None, 0.5), "Fail BeyondLimits 3"),
        ((0.5, 0.5, None), "NoData NoAnswer 2"),
    ],
)
def test_a_series_of_answers_ends_in(said: tuple[Said, ...], ends: str) -> None:
    assert series(*said)[-1] == ends


def test_one_answer_counts_once_however_often_it_is_looked_at() -> None:
    assert series(0.5, looks=50) == ["NotYet BeyondLimitsOnce 1"]


def test_a_fail_stands_though_the_source_falls_silent() -> None:
    assert series(0.5, 0.5, 0.5, "it did not answer", None)[2:] == [
        "Fail BeyondLimits 3",
        "Fail BeyondLimits 3",
        "Fail BeyondLimits 3",
    ]


@pytest.mark.parametrize(("age", "verdict"), [(0.0, "Pass"), (180.0, "Pass"), (181.0, "Error")])
def test_an_answer_older_than_three_intervals_is_an_error(age: float, verdict: str) -> None:
    assert judged(look(2000.0 + age, answer(2000.0, 1.5))).verdict == verdict


@pytest.mark.parametrize(
    ("opened", "verdict"),
    [(1500.0, "Pass"), (1700.0, "NoData")],
)
def test_a_pass_needs_a_value_of_the_present_cohort(opened: float, verdict: str) -> None:
    cohorts = {"c.0.x": CohortEvidence(1000.0), COHORT: CohortEvidence(opened)}
    assert judged(look(1650.0, answer(1600.0, 1.5), Evidence("c", "s", cohorts))).verdict == verdict


def test_breaches_go_on_from_one_cohort_to_the_next() -> None:
    before = judged(look(1060.0, answer(1060.0, 0.5)), None)
    before = judged(look(1120.0, answer(1120.0, 0.5)), before)
    later = Evidence("c", "s", {**EVIDENCE.cohorts, "c.2.x": CohortEvidence(1150.0)})
    assert judged(look(1180.0, answer(1180.0, 0.5), later, "c.2.x"), before).verdict == "Fail"


def test_what_an_earlier_trial_left_in_status_fails_nobody() -> None:
    left = judged(look(1060.0, answer(1060.0, 0.5)), None).model_copy(update={"breaches": 3, "verdict": "Fail"})
    none_yet = Evidence("d", "s")
    assert judged(look(5000.0, None, none_yet, None), left).verdict == "NoData"
    assert judged(look(5000.0, answer(1060.0, 0.5), none_yet, None), left).verdict != "Fail"
    anew = Evidence("d", "s", {COHORT: CohortEvidence(5000.0)})
    assert judged(look(5001.0, None, anew), left).verdict == "NoData"
    assert judged(look(5061.0, answer(5060.0, 0.5), anew), left).breaches == 1


def test_breaches_of_other_limits_are_not_counted_on() -> None:
    left = judged(look(1060.0, answer(1060.0, 0.5)), None).model_copy(update={"breaches": 2, "limit": 0.9})
    assert judged(look(1120.0, answer(1120.0, 0.5)), left).breaches == 1


def test_the_sentence_has_the_number_the_limit_and_that_no_budget_is_spent() -> None:
    said = judged(look(1060.0, answer(1060.0, 0.51234567)))
    assert said.message == (
        "revenue is 0.512346, below min 1, 1 of 3 answers in a row that fail the gate; outside falseRollbackBudget"
    )
    assert (said.value, said.limit, said.budget, said.checked_at) == (0.51234567, 1.0, None, "1970-01-01T00:17:40Z")
    error = judged(look(1060.0, answer(1060.0, "it did not answer within 5 s")))
    assert error.message == ("revenue cannot be read: it did not answer within 5 s; it holds the step and fails nobody")

"""The summary: what counts as a step's share, and what the demo must have shown to be good."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from serin_cli.demo.counts import Arm, Snapshot
from serin_cli.demo.models import Made
from serin_cli.demo.state import State
from serin_cli.demo.summary import Promotion, Recorder, Rollback, StepShare, Summary, render

STEP = State(stable="v1", candidate="v2", weight=25, step=1, step_running=True, cohort="v2.2.aa", phase="Progressing")
GOOD = Summary(
    models=(
        Made(1, "logistic regression", 0.966, 0.964, "sha256:1"),
        Made(2, "support vector machine", 0.988, 0.992, "sha256:2"),
        Made(3, "the same, from a faulty export", 0.989, 0.801, "sha256:3"),
    ),
    revisions={1: "digits-a", 2: "digits-b", 3: "digits-c"},
    promotion=Promotion("digits-b", 80.0, 60.0, 2100),
    rollback=Rollback("digits-c", "digits-b", "accuracy", "accuracy 0.80 against 0.99", 9.0, 80, 16, 55),
    shares=(StepShare(2, 25, 15.0, 3000, 747),),
    counted=Snapshot(
        seconds=150.0,
        requests=30000,
        feedback_posts=500,
        arms={"digits-a": Arm(requests=10000, correct=9640), "digits-c": Arm(requests=80, correct=64)},
    ),
    seconds=170.0,
)


def counted(at: float, stable: int, candidate: int) -> Snapshot:
    return Snapshot(at=at, arms={"v1": Arm(requests=stable), "v2": Arm(requests=candidate)})


def test_share_counts_from_the_first_counts_after_the_weight_was_set() -> None:
    recorder = Recorder()
    # The counts of the first look were made before it, under the step before.
    recorder.look(2, STEP, counted(10.0, 1000, 50))
    recorder.look(2, STEP, counted(10.0, 1000, 50))
    recorder.look(2, STEP, counted(10.5, 1080, 70))
    recorder.look(2, STEP, counted(20.5, 1830, 320))
    assert recorder.shares == [StepShare(2, 25, 10.0, 1000, 250)]
    assert recorder.shares[0].share == pytest.approx(25.0)


def test_each_cohort_is_a_step_of_its_own() -> None:
    recorder = Recorder()
    for at in (1.0, 2.0, 3.0):
        recorder.look(2, STEP, counted(at, int(90 * at), int(10 * at)))
    half = replace(STEP, weight=50, cohort="v2.3.bb")
    for at in (4.0, 5.0, 6.0):
        recorder.look(2, half, counted(at, int(50 * at), int(50 * at)))
    assert [(step.weight, step.share) for step in recorder.shares] == [(25, 10.0), (50, 50.0)]


@pytest.mark.parametrize(
    "state",
    [
        replace(STEP, step_running=False),
        replace(STEP, weight=0),
        replace(STEP, weight=100),
        replace(STEP, candidate=None),
    ],
    ids=["route not confirmed", "before the first step", "promoting", "no trial"],
)
def test_nothing_is_a_step_but_a_confirmed_split(state: State) -> None:
    recorder = Recorder()
    for at in (1.0, 2.0, 3.0):
        recorder.look(2, state, counted(at, 100, 100))
    assert recorder.shares == []


def test_step_without_requests_has_no_share() -> None:
    assert StepShare(2, 5, 10.0, 0, 0).share is None


def test_good_needs_promotion_rollback_and_no_failure() -> None:
    assert GOOD.good
    assert not replace(GOOD, promotion=None).good
    assert not replace(GOOD, rollback=None).good
    for failure in (Snapshot(requests=9, failures=1), Snapshot(requests=9, feedback_failures=1), Snapshot()):
        assert not replace(GOOD, counted=failure).good


def written(summary: Summary) -> str:
    console = Console(file=io.StringIO(), width=120, color_system=None)
    console.print(render(summary))
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def test_summary_tells_exposure_and_evidence() -> None:
    text = written(GOOD)
    assert "v3 was taken back 9 s after its first answer. It had answered 80 of 30,000 requests, 16" in text
    assert "accuracy 0.80 against 0.99" in text
    assert "24.9 %" in text
    assert "Not one of 30,000 requests and 500 posts of labels failed." in text


def test_summary_of_a_failed_demo_says_which_requests_failed() -> None:
    counts = Snapshot(requests=10, failures=2, troubles=["HTTP 503 from digits-b: busy"])
    text = written(replace(GOOD, rollback=None, counted=counts, stopped="v3 on trial: not within 240 s."))
    assert "2 failed" in text
    assert "HTTP 503 from digits-b: busy" in text
    assert "Try a lower --rate" not in text


def test_timeouts_on_a_busy_machine_are_told_as_such() -> None:
    counts = Snapshot(requests=10, failures=2, timeouts=2)
    assert "Try a lower --rate" in written(replace(GOOD, counted=counts, busy="load average 9 on 2 processors"))
    assert "Try a lower --rate" not in written(replace(GOOD, counted=counts))


def test_document_has_shares_and_accuracies() -> None:
    document = GOOD.document()
    assert document["good"] is True
    assert document["steps"][0]["share"] == pytest.approx(24.9)
    assert document["arms"]["digits-c"]["accuracy"] == pytest.approx(0.8)
    assert document["requestsPerSecond"] == pytest.approx(200.0)

"""The availability gate: what a candidate's pods say of it, with no metric at all."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.builders import NOW, a_candidate, a_pod, observed

from serin_contract.startup import EXIT_REFUSED, EXIT_UNAVAILABLE, StartupFailure, StartupReason, encode
from serin_operator.decide import availability
from serin_operator.decide.availability import DIPS_MAX, NOT_READY_SECONDS_MAX, WARM_RESTARTS_MAX
from serin_operator.decide.judge import GateReason
from serin_operator.decide.observation import ContainerEnd
from serin_operator.decide.timestamps import text

REFUSED = encode(StartupFailure(StartupReason.SelfTestFailed, "row 3 was answered 2 instead of 1")).decode()
UNREACHED = encode(StartupFailure(StartupReason.SourceUnavailable, "models: the source answered with 503")).decode()
DENIED = encode(StartupFailure(StartupReason.SourceDenied, "models: the source refuses access (status 403)")).decode()
WARMING, RUNNING = a_candidate(step=-1), a_candidate(step=0)


def _end(code: int = 1, message: str = "", finished_at: float = NOW + 10) -> ContainerEnd:
    return ContainerEnd(code, "Error", message, finished_at)


def _judged(candidate: Any, *pods: Any, ready: int = 0) -> Any:
    return availability.judge(observed(pods=pods, ready_endpoints={"wine-2": ready}, now=NOW + 100), candidate)


@pytest.mark.parametrize(
    ("sentence", "candidate", "pod", "ready", "verdict", "reason"),
    [
        ("a ready pod passes", RUNNING, a_pod(), 1, "Pass", "CandidateReady"),
        ("no ready pod is not yet a failure", WARMING, a_pod(ready=False), 0, "NotYet", "CandidateNotReady"),
        ("a crash under traffic fails", RUNNING, a_pod(last_end=_end()), 1, "Fail", "CandidateCrashed"),
        (
            "a crash while warming is forgiven",
            WARMING,
            a_pod(last_end=_end(), restarts=1),
            0,
            "NotYet",
            "CandidateNotReady",
        ),
        (
            "not for ever",
            WARMING,
            a_pod(last_end=_end(), restarts=WARM_RESTARTS_MAX),
            0,
            "Fail",
            "CandidateCrashed",
        ),
        ("a refusal fails at once", WARMING, a_pod(last_end=_end(EXIT_REFUSED, REFUSED)), 0, "Fail", "SelfTestFailed"),
        (
            "a store that is down is no fault of the candidate",
            RUNNING,
            a_pod(ready=False, last_end=_end(EXIT_UNAVAILABLE, UNREACHED), restarts=9),
            1,
            "Pass",
            "CandidateReady",
        ),
        (
            "nor while it warms up, however often",
            WARMING,
            a_pod(ready=False, last_end=_end(EXIT_UNAVAILABLE, UNREACHED), restarts=9),
            0,
            "NotYet",
            "CandidateNotReady",
        ),
        (
            "a source that denies access needs a person",
            WARMING,
            a_pod(last_end=_end(EXIT_REFUSED, DENIED)),
            0,
            "Fail",
            "SourceDenied",
        ),
        ("an end without error is none", RUNNING, a_pod(last_end=_end(0)), 1, "Pass", "CandidateReady"),
        (
            "an end before this trial is another trial's",
            RUNNING,
            a_pod(last_end=_end(finished_at=NOW - 5)),
            1,
            "Pass",
            "CandidateReady",
        ),
        (
            "a pod that goes is not asked",
            RUNNING,
            a_pod(last_end=_end(), terminating=True),
            1,
            "Pass",
            "CandidateReady",
        ),
        (
            "stable's pods are not asked",
            RUNNING,
            a_pod(revision="wine-1", last_end=_end()),
            1,
            "Pass",
            "CandidateReady",
        ),
        ("too many dips fail", a_candidate(step=1, dips=DIPS_MAX), a_pod(), 1, "Fail", "CandidateUnavailable"),
        ("fewer do not", a_candidate(step=1, dips=DIPS_MAX - 1), a_pod(), 1, "Pass", "CandidateReady"),
        (
            "too long without a pod fails",
            a_candidate(step=1, not_ready_since=text(NOW + 99 - NOT_READY_SECONDS_MAX)),
            a_pod(ready=False),
            0,
            "Fail",
            "CandidateUnavailable",
        ),
        (
            "a while does not",
            a_candidate(step=1, not_ready_since=text(NOW + 101 - NOT_READY_SECONDS_MAX)),
            a_pod(ready=False),
            0,
            "NotYet",
            "CandidateNotReady",
        ),
    ],
)
def test_the_gate_says(sentence: str, candidate: Any, pod: Any, ready: int, verdict: str, reason: str) -> None:
    gate = _judged(candidate, pod, ready=ready)
    assert (gate.verdict, gate.reason) == (verdict, reason), sentence
    assert gate.mode == "Enforce"


@pytest.mark.parametrize(
    ("pod", "words"),
    [
        (a_pod(unschedulable="0/3 nodes are available"), "no node takes pod pod-1: 0/3 nodes are available"),
        (a_pod(waiting_reason="ErrImagePull", waiting_message="not found"), "waits, ErrImagePull: not found"),
        (a_pod(waiting_reason="ContainerCreating"), "none of its 1 pods is ready yet"),
        (a_pod(), "none of its 1 pods is ready yet"),
    ],
)
def test_the_sentence_is_that_of_who_knows(pod: Any, words: str) -> None:
    assert words in availability.waiting_sentence([pod])
    assert availability.waiting_sentence([]) == "its pods have not been created yet"


def test_last_words_are_quoted_and_cut() -> None:
    _, sentence = availability.end_sentence(a_pod(), _end(message="x" * 500 + "MemoryError"))
    assert "MemoryError" in sentence
    assert "kubectl logs" in sentence
    assert len(sentence) < 450
    gate = _judged(RUNNING, a_pod(last_end=_end(EXIT_REFUSED, REFUSED)))
    assert "row 3 was answered 2 instead of 1" in gate.message


# A store that is down fails nobody: its pods wait.
@pytest.mark.parametrize("reason", [one for one in StartupReason if one is not StartupReason.SourceUnavailable])
def test_what_a_server_refuses_for_is_a_reason_of_the_gate(reason: StartupReason) -> None:
    refused = encode(StartupFailure(reason, "a sentence")).decode()
    gate = _judged(WARMING, a_pod(last_end=_end(EXIT_REFUSED, refused)))
    assert (gate.verdict, gate.reason) == ("Fail", GateReason(str(reason)))


def test_while_a_store_is_down_the_gate_says_so_rather_than_that_the_kubelet_waits() -> None:
    pod = a_pod(
        ready=False, last_end=_end(EXIT_UNAVAILABLE, UNREACHED), waiting_reason="CrashLoopBackOff", waiting_message="5m"
    )
    assert _judged(WARMING, pod).message == "pod pod-1 waits for its bundle: models: the source answered with 503"

"""After the promotion: what is watched is spoilt, the operator dies twice, and the previous revision answers again.

The gates go on with labels alone, so labels are what the story spoils. 300 wrong ones, two seconds of them, hold
evidence of 10^50 and more against a limit of seven wrong in a hundred, where half a false alarm a year asks for 10^6.
What takes its time is that a breach must last: a minute from the look that sees it first.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tests.e2e import operator_pod
from tests.e2e.conftest import measured
from tests.e2e.spoilt import BETTER, DECENT
from tests.support import kubernetes_objects as objects
from tests.support.stories import START_SECONDS, TRIAL_SECONDS, Place, State, in_words

RATE = 150.0
WRONG_LABELS = 300
WATCHED: dict[str, Any] = {
    "rollout": objects.rollout((50, 5)),
    "watch": {"for": "30m", "keepWarm": "30m"},
}

LASTS_SECONDS = 60.0
LOOKS_AGAIN_SECONDS = 15.0
RESTART_SECONDS = 60.0
"""A killed operator's lease has to run out, on a machine that does other things."""


def test_a_breach_in_the_watch_brings_the_warm_revision_back_though_the_operator_dies_meanwhile(digits: Place) -> None:
    first = digits.serves(DECENT, **WATCHED)
    with digits.load(RATE) as load:
        digits.wants(BETTER, **WATCHED)
        second = digits.until(is_watched, "it is promoted and watched", TRIAL_SECONDS).stable
        assert second != first
        truthful = load.stop()
    lies = [(label + 1) % 10 for label in digits.models.labels]
    with digits.load(RATE, labels=lies) as load:
        digits.until(lambda _: load.snapshot().arm(second).labels_posted >= WRONG_LABELS, "labels say it is wrong", 60)
        operator_pod.restart(digits.cluster)
        seen = digits.until(is_breached, "the next process sees the breach at its first look", START_SECONDS)
        assert seen.phase == "Watching"
        assert seen.says("WatchPassing", "Unknown", "WorseThanProven"), digits.diagnosis()
        operator_pod.restart(digits.cluster, kill=True)
        patience = LASTS_SECONDS + LOOKS_AGAIN_SECONDS + RESTART_SECONDS
        state = digits.until(lambda state: state.phase == "RolledBack", "the breach lasts", patience)
        digits.until_route(lambda weights: weights == {first: 100}, "the route names the previous one alone", 40)
        lying = load.stop()
    the_previous_one_answers(digits, state, first, second)
    the_breach_lasted(digits, second)
    nothing_was_counted_twice(
        digits,
        second,
        requests=truthful.arm(second).requests + lying.arm(second).requests,
        labels=truthful.arm(second).labels_posted + lying.arm(second).labels_posted,
    )
    for counted in (truthful, lying):
        assert counted.failed == 0, in_words(counted)


def is_watched(state: State) -> bool:
    return state.current and state.phase == "Watching" and state.status["watch"]["revision"] == state.stable


def is_breached(state: State) -> bool:
    return (state.status.get("watch") or {}).get("breach") == "accuracy"


def the_previous_one_answers(digits: Place, state: State, first: str, second: str) -> None:
    """Status, history, event and record all say what happened and why."""
    assert state.stable == first
    assert state.outcomes[:2] == [("RolledBack", "WorseThanProven"), ("Promoted", "AllGatesPassed")]
    back = state.status["lastRollback"]
    assert (back["from"], back["to"], back["gate"]) == (second, first, "accuracy")
    assert "beyond the limit of" in back["evidence"]
    assert [known["revision"] for known in state.status["rejected"]] == [second]
    assert state.says("Promoted", "False", "Rejected")
    assert state.says("Ready", "True", "Serving")
    event = digits.get("events", "--field-selector", "reason=RolledBack,type=Warning")[0]
    assert f"{second} is rejected after its promotion, since accuracy is breached" in event["message"]
    record = record_of(digits, second)
    assert (record["verdict"], record["reason"]) == ("Rejected", "WorseThanProven")


def the_breach_lasted(digits: Place, second: str) -> None:
    """A minute from the look that saw it first, and no death of an operator began it anew."""
    moments = digits.mdep.since(digits.applied_at)
    breached = [moment for moment in moments if is_breached(State(moment.object))]
    (since,) = {moment.status["watch"]["breachSince"] for moment in breached}
    back_at = digits.moment_of(lambda seen: bool(seen.status.get("lastRollback")), digits.applied_at).at
    seconds = back_at - datetime.fromisoformat(since).timestamp()
    assert seconds >= LASTS_SECONDS - 1.0
    measured("watch, from the first look at a breach to the previous revision", f"{seconds:.0f} s of {second}")


def nothing_was_counted_twice(digits: Place, second: str, *, requests: int, labels: int) -> None:
    """What two processes added to one record is at most what callers sent."""
    total = record_of(digits, second)["evidence"]["watch"]["total"]
    measured("watch, counted by three processes", f"{total[0]:.0f} requests and {total[3]:.0f} labels")
    assert WRONG_LABELS <= total[3] <= labels
    assert total[3] <= total[0] <= requests


def record_of(digits: Place, revision: str) -> dict[str, Any]:
    (record,) = digits.get("modelrevisions", f"--field-selector=metadata.name={revision}")
    status: dict[str, Any] = record["status"]
    return status

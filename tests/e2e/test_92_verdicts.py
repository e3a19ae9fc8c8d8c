"""One table: what is wrong, and where it leads. Each row is a candidate on real pods under real requests.

A fault of inputs is the candidate's own where it was trained on other inputs than callers send. Where both arms have
left what they were trained on, the world has moved and nobody is at fault.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from rich.console import Console
from tests.bench.traffic import flagger_prometheus as prometheus
from tests.e2e import faults
from tests.e2e.conftest import beside_others, ended
from tests.e2e.documents import URL, WHERE, documents
from tests.e2e.faults import ALSO_SOUND, COMPLETE, GAPPY, INCHES, JOINED_WRONG, NOISY, SLOW, SOUND
from tests.support import kubernetes_objects as objects
from tests.support.figures import Ended
from tests.support.stories import NAME, TRIAL_SECONDS, Place, State

from serin_cli.cluster.progress import Progress

RATE = 40.0
HALF = objects.rollout((50, 3))
"""One step: half of the requests, for as long as the gates need."""
ACCURACY = {"accuracy": {"maxDrop": 0.1}}

MINUTES_PER_SECOND = 5.0
"""Time is compressed: labels that come half an hour late come six seconds late here, and delays are as much shorter."""
LATE = (28 / MINUTES_PER_SECOND, 30 / MINUTES_PER_SECOND)
LABEL_DELAY_SECONDS = 40 / MINUTES_PER_SECOND
PATIENT = {"accuracy": {"maxDrop": 0.1, "labelDelay": f"{LABEL_DELAY_SECONDS:.0f}s"}}
HASTY = objects.rollout((50, 1))
"""A step that is over long before the first late label."""
WAITING = {"NoLabels", "TooFewSamples", "NotProven", "LabelsPending", "LabelsMissing"}
"""What accuracy may say while labels have yet to come; that they are too few is said of those old enough to count."""


class Row:
    """A sound model that serves, and a candidate with what its gates say of it."""

    def __init__(
        self, place: Place, wrong: str, candidate: str, gates: dict[str, Any], rollout: dict[str, Any] = HALF
    ) -> None:
        place.wants(candidate, gates=gates, rollout=rollout)
        self._place, self._wrong, self._began = place, wrong, time.monotonic()

    def is_taken_back_by(self, gate: str, reason: str) -> State:
        """Then the candidate is rolled back by this gate for this reason, and by no other."""
        state = self._place.until(lambda state: state.phase == "RolledBack", f"{gate} fails", TRIAL_SECONDS)
        assert state.status["lastRollback"]["gate"] == gate, self._place.diagnosis()
        self._says(state, gate, "Fail", reason)
        return state

    def is_held_by(self, gate: str, verdict: str, reason: str) -> State:
        """Then the step is held by this gate for this reason."""

        def so(state: State) -> bool:
            held = state.phase == "Holding" and f"held by {gate}" in state.message
            return held and (state.gate(gate)["verdict"], state.gate(gate)["reason"]) == (verdict, reason)

        state = self._place.until(so, f"{gate} says {verdict} {reason}", TRIAL_SECONDS)
        self._says(state, gate, verdict, reason)
        return state

    def is_promoted(self) -> State:
        """Then the candidate answers everything."""
        state = self._place.until(lambda state: state.stable_of_spec, "it is promoted", TRIAL_SECONDS)
        assert state.outcomes[0][0] == "Promoted"
        self._measured(state, "every gate passed")
        return state

    def was_held_by(self, gate: str, reasons: set[str]) -> float:
        """Then the step was held by this gate for one of these reasons; returns for how many seconds at least."""
        moments = self._place.mdep.since(self._place.applied_at)
        held = [moment for moment in moments if _holds(State(moment.object), gate, reasons)]
        assert held, f"{gate} never held the step for {reasons}\n{self._place.diagnosis()}"
        after = next((moment for moment in moments if moment.at > held[-1].at), held[-1])
        first, last = State(held[0].object), State(held[-1].object)
        said = first.gate(gate)
        seconds = after.at - held[0].at
        words = f"{gate} {said['verdict']} {said['reason']}, {seconds:.0f} s up to {last.gate(gate)['reason']}"
        ended(Ended(self._wrong, "Holding", held[0].at - self._place.applied_at, words))
        return seconds

    def _says(self, state: State, gate: str, verdict: str, reason: str) -> None:
        said = state.gate(gate)
        assert (said["verdict"], said["reason"]) == (verdict, reason), self._place.diagnosis()
        self._measured(state, f"{gate} {verdict} {reason}: {said['message']}")

    def _measured(self, state: State, words: str) -> None:
        ended(Ended(self._wrong, state.phase, time.monotonic() - self._began, words))


def _holds(state: State, gate: str, reasons: set[str]) -> bool:
    said = state.gate(gate)
    held = state.phase == "Holding" and f"held by {gate}" in state.message
    return held and said["verdict"] in ("NoData", "NotYet") and said["reason"] in reasons


def warnings(place: Place, reason: str) -> list[str]:
    """The notes of the warnings with this reason."""
    found = place.get("events", "--field-selector", f"reason={reason},type=Warning")
    return [event["message"] for event in found]


@beside_others("verdict-inputs")
def test_a_feature_in_another_unit_is_the_candidates_drift(place: Place) -> None:
    """Trained on one column in inches where callers send centimetres: its inputs have left its own profile."""
    place.serves(SOUND)
    with place.load(RATE):
        row = Row(place, "trained on one column in inches", INCHES, {"dataDrift": {"max": 0.2}})
        state = row.is_taken_back_by("dataDrift", "OffOwnProfile")
    assert state.gate("dataDrift")["features"][0]["name"] == faults.FEATURE


@beside_others("verdict-inputs")
def test_a_broken_join_behind_sound_inputs_is_found_by_the_answers(place: Place) -> None:
    """Each column by itself looks as ever, so data drift sees nothing; the answers are others."""
    place.serves(SOUND)
    with place.load(RATE, label_share=0.0):
        row = Row(
            place,
            "a join that mixes columns up",
            JOINED_WRONG,
            {"dataDrift": {"max": 0.2}, "predictionDrift": {"max": 0.1}},
        )
        state = row.is_taken_back_by("predictionDrift", "DriftedFromStable")
    assert state.gate("dataDrift")["verdict"] in ("Pass", "NotYet")


@beside_others("verdict-inputs")
def test_inputs_that_move_for_both_arms_are_nobodys_fault(place: Place) -> None:
    """Callers send another unit to stable and candidate alike: the step is held, and the features are named."""
    place.serves(SOUND)
    moved = faults.in_inches(np.array(place.models.rows)).tolist()
    with place.load(RATE, rows=moved):
        row = Row(place, "one column in inches from every caller", ALSO_SOUND, {"dataDrift": {"max": 0.2}})
        state = row.is_held_by("dataDrift", "NotYet", "SharedDrift")
        place.until(lambda _: warnings(place, "SharedDrift") != [], "an event tells of it", 15)
    told = warnings(place, "SharedDrift")[0]
    assert state.gate("dataDrift")["features"][0]["name"] == faults.FEATURE
    assert state.says("Progressing", "False", "SharedDrift"), place.diagnosis()
    assert state.says("TrafficAsTrained", "False", "SharedDrift"), place.diagnosis()
    assert faults.FEATURE in told
    assert "retrain on recent data" in told
    assert state.weight == 50


@beside_others("verdict-gaps")
def test_values_missing_that_the_candidate_was_not_trained_without_are_a_schema_fault(place: Place) -> None:
    """Three in ten rows lack a value; stable was trained so, the candidate on an export that had filled them in."""
    gaps = faults.with_gaps(np.array(place.models.rows), np.random.default_rng(1)).tolist()
    rows = [[None if np.isnan(value) else value for value in row] for row in gaps]
    place.serves(GAPPY)
    with place.load(RATE, rows=rows):
        row = Row(
            place, "30 % of a column missing, trained without gaps", COMPLETE, {"schema": {"maxViolations": 0.05}}
        )
        state = row.is_taken_back_by("schema", "OutsideTraining")
    assert state.gate("schema")["features"][0]["name"] == f"{faults.GAP_FEATURE} missing"


@beside_others("verdict-labels")
def test_a_model_of_noisy_labels_loses_by_accuracy(place: Place) -> None:
    """Half of the labels that it was trained with were drawn by lot."""
    place.serves(SOUND)
    with place.load(RATE):
        Row(place, "half of the training labels drawn by lot", NOISY, ACCURACY).is_taken_back_by(
            "accuracy", "WorseThanStable"
        )


@beside_others("verdict-labels")
def test_a_slow_model_loses_by_latency(place: Place) -> None:
    """It answers right, and ten times as late as it may."""
    place.serves(SOUND)
    with place.load(RATE / 4):
        row = Row(place, "ten times too slow", SLOW, {"latency": {"quantile": 0.9, "max": "50ms"}})
        row.is_taken_back_by("latency", "SlowerThanStable")


@beside_others("verdict-labels")
def test_without_labels_a_step_is_held_for_want_of_data(place: Place) -> None:
    """Neither promoted nor rejected: silence says nothing."""
    place.serves(SOUND)
    with place.load(RATE, label_share=0.0) as load:
        row = Row(place, "no labels, and then labels", ALSO_SOUND, ACCURACY)
        row.is_held_by("accuracy", "NoData", "NoLabels")
        load.change(label_share=1.0)
        row.is_promoted()


@beside_others("verdict-labels")
def test_a_good_candidate_whose_labels_come_late_is_held_until_they_have_come(place: Place) -> None:
    """Labels half an hour late under a labelDelay of forty minutes, an hour being twelve seconds."""
    place.serves(ALSO_SOUND)
    with place.load(RATE, label_delay=LATE):
        row = Row(place, "labels 30 min late (1 s = 5 min)", COMPLETE, PATIENT, HASTY)
        state = row.is_promoted()
    promoted_at = place.moment_of(lambda seen: seen.stable == state.stable, place.applied_at).at
    split_at = place.moment_of(lambda seen: seen.weight == 50, place.applied_at).at
    assert promoted_at - split_at >= LABEL_DELAY_SECONDS
    row.was_held_by("accuracy", WAITING)
    assert "NoLabels" in reasons(place, "accuracy")


@beside_others("verdict-late-errors")
def test_a_bad_candidate_whose_errors_are_told_late_is_not_promoted_meanwhile(place: Place) -> None:
    """Right answers are labelled at once and wrong ones half an hour later: until then it looks without a fault."""
    first = place.serves(SOUND)
    with place.load(RATE, wrong_label_delay=LATE):
        row = Row(place, "labels of wrong answers 30 min late (1 s = 5 min)", NOISY, PATIENT, HASTY)
        state = row.is_taken_back_by("accuracy", "WorseThanStable")
    row.was_held_by("accuracy", WAITING)
    moments = [State(moment.object) for moment in place.mdep.since(place.applied_at)]
    flattered = [moment.gate("accuracy") for moment in moments if moment.gate("accuracy").get("value", 0.0) > 0.999]
    assert flattered, "its errors were to come late, and it was never seen without them"
    assert {gate["verdict"] for gate in flattered} <= {"NoData", "NotYet"}
    assert {moment.stable for moment in moments} == {first}
    assert state.outcomes[0] == ("Rejected", "WorseThanStable")


def reasons(place: Place, gate: str) -> set[str]:
    """Every reason that a gate gave since the spec changed."""
    moments = [State(moment.object) for moment in place.mdep.since(place.applied_at)]
    return {said["reason"] for said in (moment.gate(gate) for moment in moments) if said}


@beside_others(WHERE)
def test_a_source_of_rubbish_holds_and_one_that_lies_three_times_takes_back(place: Place) -> None:
    """The custom gate reads a document that is no number at first, and then one beyond its limit for ever."""
    place.serves(SOUND)
    gate = {"name": "revenue", "url": URL, "field": "/revenue", "min": 1, "interval": "5s"}
    with documents(place) as room, place.load(RATE):
        document = room / f"{NAME}.json"
        document.write_text('{"revenue": "a lot"}')
        row = Row(place, "a source of rubbish that then lies", ALSO_SOUND, {"custom": [gate]})
        row.is_held_by("custom/revenue", "Error", "SourceFailed")
        document.write_text('{"revenue": 0.2}')
        state = row.is_taken_back_by("custom/revenue", "BeyondLimits")
    assert state.gate("custom/revenue")["breaches"] == 3


@beside_others(WHERE)
def test_while_prometheus_is_down_the_step_is_held(place: Place) -> None:
    """It is up when the trial begins, goes down in it, and comes back: only then is the candidate promoted."""
    place.serves(SOUND)
    query = 'sum(rate(serin_server_requests_total{namespace="{{namespace}}",revision="{{revision}}"}[10s]))'
    gates = {"custom": [{"name": "rate", "query": query, "min": 1, "interval": "5s"}]}
    progress = Progress(Console(stderr=True))
    with place.load(RATE):
        with prometheus.running(place, progress):
            row = Row(place, "Prometheus down in mid-trial", COMPLETE, gates, objects.rollout((50, 25)))
            place.until(lambda state: state.gate("custom/rate").get("verdict") == "Pass", "it is read", TRIAL_SECONDS)
        row.is_held_by("custom/rate", "Error", "SourceFailed")
        with prometheus.running(place, progress):
            row.is_promoted()

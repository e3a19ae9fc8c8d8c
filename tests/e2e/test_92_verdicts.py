"""One table: what is wrong, and where it leads. Each row is a candidate on real pods under real requests.

A fault of inputs is the candidate's own where it was trained on other inputs than callers send. Where both arms have
left what they were trained on, the world has moved and nobody is at fault.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from tests.bench.traffic import flagger_prometheus as prometheus
from tests.e2e import faults
from tests.e2e.conftest import beside_others, measured
from tests.e2e.faults import ALSO_SOUND, COMPLETE, GAPPY, INCHES, JOINED_WRONG, NOISY, SLOW, SOUND
from tests.support import kubernetes_objects as objects
from tests.support.stories import NAME, TRIAL_SECONDS, Place, State

from serin_cli.cluster import addresses
from serin_cli.cluster.progress import Progress

RATE = 40.0
HALF = objects.rollout((50, 3))
"""One step: half of the requests, for as long as the gates need."""
ACCURACY = {"accuracy": {"maxDrop": 0.1}}


class Row:
    """A sound model that serves, and a candidate with what its gates say of it."""

    def __init__(self, place: Place, candidate: str, gates: dict[str, Any], rollout: dict[str, Any] = HALF) -> None:
        place.wants(candidate, gates=gates, rollout=rollout)
        self._place, self._candidate, self._began = place, candidate, time.monotonic()

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

    def _says(self, state: State, gate: str, verdict: str, reason: str) -> None:
        said = state.gate(gate)
        assert (said["verdict"], said["reason"]) == (verdict, reason), self._place.diagnosis()
        self._measured(state, f"{gate} {verdict} {reason}: {said['message']}")

    def _measured(self, state: State, words: str) -> None:
        seconds = time.monotonic() - self._began
        where = self._place.namespace.removeprefix("e2e-")
        measured(f"{where}, {self._candidate}: {state.phase} after {seconds:.0f} s", words)


@beside_others("verdict-inputs")
def test_a_feature_in_another_unit_is_the_candidates_drift(place: Place) -> None:
    """Trained on one column in inches where callers send centimetres: its inputs have left its own profile."""
    place.serves(SOUND)
    with place.load(RATE):
        row = Row(place, INCHES, {"dataDrift": {"max": 0.2}})
        state = row.is_taken_back_by("dataDrift", "OffOwnProfile")
    assert state.gate("dataDrift")["features"][0]["name"] == faults.FEATURE


@beside_others("verdict-inputs")
def test_a_broken_join_behind_sound_inputs_is_found_by_the_answers(place: Place) -> None:
    """Each column by itself looks as ever, so data drift sees nothing; the answers are others."""
    place.serves(SOUND)
    with place.load(RATE, label_share=0.0):
        row = Row(place, JOINED_WRONG, {"dataDrift": {"max": 0.2}, "predictionDrift": {"max": 0.1}})
        state = row.is_taken_back_by("predictionDrift", "DriftedFromStable")
    assert state.gate("dataDrift")["verdict"] in ("Pass", "NotYet")


@beside_others("verdict-inputs")
def test_inputs_that_move_for_both_arms_are_nobodys_fault(place: Place) -> None:
    """Callers send another unit to stable and candidate alike: the step is held, and the features are named."""
    place.serves(SOUND)
    moved = faults.in_inches(np.array(place.models.rows)).tolist()
    with place.load(RATE, rows=moved):
        row = Row(place, ALSO_SOUND, {"dataDrift": {"max": 0.2}})
        state = row.is_held_by("dataDrift", "NotYet", "SharedDrift")
    assert state.gate("dataDrift")["features"][0]["name"] == faults.FEATURE
    assert state.says("Progressing", "False", "SharedDrift") or state.condition("TrafficAsTrained")["status"] == "False"
    assert state.weight == 50


@beside_others("verdict-gaps")
def test_values_missing_that_the_candidate_was_not_trained_without_are_a_schema_fault(place: Place) -> None:
    """Three in ten rows lack a value; stable was trained so, the candidate on an export that had filled them in."""
    gaps = faults.with_gaps(np.array(place.models.rows), np.random.default_rng(1)).tolist()
    rows = [[None if np.isnan(value) else value for value in row] for row in gaps]
    place.serves(GAPPY)
    with place.load(RATE, rows=rows):
        row = Row(place, COMPLETE, {"schema": {"maxViolations": 0.05}})
        state = row.is_taken_back_by("schema", "OutsideTraining")
    assert state.gate("schema")["features"][0]["name"] == f"{faults.GAP_FEATURE} missing"


@beside_others("verdict-labels")
def test_a_model_of_noisy_labels_loses_by_accuracy(place: Place) -> None:
    """Half of the labels that it was trained with were drawn by lot."""
    place.serves(SOUND)
    with place.load(RATE):
        Row(place, NOISY, ACCURACY).is_taken_back_by("accuracy", "WorseThanStable")


@beside_others("verdict-labels")
def test_a_slow_model_loses_by_latency(place: Place) -> None:
    """It answers right, and ten times as late as it may."""
    place.serves(SOUND)
    with place.load(RATE / 4):
        Row(place, SLOW, {"latency": {"quantile": 0.9, "max": "50ms"}}).is_taken_back_by("latency", "SlowerThanStable")


@beside_others("verdict-labels")
def test_without_labels_a_step_is_held_for_want_of_data(place: Place) -> None:
    """Neither promoted nor rejected: silence says nothing."""
    place.serves(SOUND)
    with place.load(RATE, label_share=0.0) as load:
        row = Row(place, ALSO_SOUND, ACCURACY)
        row.is_held_by("accuracy", "NoData", "NoLabels")
        load.change(label_share=1.0)
        row.is_promoted()


@beside_others("verdict-labels")
def test_labels_that_come_late_are_waited_for(place: Place) -> None:
    """Labels six seconds late under a labelDelay of eight: promotion waits until predictions that old have theirs."""
    late = {"accuracy": {"maxDrop": 0.1, "labelDelay": "8s"}}
    place.serves(ALSO_SOUND)
    with place.load(RATE, label_delay=(5.0, 6.0)):
        row = Row(place, COMPLETE, late)
        place.until_candidate(50)
        began = time.monotonic()
        row.is_promoted()
        assert time.monotonic() - began >= 8.0
    reasons = {
        gate["reason"]
        for moment in place.mdep.since(place.applied_at)
        for gate in moment.status.get("gates", ())
        if gate["name"] == "accuracy"
    }
    assert reasons & {"NoLabels", "LabelsPending", "LabelsMissing"}, reasons


@beside_others("verdict-sources")
def test_a_source_of_rubbish_holds_and_one_that_lies_three_times_takes_back(place: Place) -> None:
    """The custom gate reads a document that is no number at first, and then one beyond its limit for ever."""
    place.serves(SOUND)
    url = f"http://{addresses.NODE}:{addresses.DOCUMENTS_PORT}/{{{{name}}}}.json"
    gate = {"name": "revenue", "url": url, "field": "/revenue", "min": 1, "interval": "5s"}
    with documents(place) as room, place.load(RATE):
        document = room / f"{NAME}.json"
        document.write_text('{"revenue": "a lot"}')
        row = Row(place, ALSO_SOUND, {"custom": [gate]})
        row.is_held_by("custom/revenue", "Error", "SourceFailed")
        document.write_text('{"revenue": 0.2}')
        state = row.is_taken_back_by("custom/revenue", "BeyondLimits")
    assert state.gate("custom/revenue")["breaches"] == 3


@beside_others("verdict-sources")
def test_while_prometheus_is_down_the_step_is_held(place: Place) -> None:
    """It is up when the trial begins, goes down in it, and comes back: only then is the candidate promoted."""
    place.serves(SOUND)
    query = 'sum(rate(serin_server_requests_total{namespace="{{namespace}}",revision="{{revision}}"}[10s]))'
    gates = {"custom": [{"name": "rate", "query": query, "min": 1, "interval": "5s"}]}
    progress = Progress(Console(stderr=True))
    with place.load(RATE):
        with prometheus.running(place, progress):
            row = Row(place, COMPLETE, gates, objects.rollout((50, 25)))
            place.until(lambda state: state.gate("custom/rate").get("verdict") == "Pass", "it is read", TRIAL_SECONDS)
        row.is_held_by("custom/rate", "Error", "SourceFailed")
        with prometheus.running(place, progress):
            row.is_promoted()


@contextmanager
def documents(place: Place) -> Iterator[Path]:
    """A directory whose files are served on the node, where the operator may read documents."""
    room = place.models.directory / "documents"
    room.mkdir()
    serve = ["-m", "http.server", "--bind", addresses.NODE, "--directory", str(room), str(addresses.DOCUMENTS_PORT)]
    words = place.cluster.inside_command([sys.executable, *serve])
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield room
    finally:
        process.terminate()
        process.wait(10)

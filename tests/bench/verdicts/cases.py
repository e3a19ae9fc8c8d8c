"""The rows of the table: what the traffic is like, what is wrong with the candidate, what must hold."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from tests.support.counting import Behaviour, Traffic
from tests.support.rows import Rows
from tests.support.rows_world import Callers

ROWS_PER_LOOK = 200.0
LOOK_SECONDS = 30.0
LABELS_AFTER_SECONDS = 120.0
GATES: dict[str, Any] = {
    "accuracy": {},
    "dataDrift": {"max": 0.1},
    "predictionDrift": {"max": 0.1},
    "errorRate": {},
    "latency": {"max": "250ms"},
    "schema": {},
}
STEPS = ((5, "15m"), (10, "15m"), (25, "15m"), (50, "15m"))


def traffic(rows: Rows, rows_per_look: float = ROWS_PER_LOOK, **changes: Any) -> Traffic:
    """Traffic of so many rows between two looks, of both arms together; labels come after two minutes in the mean."""
    rate = rows_per_look / LOOK_SECONDS / rows.rows_per_request
    delays = {"delay_right_seconds": LABELS_AFTER_SECONDS, "delay_wrong_seconds": LABELS_AFTER_SECONDS}
    return Traffic(**({"requests_per_second": rate, "harder_over_seconds": 3600.0} | delays | changes))


def a_model(accuracy: float, **changes: Any) -> Behaviour:
    """A model as each row has it unless it says otherwise: few errors, answers within 20 ms in the median."""
    return Behaviour(**({"accuracy": accuracy, "error_rate": 0.002, "latency_spread": 0.5} | changes))


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    name: str
    sentence: str
    stable: Behaviour = field(default_factory=lambda: a_model(0.95))
    candidate: Behaviour | None = None
    """None for one that is like stable."""
    rows: Rows = field(default_factory=Rows)
    traffic: Traffic | None = None
    gates: dict[str, Any] = field(default_factory=lambda: dict(GATES))
    steps: tuple[tuple[int, str], ...] = STEPS
    seconds: float = 3990.0
    """How long it is looked at, from the first split on: the steps and the time that it takes to begin each."""
    callers: Callers | None = None
    side_requests_per_second: float = 0.0
    restarts_per_look: float = 0.0
    """Chance that the operator begins anew at a look; half of the times what it had written down is lost as well."""
    tuned: bool = True
    """False for settings that were not looked at while the rules were chosen."""
    found_min: float = 0.0
    """Share of bad candidates that must be found."""
    rows_max: float = math.inf
    """Rows of the candidate until then, in the mean, at most."""
    smoke: bool = False
    """Whether the unit tests run it."""

    @property
    def blameless(self) -> bool:
        """Whether a rollback is false."""
        return self.candidate is None

    @property
    def traffic_of(self) -> Traffic:
        """Its traffic, or the usual one."""
        return self.traffic or traffic(self.rows)


_BATCHES = Rows(batched=1.0)
_MORNING = {0: 0.5, 1: 0.5, 2: 0.5}

NULLS = (
    Case("identical", "two equal models at 95 %", smoke=True),
    Case(
        "harder traffic",
        "equal models, and what callers ask gets harder within the hour: 95 → 85 %",
        traffic=traffic(Rows(), harder_by=0.10),
    ),
    Case("time of day", "equal models; three features lie .5 sd off training, in both arms", rows=Rows(moved=_MORNING)),
    Case(
        "evening comes",
        "equal models; three features go .7 sd off training within the hour, in both arms, while the weight climbs",
        rows=Rows(moving={0: 0.7, 1: 0.7, 2: 0.7}),
    ),
    Case("hard day", "equal models, both at 84 %", stable=a_model(0.84)),
    Case(
        "late errors",
        "equal models at 90 %; a label that says wrong comes 20 minutes late in the mean, one that says right 5",
        stable=a_model(0.90),
        traffic=traffic(Rows(), delay_right_seconds=300.0, delay_wrong_seconds=1200.0),
    ),
    Case(
        "batches",
        "equal models at 90 %; every request has 16 rows, alike in features, score and correctness (correlation .5)",
        stable=a_model(0.90),
        rows=_BATCHES,
        traffic=traffic(_BATCHES, 800.0),
        smoke=True,
    ),
    Case(
        "heavy callers",
        "equal models at 90 %; 400 callers, a few of whom make most requests, stay with their arm and are alike to "
        "themselves (correlation .5); each counts once per cohort",
        stable=a_model(0.90),
        callers=Callers(),
    ),
    Case(
        "side traffic",
        "equal models at 90 %; stable's pods also serve as many requests that no route has split",
        stable=a_model(0.90),
        side_requests_per_second=4.0,
    ),
    Case(
        "operator restarts",
        "equal models at 90 %; the operator begins anew at every tenth look, half of the times without what it had "
        "written down",
        stable=a_model(0.90),
        restarts_per_look=0.1,
        smoke=True,
    ),
)

DETECTIONS = (
    Case(
        "accuracy −10",
        "95 against 85 %",
        candidate=a_model(0.85),
        found_min=0.99,
        rows_max=256.0,
        smoke=True,
    ),
    Case("accuracy −5", "95 against 90 %", candidate=a_model(0.90), found_min=0.99, rows_max=1144.0),
    Case("accuracy −3", "95 against 92 %", candidate=a_model(0.92), found_min=0.66, rows_max=3507.0),
    Case(
        "one feature +3 sd",
        "the candidate's pods see one feature 3 sd off (a change of units)",
        candidate=a_model(0.95, shifts={0: 3.0}),
        found_min=0.99,
        rows_max=20.0,
        smoke=True,
    ),
    Case(
        "one feature +1 sd",
        "one feature 1 sd off",
        candidate=a_model(0.95, shifts={0: 1.0}),
        found_min=0.99,
        rows_max=44.0,
    ),
    Case(
        "one feature +.5 sd",
        "one feature half a sd off",
        candidate=a_model(0.95, shifts={0: 0.5}),
        found_min=0.99,
        rows_max=150.0,
    ),
    Case(
        "score +1 sd",
        "the candidate's score 1 sd off, labels unaffected",
        candidate=a_model(0.95, score_shift=1.0),
        found_min=0.99,
        rows_max=46.0,
    ),
)

_WIDE = Rows(features=64, batched=0.3, batch_rows=8, training_rows=4_000)
_NARROW = Rows(features=4, batched=0.8, batch_rows=64, alike=0.9, training_rows=1_000)
_GAPS = Rows(features=20, absent=0.05)
_DEFAULTS: dict[str, Any] = {
    "accuracy": {},
    "dataDrift": {},
    "predictionDrift": {},
    "errorRate": {},
    "latency": {"max": "250ms"},
    "schema": {},
}

FRESH = (
    Case(
        "base 75 %, errors late",
        "equal models at 75 %, two steps of ten minutes, wrong labels 15 minutes late",
        stable=a_model(0.75),
        traffic=traffic(Rows(), delay_right_seconds=60.0, delay_wrong_seconds=900.0),
        steps=((20, "10m"), (50, "10m")),
        gates=_DEFAULTS,
        seconds=2400.0,
        tuned=False,
    ),
    Case(
        "base 99.5 %, 64 features",
        "equal models at 99.5 %, 64 features, batches of 8, profile of 4,000 rows",
        stable=a_model(0.995),
        rows=_WIDE,
        traffic=traffic(_WIDE, 120.0),
        steps=((1, "10m"), (10, "20m"), (30, "30m")),
        gates=_DEFAULTS,
        tuned=False,
    ),
    Case(
        "batches of 64, profile of 1,000",
        "equal models at 88 %, four features, most rows in requests of 64 with correlation .9, evening shift of .8 sd",
        stable=a_model(0.88),
        rows=Rows(**({**vars(_NARROW), "moved": {0: -0.8}})),
        traffic=traffic(_NARROW, 1000.0),
        steps=((50, "1h"),),
        gates=_DEFAULTS,
        tuned=False,
    ),
    Case(
        "gaps, easier traffic",
        "equal models, 80 → 92 %, 20 features of which 5 % are missing, half of the labels never come",
        stable=a_model(0.80),
        rows=_GAPS,
        traffic=traffic(_GAPS, 300.0, harder_by=-0.12, label_share=0.5),
        steps=((10, "5m"), (33, "15m"), (66, "20m")),
        gates=_DEFAULTS,
        tuned=False,
    ),
    Case(
        "slow and failing alike",
        "equal models, both with 3 % errors and a long tail of slow answers",
        stable=a_model(0.92, error_rate=0.03, latency_seconds=0.08, latency_spread=0.9),
        gates=_DEFAULTS,
        tuned=False,
    ),
    Case(
        "fewer callers, heavier",
        "equal models at 80 %; 120 callers with correlation .9, who come more often and differ more",
        stable=a_model(0.80),
        rows=Rows(alike=0.9),
        callers=Callers(number=120, visits_per_hour=20.0, spread=3.0),
        gates=_DEFAULTS,
        tuned=False,
    ),
    Case(
        "−2 points at 99 %",
        "99 against 97 %",
        stable=a_model(0.99),
        candidate=a_model(0.969),
        gates=_DEFAULTS,
        tuned=False,
        found_min=0.5,
    ),
    Case(
        "one of 64 features −.7 sd",
        "one feature of 64 lies .7 sd lower, batches of 8",
        rows=_WIDE,
        candidate=a_model(0.95, shifts={40: -0.7}),
        gates=_DEFAULTS,
        tuned=False,
        found_min=0.95,
    ),
    Case(
        "10 % missing in one feature",
        "one feature of 13 is missing in every tenth row",
        candidate=a_model(0.95, missing={5: 0.1}),
        gates=_DEFAULTS,
        tuned=False,
        found_min=0.95,
    ),
)

CASES = (*NULLS, *DETECTIONS, *FRESH)
BY_NAME = {case.name: case for case in CASES}

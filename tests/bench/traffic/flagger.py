"""Flagger and Serin side by side on one cluster, one gateway and one load: `python -m tests.bench.traffic.flagger`.

Each promotes a good model and rolls back one that refuses 30 % of what it is asked, at weight 20. They take turns;
whichever is not measured serves nothing. Flagger looks every 10 s, the shortest that it takes, and is measured with
both thresholds that a person in a hurry would choose.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from tests.bench.traffic import models as fussy
from tests.bench.traffic.caller import Settings
from tests.bench.traffic.flagger_ground import INTERVAL_SECONDS, WEIGHT, Ground, ground
from tests.bench.traffic.log import Log, callers, table
from tests.bench.traffic.rollbacks import GAPS, RATE, Rollback, judged, roll_back
from tests.support import kubernetes_objects as objects
from tests.support.stories import NAME, TRIAL_SECONDS, Models, Place, place

from serin_cli.cluster.access import load
from serin_cli.cluster.progress import Progress

QUIET_SECONDS = 4.0
THRESHOLDS = (2, 1)
TIMES = 5

Told = TypeVar("Told")


@dataclass(frozen=True)
class Promotion:
    """One promotion as callers saw it."""

    requests: int
    failed: int
    last_answer_seconds: float
    """From the change of the spec to the old model's last answer."""
    done_seconds: float
    """From the change of the spec until all is said to be done."""
    p99_ms: float
    """Of all good answers between these."""


@dataclass(frozen=True)
class Found:
    """What one of the two was measured with."""

    name: str
    promotions: list[Promotion]
    rollbacks: list[Rollback]


def promoted(log: Log, old: str, asked_at: float, done_at: float) -> Promotion:
    """What the callers' log says of a promotion."""
    return Promotion(
        requests=len(log.requests),
        failed=len(log.failures),
        last_answer_seconds=log.last_answer(old) - asked_at,
        done_seconds=done_at - asked_at,
        p99_ms=log.between(asked_at, done_at).quantile_ms(0.99),
    )


def _settings(url: str, host: str, models: Models) -> Settings:
    return Settings(url, host, f"/v2/models/{NAME}/infer", fussy.bodies(models, GAPS), RATE)


# Flagger


def flagger_promotes(made: Ground, old: str, new: str) -> Promotion:
    """A model that is as good takes the place of the old one."""
    cluster = made.place.cluster
    with callers(_settings(cluster.gateway_url_inside, made.host, made.place.models), cluster.inside_command) as log:
        time.sleep(QUIET_SECONDS)
        asked_at = made.wants(fussy.TOLERANT, new)
        made.until(lambda: made.phase == "Progressing", "the trial begins")
        made.until(lambda: made.phase in ("Succeeded", "Failed"), "the trial ends")
        assert made.phase == "Succeeded", "Flagger rolled back a good model"
        done_at = made.said("Promotion completed", asked_at)
        time.sleep(QUIET_SECONDS)
    return promoted(log, old, asked_at, done_at)


def flagger_rolls_back(made: Ground, old: str, new: str) -> Rollback:
    """The fussy model is tried and sent back; its pods are gone before this returns."""
    cluster = made.place.cluster
    with callers(_settings(cluster.gateway_url_inside, made.host, made.place.models), cluster.inside_command) as log:
        asked_at = made.wants(fussy.FUSSY, new)
        made.until(lambda: made.phase == "Progressing", "the trial begins")
        made.until(lambda: made.phase in ("Succeeded", "Failed"), "the trial ends")
        assert made.phase == "Failed", "Flagger promoted a model that refuses requests"
        verdict_at = made.said("failed checks threshold reached", asked_at)
        time.sleep(QUIET_SECONDS)
    made.until(lambda: not made.place.get("pods", "-l", "app=peer"), "the candidate's pods are gone")
    return judged(log, old, verdict_at)


def measure_flagger(made: Ground, times: int) -> list[Found]:
    """With each threshold: one promotion, then the rollbacks."""
    found, old = [], "first"
    for threshold in THRESHOLDS:
        made.judges(threshold)
        new = f"good-{threshold}"
        promotions = [_told(flagger_promotes(made, old, new))]
        old = new
        rollbacks = [_told(flagger_rolls_back(made, old, f"fussy-{threshold}-{number}")) for number in range(times)]
        found.append(Found(f"Flagger, {INTERVAL_SECONDS} s, threshold {threshold}", promotions, rollbacks))
    return found


# Serin


def serin_promotes(made: Place, number: int) -> Promotion:
    """A model that is as good takes the place of the old one, with one step as long as Flagger's."""
    spec = {"rollout": objects.rollout((WEIGHT, INTERVAL_SECONDS)), "gates": {"errorRate": {"max": 0.05}}}
    old = made.serves(fussy.TOLERANT, **spec)
    serving = objects.serving(env=[{"name": "PROMOTION", "value": str(number)}])
    settings = _settings(made.cluster.gateway_url_inside, made.host, made.models)
    with callers(settings, made.cluster.inside_command) as log:
        time.sleep(QUIET_SECONDS)
        made.wants(fussy.TOLERANT, **(spec | {"serving": serving}))
        made.until(lambda state: state.stable_of_spec, "the candidate is promoted", TRIAL_SECONDS)
        done_at = made.moment_of(lambda state: state.stable_of_spec and state.stable != old, made.applied_at).at
        time.sleep(QUIET_SECONDS)
    return promoted(log, old, made.applied_at, done_at)


def measure_serin(made: Place, times: int) -> Found:
    """Rollbacks first: a promotion changes what is stable."""
    rollbacks = [_told(roll_back(made, number)) for number in range(times)]
    promotions = [_told(serin_promotes(made, 0))]
    return Found("Serin", promotions, rollbacks)


# Side by side


def _told(one: Told) -> Told:
    sys.stderr.write(f"{one}\n")
    return one


def summary(found: Sequence[Found]) -> str:
    """One column for each, median and worst where something was done more than once."""

    def row(title: str, values: Callable[[Found], list[float]]) -> tuple[str, ...]:
        return (title, *(_spread(values(one)) for one in found))

    rows = [
        row("promotion: requests", lambda one: [each.requests for each in one.promotions]),
        row("promotion: failed", lambda one: [each.failed for each in one.promotions]),
        row("promotion: apply to the old model's last answer (s)",
            lambda one: [each.last_answer_seconds for each in one.promotions]),
        row("promotion: apply to done (s)", lambda one: [each.done_seconds for each in one.promotions]),
        row("promotion: p99 on the way (ms)", lambda one: [each.p99_ms for each in one.promotions]),
        row("rollback: requests exposed", lambda one: [each.exposed for each in one.rollbacks]),
        row("rollback: of these refused", lambda one: [each.failed for each in one.rollbacks]),
        row("rollback: lost otherwise", lambda one: [each.lost for each in one.rollbacks]),
        row("rollback: first answer to verdict (s)", lambda one: [each.verdict_seconds for each in one.rollbacks]),
        row("rollback: verdict to last answer (s)", lambda one: [each.last_answer_seconds for each in one.rollbacks]),
    ]  # fmt: skip
    return table(("", *(one.name for one in found)), rows)


def _spread(values: list[float]) -> str:
    middle = f"{statistics.median(values):,.4g}"
    return middle if len(values) == 1 else f"{middle}, at most {max(values):,.4g}"


def main() -> int:
    """Measure one, then the other; 1 where Serin lost a request."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=TIMES, help="rollbacks of each kind")
    parser.add_argument("--json", type=Path, help="write every promotion and rollback there")
    parser.add_argument("--only", choices=("flagger", "serin"), help="measure one of the two")
    wishes = parser.parse_args()
    found: list[Found] = []
    with tempfile.TemporaryDirectory() as directory:
        models = fussy.prepare(Path(directory))
        if wishes.only != "serin":
            with place(load(), "bench-flagger", models, label="bench") as made, ground(made, Progress()) as peer:
                found += measure_flagger(peer, wishes.times)
        if wishes.only != "flagger":
            with place(load(), "bench-serin", models, label="bench") as made:
                found.append(measure_serin(made, wishes.times))
    sys.stdout.write(summary(found) + "\n")
    if wishes.json:
        wishes.json.write_text(json.dumps([asdict(one) for one in found], indent=2))
    own = [one for one in found if one.name == "Serin"]
    return 1 if any(each.failed for one in own for each in one.promotions) or _lost(own) else 0


def _lost(found: Sequence[Found]) -> int:
    return sum(each.lost for one in found for each in one.rollbacks)


if __name__ == "__main__":
    sys.exit(main())

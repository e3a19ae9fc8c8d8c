"""Months and years of simulated watches through the real evidence and verdicts: how often is a false alarm raised?

Run it with `python -m tests.bench.simulate_watch`. It prints the table as Markdown. Every run is seeded by its place.
It fails when a bound is broken. Rows are standard normal in 13 features; pods count them on the profile of a training
set of 10,000 rows.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.stats import chi2, norm
from tests.support.rows import Rows, a_profile
from tests.support.world import a_spec

from serin_contract.profile import NumericFeature, Profile, profile_hash
from serin_contract.stats import BinCounts, CohortStats, LabelCounts, PodStats
from serin_operator.api.deployment import GateStatus, ModelDeploymentSpec
from serin_operator.decide import policy, timestamps
from serin_operator.decide.judge import watched, watched_saved, watched_verdicts
from serin_operator.decide.judge.reasons import GateReason
from serin_operator.decide.judge.watched import WatchEvidence
from serin_operator.decide.judge.watched_look import WatchLook
from serin_operator.decide.policy import Policy

BEGUN = 1_800_000_000.0
HOUR_SECONDS = 3600.0
YEAR_HOURS = 8766
DECLARED = 1.0
"""False alarms a year that a watch may raise by default, all gates together."""
FORGETS_EVERY = 4
NONCE = "0123456789ab"
COHORT = watched.cohort_name("wine-b", 1, NONCE)


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    name: str
    gates: dict[str, Any]
    hours: float
    look_hours: float = 1.0
    rows_per_hour: float = 100.0
    season: float = 0.0
    """Amplitude of a day's swing of every feature, in standard deviations."""
    season_of: int = 13
    """Features that swing."""
    shift: float = 0.0
    """By which one feature moves at `changes_at`, for good."""
    changes_at: float = 0.0
    """Hours after the beginning."""
    labels_per_hour: float = 0.0
    proven: float = 0.9
    accuracy: tuple[float, float] = (0.9, 0.9)
    """Before and after the change."""
    accuracy_season: float = 0.0
    """Amplitude of a day's swing of the accuracy, around what is named."""
    error_rate: float = 0.0
    restart_hours: float = math.inf
    """Between two deaths of the operator. The next one restores what was written at the look before the last, and after
    every fourth death finds nothing."""
    breaches_max: float = math.inf
    """Runs that may breach before the change, or at all where nothing changes, on average."""
    found_min: float = 0.0
    """Share of runs in which the change must be found."""


DRIFT: dict[str, Any] = {"dataDrift": {"max": 0.1}}
FLOOR: dict[str, Any] = {"accuracy": {"min": 0.9, "maxDrop": 0.02, "minLabelCoverage": 1.0}}
DROP: dict[str, Any] = {"accuracy": {"maxDrop": 0.02, "minLabelCoverage": 1.0}}
MONTH = 30 * 24.0

CASES = (
    Case("no season, 100 rows/h", DRIFT, MONTH, breaches_max=0.0),
    Case("season .25 sd, 200 rows/h", DRIFT, MONTH, rows_per_hour=200, season=0.25, breaches_max=0.0),
    Case("season .4 sd, 200 rows/h", DRIFT, MONTH, rows_per_hour=200, season=0.4, breaches_max=0.0),
    Case("season .6 sd, 200 rows/h", DRIFT, MONTH, rows_per_hour=200, season=0.6, breaches_max=0.0),
    Case("season .8 sd, 200 rows/h", DRIFT, MONTH, rows_per_hour=200, season=0.8, breaches_max=0.0),
    Case("30 rows/h", DRIFT, MONTH, rows_per_hour=30, breaches_max=0.0),
    Case("+1 sd in one feature, 100 rows/h", DRIFT, 240, shift=1.0, changes_at=120, found_min=1.0),
    Case("+.5 sd in one feature, 100 rows/h", DRIFT, 240, shift=0.5, changes_at=120, found_min=1.0),
    Case(
        "+.5 sd beside a season of .4 sd, 200 rows/h", DRIFT, 240,
        rows_per_hour=200, season=0.4, shift=0.5, changes_at=120, found_min=1.0,
    ),
    Case("accuracy 90 -> 85 %, floor 90 %", FLOOR, 240, 0.25, labels_per_hour=100, accuracy=(0.9, 0.85),
         changes_at=48, found_min=1.0),
    Case("accuracy 90 -> 80 %, floor 90 %", FLOOR, 120, 0.25, labels_per_hour=100, accuracy=(0.9, 0.8),
         changes_at=48, found_min=1.0),
    Case("accuracy 90 -> 85 %, maxDrop 2 points", DROP, 240, 0.25, labels_per_hour=100, accuracy=(0.9, 0.85),
         changes_at=48, found_min=0.9),
    Case("accuracy 90 -> 80 %, maxDrop 2 points", DROP, 120, 0.25, labels_per_hour=100, accuracy=(0.9, 0.8),
         changes_at=48, found_min=1.0),
    Case("accuracy 90 -> 80 %, 6,000 labels/h", DROP, 50, 1 / 60, labels_per_hour=6000, accuracy=(0.9, 0.8),
         changes_at=48, found_min=1.0),
    Case("a year at what was proven", DROP, YEAR_HOURS, 0.25, labels_per_hour=100, breaches_max=0.0),
    Case("a year exactly at the limit", FLOOR, YEAR_HOURS, 0.25, labels_per_hour=100, breaches_max=1.0),
    Case("a year swinging by the day, worst hour at the limit", FLOOR, YEAR_HOURS, 0.25, labels_per_hour=100,
         accuracy=(0.92, 0.92), accuracy_season=0.02, breaches_max=DECLARED),
    Case("a year at the limit, the operator dies every 6 h", FLOOR, YEAR_HOURS, 0.25, labels_per_hour=100,
         restart_hours=6, breaches_max=DECLARED),
    Case("a year of errors exactly at max", {"errorRate": {"max": 0.01}}, YEAR_HOURS, 0.25, error_rate=0.01,
         breaches_max=1.0),
    Case("a year of labels and errors at both limits, the operator dies every 6 h",
         FLOOR | {"errorRate": {"max": 0.01}}, YEAR_HOURS, 0.25, labels_per_hour=100, error_rate=0.01,
         restart_hours=6, breaches_max=DECLARED),
    Case("season .4 sd, 200 rows/h, the operator dies every 6 h", DRIFT, MONTH, rows_per_hour=200, season=0.4,
         restart_hours=6, breaches_max=0.0),
)  # fmt: skip


@dataclass
class Served:
    """What one pod has counted, and the draws that make it count."""

    case: Case
    draws: np.random.Generator
    profile: Profile
    features: np.ndarray = field(default_factory=lambda: np.zeros(0))
    prediction: np.ndarray = field(default_factory=lambda: np.zeros(0))
    requests: int = 0
    failed: int = 0
    labelled: int = 0
    correct: int = 0

    def serve(self, hour: float) -> PodStats:
        """One more stretch of time, ended by a look."""
        case = self.case
        labels = int(self.draws.poisson(case.labels_per_hour * case.look_hours))
        swing = case.accuracy_season * math.sin(2 * math.pi * hour / 24)
        accuracy = case.accuracy[hour >= case.changes_at > 0] + swing
        self.labelled += labels
        self.correct += int(self.draws.binomial(labels, accuracy))
        rows = int(self.draws.poisson(case.rows_per_hour * case.look_hours))
        self.requests += max(rows, labels)
        self.failed += int(self.draws.binomial(rows, case.error_rate)) if case.error_rate else 0
        own = self._bins(hour, rows) if "dataDrift" in case.gates else None
        counts = CohortStats(
            requests=self.requests,
            predictions=float(self.labelled or self.requests),
            failed=self.failed,
            labels={"wine-b": LabelCounts(float(self.labelled), float(self.correct))},
            own_bins=own,
        )
        return PodStats("wine-b", "pod-1", "start-1", cohorts={COHORT: counts})

    def _bins(self, hour: float, rows: int) -> BinCounts:
        case = self.case
        swing = case.season * math.sin(2 * math.pi * hour / 24)
        found = []
        for place, feature in enumerate(self.profile.features):
            assert isinstance(feature, NumericFeature)
            moved = (swing if place < case.season_of else 0.0) + (
                case.shift if place == 0 and hour >= case.changes_at > 0 else 0.0
            )
            inner = norm.cdf(np.array(feature.edges) - moved)
            chances = np.diff(np.concatenate(([0.0], inner, [1.0])))
            found.extend((*self.draws.multinomial(rows, chances), 0))
        added = np.array(found, dtype=np.float64)
        outputs = self.draws.multinomial(rows, np.array(self.profile.prediction.counts) / self.profile.rows)
        self.features = added if not self.features.size else self.features + added
        self.prediction = outputs if not self.prediction.size else self.prediction + outputs
        return BinCounts(profile_hash(self.profile), self.features.tolist(), self.prediction.astype(float).tolist())


@dataclass(frozen=True)
class Outcome:
    """What one watch has seen."""

    breaches: int
    """Times that a breach began without cause."""
    alert_days: int
    """Days on which something alerted without cause."""
    breach_hours: float | None
    """From the change to the breach; None where it was not found."""
    alert_hours: float | None
    labels: float


def run(case: Case, seed: int) -> Outcome:
    """One watch, from its beginning to its end or to the first breach that has a cause."""
    draws = np.random.default_rng(seed)
    profile = a_profile(draws, Rows())
    served, asked = Served(case, draws, profile), _policy(case)
    evidence = written = watched.start("wine-b", NONCE)
    breaches, before, alert_hours, deaths = 0, False, None, 0
    alert_days: set[int] = set()
    for look in range(1, round(case.hours / case.look_hours) + 1):
        hour = look * case.look_hours
        now = BEGUN + hour * HOUR_SECONDS
        if hour >= (deaths + 1) * case.restart_hours:
            deaths += 1
            evidence = _restored(written, now, forgotten=deaths % FORGETS_EVERY == 0)
        written = evidence
        evidence = watched.absorb(evidence, [served.serve(hour)], now, {"pod-1"})
        gates = _judged(case, asked, evidence, profile, now)
        changed, fails = hour >= case.changes_at > 0, any(gate.verdict == "Fail" for gate in gates)
        alerts = fails or any(gate.reason == GateReason.OffProfileBriefly for gate in gates)
        if changed and alerts and alert_hours is None:
            alert_hours = hour - case.changes_at
        if changed and fails:
            found = hour - case.changes_at
            return Outcome(breaches, len(alert_days), found, alert_hours, found * case.labels_per_hour)
        breaches += not changed and fails and not before
        before = fails
        if alerts and not changed:
            alert_days.add(int(hour // 24))
    return Outcome(breaches, len(alert_days), None, alert_hours, 0.0)


def _restored(written: WatchEvidence, now: float, *, forgotten: bool) -> WatchEvidence:
    """What a new process begins with, by way of the record."""
    record = {} if forgotten else {watched_saved.KEY: watched_saved.dump(written, now)}
    return watched_saved.restore(json.loads(json.dumps(record)), "wine-b", NONCE)


def _policy(case: Case) -> Policy:
    return policy.resolve(ModelDeploymentSpec.model_validate(a_spec(gates=case.gates, watch={"for": "72h"})))


def _judged(case: Case, asked: Policy, evidence: WatchEvidence, profile: Profile, now: float) -> tuple[GateStatus, ...]:
    look = WatchLook(
        evidence=evidence,
        policy=asked,
        proven={"accuracy": case.proven},
        since=BEGUN,
        now=now,
        now_text=timestamps.text(now),
        profile=profile,
    )
    return watched_verdicts.judge(look)


def _one(job: tuple[int, int]) -> tuple[int, Outcome]:
    place, seed = job
    return place, run(CASES[place], 1000 * seed + place)


def table(runs: int, workers: int, chosen: list[int]) -> Iterator[dict[str, Any]]:
    """One row for each case."""
    found: dict[int, list[Outcome]] = {place: [] for place in chosen}
    jobs = [(place, seed) for place in chosen for seed in range(runs)]
    with multiprocessing.Pool(workers) as pool:
        for place, outcome in pool.imap_unordered(_one, jobs):
            found[place].append(outcome)
    for place, outcomes in found.items():
        case = CASES[place]
        hits = [outcome for outcome in outcomes if outcome.breach_hours is not None]
        alerts = [outcome.alert_hours for outcome in outcomes if outcome.alert_hours is not None]
        false = sum(outcome.breaches for outcome in outcomes)
        years = len(outcomes) * (case.changes_at or case.hours) / YEAR_HOURS
        row: dict[str, Any] = {
            "case": case.name,
            "runs": len(outcomes),
            "years": round(years, 1),
            "false breaches": false,
            "a year": round(false / years, 2),
            "at most (95 %)": round(float(chi2.ppf(0.95, 2 * false + 2)) / 2 / years, 2),
            "false alert days": sum(outcome.alert_days for outcome in outcomes),
        }
        if case.changes_at:
            row["found"] = len(hits) / len(outcomes)
            row["median hours to breach"] = _median([outcome.breach_hours for outcome in hits])
            row["median hours to alert"] = _median(alerts)
            if case.labels_per_hour:
                row["median labels"] = _median([outcome.labels for outcome in hits])
        row["holds"] = false <= case.breaches_max * len(outcomes) and row.get("found", 1.0) >= case.found_min
        yield row


def _median(values: list[Any]) -> float | None:
    return round(statistics.median(values), 2) if values else None


def markdown(rows: list[dict[str, Any]]) -> str:
    """The rows as a table of Markdown; a dash where a row has nothing to say."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    lines = [columns, ["---"] * len(columns)]
    lines += [[str(row[column]) if row.get(column) is not None else "–" for column in columns] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> int:
    """Print the table; 1 where a bound is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--cases", type=int, nargs="*", help="places in the table; all by default")
    given = parser.parse_args()
    begun = time.monotonic()
    rows = list(table(given.runs, given.workers, given.cases or list(range(len(CASES)))))
    nothing = [row for row in rows if "found" not in row]
    words = f"Nothing changes; up to {DECLARED:g} false alarm a year is declared"
    for title, some in ((words, nothing), ("Something changes", [row for row in rows if "found" in row])):
        if some:
            sys.stdout.write(f"{title}:\n\n{markdown(some)}\n\n")
    sys.stdout.write(f"{time.monotonic() - begun:.0f} s\n")
    return int(not all(row["holds"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())

"""A world whose requests have rows of features, which pods count on the edges of their profiles."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from serin_contract.profile import Profile
from serin_contract.stats import PodStats
from serin_operator.decide.observation import Observation, StatsAnswer
from tests.support.counting import LABEL_SUMS, Behaviour, Bins, Counts, Numbers, Quality, latency_counts
from tests.support.rows import Counter, Drawn, Rows, a_profile, draw, seen
from tests.support.world import World, a_spec, is_phase, uri


@dataclass(frozen=True)
class Callers:
    """A closed circle of callers who stay with their arm and come again and again."""

    number: int = 400
    visits_per_hour: float = 8.0
    """Of the median caller."""
    spread: float = 2.0
    """Standard deviation of the logarithm of their visits: a few make most of the requests."""


@dataclass
class Underway:
    """Labels of one revision in one cohort that have not come yet."""

    due: Numbers = field(default_factory=lambda: np.empty(0))
    predicted_at: Numbers = field(default_factory=lambda: np.empty(0))
    sums: Numbers = field(default_factory=lambda: np.empty((0, LABEL_SUMS + 2)))
    """What pods count, and then rows and correct rows as they come."""

    def add(self, due: Numbers, predicted_at: float, sums: Numbers) -> None:
        """More of them."""
        self.due = np.concatenate([self.due, due])
        self.predicted_at = np.concatenate([self.predicted_at, np.full(len(due), predicted_at)])
        self.sums = np.concatenate([self.sums, sums])

    def come(self, now: float) -> list[tuple[float, Numbers]]:
        """Those that are due, summed by the time of their predictions."""
        come = self.due <= now
        due = np.flatnonzero(come)
        if not len(due):
            return []
        times = self.predicted_at[due]
        firsts = np.flatnonzero(np.concatenate(([True], times[1:] > times[:-1])))  # they were added as time went by
        sums = np.add.reduceat(self.sums.take(due, axis=0), firsts)
        late = np.flatnonzero(~come)
        self.due, self.predicted_at, self.sums = self.due[late], self.predicted_at[late], self.sums.take(late, axis=0)
        return list(zip(times[firsts].tolist(), sums, strict=True))


@dataclass
class RowsWorld(World):
    """Requests are drawn row by row; with `callers` they come from a closed circle."""

    rows: Rows = field(default_factory=Rows)
    callers: Callers | None = None
    side_requests_per_second: float = 0.0
    """Requests that go to stable's pods without passing the route: easier ones, that no cohort may count."""
    keeps_rows: bool = False
    """Whether `row_bins` is kept."""
    served_rows: dict[str, int] = field(default_factory=dict)
    """By revision since the split began."""
    row_labels: dict[str, Numbers] = field(default_factory=dict)
    """Labelled and correct rows by revision, each row alike and whenever its label came: what Serin does not count."""
    row_bins: dict[str, Numbers] = field(default_factory=dict)
    """Likewise rows per bin of the revision's own profile, features first and then predictions."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._counters: dict[str, Counter] = {}
        self._profiles: dict[str, Profile] = {}
        self._underway: dict[tuple[str, str], Underway] = {}
        self._side_requests = 0
        if self.callers is not None:
            self._know(self.callers)

    def _know(self, callers: Callers) -> None:
        number = callers.number
        self._places = self.draws.random(number)
        self._visits = callers.visits_per_hour / 3600 * self.draws.lognormal(0.0, callers.spread, number)
        self._tastes = self.draws.standard_normal((number, self.rows.features + 1))
        self._luck = self.draws.random(number)
        self._counted_in: dict[str, Any] = {}

    # What the operator sees

    def observe(self) -> Observation:
        """With the profiles of the arms that have pods."""
        ready = self.ready()
        states = (self.status.stable, self.status.candidate)
        names = [state.revision for state in states if state is not None and ready.get(state.revision)]
        return replace(super().observe(), profiles={name: self.profile(name) for name in names})

    def profile(self, revision: str) -> Profile:
        """What the pods of that revision hold as their own."""
        if revision not in self._profiles:
            self._profiles[revision] = a_profile(self.draws, self.rows)
        return self._profiles[revision]

    def counter(self, revision: str) -> Counter:
        """Counts rows on the edges of that revision's profile."""
        if revision not in self._counters:
            self._counters[revision] = Counter(self.profile(revision))
        return self._counters[revision]

    def _answer(self, revision: str, cohorts: Mapping[str, Any]) -> StatsAnswer:
        answer = super()._answer(revision, dict(cohorts))
        if self._side_requests and self.status.stable is not None and self.status.stable.revision == revision:
            stats = PodStats(
                **{name: getattr(answer.stats, name) for name in PodStats.__struct_fields__}
                | {"requests": self._side_requests}
            )
            return replace(answer, stats=stats)
        return answer

    # What time does

    def _send(self, seconds: float, weights: Mapping[str, float], cohort: str | None) -> None:
        self._side_requests += round(self.side_requests_per_second * seconds)
        if cohort is None:
            return
        if self.callers is not None:
            self._visit(seconds, weights, cohort)
            return
        ready = self.ready()
        for revision, weight in weights.items():
            requests = int(self.draws.poisson(self.traffic.requests_per_second * seconds * weight / 100))
            if requests and ready.get(revision):
                self._count(revision, cohort, requests)

    def _count(self, revision: str, cohort: str, requests: int) -> None:
        behaviour = self.models[self.revisions[revision].spec.model.uri]
        refused = self._binomial(requests, behaviour.error_rate)
        drawn = draw(self.draws, self._rows_now(), behaviour, self._accuracy(behaviour), requests - refused)
        self._answered(revision, cohort, behaviour, requests, refused, drawn)

    def _rows_now(self) -> Rows:
        return self.rows.at(min(1.0, (self.now - self.split_since) / self.traffic.harder_over_seconds))

    def _visit(self, seconds: float, weights: Mapping[str, float], cohort: str) -> None:
        """Each caller counts with its first request in a cohort; the candidate's audience only grows."""
        candidate = self.status.candidate
        share = weights.get(candidate.revision, 0) / 100 if candidate is not None else 0.0
        counted = self._counted_in.setdefault(cohort, np.zeros(len(self._places), dtype=bool))
        visits = self.draws.poisson(self._visits * seconds)
        for revision in weights:
            is_candidate = candidate is not None and revision == candidate.revision
            mine = (visits > 0) & ((self._places < share) if is_candidate else (self._places >= share))
            first = np.flatnonzero(mine & ~counted)
            counts = self.counts.setdefault((revision, cohort), Counts())
            counts.repeated += int(visits[mine].sum()) - len(first)
            counts.callers += len(first)
            counted[first] = True
            if len(first):
                self._first(revision, cohort, first)

    def _first(self, revision: str, cohort: str, callers: Any) -> None:
        behaviour = self.models[self.revisions[revision].spec.model.uri]
        alike, accuracy = self.rows.alike, self._accuracy(behaviour)
        own = self.draws.standard_normal((len(callers), self.rows.features + 1))
        values = math.sqrt(alike) * self._tastes[callers] + math.sqrt(1.0 - alike) * own
        # The lucky ones are always right: correctness of one caller has the correlation `alike` as well.
        always = self._luck[callers] < accuracy
        chances = np.where(self.draws.random(len(callers)) < math.sqrt(alike), always.astype(float), accuracy)
        drawn = seen(self.draws, self._rows_now(), behaviour, values, chances, np.ones(len(callers)))
        self._answered(revision, cohort, behaviour, len(callers), 0, drawn)

    def _answered(
        self, revision: str, cohort: str, behaviour: Behaviour, requests: int, refused: int, drawn: Drawn
    ) -> None:
        counted = self.counts.setdefault((revision, cohort), Counts())
        counted.answered(requests, refused, len(drawn.weights))
        counted.latency += latency_counts(self.draws, behaviour, requests)
        counted.slots.predicted(self.now, float(drawn.weights.sum()))
        self.last_asked[revision] = self.now
        self.served[revision] = self.served.get(revision, 0) + requests
        self.served_rows[revision] = self.served_rows.get(revision, 0) + len(drawn.weights)
        self._bin(revision, counted, drawn)
        self._await_labels(revision, cohort, drawn)

    def _bin(self, revision: str, counted: Counts, drawn: Drawn) -> None:
        counter = self.counter(revision)
        counted.own = _plus(counted.own, counter.count(drawn))
        if self.keeps_rows:
            self.row_bins[revision] = self.row_bins.get(revision, 0.0) + counter.each_row(drawn)
        found = counter.quality(drawn)
        before = counted.quality
        counted.quality = (
            found
            if before is None
            else Quality(
                before.profile_hash,
                before.rows + found.rows,
                before.missing + found.missing,
                before.below + found.below,
                before.above + found.above,
            )
        )
        stable = self.status.stable
        if stable is not None and stable.revision != revision:
            counted.stable = _plus(counted.stable, self.counter(stable.revision).count(drawn))

    def _await_labels(self, revision: str, cohort: str, drawn: Drawn) -> None:
        share = self.traffic.label_share
        kept = slice(None) if share >= 1.0 else self.draws.random(len(drawn.weights)) < share
        weights, correct = drawn.weights[kept], drawn.correct[kept]
        means = np.where(correct, self.traffic.delay_right_seconds, self.traffic.delay_wrong_seconds)
        due = self.now + self.draws.exponential(1.0, len(weights)) * means
        sums = np.zeros((len(weights), LABEL_SUMS + 2))
        sums[:, 0], sums[:, 1] = weights, weights * correct
        sums[:, -2], sums[:, -1] = 1.0, correct
        if drawn.errors is not None:
            errors = drawn.errors[kept]
            sums[:, 1] = 0.0
            sums[:, 2], sums[:, 3], sums[:, 4] = weights * errors, weights * errors**2, weights * errors**4
        self._underway.setdefault((revision, cohort), Underway()).add(due, self.now, sums)

    def _label(self) -> None:
        stable = self.status.stable.revision if self.status.stable else None
        told = stable is not None and bool(self.ready().get(stable))
        for (revision, cohort), underway in self._underway.items():
            come = underway.come(self.now)
            if stable is None or not told or not come:
                continue
            counted = self.counts.setdefault((stable, cohort), Counts())
            for predicted_at, sums in come:
                counted.labelled(predicted_at, revision, sums[:LABEL_SUMS])
                self.row_labels[revision] = self.row_labels.get(revision, 0.0) + sums[LABEL_SUMS:]
                self.labelled[revision] = self.labelled.get(revision, 0.0) + float(sums[0])


def _plus(before: Bins | None, found: Bins) -> Bins:
    if before is None:
        return found
    return Bins(before.profile_hash, before.features + found.features, before.prediction + found.prediction)


def a_rows_spec(version: int = 1, **changes: Any) -> dict[str, Any]:
    """A spec with every gate that rows, labels and answers can feed."""
    gates = {
        "accuracy": {},
        "dataDrift": {},
        "predictionDrift": {},
        "errorRate": {},
        "latency": {"max": "250ms"},
        "schema": {},
    }
    return a_spec(version, **({"gates": gates} | changes))


def a_served_rows_world(**changes: Any) -> RowsWorld:
    """A world of rows in which version 1 is stable."""
    models = {uri(version): Behaviour() for version in range(1, 8)} | changes.pop("models", {})
    world = RowsWorld(spec=changes.pop("spec", a_rows_spec()), models=models, **changes)
    assert world.run(is_phase("Stable"), seconds=60), world.status.message
    return world

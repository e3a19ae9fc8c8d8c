"""The server's own metrics, for people and dashboards; their names come from the contract."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, Counter, Gauge, Metric, disable_created_metrics, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from serin_contract import metrics

LATENCY_BOUNDS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Fewer than in the stats, which a gate reads: each bound is a time series of every pod."""

# A second series with a time of birth for each counter helps nobody here.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """The metrics of one server in a registry of their own. Children are looked up once: it costs a lock."""

    def __init__(self, deployment: str, revision: str) -> None:
        self.registry = CollectorRegistry()
        names, self._values = ["deployment", "revision"], (deployment, revision)
        self._answers = _Answers([*names], list(self._values))
        self.registry.register(self._answers)
        self.feedback = Counter(metrics.SERVER_FEEDBACK, "Labels accepted.", names, registry=self.registry).labels(
            *self._values
        )
        self._refused = Counter(
            metrics.SERVER_FEEDBACK_REFUSED,
            "Labels refused, by reason; Duplicate is a label that had counted already.",
            [*names, "reason"],
            registry=self.registry,
        )
        self.announcements = Counter(
            metrics.SERVER_ANNOUNCEMENTS,
            "Announcements that were taken.",
            names,
            registry=self.registry,
        ).labels(*self._values)
        self._announcements_refused = Counter(
            metrics.SERVER_ANNOUNCEMENTS_REFUSED,
            "Announcements refused, by reason.",
            [*names, "reason"],
            registry=self.registry,
        )
        self.callers = Counter(
            metrics.SERVER_CALLERS,
            "Callers counted, of those that the route tells apart: each once in a cohort.",
            names,
            registry=self.registry,
        ).labels(*self._values)
        self.callers_repeated = Counter(
            metrics.SERVER_CALLERS_REPEATED,
            "Further requests of callers that are told apart, and those of callers for whom there was no room.",
            names,
            registry=self.registry,
        ).labels(*self._values)
        self.shadow_sent = self._counter(metrics.SERVER_SHADOW_SENT, "Mirrored requests that the candidate took.")
        self.shadow_dropped = self._counter(metrics.SERVER_SHADOW_DROPPED, "Mirrored requests that were not sent.")
        self.shadow_received = self._counter(metrics.SERVER_SHADOW_RECEIVED, "Mirrored requests counted here.")
        self.shadow_failed = self._counter(
            metrics.SERVER_SHADOW_FAILED, "Mirrored requests that stable answered and this server could not."
        )
        self.shadow_compared = self._counter(
            metrics.SERVER_SHADOW_COMPARED, "Mirrored requests whose answers were compared with stable's."
        )
        self.shadow_agreed = self._counter(
            metrics.SERVER_SHADOW_AGREED,
            "Of those compared, the requests whose answers were the same, by share of rows.",
        )
        self.spans_exported = self._counter(
            metrics.SERVER_SPANS_EXPORTED, "Inferences whose spans a receiver of traces took."
        )
        self.spans_dropped = self._counter(
            metrics.SERVER_SPANS_DROPPED, "Inferences of the sample whose spans no receiver took."
        )
        self.ready = Gauge(
            metrics.SERVER_READY,
            "1 while this server is ready, 0 while it drains.",
            names,
            registry=self.registry,
        ).labels(*self._values)

    def runtime(self, name: str) -> None:
        """Show what runs the model."""
        Gauge(
            metrics.SERVER_RUNTIME,
            "What runs the model, as a label; the value is always 1.",
            ["deployment", "revision", "runtime"],
            registry=self.registry,
        ).labels(*self._values, name).set(1)

    def _counter(self, name: str, text: str) -> Counter:
        return Counter(name, text, ["deployment", "revision"], registry=self.registry).labels(*self._values)

    def answered(self, status: int, seconds: float) -> None:
        """Count one inference request."""
        self._answers.add(status, seconds)

    def predicted(self, rows: int) -> None:
        """Count the rows of a request that was answered with predictions."""
        self._answers.rows += rows

    def label_refused(self, reason: str, count: int = 1) -> None:
        """Count refused or repeated labels."""
        self._refused.labels(*self._values, reason).inc(count)

    def announcement_refused(self, reason: str) -> None:
        """Count one refused announcement."""
        self._announcements_refused.labels(*self._values, reason).inc()

    def encode(self) -> bytes:
        """The text exposition."""
        return generate_latest(self.registry)


class _Answers(Collector):
    """Answers by status and by seconds. Every request is counted here, so only a scrape makes metrics of it."""

    def __init__(self, names: list[str], values: list[str]) -> None:
        self._names = names
        self._values = values
        self._codes: dict[int, int] = {}
        self._buckets = [0] * (len(LATENCY_BOUNDS_SECONDS) + 1)
        self._seconds = 0.0
        self.rows = 0

    def add(self, status: int, seconds: float) -> None:
        """Count one answer."""
        self._codes[status] = self._codes.get(status, 0) + 1
        # A bucket holds its upper bound.
        self._buckets[bisect_left(LATENCY_BOUNDS_SECONDS, seconds)] += 1
        self._seconds += seconds

    def collect(self) -> Iterator[Metric]:
        """The metrics as they stand."""
        requests = CounterMetricFamily(
            metrics.SERVER_REQUESTS, "Inference requests by the status of their answer.", labels=[*self._names, "code"]
        )
        for code, count in self._codes.items():
            requests.add_metric([*self._values, str(code)], count)
        yield requests
        bounds = [floatToGoString(bound) for bound in (*LATENCY_BOUNDS_SECONDS, math.inf)]  # type: ignore[no-untyped-call]
        seconds = HistogramMetricFamily(
            metrics.SERVER_REQUEST_SECONDS,
            "Seconds from the arrival of an inference request to its answer.",
            labels=self._names,
        )
        buckets = list(zip(bounds, accumulate(self._buckets), strict=True))
        seconds.add_metric(self._values, buckets, sum_value=self._seconds)
        yield seconds
        rows = CounterMetricFamily(metrics.SERVER_ROWS, "Rows answered with predictions.", labels=self._names)
        rows.add_metric(self._values, self.rows)
        yield rows

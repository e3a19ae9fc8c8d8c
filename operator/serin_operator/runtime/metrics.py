"""The operator's own metrics, in one registry that is handed around: nothing global."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from serin_contract import metrics

STEP_SECONDS_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """One instrument per name in the contract."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.steps = self._counter(metrics.OPERATOR_STEPS, "Reconcile steps by how they ended.", "outcome")
        self.step_seconds = Histogram(
            metrics.OPERATOR_STEP_SECONDS,
            "Time that a reconcile step took.",
            registry=self.registry,
            buckets=STEP_SECONDS_BUCKETS,
        )
        self.queue_depth = self._gauge(metrics.OPERATOR_QUEUE_DEPTH, "Deployments that wait for a worker.")
        self.leader = self._gauge(metrics.OPERATOR_LEADER, "1 while this process holds the Lease.")
        self.writes = self._counter(
            metrics.OPERATOR_WRITES, "Writes to the API server by what came of them.", "verb", "kind", "code"
        )
        self.poll_errors = self._counter(metrics.OPERATOR_POLL_ERRORS, "Polls of serving pods that brought no stats.")
        self.weight = self._gauge(
            metrics.DEPLOYMENT_WEIGHT,
            "Percent of requests that the candidate may answer.",
            "namespace",
            "name",
        )
        self.phase = self._gauge(
            metrics.DEPLOYMENT_PHASE,
            "1 for the phase that the deployment is in.",
            "namespace",
            "name",
            "phase",
        )
        self.gate_value = self._gauge(
            metrics.GATE_VALUE, "Estimate of one gate for the candidate.", "namespace", "name", "gate"
        )
        self.gate_log10_e = self._gauge(
            metrics.GATE_LOG10_E, "Evidence of one gate against the candidate.", "namespace", "name", "gate"
        )
        self.rollbacks = self._counter(
            metrics.ROLLBACKS, "Candidates that were rolled back.", "namespace", "name", "gate"
        )
        self.promotions = self._counter(metrics.PROMOTIONS, "Candidates that became stable.", "namespace", "name")

    def _counter(self, name: str, text: str, *label_names: str) -> Counter:
        return Counter(name, text, label_names, registry=self.registry)

    def _gauge(self, name: str, text: str, *label_names: str) -> Gauge:
        return Gauge(name, text, label_names, registry=self.registry)

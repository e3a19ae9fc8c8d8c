"""Reporting: only what is so, only when it changed, and events few."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.support.fake_api import FakeApi, serving

from serin_contract import labels
from serin_operator.api.deployment import ModelDeploymentStatus
from serin_operator.api.revision import ModelRevisionSpec, ModelRevisionStatus
from serin_operator.decide.observation import Observation, OperatorFacts, RevisionFacts
from serin_operator.decide.plan import Event, Plan, RevisionReport
from serin_operator.errors import ApiError, ConflictError
from serin_operator.report import EVENT_BURST, EventLimits, Reporter, failure_status
from serin_operator.runtime.kube import Kube
from serin_operator.runtime.metrics import Metrics
from serin_operator.runtime.outcome import Applied, Failed, Waiting

Json = dict[str, Any]
SPEC = ModelRevisionSpec.model_validate(
    {"deployment": "m", "identity": "1", "model": {"uri": "u", "digest": "sha256:" + "a" * 64}, "template": {}}
)


def status(**fields: Any) -> ModelDeploymentStatus:
    return ModelDeploymentStatus.model_validate({"phase": "Stable", "message": "one", **fields})


class Bench:
    """A deployment, and what the last observation of it was."""

    def __init__(self, api: FakeApi, reporter: Reporter, metrics: Metrics) -> None:
        self.api, self.reporter, self.metrics = api, reporter, metrics
        kind = {"apiVersion": labels.API_VERSION, "kind": "ModelDeployment"}
        self.uid = api.put("modeldeployments", {**kind, "metadata": {"name": "m"}})["metadata"]["uid"]

    def seen(self, now: float = 1000.0, **more: Any) -> Observation:
        item = self.api.get("modeldeployments", "m") or {}
        return Observation(
            now=now,
            namespace="default",
            name="m",
            uid=self.uid,
            generation=1,
            created_at=0.0,
            spec=None,
            status=ModelDeploymentStatus.model_validate(item.get("status") or {}),
            operator=OperatorFacts("image:1", "print", True, "0" * 32),
            resource_version=item["metadata"]["resourceVersion"],
            **more,
        )

    def value(self, name: str, **names: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, {"namespace": "default", "name": "m", **names})

    def events(self) -> list[Json]:
        return [item for (plural, _, _), item in self.api.objects.items() if plural == "events"]

    def revision(self, **fields: Any) -> RevisionFacts:
        kind = {"apiVersion": labels.API_VERSION, "kind": "ModelRevision"}
        metadata = self.api.put("modelrevisions", {**kind, "metadata": {"name": "m-1"}, "status": fields})["metadata"]
        known = ModelRevisionStatus.model_validate(fields)
        return RevisionFacts("m-1", metadata["uid"], 0.0, SPEC, known, metadata["resourceVersion"])


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async def sleep(_: float) -> None:
        return None

    api, metrics = FakeApi(), Metrics()
    async with serving(api) as client:
        kube = Kube(client(), metrics, lambda: 10.0, sleep=sleep)
        yield Bench(api, Reporter(kube, metrics, "operator-1"), metrics)
        await kube.close()


async def test_revisions_come_before_the_deployment(bench: Bench) -> None:
    plan = Plan(
        status=status(),
        revisions=(RevisionReport("m-1", ModelRevisionStatus(verdict="Stable", evidence={"n": [1]})),),
        events=(Event("Normal", "Promoted", "done"),),
    )
    assert await bench.reporter.report(bench.seen(revisions=(bench.revision(),)), plan, Applied())
    assert [seen.plural for seen in bench.api.writes()] == ["modelrevisions", "modeldeployments", "events"]
    written = bench.api.get("modelrevisions", "m-1") or {}
    assert written["status"] == {"verdict": "Stable", "evidence": {"n": [1]}}


async def test_newer_evidence_is_not_overwritten_by_an_older_plan(bench: Bench) -> None:
    old = bench.revision(verdict="Trial")
    bench.revision(verdict="Rejected")
    plan = Plan(status=status(), revisions=(RevisionReport("m-1", ModelRevisionStatus(verdict="Stable")),))
    with pytest.raises(ConflictError):
        await bench.reporter.report(bench.seen(revisions=(old,)), plan, Applied())
    assert (bench.api.get("modelrevisions", "m-1") or {})["status"] == {"verdict": "Rejected"}
    assert "status" not in (bench.api.get("modeldeployments", "m") or {})


async def test_what_has_not_changed_is_not_written(bench: Bench) -> None:
    known = bench.revision(verdict="Stable")
    plan = Plan(status=status(), revisions=(RevisionReport("m-1", known.status),))
    assert await bench.reporter.report(bench.seen(revisions=(known,)), plan, Applied())
    before = len(bench.api.writes())
    assert not await bench.reporter.report(bench.seen(revisions=(known,)), plan, Applied())
    assert len(bench.api.writes()) == before


async def test_while_an_action_waits_no_status_says_that_it_is_done(bench: Bench) -> None:
    plan = Plan(status=status(), events=(Event("Normal", "Promoted", "done"),))
    assert not await bench.reporter.report(bench.seen(), plan, Waiting("WeightsNotHeld", "x", 1.0))
    assert bench.api.writes() == []


@pytest.mark.parametrize(("narrowing", "kind"), [(False, "Progressing"), (True, "RouteProgrammed")])
async def test_a_refusal_keeps_the_status_and_adds_the_sentence(bench: Bench, narrowing: bool, kind: str) -> None:
    await bench.reporter.report(bench.seen(), Plan(status=status(stable={"revision": "m-1"})), Applied())
    failed = Failed("ApplyFailed", "Service m was not applied: 403 Forbidden: quota", narrowing)
    plan = Plan(status=status(phase="Promoting", message="two"))
    assert await bench.reporter.report(bench.seen(), plan, failed)
    written = (bench.api.get("modeldeployments", "m") or {})["status"]
    assert (written["phase"], written["stable"]) == ("Stable", {"revision": "m-1"})
    assert written["message"] == failed.message
    (condition,) = written["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == (kind, "False", "ApplyFailed")
    assert [event["note"] for event in bench.events()] == [failed.message]
    assert not await bench.reporter.report(bench.seen(now=1100.0), plan, failed), "the same refusal, the same status"


def test_the_time_of_a_refusal_is_that_of_the_first() -> None:
    condition = {
        "type": "Progressing", "status": "False", "reason": "X", "message": "m",
        "lastTransitionTime": "2026-11-01T00:00:00Z",
    }  # fmt: skip
    seen = Observation(
        5000.0, "default", "m", "u", 1, 0.0, None, status(conditions=[condition]), OperatorFacts("", "", True, "")
    )
    (written,) = failure_status(seen, Failed("ApplyFailed", "still")).conditions
    assert (written.last_transition_time, written.message) == ("2026-11-01T00:00:00Z", "still")


async def test_numbers_that_json_cannot_hold_are_left_out(bench: Bench) -> None:
    gate = {"name": "a", "mode": "Enforce", "verdict": "NoData", "reason": "R", "message": "m", "value": float("nan")}
    plan = Plan(status=status(gates=[gate]))
    assert await bench.reporter.report(bench.seen(), plan, Applied())
    assert "value" not in (bench.api.get("modeldeployments", "m") or {})["status"]["gates"][0]
    assert not await bench.reporter.report(bench.seen(), plan, Applied())


async def test_an_event_that_is_refused_does_not_fail_the_pass(bench: Bench) -> None:
    bench.api.fail("POST", "events", 403)
    plan = Plan(status=status(), events=(Event("Normal", "Promoted", "done"),))
    assert await bench.reporter.report(bench.seen(), plan, Applied())


async def test_a_status_that_is_refused_fails_the_pass(bench: Bench) -> None:
    bench.api.fail("PATCH", "modeldeployments", 422)
    with pytest.raises(ApiError):
        await bench.reporter.report(bench.seen(), Plan(status=status()), Applied())


def test_the_same_event_is_not_repeated_within_ten_minutes() -> None:
    limits, event = EventLimits(), Event("Warning", "R", "m")
    moments = (0.0, 1.0, 599.0, 600.0, 601.0)
    assert [limits.admits("u", event, now) for now in moments] == [True, False, False, True, False]
    assert limits.admits("another", event, 601.0)
    assert limits.admits("u", Event("Warning", "R", "another"), 601.0)


def test_many_events_of_one_deployment_are_a_burst_and_then_a_trickle() -> None:
    limits = EventLimits()
    admitted = [limits.admits("u", Event("Warning", "R", str(number)), 0.0) for number in range(100)]
    assert sum(admitted) == EVENT_BURST
    assert limits.admits("other", Event("Warning", "R", "0"), 0.0)
    assert limits.admits("u", Event("Warning", "R", "later"), 30.0)
    assert not limits.admits("u", Event("Warning", "R", "later still"), 31.0)


async def test_metrics_follow_the_status(bench: Bench) -> None:
    gate = {"name": "accuracy", "mode": "Enforce", "verdict": "NotYet", "reason": "R", "message": "m", "value": 0.5}
    trial = status(phase="Progressing", candidate={"revision": "m-2", "weight": 25}, gates=[gate])
    await bench.reporter.report(bench.seen(), Plan(status=trial), Applied())
    assert bench.value("serin_deployment_candidate_weight") == 25.0
    assert bench.value("serin_gate_value", gate="accuracy") == 0.5
    assert bench.value("serin_deployment_phase", phase="Progressing") == 1.0
    await bench.reporter.report(bench.seen(), Plan(status=status(stable={"revision": "m-2"})), Applied())
    assert bench.value("serin_deployment_candidate_weight") == 0.0
    assert bench.value("serin_gate_value", gate="accuracy") is None
    assert bench.value("serin_deployment_phase", phase="Progressing") is None
    assert bench.value("serin_promotions_total") == 1.0
    await bench.reporter.report(bench.seen(), Plan(status=status(stable={"revision": "m-2"})), Applied())
    assert bench.value("serin_promotions_total") == 1.0
    bench.reporter.forget([])
    assert bench.value("serin_promotions_total") is None
    assert bench.value("serin_deployment_candidate_weight") is None


async def test_a_rollback_is_counted_once_with_its_gate(bench: Bench) -> None:
    rollback = {"from": "m-2", "to": "m-1", "gate": "accuracy", "evidence": "e", "time": "2026-11-01T00:00:00Z"}
    for _ in range(3):
        await bench.reporter.report(bench.seen(), Plan(status=status(lastRollback=rollback)), Applied())
    assert bench.value("serin_rollbacks_total", gate="accuracy") == 1.0

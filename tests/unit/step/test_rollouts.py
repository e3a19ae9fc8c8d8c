"""Whole roll-outs through the real step: observe, decide, apply, report over one API server."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from tests.unit.step.bench import Bench, Killer, Make

pytestmark = pytest.mark.slow

ONE, TWO, THREE = "pvc://models/1", "pvc://models/2", "pvc://models/3"
QUICK = {"rollout": {"steps": [{"weight": 50, "for": "2s"}]}}
WARM = QUICK | {"watch": {"keepWarm": "1h"}}
JUDGED = {
    "rollout": {"steps": [{"weight": 50, "for": "1h"}]},
    "gates": {"accuracy": {"maxDrop": 0.05}},
}


async def stable(bench: Bench, uri: str, **spec: object) -> None:
    bench.ask_for(uri, **spec)
    await bench.until(lambda: bench.status.get("phase") == "Stable" and bench.serving_uri() == uri)


async def test_a_first_deployment_and_a_second(make: Make) -> None:
    bench = await make()
    bench.requests_per_pass = 20
    await stable(bench, ONE)
    await stable(bench, TWO)
    assert [entry["outcome"] for entry in bench.status["history"]] == ["Promoted", "Promoted"]


async def test_a_bad_model_is_rolled_back_by_its_labels(make: Make) -> None:
    bench = await make()
    await stable(bench, ONE, **JUDGED)
    bench.requests_per_pass = 200
    bench.cluster.accuracy[TWO] = 0.55
    bench.ask_for(TWO, **JUDGED)
    await bench.until(lambda: bench.status["phase"] == "RolledBack")
    assert bench.serving_uri() == ONE
    assert bench.status["lastRollback"]["gate"] == "accuracy"
    labels = {"namespace": "default", "name": "m", "gate": "accuracy"}
    assert bench.metrics.registry.get_sample_value("serin_rollbacks_total", labels) == 1.0


async def test_at_the_fixpoint_nothing_is_written(make: Make) -> None:
    bench = await make()
    await stable(bench, ONE)
    await bench.rest(30)
    before, writes = bench.api.versions(), len(bench.api.writes())
    await bench.rest(10)
    assert bench.api.versions() == before
    assert len(bench.api.writes()) == writes


async def test_a_new_process_at_the_fixpoint_writes_the_keys_and_nothing_else(make: Make) -> None:
    bench = await make()
    await stable(bench, ONE)
    await bench.rest(30)
    before = bench.api.versions()
    bench.forget_process()
    await bench.rest(5)
    assert bench.api.versions() == before


async def test_what_is_deleted_by_hand_comes_back(make: Make) -> None:
    bench = await make()
    await stable(bench, ONE)
    await bench.rest()
    revision = bench.status["stable"]["revision"]
    for plural, name in (("services", revision), ("httproutes", "m"), ("poddisruptionbudgets", revision)):
        if bench.api.get(plural, name) is not None:
            bench.api.remove(plural, "default", name)
            await bench.rest()
            assert bench.api.get(plural, name) is not None, plural


async def test_a_refused_write_is_told_and_mended_without_a_hand(make: Make) -> None:
    bench = await make()
    bench.api.fail("PATCH", "services", 403, times=8)
    bench.ask_for(ONE)
    await bench.until(lambda: "403" in bench.status.get("message", ""))
    (condition,) = [found for found in bench.status["conditions"] if found["type"] == "Progressing"]
    assert (condition["status"], condition["reason"]) == ("False", "ApplyFailed")
    assert "an injected fault" in condition["message"]
    await stable(bench, ONE)


async def test_a_deployment_that_is_deleted_asks_for_nothing(make: Make) -> None:
    bench = await make()
    await stable(bench, ONE)
    bench.api.remove("modeldeployments", "default", "m")
    before = len(bench.api.writes())
    await bench.rest()
    assert len(bench.api.writes()) == before


async def test_the_gateway_api_may_come_later(make: Make) -> None:
    bench = await make()
    bench.api.unserved = {"httproutes", "gateways"}
    bench.ask_for(ONE)
    await bench.rest(15)
    assert bench.status["phase"] != "Stable"
    bench.api.unserved = set()
    await stable(bench, ONE)


async def test_decisions_that_changed_something_are_recorded(make: Make, tmp_path: Path) -> None:
    bench = await make()
    bench.record_dir = tmp_path / "records"
    await stable(bench, ONE)
    await bench.rest(30)
    records = sorted(bench.record_dir.iterdir())
    content = json.loads(records[0].read_text())
    assert content["observation"]["name"] == "m"
    assert {action["$type"] for action in content["plan"]["actions"]} >= {"ApplyKeys"}
    key = next(iter((bench.cluster.api.get("secrets", "m-keys") or {})["data"].values()))
    assert all(key not in record.read_text() for record in records)
    await bench.rest(5)
    assert len(list(bench.record_dir.iterdir())) == len(records), "nothing changed, so nothing is recorded"


async def play(bench: Bench, *, judged: bool) -> None:
    """A roll-out from a stable first revision to its end, whatever dies on the way."""
    bench.requests_per_pass, bench.look_seconds = 400, 3.0
    if judged:
        bench.cluster.accuracy[TWO] = 0.4
        bench.ask_for(TWO, **JUDGED)
        await bench.until(lambda: bench.status.get("phase") == "RolledBack")
    else:
        await stable(bench, TWO, **QUICK)
    await bench.rest(10)


async def first(make: Make, killer: Killer | None = None) -> Bench:
    bench = await make(killer)
    await stable(bench, ONE, **QUICK)
    await bench.rest(3)
    return bench


async def after(make: Make, stood: Bench, killer: Killer | None = None) -> Bench:
    """A new process over a copy of that world."""
    bench = await make(killer)
    bench.api.copy(stood.api)
    bench.now = stood.now
    return bench


@pytest.mark.timeout(300)
@pytest.mark.parametrize("judged", [False, True], ids=["promotion", "rollback"])
async def test_wherever_the_process_dies_the_story_ends_the_same(make: Make, judged: bool) -> None:
    stood = await first(make)
    undisturbed = await after(make, stood)
    await play(undisturbed, judged=judged)
    expected, writes = undisturbed.outcome(), undisturbed.killer.writes
    assert writes > 20
    for k in range(1, writes + 1):
        bench = await after(make, stood, Killer(after=k))
        await play(bench, judged=judged)
        assert bench.starts == 2, f"it was to die after write {k}"
        assert bench.outcome() == expected, f"killed after write {k} of {writes}"
        await bench.end()


@pytest.mark.timeout(300)
async def test_wherever_the_process_dies_a_first_deployment_ends_the_same(make: Make) -> None:
    undisturbed = await first(make)
    await undisturbed.rest(8)
    expected, writes = undisturbed.outcome(), undisturbed.killer.writes
    for k in range(1, writes + 1):
        bench = await first(make, Killer(after=k))
        await bench.rest(8)
        assert bench.starts == 2, f"it was to die after write {k}"
        assert bench.outcome() == expected, f"killed after write {k} of {writes}"
        await bench.end()


async def go_back(bench: Bench) -> None:
    """Back to the first revision, while it is warm."""
    bench.requests_per_pass = 400
    await stable(bench, ONE, **WARM)
    await bench.rest(5)


@pytest.mark.timeout(300)
async def test_wherever_the_process_dies_a_warm_revision_comes_back_without_a_trial(make: Make) -> None:
    stood = await make()
    await stable(stood, ONE, **WARM)
    await stable(stood, TWO, **WARM)
    await stood.rest(8)
    undisturbed = await after(make, stood)
    await go_back(undisturbed)
    expected, writes = undisturbed.outcome(), undisturbed.killer.writes
    assert [entry["outcome"] for entry in undisturbed.status["history"]] == ["Returned", "Promoted", "Promoted"]
    for k in range(1, writes + 1):
        bench = await after(make, stood, Killer(after=k))
        await go_back(bench)
        assert bench.starts == 2, f"it was to die after write {k}"
        assert bench.outcome() == expected, f"killed after write {k} of {writes}"
        await bench.end()


async def test_without_surge_the_pods_of_both_arms_are_never_more_than_before(make: Make) -> None:
    spec = {"serving": {"replicas": 3}, "rollout": {"steps": [{"weight": 50, "for": "2s"}], "surge": "NoSurge"}}
    bench = await make()
    await stable(bench, ONE, **spec)
    bench.requests_per_pass = 50
    bench.ask_for(TWO, **spec)
    most = 0
    for _ in range(60):
        await bench.once()
        workloads = [item for (kind, _, _), item in bench.api.objects.items() if kind == "deployments"]
        most = max(most, sum(item["spec"]["replicas"] for item in workloads))
    assert bench.serving_uri() == TWO
    assert most == 3
    assert [item["spec"]["replicas"] for item in workloads] == [3]


@pytest.mark.parametrize("plural", ["httproutes", "modeldeployments", "modelrevisions", "deployments"])
async def test_answers_that_are_lost_and_servers_that_fail_change_no_outcome(make: Make, plural: str) -> None:
    bench = await first(make)
    calm = await first(make)
    bench.api.fail("PATCH", plural, 500, times=3, lands=True)
    bench.api.fail("PATCH", plural, 409, times=2)
    bench.api.fail("PATCH", plural, 503, times=9)
    bench.api.fail("GET", plural, 500, times=9)
    for each in (bench, calm):
        await play(each, judged=False)
    assert bench.outcome() == calm.outcome()


async def test_the_newest_of_three_models_wins(make: Make) -> None:
    bench = await first(make)
    bench.ask_for(TWO, **JUDGED)
    await bench.until(lambda: 50 in bench.weights.values())
    await stable(bench, THREE, **QUICK)
    outcomes = [entry["outcome"] for entry in bench.status["history"]]
    assert outcomes == ["Promoted", "Superseded", "Promoted"]


@pytest.mark.parametrize("judged", [False, True], ids=["promotion", "rollback"])
async def test_two_processes_that_both_think_they_lead_come_to_the_same_end(make: Make, judged: bool) -> None:
    """The Lease prevents it; should it fail, versions and UIDs keep the two from doing harm."""
    alone, bench = await first(make), await first(make)
    other = await bench.start()
    await play(alone, judged=judged)
    playing = play(bench, judged=judged)
    once = bench.once

    async def both() -> None:
        await once()
        await bench.one_pass(other)
        await bench.one_pass(other)

    bench.once = both  # type: ignore[method-assign]
    await playing
    assert bench.outcome() == alone.outcome()


async def test_two_passes_at_the_same_time_do_no_harm(make: Make) -> None:
    alone, bench = await first(make), await first(make)
    parts = [await bench.start() for _ in range(3)]
    await play(alone, judged=False)
    once = bench.once

    async def all_at_once() -> None:
        await once()
        await asyncio.gather(*(bench.one_pass(each) for each in parts))
        bench.check()

    bench.once = all_at_once  # type: ignore[method-assign]
    await play(bench, judged=False)
    assert bench.outcome() == alone.outcome()

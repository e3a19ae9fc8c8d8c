"""A watch through the real step: what is held in memory, what is written, and what a new process makes of it."""

from __future__ import annotations

import pytest
from tests.unit.step.bench import Bench, Killer, Make
from tests.unit.step.test_rollouts import ONE, TWO, after, stable

pytestmark = pytest.mark.slow

WATCHED = {
    "rollout": {"steps": [{"weight": 50, "for": "2s"}]},
    "gates": {"accuracy": {"maxDrop": 0.2}},
    "watch": {"for": "2h", "keepWarm": "2h"},
}


async def promoted(make: Make) -> Bench:
    """Version two has been promoted and is watched."""
    bench = await make()
    bench.requests_per_pass, bench.look_seconds = 400, 3.0
    bench.cluster.accuracy[ONE] = bench.cluster.accuracy[TWO] = 0.95
    await stable(bench, ONE, **WATCHED)
    bench.ask_for(TWO, **WATCHED)
    await bench.until(lambda: bench.status.get("phase") == "Watching")
    return bench


def counted(bench: Bench) -> float:
    """Requests that the record of the watched revision holds."""
    record = bench.api.get("modelrevisions", bench.status["stable"]["revision"]) or {}
    return float((record.get("status", {}).get("evidence") or {}).get("watch", {}).get("total", [0.0])[0])


async def test_a_breach_gives_the_traffic_back_and_is_counted(make: Make) -> None:
    bench = await promoted(make)
    bench.cluster.accuracy[TWO] = 0.4
    await bench.until(lambda: bench.status["phase"] == "RolledBack")
    assert bench.serving_uri() == ONE
    assert [entry["outcome"] for entry in bench.status["history"]] == ["RolledBack", "Promoted", "Promoted"]
    assert bench.status["lastRollback"]["gate"] == "accuracy"
    labels = {"namespace": "default", "name": "m", "gate": "accuracy"}
    assert bench.metrics.registry.get_sample_value("serin_rollbacks_total", labels) == 1.0


async def test_ten_new_processes_count_nothing_twice_and_lose_nothing(make: Make) -> None:
    bench = await promoted(make)
    bench.look_seconds = 60.0
    for _ in range(10):
        await bench.rest(3)
        bench.forget_process()
    bench.requests_per_pass = 0
    await bench.rest(12)
    revision = bench.status["stable"]["revision"]
    pods = [
        item["metadata"]["uid"]
        for (kind, _, _), item in bench.api.objects.items()
        if kind == "pods" and item["metadata"]["labels"].get("serin.dev/revision") == revision
    ]
    stats = [bench.cluster.stats(uid, revision) for uid in pods]
    sent = sum(cohort.requests for one in stats for name, cohort in one.cohorts.items() if name.startswith("watch."))
    assert sent > 400 * 20
    assert counted(bench) == sent
    assert bench.status["phase"] == "Watching"


@pytest.mark.timeout(300)
async def test_wherever_the_process_dies_a_breach_ends_the_same(make: Make) -> None:
    stood = await promoted(make)
    undisturbed = await after(make, stood)
    await go_bad(undisturbed)
    expected, writes = undisturbed.outcome(), undisturbed.killer.writes
    assert writes > 5
    for k in range(1, writes + 1):
        bench = await after(make, stood, Killer(after=k))
        await go_bad(bench)
        assert bench.starts == 2, f"it was to die after write {k}"
        assert bench.outcome() == expected, f"killed after write {k} of {writes}"
        await bench.end()


async def go_bad(bench: Bench) -> None:
    """The accuracy of what is watched falls, until the traffic is back and what is left to do is done."""
    bench.requests_per_pass, bench.look_seconds = 400, 6.0
    bench.cluster.accuracy[TWO] = 0.4
    await bench.until(lambda: bench.status.get("phase") == "RolledBack")
    await bench.rest(8)

"""Roll-outs without a gateway through the real step, and an operator that dies around any of its writes."""

from __future__ import annotations

import pytest
from tests.unit.step.bench import Bench, Killer, Make

pytestmark = pytest.mark.slow

ONE, TWO = "pvc://models/1", "pvc://models/2"
QUICK = {"traffic": None, "rollout": {"steps": [{"weight": 50, "for": "2s"}]}}
JUDGED = {
    "traffic": None,
    "rollout": {"steps": [{"weight": 50, "for": "1h"}]},
    "gates": {"accuracy": {"maxDrop": 0.05}},
}


def selected(bench: Bench) -> str | None:
    """The revision that the Service selects alone; None where it selects all."""
    selector: dict[str, str] = (bench.api.get("services", "m") or {})["spec"]["selector"]
    return selector.get("serin.dev/revision")


async def served(make: Make, killer: Killer | None = None) -> Bench:
    """Given that the first model is stable."""
    bench = await make(killer)
    bench.ask_for(ONE, **QUICK)
    await bench.until(lambda: bench.status.get("phase") == "Stable")
    await bench.rest(3)
    return bench


async def play(bench: Bench, *, judged: bool) -> None:
    """A second model to its end."""
    bench.requests_per_pass, bench.look_seconds = 200, 3.0
    wanted = "RolledBack" if judged else "Stable"
    if judged:
        bench.cluster.accuracy[TWO] = 0.4
    bench.ask_for(TWO, **(JUDGED if judged else QUICK))
    await bench.until(lambda: len(bench.status.get("history", ())) > 1 and bench.status["phase"] == wanted)
    await bench.rest(10)


@pytest.mark.parametrize(("judged", "uri"), [(False, TWO), (True, ONE)])
async def test_a_second_model_without_a_gateway(make: Make, judged: bool, uri: str) -> None:
    bench = await served(make)
    await play(bench, judged=judged)
    revision = selected(bench)
    assert revision is not None
    assert bench.cluster.uri(revision) == uri
    assert bench.api.get("httproutes", "m") is None
    assert bench.status["weightMode"] == "Replicas"


@pytest.mark.parametrize("judged", [False, True])
async def test_the_operator_may_die_around_any_write(make: Make, judged: bool) -> None:
    undisturbed = await served(make)
    begun = undisturbed.killer.writes
    await play(undisturbed, judged=judged)
    for write in range(begun + 1, undisturbed.killer.writes + 1):
        for killer in (Killer(before=write), Killer(after=write)):
            bench = await served(make, killer)
            await play(bench, judged=judged)
            assert bench.outcome() == undisturbed.outcome(), f"around write {write}"
            assert selected(bench) == selected(undisturbed), f"around write {write}"

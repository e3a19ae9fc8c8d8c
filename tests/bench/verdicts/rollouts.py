"""One roll-out of a case: the real `decide` looks every 30 seconds until the candidate's hour is over."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from tests.bench.verdicts.cases import LOOK_SECONDS, Case
from tests.support.rows_world import RowsWorld, a_served_rows_world
from tests.support.world import a_spec, uri

from serin_operator.api.revision import ModelRevisionStatus

INTRODUCTION_SECONDS = 1.0
DEADLINE = "6h"
"""Beyond the time for which any case is looked at: an undecided candidate is held, not ended."""

Ending = Literal["Promoted", "RolledBack", "Held"]


@dataclass(frozen=True)
class Outcome:
    """How one roll-out ended."""

    ending: Ending
    gate: str
    """Which gate sent it back; empty where none did."""
    rows: float
    """That the candidate had served until then."""
    labels: float
    looks: int


def a_trial(case: Case, seed: int) -> RowsWorld:
    """A served world in which the case's candidate is asked for."""
    traffic: dict[str, Any] = {"parentRefs": [{"name": "public"}], "hostnames": ["wine.example.com"]}
    if case.callers is not None:
        traffic["stickiness"] = {"cookie": "serin"}
    steps = [{"weight": weight, "for": duration} for weight, duration in case.steps]
    spec = a_spec(1, rollout={"steps": steps, "deadline": DEADLINE}, gates=case.gates, traffic=traffic)
    world = a_served_rows_world(
        spec=spec,
        models={uri(1): case.stable, uri(2): case.candidate or case.stable},
        seed=seed,
        traffic=replace(case.traffic_of),
        rows=case.rows,
        callers=case.callers,
        side_requests_per_second=case.side_requests_per_second,
    )
    world.change(spec | {"model": {"uri": uri(2)}})
    return world


def roll_out(case: Case, seed: int, watch: Callable[[RowsWorld], None] | None = None) -> Outcome:
    """One roll-out until it is promoted, rolled back or over; `watch` is called after each look."""
    world = a_trial(case, seed)
    world.keeps_rows = watch is not None
    first, split_at, looks = world.stable, 0.0, 0
    chances = random.Random(seed)
    while True:
        world.step()
        ended = _ended(world, first)
        if ended is not None or (split_at and world.now - split_at > case.seconds):
            return _outcome(world, first, ended or "Held", looks)
        splits = world.cohort() is not None
        split_at = split_at or (world.now if splits else 0.0)
        world.pass_time(LOOK_SECONDS if splits else INTRODUCTION_SECONDS)
        looks += splits
        if watch is not None and splits:
            watch(world)
        if splits and chances.random() < case.restarts_per_look:
            restart(world, forgets=chances.random() < 0.5)


def restart(world: RowsWorld, *, forgets: bool) -> None:
    """The operator begins anew, with the evidence that it wrote down last, or without."""
    world.restart_operator()
    if forgets and world.status.candidate is not None:
        record = world.revisions[world.candidate]
        world.revisions[world.candidate] = replace(record, status=ModelRevisionStatus())


def _ended(world: RowsWorld, first: str) -> Ending | None:
    if world.stable != first:
        return "Promoted"
    return "RolledBack" if world.status.rejected else None


def _outcome(world: RowsWorld, first: str, ending: Ending, looks: int) -> Outcome:
    candidate = next(name for name in world.revisions if name != first)
    last = world.status.last_rollback
    gate = last.gate if last is not None and ending == "RolledBack" else None
    return Outcome(ending, gate or "", world.served_rows.get(candidate, 0), world.labelled.get(candidate, 0.0), looks)

"""What the gates cost the operator: one look at 13, 64 and 256 features, as ratios of one run.

`python -m tests.bench.verdicts.cost`. One look takes the pods' answers in and asks every gate. The yardstick is the
same look with the gates that read no bins, at 13 features, on the same machine in the same minute.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from tests.bench.verdicts.cases import GATES, LOOK_SECONDS, traffic
from tests.support.rows import Rows
from tests.support.rows_world import RowsWorld, a_rows_spec, a_served_rows_world
from tests.support.world import uri

from serin_contract.stats import encode
from serin_operator.decide import judge
from serin_operator.decide.judge import evidence as evidences
from serin_operator.decide.judge.look import Look
from serin_operator.decide.observation import Observation
from serin_operator.decide.policy import resolve
from serin_operator.decide.rollout import decide

FEATURES = (13, 64, 256)
WITHOUT_BINS = {name: gate for name, gate in GATES.items() if name in ("accuracy", "errorRate", "latency")}
LOOKS = 20


@dataclass(frozen=True)
class Cost:
    """Of one look, in milliseconds, and of what it reads and keeps, in KiB."""

    features: int
    gates: str
    absorb: float
    judge: float
    decide: float
    stats: float
    """What both pods answer, as JSON."""
    evidence: float
    """What is written to the revision, as JSON."""


def a_look(features: int, gates: dict[str, Any]) -> Observation:
    """What the operator sees at the twenty-first look of a trial, with evidence of twenty."""
    rows = Rows(features=features)
    steps = [{"weight": 50, "for": "24h"}]
    spec = a_rows_spec(1, gates=gates, rollout={"steps": steps, "deadline": "48h"})
    world: RowsWorld = a_served_rows_world(spec=spec, rows=rows, traffic=traffic(rows))
    world.change(spec | {"model": {"uri": uri(2)}})
    while world.cohort() is None:
        world.step()
        world.pass_time(1.0)
    for _ in range(LOOKS):
        world.pass_time(LOOK_SECONDS)
        world.step()
    world.pass_time(LOOK_SECONDS)
    return world.observe()


def measure(features: int, gates: dict[str, Any], label: str, repeats: int) -> Cost:
    """The medians of so many looks at the same observation."""
    seen = a_look(features, gates)
    assert seen.evidence is not None
    assert seen.spec is not None
    assert seen.status.candidate is not None
    policy, before = resolve(seen.spec), seen.evidence
    arms = tuple(answer for answer in seen.stats if answer.stats is not None)

    def absorbed() -> evidences.Evidence:
        return evidences.absorb(before, arms, seen.now, policy, seen.profiles)

    evidence = absorbed()
    look = Look(
        evidence=evidence,
        policy=policy,
        share=0.0,
        cohort=seen.status.candidate.cohort,
        now=seen.now,
        now_text="2027-01-15T08:00:00Z",
        profiles=seen.profiles,
    )
    return Cost(
        features=features,
        gates=label,
        absorb=_milliseconds(absorbed, repeats),
        # Anew each time, since a look and its evidence remember what was worked out of them.
        judge=_milliseconds(
            lambda: judge.judge(replace(look, evidence=replace(evidence)), policy.shares, seen.status.gates), repeats
        ),
        decide=_milliseconds(lambda: decide(seen), repeats),
        stats=sum(len(encode(answer.stats)) for answer in arms if answer.stats is not None) / 1024,
        evidence=len(json.dumps(evidences.dump(evidence), separators=(",", ":"))) / 1024,
    )


def _milliseconds(call: Callable[[], object], repeats: int) -> float:
    call()
    taken = []
    for _ in range(repeats):
        begun = time.perf_counter()
        call()
        taken.append(time.perf_counter() - begun)
    return 1e3 * statistics.median(taken)


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=100)
    options = parser.parse_args(arguments)
    found = [measure(13, WITHOUT_BINS, "no bins", options.repeats)]
    found += [measure(features, GATES, "all", options.repeats) for features in FEATURES]
    one = found[0].absorb + found[0].judge
    print("| features | gates | absorb, ms | judge, ms | both, ratio | decide, ms | stats, KiB | evidence, KiB |")
    print("| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for cost in found:
        ratio = (cost.absorb + cost.judge) / one
        print(
            f"| {cost.features} | {cost.gates} | {cost.absorb:.2f} | {cost.judge:.2f} | {ratio:.1f} "
            f"| {cost.decide:.2f} | {cost.stats:.1f} | {cost.evidence:.1f} |"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""Many simulated roll-outs, and what they come to."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from serin_cli.simulate.rows import Rows, Source, in_another_unit, risen, spoilt, with_gaps
from serin_cli.simulate.scene import BEGAN, Scene
from serin_operator.api import durations
from serin_operator.api.deployment import ModelDeploymentSpec
from serin_operator.decide import policy

LOOKS = 240
"""Looks at a trial over the time of its steps; the operator takes more, which lets it find a loss a little sooner."""
HOLDING = 3.0
"""A trial that is not decided after so many times its steps counts as undecided."""
GAPS = 0.3
NOT_SIMULATED = ("custom", "latency", "agreement")
RISES = (0.1, 0.3)
"""Of a regressor's errors."""
Z95 = 1.96


@dataclass(frozen=True)
class Ended:
    """How one simulated roll-out ended."""

    outcome: str
    """`promoted`, `rolled back` or `undecided`."""
    gate: str | None
    seconds: float
    labels: float
    """Of the candidate."""


@dataclass(frozen=True)
class Kind:
    """One kind of candidate."""

    name: str
    rows: Callable[[np.random.Generator], Rows]
    """What it answers, drawn anew for each roll-out."""
    loss: float | None = None
    rise: float | None = None


@dataclass(frozen=True)
class Line:
    """One kind of candidate over all runs."""

    candidate: str
    harmless: bool
    runs: int
    rolled_back: int
    promoted: int
    undecided: int
    low: float
    """Of the share rolled back, 95 % (Wilson)."""
    high: float
    labels: float | None
    """Median until the end of the trials that were decided; of a spoilt candidate's, of those that were rolled back."""
    minutes: float | None
    gates: Mapping[str, int]
    """How often each rolled back."""
    loss: float | None = None
    """Of accuracy, where that is what the candidate lacks."""
    rise: float | None = None
    """Of the error, relative, where that is what is wrong with the candidate."""


def prepared(spec: ModelDeploymentSpec) -> tuple[dict[str, Any], list[str]]:
    """The spec as it can be simulated, and what was left out of it."""
    document = spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    gates = dict(document.get("gates") or {})
    left = [f"gate {name}: it needs more than rows and labels" for name in NOT_SIMULATED if gates.pop(name, None)]
    if "errorRate" in gates:
        left.append("failed requests: every simulated one is answered, so errorRate can only pass")
    rollout = dict(document.get("rollout") or {})
    rollout.pop("surge", None)
    rollout.pop("surgeBudget", None)
    steps = rollout.get("steps")
    if steps is not None:
        rollout["steps"] = [step for step in steps if not step.get("shadow")]
        if len(rollout["steps"]) != len(steps):
            left.append("shadow steps: no caller sees them")
    if (document.get("traffic") or {}).get("stickiness"):
        left.append("stickiness: every request counts as a caller of its own")
    kept = {name: document[name] for name in ("verdicts",) if name in document}
    serving = {"replicas": 1}
    traffic = {"parentRefs": [{"name": "public"}]}
    return {**kept, "rollout": rollout, "gates": gates, "serving": serving, "traffic": traffic}, left


def run(
    source: Source, document: Mapping[str, Any], rows: Rows, requests_per_second: float, draws: np.random.Generator
) -> Ended:
    """One roll-out of a candidate that answers as those rows say."""
    gates = document.get("gates") or {}
    labelled = gates.get("regressionError" if source.rows.errors is not None else "accuracy") or {}
    delay = durations.seconds(labelled.get("labelDelay") or "0s")
    arms = {"stable": source.rows, "candidate": rows}
    scene = Scene(source, document, arms, requests_per_second, delay, draws)
    whole = sum(step.for_seconds for step in policy.resolve(scene.spec).steps) + delay
    tick, limit = max(1.0, whole / LOOKS), HOLDING * whole
    candidate = scene.names["candidate"]
    counted = 0.0
    began: float | None = None
    while scene.now - BEGAN < limit:
        status = scene.step().status
        if scene.evidence is not None:
            counted = scene.evidence.total("candidate").labelled
        if status.candidate is not None and status.candidate.cohort is not None and began is None:
            began = scene.now
        since = scene.now - (began if began is not None else BEGAN)
        if status.candidate is None and status.stable is not None and status.stable.revision == candidate:
            return Ended("promoted", None, since, counted)
        failed = next((gate.name for gate in status.gates if gate.verdict == "Fail" and gate.mode == "Enforce"), None)
        if status.last_rollback is not None or (status.candidate is not None and status.candidate.outcome):
            return Ended("rolled back" if failed else "undecided", failed, since, counted)
        scene.pass_time(tick if scene.cohort is not None else 1.0)
    return Ended("undecided", None, limit, counted)


def simulate(
    source: Source,
    document: Mapping[str, Any],
    *,
    drops: Sequence[float],
    runs: int,
    requests_per_second: float,
    seed: int,
    progress: Callable[[str], None],
) -> list[Line]:
    """Every kind of candidate so many times: the same model, spoilt ones, another unit, missing values."""
    name = source.profile.features[source.top_feature].name
    draws = np.random.default_rng(seed)
    gaps = with_gaps(source, GAPS, draws)
    unit = in_another_unit(source)
    kinds = [Kind("the same model again", lambda _: source.rows)]
    kinds += [*_worse(source, drops)]
    kinds.append(Kind(f"{name} in another unit (x 2.54)", lambda _: unit))
    if gaps is not None:
        kinds.append(Kind(f"{100 * GAPS:g} % of {name} missing", lambda _: gaps))
    lines: list[Line] = []
    for place, kind in enumerate(kinds):
        ended: list[Ended] = []
        for number in range(runs):
            progress(f"{kind.name}: {number + 1} of {runs}")
            own = np.random.default_rng([seed, place, number])
            ended.append(run(source, document, kind.rows(own), requests_per_second, own))
        lines.append(_line(kind, ended, harmless=place == 0))
    return lines


def _worse(source: Source, drops: Sequence[float]) -> Iterator[Kind]:
    """A classifier that is right less often, or a regressor whose errors are larger."""
    if source.rows.errors is None:
        for drop in drops:
            yield Kind(f"{100 * drop:g} points worse", partial(spoilt, source.rows, drop), loss=drop)
        return
    for rise in RISES:
        rows = risen(source, rise)
        yield Kind(f"errors {100 * rise:g} % larger", lambda _, rows=rows: rows, rise=rise)  # type: ignore[misc]


def _line(kind: Kind, ended: Sequence[Ended], *, harmless: bool) -> Line:
    back = [one for one in ended if one.outcome == "rolled back"]
    promoted = sum(one.outcome == "promoted" for one in ended)
    decided = [one for one in ended if one.outcome != "undecided"]
    timed = decided if harmless else back
    low, high = wilson(len(back), len(ended))
    gates = {name: sum(one.gate == name for one in back) for name in sorted({one.gate or "?" for one in back})}
    return Line(
        candidate=kind.name,
        harmless=harmless,
        runs=len(ended),
        rolled_back=len(back),
        promoted=promoted,
        undecided=len(ended) - len(decided),
        low=low,
        high=high,
        labels=float(np.median([one.labels for one in timed])) if timed else None,
        minutes=float(np.median([one.seconds for one in timed])) / 60.0 if timed else None,
        gates=gates,
        loss=kind.loss,
        rise=kind.rise,
    )


def wilson(hits: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927)."""
    share, z2 = hits / n, Z95 * Z95
    middle, half = share + z2 / (2 * n), Z95 * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(0.0, (middle - half) / (1 + z2 / n)), min(1.0, (middle + half) / (1 + z2 / n))

"""The picture of `serin explain`: the evidence of each gate as time went by, and the bins of the worst features."""

from __future__ import annotations

from serin_cli.explain.bins import Binned, worst
from serin_cli.plots import svg
from serin_contract.profile import Profile
from serin_operator.api.deployment import ModelDeploymentStatus
from serin_operator.decide.judge.bin_formulas import Floats
from serin_operator.decide.judge.course import Course
from serin_operator.decide.judge.findings import log10_needed
from serin_operator.decide.judge.sums import Evidence


def picture(
    revision: str | None, status: ModelDeploymentStatus, evidence: Evidence | None, profile: Profile | None
) -> str:
    """SVG text; without stable's profile no bins are drawn, since nobody knows what they mean."""
    rows = [
        (gate.name, gate.log10_e, log10_needed(gate.budget))
        for gate in status.gates
        if gate.log10_e is not None and gate.budget
    ]
    panels = [svg.levels("Evidence against the candidate: log10, and the mark at which a gate fails", rows)]
    if evidence is not None and len(evidence.course.points) > 1:
        panels.append(_course(evidence.course, {name: needed for name, _, needed in rows}))
    if evidence is not None and profile is not None:
        panels += _bins(status, evidence, profile)
    return svg.picture(f"{revision or 'the last trial'}: what its gates have seen", panels)


def _course(course: Course, needed: dict[str, float]) -> svg.Panel:
    began = course.points[0].at
    series: dict[str, list[tuple[float, float]]] = {}
    for point in course.points:
        for name, value in point.log10_e.items():
            series.setdefault(name, []).append(((point.at - began) / 60.0, value))
    shown = {name: level for name, level in needed.items() if name in series}
    return svg.lines("How that evidence went: log10, since the first look at the trial", series, shown)


def _bins(status: ModelDeploymentStatus, evidence: Evidence, profile: Profile) -> list[svg.Panel]:
    candidate, stable = evidence.bins.total("candidate"), evidence.bins.total("stable")
    if candidate is None or stable is None or not len(candidate):
        return []
    return [feature_panel(one, {"candidate": candidate, "stable": stable}) for one in worst(status.gates, profile)]


def feature_panel(one: Binned, live: dict[str, Floats]) -> svg.Panel:
    """Shares of one feature's bins: at training, and live in each arm (bins of all features, as evidence has them)."""
    series = {"training of stable": shares(list(one.training))}
    series |= {arm: shares(one.of(counts)) for arm, counts in live.items()}
    return svg.bars(f"{one.name}: share of values by bin", one.labels, series)


def shares(counts: list[float]) -> list[float]:
    """Each part of the whole; zeros where there is nothing."""
    whole = float(sum(counts)) or 1.0
    return [float(count) / whole for count in counts]

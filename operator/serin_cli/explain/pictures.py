"""The picture of `serin explain`: evidence of each gate, and the bins of the features that lie furthest off."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING

import click

from serin_cli.plots import svg
from serin_contract import profile as profiles
from serin_contract.bundle import PROFILE_FILE
from serin_contract.profile import Feature, NumericFeature, Profile
from serin_operator.api.deployment import ModelDeploymentStatus
from serin_operator.decide.judge.binned import axes_of
from serin_operator.decide.judge.findings import log10_needed
from serin_operator.decide.judge.sums import Evidence

if TYPE_CHECKING:
    from serin_operator.decide.judge.bin_formulas import Floats

FEATURES_DRAWN = 3


def picture(revision: str | None, status: ModelDeploymentStatus, evidence: Evidence | None, bundle: Path | None) -> str:
    """SVG text.

    Raises:
        ClickException: the bundle has no profile, or not the one that the evidence was counted on.
    """
    rows = [
        (gate.name, gate.log10_e, log10_needed(gate.budget))
        for gate in status.gates
        if gate.log10_e is not None and gate.budget
    ]
    panels = [svg.levels("Evidence against the candidate: log10, and the mark at which a gate fails", rows)]
    if bundle is not None:
        found = _bins(status, evidence, _profile(bundle, evidence)) if evidence is not None else []
        if not found:
            raise click.ClickException(
                "no bins are kept of this revision: leave --bundle out to draw the evidence alone"
            )
        panels += found
    return svg.picture(f"{revision or 'the last trial'}: what its gates have seen", panels)


def _profile(bundle: Path, evidence: Evidence) -> Profile:
    try:
        found = profiles.decode((bundle / PROFILE_FILE).read_bytes())
    except (OSError, ValueError) as error:
        raise click.ClickException(f"{bundle} has no profile that can be read: {error}") from error
    axes = evidence.bins.stable_axes
    if axes is not None and axes != axes_of(found):
        raise click.ClickException(f"{bundle} is not stable's bundle: the bins were counted on another profile")
    return found


def _bins(status: ModelDeploymentStatus, evidence: Evidence, profile: Profile) -> list[svg.Panel]:
    candidate, stable = evidence.bins.total("candidate"), evidence.bins.total("stable")
    if candidate is None or stable is None or not len(candidate):
        return []
    return [
        feature_panel(profile, name, {"candidate": candidate, "stable": stable}) for name in _worst(status, profile)
    ]


def _worst(status: ModelDeploymentStatus, profile: Profile) -> list[str]:
    named = {feature.name: feature.value for gate in status.gates for feature in gate.features or ()}
    known = [feature.name for feature in profile.features]
    return sorted((name for name in named if name in known), key=lambda name: -named[name])[:FEATURES_DRAWN]


def feature_panel(profile: Profile, name: str, live: dict[str, Floats]) -> svg.Panel:
    """Shares of one feature's bins: at training, and live in each arm (bins of all features, as evidence has them)."""
    start = 0
    for feature in profile.features:
        if feature.name == name:
            break
        start += feature.bins
    series = {"training of stable": shares(feature.counts)}
    series |= {arm: shares(list(counts[start : start + feature.bins])) for arm, counts in live.items()}
    return svg.bars(f"{name}: share of values by bin", bin_labels(feature), series)


def shares(counts: list[float]) -> list[float]:
    """Each part of the whole; zeros where there is nothing."""
    whole = float(sum(counts)) or 1.0
    return [float(count) / whole for count in counts]


def bin_labels(feature: Feature) -> list[str]:
    """The bins of a feature in words."""
    if not isinstance(feature, NumericFeature):
        return [*feature.categories, "other", "missing"]
    edges = [f"{edge:.3g}" for edge in feature.edges]
    if not edges:
        return ["any", "missing"]
    between = [f"{low} to {high}" for low, high in itertools.pairwise(edges)]
    return [f"< {edges[0]}", *between, f"≥ {edges[-1]}", "missing"]

"""What the drift gates read: both arms against each other, and each against the data that it was trained on.

Three comparisons, each by feature. The arms against each other on stable's profile: requests are split at random, so
they differ only where the candidate's side of the pipeline does. The candidate against its own profile, and stable
against its own: both move where the world does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from serin_contract.profile import Feature, NumericFeature, Profile
from serin_operator.decide.judge import bin_formulas, formulas
from serin_operator.decide.judge.bin_formulas import Flags, Floats, Layout, Pair
from serin_operator.decide.once import once_per_object

PREDICTION = "prediction"
"""Stands where a feature's name does in what is said of the answers."""

Part = Literal["features", "prediction"]


@dataclass(frozen=True, eq=False)
class Axis:
    """One part of a profile: names, bins and what training counted."""

    part: Part
    names: tuple[str, ...]
    kinds: tuple[str, ...]
    layout: Layout
    reference: Floats

    def of(self, flat: Floats) -> Floats:
        """This part of counts, shape [..., B]; the predictions come last there."""
        bins = self.layout.bins
        return flat[..., :bins] if self.part == "features" else flat[..., flat.shape[-1] - bins :]

    def by_feature(self, values: Floats) -> Floats:
        """This part of what a cohort holds by feature."""
        return values[:-1] if self.part == "features" else values[-1:]


@once_per_object
def axes(profile: Profile) -> Mapping[Part, Axis]:
    """The parts of a profile that have a feature at all."""
    bins, found = profile.prediction, dict[Part, Axis]()
    if profile.features:
        found["features"] = Axis(
            "features",
            tuple(feature.name for feature in profile.features),
            tuple(_kind(feature) for feature in profile.features),
            bin_formulas.layout([feature.bins for feature in profile.features]),
            np.array([count for feature in profile.features for count in feature.counts], dtype=np.float64),
        )
    found["prediction"] = Axis(
        "prediction",
        (PREDICTION,),
        (bins.kind,),
        bin_formulas.layout((bins.bins,)),
        np.array(bins.counts, dtype=np.float64),
    )
    return found


def _kind(feature: Feature) -> str:
    """What must be equal for two features of one name to be the same."""
    return f"{feature.of} of {feature.source}" if isinstance(feature, NumericFeature) else "category"


@dataclass(frozen=True, eq=False)
class Proof:
    """Evidence by feature, as one e-process or as one for each cohort at its own part of the budget."""

    processes: tuple[tuple[float, Floats], ...]
    """Natural log of the part, and of the e-values, shape [F]."""

    def log_e(self, judged: Flags, features: int) -> float:
        """Natural log of the mean over so many features, of which only the judged ones are added."""
        means = (part + bin_formulas.mean_log_e(values, judged, features) for part, values in self.processes)
        return max(means, default=bin_formulas.mean_log_e(np.zeros(0)))

    @property
    def by_feature(self) -> Floats:
        """Natural log of each feature's own evidence."""
        best: Floats = np.max([part + values for part, values in self.processes], axis=0)
        return best


@dataclass(frozen=True, eq=False)
class Own:
    """One arm against its own profile."""

    axis: Axis
    judged: Flags
    psi: Floats
    """PSI* by feature."""
    tested: tuple[Floats, ...]
    """Counts of the processes of the proof, each shape [B]."""
    limit: float
    """PSI that must be proven to be exceeded."""
    sticky: bool
    samples: float

    @cached_property
    def proof(self) -> Proof:
        """Against "within the limit of the profile": the dearest number of a look, and mostly nobody asks for it."""
        profile = self.axis
        values = [bin_formulas.profile_log_e(one, profile.reference, profile.layout, self.limit) for one in self.tested]
        return proof(values, sticky=self.sticky)


@dataclass(frozen=True, eq=False)
class Between:
    """The arms against each other, on the features of stable's profile."""

    axis: Axis
    judged: Flags
    """Features that both profiles have, as the same kind, and that are not ignored."""
    psi: Floats
    """PSI* over all cohorts."""
    pair: Pair
    """Over all cohorts."""
    passing: Pair
    """What a Pass rests on: all cohorts, or the current one where callers return."""
    proof: Proof

    @cached_property
    def passing_psi(self) -> Floats:
        """PSI* over what a Pass rests on."""
        return self.psi if self.passing is self.pair else bin_formulas.psi_star(self.passing)


@dataclass(frozen=True, eq=False)
class Counted:
    """What one arm counted on one part of its own profile."""

    axis: Axis
    each: Floats
    """By cohort as they opened, shape [cohorts, B], of at least one."""

    @cached_property
    def samples_each(self) -> list[float]:
        """Rows by cohort: every feature has a bin for each."""
        return [float(samples) for samples in self.axis.layout.sums(self.each).max(axis=1)]

    @cached_property
    def whole(self) -> Floats:
        """Over all cohorts, shape [B]."""
        whole: Floats = self.each.sum(axis=0)
        return whole

    @cached_property
    def samples(self) -> float:
        """Rows over all cohorts."""
        return float(self.axis.layout.sums(self.whole).max())

    def weighed(self, mix: Sequence[float]) -> Floats:
        """The counts under another mix of cohorts, summing to their effective size (Σm)² / Σ(m²/n); shape [B].

        The candidate's samples come late in a ramp and stable's early. In traffic that drifts meanwhile the one would
        lie off its profile and the other not, without anyone's fault: so stable's PSI* is that of the candidate's mix.

        Args:
            mix: samples by which the cohorts weigh.
        """
        sums = zip(mix, self.samples_each, self.each, strict=True)
        kept = [(m, n, one) for m, n, one in sums if min(m, n) > formulas.WEIGHT_MIN]
        if not kept:
            return np.zeros_like(self.whole)
        whole = math.fsum(m for m, _, _ in kept)
        size = whole * whole / math.fsum(m * m / n for m, n, _ in kept)
        mixed: Floats = np.sum([one * (m / n) for m, n, one in kept], axis=0) * (size / whole)
        return mixed


def proof(values: Sequence[Floats], *, sticky: bool) -> Proof:
    """The processes with their parts of the budget: all of it for one, 1/(j(j+1)) for the j-th cohort."""
    if not sticky:
        return Proof(tuple((0.0, value) for value in values))
    return Proof(tuple((formulas.log_weight(order), value) for order, value in enumerate(values, start=1)))


def comparable(stable: Axis, candidate: Axis, ignored: frozenset[str]) -> Flags:
    """The features of stable's that both have, as the same kind, and that are not ignored."""
    kinds = dict(zip(candidate.names, candidate.kinds, strict=True))
    return np.array(
        [kinds.get(name) == kind and name not in ignored for name, kind in zip(stable.names, stable.kinds, strict=True)]
    )

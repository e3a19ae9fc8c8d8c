"""What the drift gates read: both arms against each other, and each against the data that it was trained on.

Three comparisons, each by feature. The arms against each other on stable's profile: requests are split at random, so
they differ only where the candidate's side of the pipeline does. The candidate against its own profile, and stable
against its own: both move where the world does.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from serin_contract.profile import Feature, NumericFeature, Profile
from serin_operator.decide.judge import bets, bin_formulas, binned, formulas
from serin_operator.decide.judge.bin_formulas import Flags, Floats, Layout, Pair
from serin_operator.decide.judge.binned import BinEvidence, CohortBins

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
        """This part of a cohort's counts; the predictions come last there."""
        return flat[: self.layout.bins] if self.part == "features" else flat[len(flat) - self.layout.bins :]

    def by_feature(self, values: Floats) -> Floats:
        """This part of what a cohort holds by feature."""
        return values[:-1] if self.part == "features" else values[-1:]

    def samples(self, cohorts: Iterable[Floats]) -> float:
        """Rows that were counted in these cohorts: every feature has a bin for each."""
        return math.fsum(float(self.layout.sums(self.of(counts)).max()) for counts in cohorts)


def axis(profile: Profile, part: Part) -> Axis | None:
    """That part of a profile; None where it has no feature at all."""
    if part == "prediction":
        bins = profile.prediction
        return Axis(
            part,
            (PREDICTION,),
            (bins.kind,),
            bin_formulas.layout((bins.bins,)),
            np.array(bins.counts, dtype=np.float64),
        )
    if not profile.features:
        return None
    counts = np.array([count for feature in profile.features for count in feature.counts], dtype=np.float64)
    return Axis(
        part,
        tuple(feature.name for feature in profile.features),
        tuple(_kind(feature) for feature in profile.features),
        bin_formulas.layout([feature.bins for feature in profile.features]),
        counts,
    )


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
    basis: tuple[CohortBins, ...]
    """The cohorts on which a Pass rests."""

    @cached_property
    def passing_psi(self) -> Floats:
        """PSI* over what a Pass rests on."""
        return self.psi if self.passing is self.pair else bin_formulas.psi_star(self.passing)


def own(
    profile: Axis,
    counts: Sequence[Floats],
    limit: float,
    ignored: frozenset[str],
    *,
    sticky: bool,
    mix: Sequence[float] | None = None,
) -> Own | None:
    """One arm against its own profile; None where it has counted nothing.

    The candidate's samples come late in a ramp and stable's early. In traffic that drifts meanwhile the one would lie
    off its profile and the other not, without anyone's fault: so stable's PSI* is that of the candidate's `mix` of
    cohorts.

    Args:
        profile: what training counted.
        counts: the arm's cohorts as they opened, each shape [B].
        limit: PSI that must be proven to be exceeded.
        ignored: features that are not judged.
        sticky: whether callers return in later cohorts, so that each is tested alone.
        mix: samples by which the cohorts weigh in PSI*; its own where None.
    """
    if not counts:
        return None
    whole: Floats = np.sum(counts, axis=0)
    samples = float(profile.layout.sums(whole).max())
    if samples <= 0.0:
        return None
    tested = tuple(counts) if sticky else (whole,)
    weighed = whole if mix is None else _weighed(counts, mix, profile.layout)
    psi = bin_formulas.psi_star(bin_formulas.standardised([(weighed, profile.reference)], profile.layout))
    judged = np.array([name not in ignored for name in profile.names])
    return Own(profile, judged, psi, tested, limit, sticky, samples)


def _weighed(counts: Sequence[Floats], mix: Sequence[float], where: Layout) -> Floats:
    """The counts under another mix of cohorts, summing to their effective size (Σm)² / Σ(m²/n)."""
    sums = [(m, float(where.sums(one).max()), one) for m, one in zip(mix, counts, strict=True)]
    kept = [(m, n, one) for m, n, one in sums if min(m, n) > formulas.WEIGHT_MIN]
    if not kept:
        return np.zeros(where.bins)
    whole = math.fsum(m for m, _, _ in kept)
    size = whole * whole / math.fsum(m * m / n for m, n, _ in kept)
    mixed: Floats = np.sum([one * (m / n) for m, n, one in kept], axis=0) * (size / whole)
    return mixed


def proof(values: Sequence[Floats], *, sticky: bool) -> Proof:
    """The processes with their parts of the budget: all of it for one, 1/(j(j+1)) for the j-th cohort."""
    if not sticky:
        return Proof(tuple((0.0, value) for value in values))
    return Proof(tuple((formulas.log_weight(order), value) for order, value in enumerate(values, start=1)))


def between(
    bins: BinEvidence,
    stable: Axis,
    candidate: Axis | None,
    current: CohortBins | None,
    ignored: frozenset[str],
    *,
    sticky: bool,
) -> Between | None:
    """The arms against each other; None where no cohort has been counted on stable's profile."""
    cohorts = binned.in_order(bins)
    if not cohorts or bins.stable_axes is None:
        return None
    basis = cohorts if not sticky else tuple(cohort for cohort in (current,) if cohort is not None)
    wealth = [cohort.log_e for cohort in cohorts]
    tested = [stable.by_feature(bets.hedged(one)) for one in (wealth if sticky else [np.sum(wealth, axis=0)])]
    pair = _standardised(cohorts, stable)
    return Between(
        stable,
        _comparable(stable, candidate, ignored),
        bin_formulas.psi_star(pair),
        pair,
        _standardised(basis, stable) if sticky else pair,
        proof(tested, sticky=sticky),
        basis,
    )


def _standardised(cohorts: Sequence[CohortBins], stable: Axis) -> Pair:
    counts = [(stable.of(cohort.candidate), stable.of(cohort.stable)) for cohort in cohorts]
    return bin_formulas.standardised(counts, stable.layout)


def _comparable(stable: Axis, candidate: Axis | None, ignored: frozenset[str]) -> Flags:
    kinds = dict(zip(candidate.names, candidate.kinds, strict=True)) if candidate is not None else {}
    return np.array(
        [kinds.get(name) == kind and name not in ignored for name, kind in zip(stable.names, stable.kinds, strict=True)]
    )

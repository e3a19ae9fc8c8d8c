"""The bins of the features that lie furthest off: both arms on stable's profile, with the terms of their PSI."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

from serin_cli.explain.tables import Table
from serin_contract import profile as profiles
from serin_contract.bundle import PROFILE_FILE
from serin_contract.profile import Feature, NumericFeature, PredictionBins, Profile
from serin_operator.api.deployment import GateStatus
from serin_operator.decide.gate_policies import DATA_DRIFT, PREDICTION_DRIFT
from serin_operator.decide.judge.bin_formulas import Floats, layout, standardised
from serin_operator.decide.judge.binned import BinEvidence, axes_of
from serin_operator.decide.judge.drifted import PREDICTION

FEATURES_SHOWN = 3
FORMULA = (
    "By hand: in each cohort w = n_c * n_s / (n_c + n_s), n being rows of the two arms. In all cohorts",
    "  share = sum of w * count / n, divided by sum of w, and n = (sum of w)^2 / sum of w^2 / n;",
    "  p = (share * n + 1/2) / (n + K/2), K being the bins that either arm has seen;",
    "  term = (p_c - p_s) * ln(p_c / p_s), PSI* = sum of terms - (K - 1) * (1/n_c + 1/n_s).",
)


@dataclass(frozen=True)
class Binned:
    """One feature of stable's profile, or its answers, and where its bins lie among all of them."""

    name: str
    labels: tuple[str, ...]
    training: tuple[float, ...]
    """Counts of the rows that stable was trained on."""
    start: int

    def of(self, flat: Floats) -> list[float]:
        """Its part of counts of all features."""
        found: list[float] = flat[self.start : self.start + len(self.labels)].tolist()
        return found


def profile_for(evidence: BinEvidence, bundle: Path | None, known: Profile | None) -> Profile | None:
    """The profile on which the bins were counted: that of the bundle, else the known one if it is the same.

    Raises:
        ClickException: the bundle has no profile that can be read, or another one.
    """
    axes = evidence.stable_axes
    if bundle is None:
        return known if known is not None and axes == axes_of(known) else None
    try:
        found = profiles.decode((bundle / PROFILE_FILE).read_bytes())
    except (OSError, ValueError) as error:
        raise click.ClickException(f"{bundle} has no profile that can be read: {error}") from error
    if axes is not None and axes != axes_of(found):
        raise click.ClickException(f"{bundle} is not stable's bundle: the bins were counted on another profile")
    return found


def worst(gates: Iterable[GateStatus], profile: Profile) -> list[Binned]:
    """What the drift gates name and the profile knows, the furthest off first."""
    named = {
        feature.name: feature.value
        for gate in gates
        if gate.name in (DATA_DRIFT, PREDICTION_DRIFT)
        for feature in gate.features or ()
    }
    known = [one for one in binned(profile) if one.name in named]
    return sorted(known, key=lambda one: -named[one.name])[:FEATURES_SHOWN]


def binned(profile: Profile) -> Iterator[Binned]:
    """Every feature of a profile, and its answers last."""
    start = 0
    for feature in profile.features:
        yield Binned(feature.name, tuple(bin_labels(feature)), tuple(feature.counts), start)
        start += feature.bins
    answers = profile.prediction
    yield Binned(PREDICTION, tuple(answer_labels(answers)), tuple(answers.counts), start)


def bin_labels(feature: Feature) -> list[str]:
    """The bins of a feature in words."""
    if not isinstance(feature, NumericFeature):
        return [*feature.categories, "other", "missing"]
    return [*_between(feature.edges), "missing"]


def answer_labels(answers: PredictionBins) -> list[str]:
    """The bins of a model's answers in words: values, or each class with its confidence."""
    between = _between(answers.edges)
    if not answers.classes:
        return between
    return [f"{value} {part}" if answers.edges else str(value) for value in answers.classes for part in between]


def _between(numbers: list[float]) -> list[str]:
    edges = [f"{edge:.3g}" for edge in numbers]
    if not edges:
        return ["any"]
    return [f"< {edges[0]}", *(f"{low} to {high}" for low, high in itertools.pairwise(edges)), f"≥ {edges[-1]}"]


def tables(evidence: BinEvidence, gates: Iterable[GateStatus], profile: Profile) -> Iterator[Table]:
    """One for each of the worst features; the first says how to compute."""
    for place, one in enumerate(worst(gates, profile)):
        yield _table(evidence, one, FORMULA if place == 0 else ())


def _table(evidence: BinEvidence, one: Binned, formula: tuple[str, ...]) -> Table:
    counts = {
        (name, arm): one.of(flat)
        for name, cohort in evidence.cohorts.items()
        for arm, flat in (("candidate", cohort.candidate), ("stable", cohort.stable))
    }
    where = layout([len(one.labels)])
    arms = ([counts[name, arm] for name in evidence.cohorts] for arm in ("candidate", "stable"))
    pair = standardised([(np.array(c), np.array(s)) for c, s in zip(*arms, strict=True)], where)
    n_c, n_s = float(pair.candidate_n[0]), float(pair.stable_n[0])
    shares_c, shares_s = pair.candidate.tolist(), pair.stable.tolist()
    terms, bins = psi_terms((shares_c, n_c), (shares_s, n_s))
    rows = (
        ("training", "stable", math.fsum(one.training), *one.training),
        *((name, arm, math.fsum(values), *values) for (name, arm), values in counts.items()),
        ("all", "candidate", n_c, *shares_c),
        ("all", "stable", n_s, *shares_s),
        ("term", "", math.fsum(terms), *terms),
    )
    bias = (bins - 1) * (1.0 / n_c + 1.0 / n_s) if min(n_c, n_s) > 0.0 else 0.0
    psi = f"  {math.fsum(terms):.4f} - {bias:.4f} = a PSI* of {max(0.0, math.fsum(terms) - bias):.4f} (not below 0)"
    return Table(
        f"{one.name}: rows by bin, both arms on stable's profile",
        ("cohort", "arm", "rows", *one.labels),
        rows,
        (*formula, psi),
    )


def psi_terms(candidate: tuple[list[float], float], stable: tuple[list[float], float]) -> tuple[list[float], int]:
    """The term of each bin, 0 in those that nobody has seen, and how many bins have been seen.

    Args:
        candidate: share of each bin, and effective samples.
        stable: the same of stable.
    """
    (shares_c, n_c), (shares_s, n_s) = candidate, stable
    seen = [max(c, s) > 0.0 for c, s in zip(shares_c, shares_s, strict=True)]
    bins = sum(seen)
    terms: list[float] = []
    for c, s, is_seen in zip(shares_c, shares_s, seen, strict=True):
        p, q = (c * n_c + 0.5) / (n_c + 0.5 * bins), (s * n_s + 0.5) / (n_s + 0.5 * bins)
        terms.append((p - q) * math.log(p / q) if is_seen else 0.0)
    return terms, bins

"""Small builders for the tests of drift: profiles of few features, and pods that have counted so many rows on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tests.unit.judge.build import COHORT

from serin_contract.profile import CategoryFeature, Feature, NumericFeature, PredictionBins, Profile, profile_hash
from serin_contract.stats import BinCounts, CohortStats, PodStats
from serin_operator.decide.judge import binned
from serin_operator.decide.judge.binned import BinEvidence

Shares = tuple[float, ...]

EVEN: Shares = (0.2, 0.2, 0.2, 0.2, 0.2, 0.0)
NEAR: Shares = (0.19, 0.2, 0.2, 0.2, 0.21, 0.0)
FAR: Shares = (0.02, 0.05, 0.13, 0.3, 0.5, 0.0)
"""PSI 0.97 from EVEN."""
ANSWERS: Shares = (0.25, 0.25, 0.25, 0.25)

Kind = Mapping[str, Shares]
"""By feature name the share of each bin; `prediction` may be among them."""
LIKE_TRAINING: Kind = {"age": EVEN, "income": EVEN}


def profile(shares: Kind = LIKE_TRAINING, rows: int = 10_000, *, categories: tuple[str, ...] = ()) -> Profile:
    """Of a training set with these shares."""

    def feature(name: str) -> Feature:
        counts = [rows * share for share in shares[name]]
        if name in categories:
            return CategoryFeature(name, [f"c{place}" for place in range(len(counts) - 2)], counts)
        return NumericFeature(name, [float(place) for place in range(len(counts) - 2)], counts)

    answers = [rows * share for share in shares.get("prediction", ANSWERS)]
    return Profile(
        [feature(name) for name in shares if name != "prediction"],
        PredictionBins("classification", ["no", "yes"], [0.75], answers),
        rows,
    )


def counted(on: Profile, shares: Kind, samples: float) -> BinCounts:
    """So many samples with these shares; a feature that they do not name has no count."""
    flat = [
        samples * share for feature in on.features for share in shares.get(feature.name, (0.0,) * len(feature.counts))
    ]
    answers = [samples * share for share in shares.get("prediction", ANSWERS)]
    return BinCounts(profile_hash(on), flat, answers)


class Pods:
    """One pod of each arm, whose counts grow."""

    def __init__(self, candidate: Profile | None = None, stable: Profile | None = None) -> None:
        self.candidate = candidate or profile()
        self.stable = stable or self.candidate
        self.told_as_stable = self.stable
        """What the candidate's pod takes for stable's profile."""
        self.samples: dict[tuple[str, str], list[tuple[Kind, float]]] = {}
        self.evidence: BinEvidence = binned.NO_BINS

    @property
    def arms(self) -> binned.Arms:
        return binned.Arms("c", "s", {"c": self.candidate, "s": self.stable})

    def serve(self, arm: str, shares: Kind, samples: float, cohort: str = COHORT) -> None:
        """Let the pod of that arm, `c` or `s`, answer so many rows more."""
        self.samples.setdefault((arm, cohort), []).append((shares, samples))

    def answers(self) -> tuple[PodStats, ...]:
        """What the pods answer now."""
        cohorts: dict[str, dict[str, CohortStats]] = {"c": {}, "s": {}}
        for (arm, cohort), served in self.samples.items():
            own = self.candidate if arm == "c" else self.stable
            stable = self._summed(self.told_as_stable, served) if arm == "c" else None
            cohorts[arm][cohort] = CohortStats(own_bins=self._summed(own, served), stable_bins=stable)
        return tuple(PodStats(arm, f"pod-{arm}", "start-1", cohorts=of) for arm, of in cohorts.items())

    def look(self, now: float = 0.0, *, sticky: bool = False) -> None:
        """One poll of both pods."""
        self.evidence = binned.absorb(self.evidence, self.arms, self.answers(), now, sticky=sticky)

    @staticmethod
    def _summed(on: Profile, served: list[tuple[Kind, float]]) -> BinCounts:
        counts = [counted(on, shares, samples) for shares, samples in served]
        features = np.sum([one.features for one in counts], axis=0)
        return BinCounts(
            counts[0].profile_hash, features.tolist(), np.sum([one.prediction for one in counts], axis=0).tolist()
        )


def draws_of(shares: Shares, samples: int, draws: np.random.Generator) -> NDArray[np.float64]:
    """So many rows drawn at random."""
    return draws.multinomial(samples, shares).astype(np.float64)


def rows_of(pods: Pods, polls: int, candidate: Kind, stable: Kind, samples: tuple[float, float], **look: Any) -> Pods:
    """The pods after so many polls in which both arms answered evenly, so many samples in all."""
    for now in range(polls):
        pods.serve("c", candidate, samples[0] / polls)
        pods.serve("s", stable, samples[1] / polls)
        pods.look(float(now), **look)
    return pods

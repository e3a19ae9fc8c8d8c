"""The drift of one look, of features and predictions at once: both gates read it, so it is worked out once for them.

There are three tables: the candidate against its own profile, stable against its own, and the arms against each other.
All three stand in one array, so that they cost no more array operations than one of them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from serin_contract.profile import Profile
from serin_operator.decide.judge import bets, bin_formulas, binned, drifted
from serin_operator.decide.judge.bin_formulas import Floats, Pair
from serin_operator.decide.judge.binned import BinEvidence, CohortBins
from serin_operator.decide.judge.drifted import Axis, Between, Counted, Own, Part

Table = Literal["candidate", "stable", "between"]
"""Whose counts: one arm's on its own profile, or both arms' on stable's."""
Place = tuple[slice, slice]
"""Where a part of a table lies in arrays of shape [F] and [B]."""
_ARMS: tuple[Literal["candidate", "stable"], ...] = ("candidate", "stable")


@dataclass(frozen=True, eq=False)
class Comparison:
    """Both arms in the bins of one look."""

    bins: BinEvidence
    candidate: Profile
    stable: Profile
    cohort: str | None
    """Of the requests that are split now."""
    sticky: bool
    """Whether callers return in later cohorts, so that each is tested alone."""

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """The parts that both profiles have."""
        stable = drifted.axes(self.stable)
        return tuple(part for part in drifted.axes(self.candidate) if part in stable)

    @cached_property
    def cohorts(self) -> tuple[CohortBins, ...]:
        """As they opened."""
        return binned.in_order(self.bins)

    @property
    def is_counted(self) -> bool:
        """Whether a cohort has been counted on stable's profile."""
        return bool(self.cohorts) and self.bins.stable_axes is not None

    @cached_property
    def current(self) -> tuple[CohortBins, ...]:
        """The cohort of now, where anything was counted in it."""
        found = self.bins.cohorts.get(self.cohort or "")
        return (found,) if found is not None else ()

    @cached_property
    def basis(self) -> tuple[CohortBins, ...]:
        """The cohorts on which a Pass rests: all, or the current one alone where callers return."""
        return self.current if self.sticky else self.cohorts

    @cached_property
    def counted(self) -> Mapping[tuple[Table, Part], Counted]:
        """What each arm counted on its own profile."""
        own, off = np.array([one.own for one in self.cohorts]), np.array([one.stable for one in self.cohorts])
        candidate, stable = drifted.axes(self.candidate), drifted.axes(self.stable)
        found: dict[tuple[Table, Part], Counted] = {}
        for part in self.parts:
            found["candidate", part] = Counted(candidate[part], candidate[part].of(own))
            found["stable", part] = Counted(stable[part], stable[part].of(off))
        return found

    def samples(self, part: Part, cohorts: tuple[CohortBins, ...]) -> tuple[float, float]:
        """What candidate and stable counted on their own profiles in these of the cohorts."""
        kept = [any(one is other for other in cohorts) for one in self.cohorts]
        candidate, stable = self.counted["candidate", part], self.counted["stable", part]
        return (
            math.fsum(itertools.compress(candidate.samples_each, kept)),
            math.fsum(itertools.compress(stable.samples_each, kept)),
        )

    def own(self, arm: Literal["candidate", "stable"], part: Part, limit: float, ignored: frozenset[str]) -> Own | None:
        """One arm against its own profile; None where it has counted nothing.

        Args:
            arm: which.
            part: of its profile.
            limit: PSI that must be proven to be exceeded.
            ignored: features that are not judged.
        """
        counted = self.counted[arm, part]
        if counted.samples <= 0.0:
            return None
        judged = np.array([name not in ignored for name in counted.axis.names])
        tested = tuple(counted.each) if self.sticky else (counted.whole,)
        features, _ = self._places[arm, part]
        return Own(counted.axis, judged, self._psi[features], tested, limit, self.sticky, counted.samples)

    def between(self, part: Part, ignored: frozenset[str]) -> Between:
        """The arms against each other, in a part of stable's profile."""
        stable, candidate = drifted.axes(self.stable)[part], drifted.axes(self.candidate)[part]
        features, bins = self._places["between", part]
        pair = self._pair.of(features, bins, stable.layout)
        return Between(
            stable,
            drifted.comparable(stable, candidate, ignored),
            self._psi[features],
            pair,
            self._passing(stable) if self.sticky else pair,
            drifted.proof([stable.by_feature(log_e) for log_e in self._log_e], sticky=self.sticky),
        )

    def _passing(self, stable: Axis) -> Pair:
        counts = [(stable.of(cohort.candidate), stable.of(cohort.stable)) for cohort in self.basis]
        return bin_formulas.standardised(counts, stable.layout)

    @cached_property
    def _log_e(self) -> tuple[Floats, ...]:
        """Of the processes of the arms against each other, by feature of stable's profile."""
        wealth = [cohort.log_e for cohort in self.cohorts]
        return tuple(bets.hedged(one) for one in (wealth if self.sticky else [np.sum(wealth, axis=0)]))

    @cached_property
    def _tables(self) -> Mapping[tuple[Table, Part], Axis]:
        """In the order in which they stand in the one array."""
        candidate, stable = drifted.axes(self.candidate), drifted.axes(self.stable)
        return {
            **{("candidate", part): candidate[part] for part in self.parts},
            **{("stable", part): stable[part] for part in self.parts},
            **{("between", part): stable[part] for part in self.parts},
        }

    @cached_property
    def _places(self) -> Mapping[tuple[Table, Part], Place]:
        places: dict[tuple[Table, Part], Place] = {}
        feature = at = 0
        for table, axis in self._tables.items():
            places[table] = slice(feature, feature + len(axis.names)), slice(at, at + axis.layout.bins)
            feature, at = places[table][0].stop, places[table][1].stop
        return places

    @cached_property
    def _pair(self) -> Pair:
        """Each table's two sides, of which a profile is one that stands beside the first cohort."""
        own, off = ([self.counted[arm, part] for part in self.parts] for arm in _ARMS)
        seen = [*(one.whole for one in own), *(b.weighed(a.samples_each) for a, b in zip(own, off, strict=True))]
        candidate = np.array([cohort.candidate for cohort in self.cohorts])
        widths = np.concatenate([axis.layout.widths for axis in self._tables.values()])
        where = bin_formulas.layout(widths)
        _, first = self._places["between", self.parts[0]]
        sides = np.zeros((len(self.cohorts), 2, where.bins))
        sides[0, 0, : first.start] = np.concatenate(seen)
        sides[0, 1, : first.start] = np.concatenate([one.axis.reference for one in (*own, *off)])
        sides[:, 0, first.start :] = np.concatenate([one.axis.of(candidate) for one in off], axis=1)
        sides[:, 1, first.start :] = np.concatenate([one.each for one in off], axis=1)
        return bin_formulas.standardised(sides, where)

    @cached_property
    def _psi(self) -> Floats:
        """PSI* of every feature of every table."""
        return bin_formulas.psi_star(self._pair)

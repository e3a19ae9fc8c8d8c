"""The drift gates: inputs and answers against stable's at the same time, and against the training data.

Two tests may fail a candidate, and each holds a part of the gate's share. Against stable: some feature's PSI* is beyond
`max` and the arms provably differ. Against the profile: the candidate has provably left its own training data by more
than `max` in a feature in which stable fits its own. Where stable has left its own as well the world has moved, and
nobody is at fault: SharedDrift. A candidate trained on newer data fits its own profile while stable does not: that is
neither. Features that only the candidate knows are judged against its own profile, unless the world has moved.

A Pass rests on the comparison with stable: in every feature a PSI of `max` or more is excluded at PASS_ERROR.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np

from serin_operator.api.deployment import FeatureStatus
from serin_operator.decide.gate_policies import DataDriftPolicy, PredictionDriftPolicy
from serin_operator.decide.judge import bets, bin_formulas, formulas
from serin_operator.decide.judge.bin_formulas import Flags, Floats
from serin_operator.decide.judge.compared import Comparison
from serin_operator.decide.judge.drifted import Between, Own, Part
from serin_operator.decide.judge.findings import (
    FEATURES_SHOWN,
    PASS_ERROR,
    SAMPLES_MIN,
    Finding,
    Verdict,
    evidence_words,
    log10,
    log10_needed,
    too_few,
)
from serin_operator.decide.judge.look import Look
from serin_operator.decide.judge.reasons import GateReason

APART_PART = 0.9
"""Of the gate's wealth, that the test against stable stakes: it is the one that finds a candidate's own fault early."""
OFF_PART = 0.1
"""The same of the test against the profile."""


@dataclass(frozen=True, eq=False)
class _Case:
    """The numbers that the rules below read, each computed once."""

    look: Look
    limit: float
    between: Between
    own: Own
    stable: Own | None
    """None while stable has counted too little to be asked."""
    here: tuple[float, float]
    """Samples of candidate and stable in the current cohort."""
    whole: tuple[float, float]
    """The same in the cohorts on which a Pass rests."""

    @cached_property
    def finding(self) -> Finding:
        """All fields but verdict, reason and message filled in."""
        return _numbers(self)

    @property
    def needed(self) -> float:
        """The log10 of the evidence that the gate's share asks for."""
        return log10_needed(self.look.share)

    @cached_property
    def apart(self) -> Flags:
        """Features in which the arms lie further apart than the limit."""
        return self.between.judged & (self.between.psi > self.limit)

    @cached_property
    def log10_apart(self) -> float:
        """Evidence that the arms differ, as the part of the gate's wealth that it holds."""
        judged = self.between.judged
        return log10(self.between.proof.log_e(judged, int(judged.sum())) + math.log(APART_PART))

    @cached_property
    def off(self) -> Flags:
        """Features in which the candidate lies off its own profile."""
        return self.own.judged & (self.own.psi > self.limit)

    @cached_property
    def shared(self) -> Flags:
        """Those of them in which stable lies off its own as well."""
        if not self.off.any():
            return self.off
        off: Flags = np.array([(self.stable_psi(name) or 0.0) > self.limit for name in self.own.axis.names])
        return self.off & off

    @cached_property
    def blamed(self) -> Flags:
        """Those of them in which stable fits its own, or which it does not know while nothing else has moved."""
        blamed: Flags = self.off & ~self.shared
        if not self.is_shared:
            return blamed
        known: Flags = np.array([self.stable_psi(name) is not None for name in self.own.axis.names])
        return blamed & known

    @cached_property
    def is_shared(self) -> bool:
        """Whether both arms have left their training data, which one of them proves."""
        # To hold fails nobody: a gate without a share of the budget asks for as much as a Pass does.
        needed = self.needed if self.look.share > 0.0 else log10_needed(PASS_ERROR)
        return bool(self.shared.any()) and max(self.log10_off(self.shared), self._log10_stable_off()) >= needed

    def log10_off(self, features: Flags) -> float:
        """Evidence that the candidate has left its profile in these features by more than the limit."""
        if not features.any():
            return log10(formulas.LOG_SMALLEST)
        return log10(self.own.proof.log_e(features, int(self.own.judged.sum())) + math.log(OFF_PART))

    def _log10_stable_off(self) -> float:
        if self.stable is None:
            return log10(formulas.LOG_SMALLEST)
        names = set(_names(self.own.axis.names, self.shared))
        features = np.array([name in names for name in self.stable.axis.names])
        return log10(self.stable.proof.log_e(features, int(self.stable.judged.sum())) + math.log(OFF_PART))

    def stable_psi(self, name: str) -> float | None:
        """How far stable lies off its own profile in that feature; None where it has none of that name."""
        return self._stable_psi.get(name)

    @cached_property
    def _stable_psi(self) -> dict[str, float]:
        if self.stable is None:
            return {}
        return dict(zip(self.stable.axis.names, self.stable.psi.tolist(), strict=True))


def judge_data_drift(look: Look, gate: DataDriftPolicy) -> Finding:
    """The verdict on the inputs."""
    return _judge(look, gate.maximum, "features", gate.ignored)


def judge_prediction_drift(look: Look, gate: PredictionDriftPolicy) -> Finding:
    """The verdict on the answers."""
    return _judge(look, gate.maximum, "prediction", frozenset())


def _judge(look: Look, limit: float, part: Part, ignored: frozenset[str]) -> Finding:
    """Whether there is data, then Fail, then what the world does, then what a Pass still lacks."""
    case = _case(look, limit, part, ignored)
    if isinstance(case, Finding):
        return case
    return _fail(case) or _shared(case) or _no_data(case) or _not_yet(case) or _pass(case)


def _case(look: Look, limit: float, part: Part, ignored: frozenset[str]) -> _Case | Finding:
    evidence = look.evidence
    missing = [name for name in (evidence.candidate, evidence.stable) if name not in look.profiles]
    if missing:
        message = f"no pod of {' and '.join(missing)} has told its profile, so its bins cannot be read"
        return Finding("NoData", GateReason.ProfileUnreadable, message, limit=limit)
    comparison = look.comparison
    if part not in comparison.parts:
        return Finding("NoData", GateReason.ProfileUnreadable, "a profile holds no features", limit=limit)
    return _counted(look, limit, comparison, part, ignored)


def _counted(look: Look, limit: float, comparison: Comparison, part: Part, ignored: frozenset[str]) -> _Case | Finding:
    own = comparison.own("candidate", part, limit, ignored) if comparison.is_counted else None
    if own is None:
        return Finding(
            "NoData", GateReason.NoTraffic, "no answer of a pod of the candidate holds bins yet", limit=limit
        )
    off = comparison.own("stable", part, limit, ignored)
    if off is not None and off.samples < SAMPLES_MIN:
        off = None
    here, whole = comparison.samples(part, comparison.current), comparison.samples(part, comparison.basis)
    return _Case(look, limit, comparison.between(part, ignored), own, off, here, whole)


def _numbers(case: _Case) -> Finding:
    """The case's finding with its numbers, still without an answer."""
    between, judged = case.between, case.between.judged
    share = case.look.share
    blank = partial(
        Finding,
        verdict="NotYet",
        reason=GateReason.NotProven,
        message="",
        limit=case.limit,
        samples=case.own.samples,
        log10_e=max(case.log10_apart, case.log10_off(case.blamed)),
        budget=share if share > 0.0 else None,
    )
    if not judged.any():
        return blank(features=_shown_own(case, case.own.judged))
    fewest = float(between.passing.samples[judged].min())
    most_bins = float(between.axis.layout.widths[judged].max())
    smallest = bets.smallest_psi(fewest, most_bins, _log_e_needed(case))
    worst = int(np.argmax(np.where(judged, between.psi, -1.0)))
    return blank(
        value=float(between.psi[worst]),
        reference=case.stable_psi(between.axis.names[worst]),
        bound=_finite(float((_passing(case) + _widths(case))[judged].max())),
        needed=_needed(case),
        smallest_drop=_finite(smallest) if share > 0.0 else None,
        features=_shown_between(case, judged),
    )


def _log_e_needed(case: _Case) -> float:
    """Natural log of the evidence that one feature must bring by itself."""
    stake = APART_PART * max(case.look.share, formulas.WEIGHT_MIN)
    return math.log(int(case.between.judged.sum())) - math.log(stake)


def _passing(case: _Case) -> Floats:
    return case.between.passing_psi


def _widths(case: _Case) -> Floats:
    information = bin_formulas.psi_information(case.between.passing, case.limit)
    return bin_formulas.half_widths(information, case.limit, PASS_ERROR)


def _needed(case: _Case) -> float | None:
    """Candidate samples until a Pass if the shares and the split stay; None where they never lead to one."""
    judged, pair = case.between.judged, case.between.passing
    n, gap = pair.samples[judged], case.limit - float(_passing(case)[judged].max())
    if gap <= 0.0 or n.min() <= 0.0:
        return None
    information = formulas.information_for(gap, formulas.tau(case.limit, PASS_ERROR), PASS_ERROR)
    target = bin_formulas.samples_for(information, float(pair.layout.widths[judged].max()), case.limit)
    needed = case.whole[0] * target / float(n.min())
    return max(SAMPLES_MIN, float(math.ceil(needed))) if math.isfinite(needed) else None


def _fail(case: _Case) -> Finding | None:
    if case.apart.any() and case.log10_apart >= case.needed:
        names = _named(case.between.axis.names, case.between.psi, case.apart)
        words = evidence_words(case.log10_apart, case.look.share)
        message = f"against stable at the same time {names} {_over(case)}, {case.limit:.2f} is acceptable, {words}"
        shown = _shown_between(case, case.between.judged)
        return _answer(case, "Fail", GateReason.DriftedFromStable, message, shown)
    blamed = case.blamed
    if case.stable is None or not blamed.any() or case.log10_off(blamed) < case.needed:
        return None
    names = _named(case.own.axis.names, case.own.psi, blamed)
    words = evidence_words(case.log10_off(blamed), case.look.share)
    message = f"against the candidate's training data {names} {_over(case)}, which stable fits in its own; {words}"
    return _answer(case, "Fail", GateReason.OffOwnProfile, message, _shown_own(case, blamed))


def _over(case: _Case) -> str:
    """The rows of candidate and stable over the trial, in words."""
    comparison = case.look.comparison
    _, stable = comparison.samples(case.own.axis.part, comparison.cohorts)
    return f"over {case.own.samples:.0f} and {stable:.0f} rows"


def _shared(case: _Case) -> Finding | None:
    """The world has moved: what the policy makes of it."""
    asked = case.look.policy.on_shared_drift
    if asked == "Ignore" or not case.is_shared:
        return None
    names = _named(case.own.axis.names, case.own.psi, case.shared)
    message = (
        f"traffic has left what both revisions were trained on: {names} against the candidate's training data, and "
        f"stable is off its own as well, {case.limit:.2f} is acceptable; retrain on recent data and apply the new "
        "bundle, or set verdicts.onSharedDrift"
    )
    verdict: Verdict = "Fail" if asked == "RollBack" and case.look.share > 0.0 else "NotYet"
    return _answer(case, verdict, GateReason.SharedDrift, message, _shown_own(case, case.shared))


def _no_data(case: _Case) -> Finding | None:
    bins = case.look.evidence.bins
    judged, compared = case.between.judged, case.between.pair.samples
    if bins.strangers and bins.stable_axes is not None and judged.any() and compared[judged].max() <= 0.0:
        message = (
            f"the candidate's pods count on the profile {bins.strangers[0]}, and stable's is {bins.stable_axes.hash}; "
            "the two arms cannot be compared until those pods are made anew"
        )
        return _answer(case, "NoData", GateReason.OtherProfile, message)
    if min(case.here) > 0.0:
        return None
    message = f"samples in this cohort: {case.here[0]:.0f} of the candidate, {case.here[1]:.0f} of stable"
    return _answer(case, "NoData", GateReason.NoTraffic, message)


def _not_yet(case: _Case) -> Finding | None:
    """What a Pass still lacks, the weightiest first; None where it lacks nothing."""
    words = evidence_words(case.finding.log10_e or 0.0, case.look.share)
    if case.apart.any():
        names = _named(case.between.axis.names, case.between.psi, case.apart)
        message = f"against stable {names}, {case.limit:.2f} is acceptable, {words}"
        return _answer(case, "NotYet", GateReason.LikelyDrifted, message)
    if too_few(*case.here, *case.whole) or case.stable is None:
        message = f"{case.here[0]:.0f} and {case.here[1]:.0f} samples in this cohort are too few"
        return _answer(case, "NotYet", GateReason.TooFewSamples, message)
    if case.blamed.any():
        names = _named(case.own.axis.names, case.own.psi, case.blamed)
        message = f"against the candidate's training data {names}, which stable fits in its own; {words}"
        return _answer(case, "NotYet", GateReason.LikelyDrifted, message, _shown_own(case, case.blamed))
    bound = case.finding.bound
    if case.between.judged.any() and (bound is None or bound >= case.limit):
        more = f", about {case.finding.needed:.0f} samples are needed" if case.finding.needed is not None else ""
        shown = f"a PSI of {bound:.2f}" if bound is not None else "a difference"
        return _answer(case, "NotYet", GateReason.NotProven, f"{_seen(case)}; {shown} is not excluded{more}")
    return None


def _pass(case: _Case) -> Finding:
    message = f"{_seen(case)}; a PSI of {case.limit:.2f} or more is excluded"
    if not case.between.judged.any():
        message = "no feature is judged in both arms, and the candidate fits its own training data"
    elif case.shared.any():
        names = ", ".join(_names(case.own.axis.names, case.shared)[:FEATURES_SHOWN])
        message = f"{message}; both arms may have left their training data in {names}"
    return _answer(case, "Pass", GateReason.WithinMaxDrift, message)


def _seen(case: _Case) -> str:
    judged = case.between.judged
    if not judged.any():
        return "no feature is judged in both arms"
    return f"against stable {_named(case.between.axis.names, case.between.psi, judged, shown=1)} at most"


def _names(names: tuple[str, ...], features: Flags) -> list[str]:
    return [name for name, is_one in zip(names, features, strict=True) if is_one]


def _worst(psi: Floats, features: Flags) -> list[int]:
    """Places of these features, the largest PSI first."""
    return [int(place) for place in np.argsort(-psi, kind="stable") if features[place]]


def _named(names: tuple[str, ...], psi: Floats, features: Flags, shown: int = 3) -> str:
    """The worst of these features with their numbers, in words."""
    places = _worst(psi, features)
    said = ", ".join(f"PSI {psi[place]:.2f} in {names[place]}" for place in places[:shown])
    more = len(places) - shown
    return f"{said} and {more} more" if more > 0 and shown > 1 else said


def _shown_between(case: _Case, features: Flags) -> tuple[FeatureStatus, ...]:
    between = case.between
    return _statuses(case, between.axis.names, between.psi, between.proof.by_feature, _worst(between.psi, features))


def _shown_own(case: _Case, features: Flags) -> tuple[FeatureStatus, ...]:
    own = case.own
    return _statuses(case, own.axis.names, own.psi, own.proof.by_feature, _worst(own.psi, features))


def _statuses(
    case: _Case, names: tuple[str, ...], psi: Floats, log_e: Floats, places: Iterable[int]
) -> tuple[FeatureStatus, ...]:
    return tuple(
        FeatureStatus(
            name=names[place],
            value=float(psi[place]),
            reference=case.stable_psi(names[place]),
            log10_e=log10(float(log_e[place])),
        )
        for place in list(places)[:FEATURES_SHOWN]
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _answer(
    case: _Case,
    verdict: Verdict,
    reason: GateReason,
    message: str,
    features: tuple[FeatureStatus, ...] | None = None,
) -> Finding:
    """The case's numbers with a verdict on them."""
    shown = case.finding.features if features is None else features
    return replace(case.finding, verdict=verdict, reason=reason, message=message, features=shown)

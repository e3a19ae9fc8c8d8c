"""The schema gate: values that a model was not trained for, and requests that it cannot even read.

For each feature of the candidate's own profile and each kind of violation the share is held against the share in
training plus `maxViolations`. Fail: the shares are proven to be beyond their limits, in features in which stable lies
within its own. Where stable is beyond its limits as well the callers have changed, and the candidate is not to blame.
Requests that are malformed are judged as errors are, against stable. Each of the two holds half of the gate's share.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from serin_contract.profile import CategoryFeature, Profile
from serin_operator.api.deployment import FeatureStatus
from serin_operator.decide.gate_policies import SCHEMA, SchemaPolicy
from serin_operator.decide.judge import bin_formulas, formulas, tallied
from serin_operator.decide.judge.bin_formulas import Flags, Floats
from serin_operator.decide.judge.findings import (
    FEATURES_SHOWN,
    PASS_ERROR,
    SAMPLES_MIN,
    Finding,
    Verdict,
    evidence_words,
    log10,
    log10_needed,
    samples_to_exclude,
    smallest_share,
    too_few,
)
from serin_operator.decide.judge.look import Look
from serin_operator.decide.judge.rates import Question, judge_rate
from serin_operator.decide.judge.reasons import GateReason
from serin_operator.decide.judge.sums import ArmCounts, CohortEvidence, Evidence
from serin_operator.decide.once import once_per_object

KINDS = ("missing", "unseen", "below the range", "above the range")
HALF = math.log(2.0)
LOG_E_PASS = -math.log(PASS_ERROR / 2.0)
HALVINGS = 14
"""Of the bisection: the bound is found to 1/8000."""


@dataclass(frozen=True, eq=False)
class Arm:
    """One arm's violations of its own profile, feature by feature of each kind; arrays of shape [4F]."""

    names: tuple[str, ...]
    bad: Floats
    limits: Floats
    n: float

    @cached_property
    def rates(self) -> Floats:
        """Shares of violations."""
        return self.bad / self.n if self.n > 0.0 else np.zeros_like(self.bad)

    @property
    def beyond(self) -> Flags:
        """Which lie beyond their limits, as far as is seen."""
        return np.asarray(self.rates > self.limits)

    def label(self, place: int) -> str:
        """The feature and the kind of that place, in words."""
        kind, feature = divmod(place, len(self.names))
        return f"{self.names[feature]} {KINDS[kind]}"

    def rate_of(self, name: str, kind: int) -> float | None:
        """The share in that feature, or None where the arm has none of that name."""
        if name not in self.names or self.n <= 0.0:
            return None
        return float(self.rates[kind * len(self.names) + self.names.index(name)])


def judge_schema(look: Look, gate: SchemaPolicy) -> Finding:
    """The verdict on what callers send: the worse of that on values and that on malformed requests."""
    values = _values(look, gate)
    malformed = _malformed(look, gate)
    order = ("Fail", "Error", "NoData", "NotYet", "Pass")
    worse = min((values, malformed), key=lambda finding: order.index(finding.verdict))
    return replace(worse, budget=look.share if look.share > 0.0 else None)


def _malformed(look: Look, gate: SchemaPolicy) -> Finding:
    """Requests refused as malformed, with half of the share."""

    def counts(vectors: tallied.Vectors) -> ArmCounts:
        malformed, requests = tallied.vector(vectors, tallied.REFUSALS).tolist()
        return ArmCounts(requests=requests, errors=min(malformed, requests))

    evidence = look.evidence
    cohorts = {
        name: CohortEvidence(
            one.opened_at, counts(one.candidate), counts(one.stable), {SCHEMA: one.log_e.get(SCHEMA, 0.0)}
        )
        for name, one in evidence.tallies.cohorts.items()
    }
    virtual = replace(look, evidence=Evidence(evidence.candidate, evidence.stable, cohorts), share=look.share / 2.0)
    finding = judge_rate(virtual, Question(SCHEMA, gate.max_violations, "share of malformed requests"))
    if finding.verdict != "Fail":
        return finding
    return replace(finding, reason=GateReason.MoreMalformed)


def _values(look: Look, gate: SchemaPolicy) -> Finding:
    evidence = look.evidence
    missing = [name for name in (evidence.candidate, evidence.stable) if name not in look.profiles]
    if missing:
        message = f"no pod of {' and '.join(missing)} has told its profile, so its limits are not known"
        return Finding("NoData", GateReason.ProfileUnreadable, message, limit=gate.max_violations)
    tallies = evidence.tallies
    cohorts = tallied.in_order(tallies)
    current = tallies.cohorts.get(look.cohort or "")
    if look.sticky:
        # Callers who come back are no new samples: the cohort with the most of them speaks alone.
        cohorts = tuple(sorted(cohorts, key=lambda one: -_rows(one.candidate))[:1])
    candidate = _arm(look.profiles[evidence.candidate], [one.candidate for one in cohorts], gate)
    stable = _arm(look.profiles[evidence.stable], [one.stable for one in cohorts], gate)
    here = (_rows(current.candidate), _rows(current.stable)) if current is not None else (0.0, 0.0)
    return _judge(look, gate, candidate, stable, here)


def _rows(vectors: tallied.Vectors) -> float:
    return float(tallied.vector(vectors, tallied.QUALITY)[0])


def _arm(profile: Profile, cohorts: list[tallied.Vectors], gate: SchemaPolicy) -> Arm:
    """The arm's counts; a vector that does not fit the profile counts as none."""
    names = tuple(feature.name for feature in profile.features)
    size = 1 + len(KINDS) * len(names)
    told = [vectors[tallied.QUALITY] for vectors in cohorts if tallied.QUALITY in vectors]
    whole = sum((vector for vector in told if len(vector) == size), np.zeros(size))
    return Arm(names, whole[1:], np.minimum(1.0, trained(profile) + gate.max_violations), float(whole[0]))


@once_per_object
def trained(profile: Profile) -> Floats:
    """The share of each kind of violation in the training data, feature by feature of each kind; shape [4F]."""
    rows = max(1.0, float(profile.rows))
    missing = [feature.counts[-1] / rows for feature in profile.features]
    unseen = [
        feature.counts[-2] / rows if isinstance(feature, CategoryFeature) else 0.0 for feature in profile.features
    ]
    # The range that counts is wider than what training saw, so none of its rows lay outside.
    return np.array([*missing, *unseen, *([0.0] * 2 * len(profile.features))])


def _judge(look: Look, gate: SchemaPolicy, candidate: Arm, stable: Arm, here: tuple[float, float]) -> Finding:
    log_e = formulas.below_log_e_each(
        candidate.n - candidate.bad, np.full_like(candidate.bad, candidate.n), 1.0 - candidate.limits
    )
    also = _also(candidate, stable)
    blamed, shared = candidate.beyond & ~also, candidate.beyond & also
    against = _evidence(log_e, blamed)
    finding = Finding(
        verdict="NotYet",
        reason=GateReason.NotProven,
        message="",
        value=float(candidate.rates.max(initial=0.0)),
        reference=float(stable.rates.max(initial=0.0)),
        bound=_highest_excess(candidate, gate, ~shared),
        limit=gate.max_violations,
        samples=candidate.n,
        needed=samples_to_exclude(
            float((candidate.rates - candidate.limits).max(initial=-1.0)) + gate.max_violations,
            gate.max_violations,
            LOG_E_PASS,
        ),
        log10_e=against,
        smallest_drop=_smallest_excess(candidate, gate, look.share),
        features=_shown(candidate, stable),
    )
    needed = log10_needed(look.share)
    if blamed.any() and against >= needed and stable.n >= SAMPLES_MIN:
        message = (
            f"{_named(candidate, blamed)} over {candidate.n:.0f} and {stable.n:.0f} rows, in which stable fits its own "
            f"training; {evidence_words(against, look.share)}"
        )
        return _answer(finding, "Fail", GateReason.OutsideTraining, message)
    return _undecided(look, gate, finding, candidate, stable, here, blamed, shared, log_e)


def _undecided(
    look: Look, gate: SchemaPolicy, finding: Finding, candidate: Arm, stable: Arm,
    here: tuple[float, float], blamed: Flags, shared: Flags, log_e: Floats,
) -> Finding:  # fmt: skip
    held = log10_needed(look.share if look.share > 0.0 else PASS_ERROR)
    if shared.any() and _evidence(log_e, shared) >= held and look.policy.on_shared_drift != "Ignore":
        verdict: Verdict = "Fail" if look.policy.on_shared_drift == "RollBack" and look.share > 0.0 else "NotYet"
        message = f"{_named(candidate, shared)}, and in stable's as well: what callers send has changed for both"
        return _answer(finding, verdict, GateReason.SharedViolations, message)
    if min(here) <= 0.0:
        message = f"rows in this cohort: {here[0]:.0f} of the candidate, {here[1]:.0f} of stable"
        return _answer(finding, "NoData", GateReason.NoTraffic, message)
    if too_few(*here, candidate.n, stable.n):
        return _answer(
            finding,
            "NotYet",
            GateReason.TooFewSamples,
            f"{here[0]:.0f} and {here[1]:.0f} rows in this cohort are too few",
        )
    if blamed.any():
        message = f"{_named(candidate, blamed)}; {evidence_words(finding.log10_e or 0.0, look.share)}"
        return _answer(finding, "NotYet", GateReason.LikelyWorse, message)
    said = f"over {candidate.n:.0f} rows no feature has more than {gate.max_violations:.4f}"
    excluded = formulas.below_log_e_each(candidate.bad, np.full_like(candidate.bad, candidate.n), candidate.limits)
    if len(excluded) and float(np.where(shared, math.inf, excluded).min()) < LOG_E_PASS:
        more = f", about {finding.needed:.0f} are needed" if finding.needed is not None else ""
        message = f"{said} beyond its share in training, and in some more is not excluded{more}"
        return _answer(finding, "NotYet", GateReason.NotProven, message)
    message = (
        f"over {candidate.n:.0f} rows no feature has more than {gate.max_violations:.4f} beyond its share in training"
    )
    return _answer(finding, "Pass", GateReason.WithinTraining, message)


def _evidence(log_e: Floats, places: Flags) -> float:
    """Log10 of the mean e-value over all checks, of these places alone, as the half of the wealth that it holds."""
    if not places.any():
        return log10(formulas.LOG_SMALLEST)
    return log10(bin_formulas.mean_log_e(log_e, places, len(log_e)) - HALF)


def _highest_excess(candidate: Arm, gate: SchemaPolicy, places: Flags) -> float | None:
    """The largest share beyond that in training that is not excluded in all of these places at half of PASS_ERROR.

    It is the largest of what each place has by itself. A place's evidence rises with the share, so those in which the
    largest so far is excluded need not be searched: mostly all but one or two.
    """
    if candidate.n <= 0.0 or not places.any():
        return None
    bad, at_most = candidate.bad[places], candidate.limits[places]
    rows, gaps = np.full_like(bad, candidate.n), bad / candidate.n - at_most
    left, highest = np.ones(len(bad), dtype=np.bool_), 0.0
    while left.any() and highest < 1.0:
        place = int(np.argmax(np.where(left, gaps, -math.inf)))
        highest = _excess(candidate.n, float(bad[place]), float(at_most[place]), gate.max_violations)
        left &= formulas.below_log_e_each(bad, rows, np.minimum(1.0, at_most + highest)) < LOG_E_PASS
        left[place] = False
    return min(1.0, highest + gate.max_violations)


def _excess(rows: float, bad: float, at_most: float, max_violations: float) -> float:
    """The same of one place, less `max_violations`; 1 where no share is excluded."""
    low, high = -max_violations, 1.0
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        excluded = formulas.below_log_e(bad, rows, min(1.0, at_most + middle)) >= LOG_E_PASS
        low, high = (low, middle) if excluded else (middle, high)
    return high


def _smallest_excess(candidate: Arm, gate: SchemaPolicy, share: float) -> float | None:
    """The smallest share, in a feature that had none in training, that so many rows prove to be too large."""
    if share <= 0.0:
        return None
    needed = HALF + math.log(max(1, len(candidate.bad))) - math.log(share)
    return smallest_share(candidate.n, gate.max_violations, needed)


def _also(candidate: Arm, stable: Arm) -> Flags:
    """In which of the candidate's places stable is beyond its own limit in the same feature and kind."""
    beyond = {stable.label(int(place)) for place in np.flatnonzero(stable.beyond)}
    also = np.zeros(len(candidate.bad), dtype=np.bool_)
    if beyond:
        also[:] = [candidate.label(place) in beyond for place in range(len(also))]
    return also


def _worst(arm: Arm, places: Flags) -> list[int]:
    excess = arm.rates - arm.limits
    return [int(place) for place in np.argsort(-excess, kind="stable") if places[place]]


def _named(arm: Arm, places: Flags) -> str:
    """The worst of these places with their numbers, in words."""
    found = _worst(arm, places)
    said = ", ".join(
        f"{arm.rates[place]:.1%} of {arm.label(place)} ({arm.limits[place]:.1%} may be)" for place in found[:3]
    )
    return f"{said} and {len(found) - 3} more" if len(found) > 3 else said


def _shown(candidate: Arm, stable: Arm) -> tuple[FeatureStatus, ...]:
    found = _worst(candidate, candidate.rates > 0.0)[:FEATURES_SHOWN]
    return tuple(
        FeatureStatus(
            name=candidate.label(place),
            value=float(candidate.rates[place]),
            reference=stable.rate_of(candidate.names[place % len(candidate.names)], place // len(candidate.names)),
        )
        for place in found
    )


def _answer(finding: Finding, verdict: Verdict, reason: GateReason, message: str) -> Finding:
    return replace(finding, verdict=verdict, reason=reason, message=message)

"""The gates of a watch that read bins and quality by the hour: drift off the training data, and the schema.

The hours of a day differ from each other and from the training data, so only windows of a day and more may breach:
those are asked whether they have left the profile at all (a tolerance of 0) and by more than `max`. Windows of a few
hours are asked whether they have provably left it by more than `max`; they alert, and never take traffic back.
A test begins with every hour, whose e-process the windows of all lengths share: the strict one lies below the other.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from serin_contract.profile import Profile
from serin_operator.api.deployment import FeatureStatus
from serin_operator.decide.gate_policies import DataDriftPolicy, PredictionDriftPolicy, SchemaPolicy
from serin_operator.decide.judge import bin_formulas
from serin_operator.decide.judge.bin_formulas import Floats, Layout, Pair
from serin_operator.decide.judge.findings import FEATURES_SHOWN, Finding, log10, smallest_share
from serin_operator.decide.judge.formulas import LOG_SMALLEST
from serin_operator.decide.judge.quality import KINDS, trained
from serin_operator.decide.judge.reasons import GateReason
from serin_operator.decide.judge.watched_formulas import Proof, log_needed, loss_log_e
from serin_operator.decide.judge.watched_look import WatchLook
from serin_operator.decide.judge.watched_rates import LIKELY, words
from serin_operator.decide.judge.watched_slots import DAY_SECONDS, HOUR_SECONDS, Vectors

HOURS = (1, 2, 4, 8)
"""Windows that alert."""
DAYS = (1, 3, 7)
"""Windows that may breach."""


@dataclass(frozen=True)
class _Reference:
    """What training looked like."""

    part: Literal["features", "prediction"]
    layout: Layout
    counts: Floats
    names: tuple[str, ...]
    judged: bin_formulas.Flags

    def live(self, vectors: Vectors) -> Floats | None:
        """The counts of the same bins; None where there are none."""
        counts = vectors.features if self.part == "features" else vectors.prediction
        return np.array(counts, dtype=np.float64) if len(counts) == len(self.counts) else None


@dataclass(frozen=True)
class _Window:
    """What one window says."""

    name: str
    breaches: bool
    """Whether it may, or only alerts."""
    rows: float
    log_e: float
    """Natural log of the mean e-value of the features that lie beyond the limit."""
    psi: Floats
    each: Floats
    """Natural log of each feature's e-value."""


def judge_data_drift(look: WatchLook, gate: DataDriftPolicy) -> Finding:
    """The features against the training data, all but those that are ignored."""
    features = look.profile.features if look.profile is not None else []
    judged = np.array([feature.name not in gate.ignored for feature in features], dtype=np.bool_)
    if not judged.any():
        return _no_profile()
    counts = [count for feature in features for count in feature.counts]
    names = tuple(feature.name for feature in features)
    layout = bin_formulas.layout([feature.bins for feature in features])
    return _drift(look, gate.maximum, _Reference("features", layout, np.array(counts, np.float64), names, judged))


def judge_prediction_drift(look: WatchLook, gate: PredictionDriftPolicy) -> Finding:
    """The outputs against those that were predicted out of fold."""
    if look.profile is None:
        return _no_profile()
    outputs = look.profile.prediction
    layout, counts = bin_formulas.layout([outputs.bins]), np.array(outputs.counts, np.float64)
    return _drift(look, gate.maximum, _Reference("prediction", layout, counts, ("prediction",), np.array([True])))


def _no_profile() -> Finding:
    return Finding("NoData", GateReason.NoProfile, "no pod of the revision has told its profile yet")


def _drift(look: WatchLook, maximum: float, reference: _Reference) -> Finding:
    needed = log_needed(look.alarms_per_year, HOUR_SECONDS)
    windows = list(_windows(look, maximum, reference))
    if not windows:
        return Finding(
            "NoData", GateReason.NoTraffic, "nothing has been counted on the profile's bins in this watch yet"
        )
    breach = max((window for window in windows if window.breaches), key=lambda window: window.log_e, default=None)
    if breach is not None and breach.log_e >= needed:
        return _found(breach, reference, maximum, needed, GateReason.OffProfile)
    brief = max(windows, key=lambda window: window.log_e)
    if brief.log_e >= needed:
        return _found(brief, reference, maximum, needed, GateReason.OffProfileBriefly)
    return _found(windows[-1], reference, maximum, needed, GateReason.NotBreached)


def _windows(look: WatchLook, maximum: float, reference: _Reference) -> Iterator[_Window]:
    """The short ones, strict, then those of a day and more as soon as the watch is as old as one."""
    slots = look.evidence.slots
    for hours in HOURS:
        window = _window(f"{hours} h", slots.last_hours(hours, look.now), reference, maximum, maximum)
        if window is not None:
            yield window
    begun_at = look.evidence.begun_at
    if begun_at is None or look.now - begun_at < DAY_SECONDS:
        return
    for days in DAYS:
        window = _window(f"{24 * days} h", slots.last_days(days), reference, maximum, 0.0)
        if window is not None:
            yield replace(window, breaches=True)


def _window(name: str, counted: Vectors, reference: _Reference, maximum: float, tolerance: float) -> _Window | None:
    counts, where = reference.live(counted), reference.layout
    if counts is None or not counts.any():
        return None
    n, rows = where.sums(counts), where.sums(reference.counts)
    pair = Pair(
        where,
        counts / where.spread(np.maximum(n, 1e-9)),
        reference.counts / where.spread(np.maximum(rows, 1e-9)),
        n,
        rows,
    )
    psi = bin_formulas.psi_star(pair)
    each = bin_formulas.profile_log_e(counts, reference.counts, where, tolerance)
    # At most the mean over all judged features, so an e-value as that one is.
    beyond = reference.judged & (psi >= maximum)
    log_e = bin_formulas.mean_log_e(each, beyond, int(reference.judged.sum()))
    return _Window(name, False, float(n.max()), log_e, psi, each)


def _found(window: _Window, reference: _Reference, maximum: float, needed: float, reason: GateReason) -> Finding:
    order = [int(place) for place in np.argsort(-window.psi) if reference.judged[place]][:FEATURES_SHOWN]
    worst = order[0]
    seen = (
        f"PSI of {reference.names[worst]} against training is {window.psi[worst]:.3f} over the last {window.name} "
        f"({window.rows:.0f} rows)"
    )
    finding = Finding(
        verdict="Pass",
        reason=reason,
        message=f"{seen}; the limit is {maximum:.3f}",
        value=float(window.psi[worst]),
        limit=maximum,
        samples=window.rows,
        log10_e=log10(window.log_e),
        budget=Proof(window.log_e, needed, 0.0, ()).budget,
        features=tuple(
            FeatureStatus(
                name=reference.names[place], value=float(window.psi[place]), log10_e=log10(float(window.each[place]))
            )
            for place in order
        ),
    )
    if reason == GateReason.NotBreached:
        return finding
    said = f"{seen}, beyond the limit of {maximum:.3f}, {words(Proof(window.log_e, needed, 0.0, ()))}"
    if reason == GateReason.OffProfile:
        return replace(finding, verdict="Fail", message=said)
    return replace(finding, verdict="NotYet", message=f"{said}; windows under 24 h alert and take no traffic back")


def judge_schema(look: WatchLook, gate: SchemaPolicy) -> Finding:
    """Values that are missing, unseen or out of range, beyond the share in training by more than `maxViolations`."""
    profile, slots = look.profile, look.evidence.slots
    if profile is None or not profile.features:
        return _no_profile()
    proven = look.proven.get(gate.name, 0.0)
    limits = trained(profile) + gate.max_violations + (proven if proven > gate.max_violations else 0.0)
    windows = [slots.last_hours(hours, look.now) for hours in HOURS] + [slots.last_days(days) for days in DAYS]
    counted = [
        window.quality for window in windows if len(window.quality) == 1 + limits.size and window.quality[0] > 0.0
    ]
    if not counted:
        return Finding("NoData", GateReason.NoTraffic, "no values have been looked at in this watch yet")
    found = [_violations(quality, limits) for quality in counted]
    log_e, place, quality = max(found, key=lambda one: one[0])
    proof = Proof(log_e, log_needed(look.alarms_per_year, HOUR_SECONDS), 0.0, ())
    if log_e < LIKELY * proof.needed:
        place, quality = _worst(counted[-1], limits), counted[-1]
    return _violated(profile, place, quality, float(limits[place]), proof)


def _violations(quality: tuple[float, ...], limits: Floats) -> tuple[float, int, tuple[float, ...]]:
    """Evidence of the mean of all kinds and features, at most; and which of them says most."""
    rows = quality[0]
    beyond = [place for place, limit in enumerate(limits) if quality[1 + place] > limit * rows and limit < 1.0]
    proofs = [(loss_log_e(quality[1 + place], rows, float(limits[place])), place) for place in beyond]
    log_e, place = max(proofs, default=(LOG_SMALLEST, 0))
    # One of many e-values, divided by how many there are, lies below their mean.
    return log_e - math.log(limits.size), place, quality


def _worst(quality: tuple[float, ...], limits: Floats) -> int:
    return int(np.argmax(np.array(quality[1:]) - limits * quality[0]))


def _violated(profile: Profile, place: int, quality: tuple[float, ...], limit: float, proof: Proof) -> Finding:
    kind, feature = divmod(place, len(profile.features))
    share = quality[1 + place] / quality[0]
    seen = f"{share:.2%} of {profile.features[feature].name} is {KINDS[kind]} over {quality[0]:.0f} rows"
    finding = Finding(
        verdict="Pass",
        reason=GateReason.NotBreached,
        message=f"{seen}; the limit is {limit:.2%}",
        value=share,
        limit=limit,
        samples=quality[0],
        log10_e=log10(proof.log_e),
        budget=proof.budget,
        smallest_drop=_smallest(profile, quality[0], limit, proof),
    )
    if share <= limit or proof.log_e < LIKELY * proof.needed:
        return finding
    message = f"{seen}, beyond the limit of {limit:.2%}, {words(proof)}"
    if proof.holds:
        return replace(finding, verdict="Fail", reason=GateReason.AboveMaximum, message=message)
    return replace(finding, reason=GateReason.LikelyWorse, verdict="NotYet", message=message)


def _smallest(profile: Profile, rows: float, limit: float, proof: Proof) -> float | None:
    """How far beyond the limit the share would have to lie at least to alarm with so many rows."""
    if not math.isfinite(proof.needed) or limit >= 1.0:
        return None
    share = smallest_share(rows, limit, proof.needed + math.log(len(KINDS) * len(profile.features)))
    return share - limit if share is not None else None

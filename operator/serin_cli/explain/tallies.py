"""Times, errors of numbers, refusals, quality and agreement as they were counted, and what follows by hand."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from serin_cli.explain.bins import binned
from serin_cli.explain.tables import Cell, Table
from serin_contract.profile import Profile
from serin_contract.stats import LATENCY_BOUNDS_SECONDS
from serin_operator.decide.gate_policies import LatencyPolicy, RegressionErrorPolicy
from serin_operator.decide.judge import formulas, tallied
from serin_operator.decide.judge.formulas import Stratum
from serin_operator.decide.judge.latency import quantile_seconds
from serin_operator.decide.judge.quality import KINDS
from serin_operator.decide.judge.shadowed import NO_SHADOW, ShadowEvidence
from serin_operator.decide.judge.tallied import CohortTally, TallyEvidence, Vectors
from serin_operator.decide.policy import Policy

FEATURES_MAX = 20
"""With violations; those with the most come first."""
ARMS = ("candidate", "stable")


def tables(tallies: TallyEvidence, shadow: ShadowEvidence, policy: Policy, profile: Profile | None) -> Iterator[Table]:
    """What there is."""
    cohorts = tallies.cohorts.values()
    kinds = {kind for cohort in cohorts for arm in ARMS for kind in _arm(cohort, arm)}
    if tallied.TIMES in kinds:
        yield _times(tallies, policy)
    if tallied.ERRORS in kinds:
        yield _errors(tallies, policy)
    if tallied.REFUSALS in kinds:
        yield _refusals(tallies)
    if tallied.QUALITY in kinds:
        yield _quality(tallies, profile)
    if shadow != NO_SHADOW:
        yield _agreement(shadow)


def _arm(cohort: CohortTally, arm: str) -> Vectors:
    return cohort.candidate if arm == "candidate" else cohort.stable


def _each(tallies: TallyEvidence, kind: str) -> Iterator[tuple[str, str, list[float]]]:
    """Cohort, arm and vector."""
    for name, cohort in tallies.cohorts.items():
        for arm in ARMS:
            yield name, arm, tallied.vector(_arm(cohort, arm), kind).tolist()


def _times(tallies: TallyEvidence, policy: Policy) -> Table:
    told = list(_each(tallies, tallied.TIMES))
    seen = [place for place in range(tallied.SIZES[tallied.TIMES]) if any(times[place] for _, _, times in told)]
    rows: list[tuple[Cell, ...]] = [
        (name, arm, math.fsum(times), *(times[place] for place in seen)) for name, arm, times in told
    ]
    columns = ("cohort", "arm", "requests", *map(_bucket, seen))
    notes = tuple(_latency_notes(tallies, policy))
    return Table("latency: requests by the time to answer", columns, tuple(rows), notes)


def _bucket(place: int) -> str:
    if place == len(LATENCY_BOUNDS_SECONDS):
        return f"> {LATENCY_BOUNDS_SECONDS[-1] * 1000:g} ms"
    low = LATENCY_BOUNDS_SECONDS[place - 1] if place else 0.0
    return f"{low * 1000:g}-{LATENCY_BOUNDS_SECONDS[place] * 1000:g} ms"


def _latency_notes(tallies: TallyEvidence, policy: Policy) -> Iterator[str]:
    gate = policy.gate(LatencyPolicy)
    if gate is None:
        return
    ms, percent = f"{gate.max_seconds * 1000:g} ms", f"{100 * gate.quantile:g} %"
    yield f"By hand: slow is a request whose bucket begins at {ms} or above; weights as for the error rate."
    strata = [tallied.fast(tally, gate.max_seconds) for tally in tallies.cohorts.values()]
    found = formulas.stratified(strata, 1.0 - gate.quantile)
    if found is not None:
        slow = f"candidate {1 - found.candidate:.4f} - stable {1 - found.stable:.4f} = a rise of {found.drop:.4f}"
        yield f"  share slower than {ms}: {slow}; {1 - gate.quantile:.4g} may be"
    sums = [np.sum([times for _, of, times in _each(tallies, tallied.TIMES) if of == arm], axis=0) for arm in ARMS]
    within = [quantile_seconds(times, gate.quantile) for times in sums]
    said = ", ".join(
        f"{arm} {1000 * seconds:g} ms" for arm, seconds in zip(ARMS, within, strict=True) if seconds is not None
    )
    yield f"  the end of the bucket in which {percent} of an arm's requests in all cohorts are reached: {said}"


def _errors(tallies: TallyEvidence, policy: Policy) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (name, arm, n, first, second, fourth, clipped / n if n > 0.0 else None)
        for name, arm, (first, second, fourth, n, clipped) in _each(tallies, tallied.ERRORS)
    ]
    columns = ("cohort", "arm", "labels", "sum c", "sum c^2", "sum c^4", "clip")
    gate = policy.gate(RegressionErrorPolicy)
    notes = tuple(_error_notes(tallies, gate.metric)) if gate is not None else ()
    return Table("regressionError: sums of errors c, each at most the clip", columns, tuple(rows), notes)


def _error_notes(tallies: TallyEvidence, metric: str) -> Iterator[str]:
    squared = metric == "rmse"
    strata = []
    for cohort in tallies.cohorts.values():
        c, s = (tallied.vector(_arm(cohort, arm), tallied.ERRORS) for arm in ARMS)
        place = 1 if squared else 0
        strata.append(Stratum(float(c[place]), float(c[3]), float(s[place]), float(s[3])))
    means = standardised(strata)
    yield f"By hand: mean = sum {'c^2' if squared else 'c'} / labels in each cohort; weights as for accuracy."
    if means is not None:
        candidate, stable = (math.sqrt(mean) for mean in means) if squared else means
        rise = f" = a rise of {100 * (candidate / stable - 1):.2f} %" if stable > 0.0 else ""
        root = ", the root of that mean" if squared else ""
        yield f"  {metric}{root}: candidate {candidate:.6g} / stable {stable:.6g}{rise}"


def standardised(strata: list[Stratum]) -> tuple[float, float] | None:
    """Means of candidate and stable with the same weight for each cohort; None where none has both arms."""
    weighed = [
        (one.candidate_n * one.stable_n / (one.candidate_n + one.stable_n), one)
        for one in strata
        if min(one.candidate_n, one.stable_n) > formulas.WEIGHT_MIN
    ]
    total = math.fsum(weight for weight, _ in weighed)
    if total <= 0.0:
        return None
    candidate = math.fsum(weight * one.candidate_hits / one.candidate_n for weight, one in weighed)
    stable = math.fsum(weight * one.stable_hits / one.stable_n for weight, one in weighed)
    return candidate / total, stable / total


def _refusals(tallies: TallyEvidence) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (name, arm, requests, malformed) for name, arm, (malformed, requests) in _each(tallies, tallied.REFUSALS)
    ]
    found = formulas.stratified([tallied.wellformed(tally) for tally in tallies.cohorts.values()], 0.0)
    said: tuple[str, ...] = ()
    if found is not None:
        share = f"candidate {1 - found.candidate:.4f} - stable {1 - found.stable:.4f} = a rise of {found.drop:.4f}"
        said = (f"  share of malformed requests, weights as for the error rate: {share}",)
    columns = ("cohort", "arm", "requests", "malformed")
    return Table("schema: requests that could not be read", columns, tuple(rows), said)


def _quality(tallies: TallyEvidence, profile: Profile | None) -> Table:
    """Sums over all cohorts; features with violations alone, since there may be hundreds."""
    sums = {arm: _summed([_arm(cohort, arm) for cohort in tallies.cohorts.values()]) for arm in ARMS}
    rows = sorted(
        (row for arm, vector in sums.items() for row in _violations(arm, vector, profile)), key=lambda row: -row[0]
    )
    shown: list[tuple[Cell, ...]] = [row for _, row in rows[:FEATURES_MAX]]
    notes = ["By hand: share = count / rows; each arm is held against its own share in training + maxViolations."]
    if len(rows) > FEATURES_MAX:
        notes.append(f"  {len(rows) - FEATURES_MAX} more have fewer violations")
    if not shown:
        shown = [("any", arm, vector[0] if vector else 0.0, 0.0, 0.0, 0.0, 0.0) for arm, vector in sums.items()]
    columns = ("feature", "arm", "rows", *(kind.replace("the ", "") for kind in KINDS))
    return Table("schema: values outside the training data, in all cohorts", columns, tuple(shown), tuple(notes))


def _violations(arm: str, vector: list[float], profile: Profile | None) -> Iterator[tuple[float, tuple[Cell, ...]]]:
    """Each feature that has any, with its largest share. Both arms' profiles have the same features as a rule."""
    names = [one.name for one in binned(profile)][:-1] if profile is not None else []
    features = (len(vector) - 1) // len(KINDS)
    for place in range(features):
        name = names[place] if len(names) == features else f"number {place + 1}"
        kinds = [vector[1 + kind * features + place] for kind in range(len(KINDS))]
        if any(kinds):
            yield max(kinds) / max(vector[0], 1e-9), (name, arm, vector[0], *kinds)


def _summed(arms: list[Vectors]) -> list[float]:
    told = [vectors[tallied.QUALITY] for vectors in arms if tallied.QUALITY in vectors]
    size = max((len(vector) for vector in told), default=0)
    whole: list[float] = np.sum([vector for vector in told if len(vector) == size], axis=0).tolist() if told else []
    return whole


def _agreement(shadow: ShadowEvidence) -> Table:
    share = f"  agreement: {shadow.agreed / shadow.compared:.4f}" if shadow.compared > 0.0 else "  nothing compared yet"
    row = (shadow.compared, shadow.agreed, shadow.failed, shadow.dropped)
    return Table(
        "agreement: copies that stable answered",
        ("compared", "agreed", "unanswered", "dropped"),
        (row,),
        (f"By hand: agreed / compared.{share}",),
    )

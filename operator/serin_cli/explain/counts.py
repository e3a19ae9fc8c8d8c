"""The counts behind a verdict, so that a person can compute the estimate again by hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from serin_cli.explain import bins, tallies
from serin_cli.explain.source import Known
from serin_cli.explain.tables import Table
from serin_contract.profile import Profile
from serin_operator.decide import policy
from serin_operator.decide.judge import formulas
from serin_operator.decide.judge.sums import ArmCounts, Evidence, label_strata, request_strata

COLUMNS = ("requests", "errors", "predictions", "labelled", "correct")
FORMULA = (
    "By hand: in each cohort w = n_c * n_s / (n_c + n_s), n being labels (or requests) of the two arms;",
    "  drop = sum of w * (stable's rate - candidate's rate) / sum of w.",
)


def table(evidence: Evidence) -> list[dict[str, Any]]:
    """One row per cohort and arm."""
    return [
        {"cohort": name, "arm": arm, **{column: getattr(counts, column) for column in COLUMNS}}
        for name, cohort in evidence.cohorts.items()
        for arm, counts in (("candidate", cohort.candidate), ("stable", cohort.stable))
    ]


def tables(evidence: Evidence | None, known: Known, profile: Profile | None) -> Iterator[Table]:
    """What else the gates read, as far as it was counted; bins only where stable's profile says what they mean."""
    if evidence is None:
        return
    yield from tallies.tables(evidence.tallies, evidence.shadow, policy.resolve(known.spec), profile)
    if profile is not None:
        yield from bins.tables(evidence.bins, known.status.gates, profile)


def lines(evidence: Evidence) -> Iterator[str]:
    """The table and the estimates that follow from it, as text.

    Evidence is written every 15 seconds at most, so a status may be a little ahead of it.
    """
    width = max((len(name) for name in evidence.cohorts), default=6)
    yield "The counts as last written; the status may be up to 15 seconds ahead of them."
    yield f"{'cohort':<{width}}  {'arm':<9}" + "".join(f"{column:>13}" for column in COLUMNS) + "   accuracy"
    for name, cohort in evidence.cohorts.items():
        for arm, counts in (("candidate", cohort.candidate), ("stable", cohort.stable)):
            numbers = "".join(f"{getattr(counts, column):>13,.1f}" for column in COLUMNS)
            yield f"{name:<{width}}  {arm:<9}{numbers}{_accuracy(counts)}"
    yield from FORMULA
    for title, strata in (
        ("accuracy", label_strata(evidence.cohorts.values())),
        ("error rate", request_strata(evidence.cohorts.values())),
    ):
        found = formulas.stratified(strata, 0.0)
        if found is not None:
            yield f"{title}: {_estimate(title, found)}"


def _estimate(title: str, found: formulas.Difference) -> str:
    if title == "accuracy":
        return f"stable {found.stable:.4f} - candidate {found.candidate:.4f} = a drop of {found.drop:.4f}"
    return f"candidate {1 - found.candidate:.4f} - stable {1 - found.stable:.4f} = a rise of {found.drop:.4f}"


def _accuracy(counts: ArmCounts) -> str:
    return f"{counts.correct / counts.labelled:>11.4f}" if counts.labelled else f"{'-':>11}"

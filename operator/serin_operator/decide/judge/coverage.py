"""Labels by the age of their predictions: a Pass rests on predictions whose labels have had their delay to come.

Where wrong predictions are labelled later than right ones, the labels of young predictions flatter a candidate. So
only predictions older than `labelDelay` count for a Pass, and of these `minLabelCoverage` must have a label.
"""

from __future__ import annotations

from dataclasses import replace

from serin_operator.decide.judge import tallied
from serin_operator.decide.judge.look import Look
from serin_operator.decide.judge.reasons import GateReason
from serin_operator.decide.judge.sums import ArmCounts, CohortEvidence, Evidence, matured


def counts_matured(evidence: Evidence, delay_seconds: float) -> bool:
    """Whether labels are counted by age: where they may be late, and pods tell slots of time."""
    return delay_seconds > 0.0 and any(
        tallied.MATURED in arm for tally in evidence.tallies.cohorts.values() for arm in (tally.candidate, tally.stable)
    )


def ripened(evidence: Evidence, delay_seconds: float) -> Evidence:
    """The evidence with the labels of matured predictions alone; as it is where labels are not counted by age."""
    if not counts_matured(evidence, delay_seconds):
        return evidence
    return replace(evidence, cohorts={name: _ripe(evidence, name, one) for name, one in evidence.cohorts.items()})


def _ripe(evidence: Evidence, name: str, cohort: CohortEvidence) -> CohortEvidence:
    tally = evidence.tallies.cohorts.get(name) or tallied.CohortTally(cohort.opened_at)
    return replace(
        cohort, candidate=_counts(cohort.candidate, tally.candidate), stable=_counts(cohort.stable, tally.stable)
    )


def _counts(counts: ArmCounts, vectors: tallied.Vectors) -> ArmCounts:
    predictions, labelled, correct, *_ = tallied.vector(vectors, tallied.MATURED).tolist()
    return replace(counts, predictions=predictions, labelled=labelled, correct=min(correct, labelled))


def of(look: Look, delay_seconds: float) -> tuple[float, float] | None:
    """Labelled share of matured predictions, candidate and stable; None where an arm has none matured."""
    evidence = look.evidence
    if counts_matured(evidence, delay_seconds):
        ripe = ripened(evidence, delay_seconds)
        evidence, old = ripe, (ripe.total("candidate").predictions, ripe.total("stable").predictions)
    else:
        old = matured(evidence, look.now, delay_seconds)
    if min(old) <= 0.0:
        return None
    candidate, stable = evidence.total("candidate"), evidence.total("stable")
    return min(1.0, candidate.labelled / old[0]), min(1.0, stable.labelled / old[1])


def lacking(look: Look, delay_seconds: float, minimum: float) -> tuple[GateReason, str] | None:
    """Why labels that have not come could still change the answer, in words; None where they could not."""
    covered = of(look, delay_seconds)
    if covered is None:
        return GateReason.LabelsPending, "no prediction is older than labelDelay yet"
    if min(covered) >= minimum:
        return None
    message = (
        f"labels cover {covered[0]:.0%} of the candidate's predictions and "
        f"{covered[1]:.0%} of stable's, {minimum:.0%} are asked for"
    )
    return GateReason.LabelsMissing, message

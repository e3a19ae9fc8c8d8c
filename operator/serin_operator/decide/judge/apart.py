"""Cohorts that must not be pooled: where callers stay with their arm, the same ones come back in later cohorts.

Within one cohort each caller counts once, so its samples are independent and its e-process is as good as ever. Across
cohorts they are not: a caller who was unlucky at 5 % is as likely to be at 25 %. A product of such e-values has no
bound on its mean. Their weighted mean has one at any single look, whatever the dependence, but not over all looks:
cohorts that share callers are no e-processes in each other's history (arXiv 2402.09698). So each cohort is tested
alone at its own part of the budget, fixed before it begins: by Ville's inequality cohort j ever reaches 1/(budget ·
w_j) with a chance of at most budget · w_j, and the w_j sum to 1. The strongest w_j · e_j is thus read as the e-value
of all, and lies below that mean by less than a factor of the number of cohorts.
"""

from __future__ import annotations

from collections.abc import Callable

from serin_operator.decide.judge import formulas
from serin_operator.decide.judge.sums import ArmCounts, CohortEvidence, Evidence, together


def strongest(evidence: Evidence, log_e_of: Callable[[CohortEvidence], float]) -> float:
    """The strongest of the cohorts' weighted e-values, as natural log; that of no evidence where there is no cohort."""
    return formulas.pooled((log_e_of(cohort) for cohort in _in_order(evidence)), sticky=True)


def combined(evidence: Evidence, gate: str, sticky: bool) -> float:
    """Natural log of the gate's e-value: the cohorts' factors multiplied, or the strongest where callers return."""
    return formulas.pooled((cohort.log_e.get(gate, 0.0) for cohort in _in_order(evidence)), sticky=sticky)


def _in_order(evidence: Evidence) -> list[CohortEvidence]:
    return [cohort for _, cohort in sorted(evidence.cohorts.items(), key=lambda item: (item[1].opened_at, item[0]))]


def basis(evidence: Evidence, current: CohortEvidence | None, sticky: bool) -> tuple[CohortEvidence, ...]:
    """What a Pass rests on: all cohorts, or the current one alone where callers return.

    A confidence sequence needs independent samples as well. A promotion reads the last step's cohort, so its chance
    of being wrong stays that of one sequence.
    """
    if not sticky:
        return tuple(evidence.cohorts.values())
    return (current,) if current is not None else ()


def arms(cohorts: tuple[CohortEvidence, ...]) -> tuple[ArmCounts, ArmCounts]:
    """What candidate and stable did in these cohorts."""
    return together(cohort.candidate for cohort in cohorts), together(cohort.stable for cohort in cohorts)

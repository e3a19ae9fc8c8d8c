"""Whether the split that status claims is the one that callers see: asked of the gateway, then of the requests.

The gateway is asked by a probe through it, before a candidate gets its first caller. The requests are asked at every
look: each that a pod counts in a step's cohort has passed the rule that sets the step's weights, so the candidate's
part of them is the split itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from serin_operator.api.deployment import CandidateStatus, ReachableStatus, SplitStatus
from serin_operator.decide import sources, timestamps, uncounted
from serin_operator.decide.draft import Situation
from serin_operator.decide.judge import formulas
from serin_operator.decide.judge.evidence import Evidence
from serin_operator.decide.judge.sums import CohortEvidence
from serin_operator.decide.observation import PROBES_IN_A_ROW, ParentProbe, ProbeFacts

UNREACHED_SECONDS = 60.0
"""A gateway that answers the probe otherwise for this long is told of: so much it may need to take a route."""
UNPROBED_SECONDS = 10.0
"""A gateway that cannot be asked for this long is not waited for."""

WRONG_CHANCE = 1e-3
"""Chance, over all looks at one cohort, that a split as claimed is called wrong."""
TOLERANCE = 0.1
"""A split is as claimed while its share lies within TOLERANCE · w(1−w) of the weight w: 1.9 points around 25 %.

Far below what matters to a caller, and above what the loss of a killed pod's last second of counts comes to.
"""
REQUESTS_MIN = 20.0
"""A split is not confirmed on fewer, nor while an older cohort got a request among the last so many."""
ARM_REQUESTS_MIN = 5.0
"""Nor on so few that an arm could be expected to have answered fewer than these."""
REFRESH_SECONDS = 15.0
"""The share in status is as old as this at most: not every look is worth a write."""


UNPROBED = ReachableStatus(answer="CannotTell", message="a route of yours has no rule of Serin's own for a probe")


_CAUSES = {
    "Gateway": (
        "another route on the same host and path, for a client that keeps to one backend, and for a gateway that "
        "balances by connection"
    ),
    "Replicas": "clients that keep to one pod, sessionAffinity on the Service, and a node that does not follow it",
}


@dataclass(frozen=True)
class Counted:
    """What both arms counted in one cohort."""

    candidate: float
    stable: float
    unit: str
    """Requests, callers or connections: whatever is split one by one."""

    @property
    def total(self) -> float:
        """Of both arms."""
        return self.candidate + self.stable

    @property
    def share(self) -> float:
        """The candidate's part; 0 where nothing is counted."""
        return self.candidate / self.total if self.total > 0.0 else 0.0


def reached(facts: ProbeFacts | None) -> ReachableStatus:
    """What the probe says of all parents together: what is wrong outweighs what cannot be told."""
    if facts is None:
        return ReachableStatus(answer="CannotTell", message="no probe could be sent through the gateway")
    if not facts.parents:
        return ReachableStatus(answer="NotYet", message="the first probe through the gateway is under way")
    wrong = [_says(parent) for parent in facts.parents if _is_wrong(parent)]
    if wrong:
        return ReachableStatus(answer="NotYet", message="; ".join(wrong)[:1024])
    unknown = [f"{parent.name} cannot be asked: {parent.unknown}" for parent in facts.parents if parent.unknown]
    if unknown:
        return ReachableStatus(answer="CannotTell", message="; ".join(unknown)[:1024])
    named = ", ".join(parent.name for parent in facts.parents)
    message = f"{PROBES_IN_A_ROW} answers in a row came from the candidate through {named}"
    return ReachableStatus(answer="Confirmed", message=message[:1024])


def _is_wrong(parent: ParentProbe) -> bool:
    return parent.unknown is None and parent.in_a_row < PROBES_IN_A_ROW


def _says(parent: ParentProbe) -> str:
    return f"{parent.name} answers the probe with {parent.answered or 'nothing'}, not from the candidate"


def remembered(said: ReachableStatus, before: ReachableStatus | None, now_text: str) -> ReachableStatus:
    """The answer with the time since when it is given."""
    same = before is not None and before.answer == said.answer
    since = before.since if before is not None and same else now_text
    return said.model_copy(update={"since": since})


def wrong_log_e(candidate: float, stable: float, share: float) -> float:
    """Natural log of the e-value against "each goes to the candidate with a probability near `share`".

    Near is within TOLERANCE · w(1−w). Half the capital is bet on less and half on more, each by the mixture of
    likelihood ratios of `formulas.below_log_e` (Robbins 1970, Ann. Math. Stat. 41(5); 1810.08240): the mean of two
    test martingales is one, and by Ville's inequality it ever exceeds 1/α with probability at most α, however
    often one looks.
    """
    n = candidate + stable
    margin = TOLERANCE * share * (1.0 - share)
    less = formulas.below_log_e(candidate, n, share - margin)
    more = formulas.below_log_e(stable, n, 1.0 - share - margin)
    high, low = max(less, more), min(less, more)
    return high + math.log1p(math.exp(low - high)) - math.log(2.0)


def disturbed(evidence: Evidence, before: Evidence | None, cohort: str | None) -> Evidence:
    """The evidence with a note in that cohort where an older one of the trial has got requests since.

    One look after a change the last requests under the old weights are being answered. If they go on, a part of the
    gateway has not taken the new ones. The note is how many requests the cohort had then, so that confirming needs
    a number of them in a row that none of another cohort interrupts, however fast or slowly they come.
    """
    current = evidence.cohorts.get(cohort or "")
    if current is None or before is None:
        return evidence
    grown = any(
        counted.requests > (before.cohorts[name].requests if name in before.cohorts else 0.0)
        for name, counted in evidence.cohorts.items()
        if name != cohort
    )
    if not grown:
        return evidence
    return replace(evidence, cohorts={**evidence.cohorts, str(cohort): replace(current, disturbed=current.requests)})


def counted(situation: Situation, cohort: CohortEvidence) -> Counted:
    """What is split one by one: connections by kube-proxy, callers where they stay with their arm, else requests."""
    candidate, stable = cohort.candidate, cohort.stable
    if situation.routing.mode == "Replicas":
        return Counted(candidate.connections, stable.connections, "connections")
    if candidate.callers + stable.callers > 0.0:
        return Counted(candidate.callers, stable.callers, "callers")
    return Counted(candidate.requests, stable.requests, "requests")


def observed(
    situation: Situation, candidate: CandidateStatus, stable: str, evidence: Evidence
) -> tuple[SplitStatus | None, bool]:
    """The status of the observed split, and whether it has become confirmed at this look.

    None while nothing is split or the gateway has not taken the weight. Confirmed stays, whatever cannot be told
    later, until the requests prove it wrong; what was wrong is confirmed anew once they all together agree.
    """
    before = candidate.split
    if candidate.cohort is None or candidate.step_started_at is None:
        return None, False
    if situation.policy.paused:
        return before, False
    said = _said(situation, candidate, stable, evidence.cohorts.get(candidate.cohort) or CohortEvidence(0.0))
    if before is not None and before.answer in ("Confirmed", "Wrong") and said.answer in ("NotYet", "CannotTell"):
        said = said.model_copy(update={"answer": before.answer, "message": before.message})
    became = said.answer == "Confirmed" and (before is None or before.answer != "Confirmed")
    if before is not None and before.answer == said.answer:
        due = _is_due(situation, candidate.revision)
        return (said.model_copy(update={"since": before.since}) if due else before), False
    return said.model_copy(update={"since": situation.now_text}), became


def _is_due(situation: Situation, revision: str) -> bool:
    """Whether the evidence is written at this look as well, so that the share costs no write of its own."""
    record = situation.seen.revision(revision)
    return record is not None and timestamps.elapsed(record.status.updated_at, situation.now) >= REFRESH_SECONDS


def _said(situation: Situation, candidate: CandidateStatus, stable: str, cohort: CohortEvidence) -> SplitStatus:
    why = uncounted.sentence(situation.seen, candidate.revision, stable)
    if why is not None:
        return SplitStatus(answer="CannotTell", message=f"{why}, so the split can be seen by your own metrics alone")
    numbers, claimed = counted(situation, cohort), situation.routing.share
    seen = f"{numbers.candidate:.0f} of {numbers.total:.0f} {numbers.unit} came to the candidate"
    facts = {"share": round(numbers.share, 4) if numbers.total > 0.0 else None, "requests": round(numbers.total)}
    arms = (candidate.revision, stable)
    missing = next((said for arm in arms if (said := sources.incomplete(situation.seen, arm)) is not None), None)
    if missing is not None:
        return SplitStatus(answer="CannotTell", message=f"{seen}, but {missing}"[:1024], **facts)
    if wrong_log_e(numbers.candidate, numbers.stable, claimed) >= -math.log(WRONG_CHANCE):
        message = f"{seen}: {numbers.share:.1%} instead of {claimed:.1%}. Look for {_CAUSES[situation.routing.mode]}"
        return SplitStatus(answer="Wrong", message=message, **facts)
    lacking = _lacking(numbers, claimed, cohort)
    if lacking is not None:
        return SplitStatus(answer="NotYet", message=f"{seen}; {lacking}", **facts)
    message = f"{seen}: {numbers.share:.1%}, and {claimed:.1%} is not excluded"
    return SplitStatus(answer="Confirmed", message=message, **facts)


def lags(cohort: CohortEvidence | None) -> bool:
    """Whether requests still go by an older cohort's weights, among enough of this one to say so."""
    if cohort is None or cohort.disturbed <= 0.0:
        return False
    return cohort.requests >= REQUESTS_MIN > cohort.requests - cohort.disturbed


def _lacking(numbers: Counted, claimed: float, cohort: CohortEvidence) -> str | None:
    """What a confirmation still waits for."""
    rarer = min(claimed, 1.0 - claimed)
    needed = max(REQUESTS_MIN, math.ceil(ARM_REQUESTS_MIN / rarer)) if rarer > 0.0 else REQUESTS_MIN
    if numbers.total < needed or min(numbers.candidate, numbers.stable) <= 0.0:
        return f"at least {needed:.0f} are needed, and both arms among them"
    if lags(cohort):
        return "some requests still go by the weights before, so a part of the gateway has not taken these"
    return None

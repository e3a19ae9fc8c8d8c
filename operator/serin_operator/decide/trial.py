"""A running trial as one pass sees it: the candidate with its clocks up to date, judged on fresh evidence."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from serin_operator.api.deployment import CandidateStatus, GateStatus, Phase
from serin_operator.api.revision import ModelRevisionStatus
from serin_operator.decide import availability, capacity, confirmation, judge, sources, timestamps, uncounted
from serin_operator.decide.capacity import Pods
from serin_operator.decide.draft import Draft, Situation, begin
from serin_operator.decide.judge import course, shadowed
from serin_operator.decide.judge import evidence as evidences
from serin_operator.decide.judge.evidence import Evidence
from serin_operator.decide.judge.look import Look
from serin_operator.decide.judge.reasons import SHARED
from serin_operator.decide.plan import RevisionReport
from serin_operator.decide.routing import Split

EVIDENCE_SECONDS = 15.0
"""Between two writes of the evidence while a trial runs."""


@dataclass(frozen=True)
class Trial:
    """A running trial as this pass sees it."""

    situation: Situation
    candidate: CandidateStatus
    """With its clocks brought up to date."""
    stable: str
    gates: tuple[GateStatus, ...]
    evidence: Evidence

    @property
    def promoting(self) -> bool:
        """Whether all steps are done and the candidate is being given everything."""
        return self.candidate.weight == 100 or self.candidate.step >= len(self.situation.policy.steps)

    @property
    def shadowing(self) -> bool:
        """Whether the step is a shadow: stable's answers go to callers, the candidate's to nobody."""
        return self.candidate.shadow_cohort is not None

    @property
    def is_counted(self) -> bool:
        """Whether the pods of both arms count what they answer."""
        return uncounted.sentence(self.situation.seen, self.candidate.revision, self.stable) is None

    @property
    def needed(self) -> int:
        """Ready pods that the candidate must have for its weight, for the first step's before it has one."""
        return self.pods_for(max(self.candidate.weight, self.situation.policy.steps[0].weight)).candidate

    def pods_for(self, weight: int) -> Pods:
        """Pods of both arms while the candidate answers that percentage."""
        return capacity.for_weight(self.situation, self.candidate, weight)

    @property
    def ready(self) -> int:
        """The candidate's ready pods."""
        return self.situation.seen.ready(self.candidate.revision)

    @property
    def route_weight(self) -> int:
        """The candidate's weight on the route as it stands."""
        return self.situation.weights.get(self.candidate.revision, 0)

    @property
    def overdue(self) -> bool:
        """Whether the deadline has passed; a paused trial's clock stands still."""
        deadline = self.candidate.deadline_at
        return (
            deadline is not None
            and not self.situation.policy.paused
            and self.situation.now >= timestamps.seconds(deadline)
        )

    @property
    def introduced(self) -> Split:
        """The candidate is known, and answers nobody."""
        return Split(self.stable, self.candidate.revision, probe=self.candidate.probe)

    @property
    def split(self) -> Split:
        """What status records."""
        return self.split_of(self.candidate)

    def split_of(self, candidate: CandidateStatus) -> Split:
        """What a status of the candidate records."""
        return Split(self.stable, candidate.revision, candidate.weight, candidate.cohort, candidate.probe)

    @cached_property
    def route_stands(self) -> bool:
        """Whether the route is as status records."""
        return self.situation.routing.stands(self.split)

    @property
    def availability(self) -> GateStatus:
        """What the availability gate says; it is always asked first."""
        return self.gates[0]

    def draft(self, phase: Phase, reason: str, message: str) -> Draft:
        """A draft that carries this pass's gates, clocks and evidence."""
        base = begin(self.situation, phase, reason, message)
        return replace(
            base,
            candidate=self.candidate,
            gates=self.gates,
            evidence=self.evidence,
            retry_after_seconds=self.situation.seen.operator.poll_seconds,
        )

    def held(self, where: str, gate: GateStatus) -> Draft:
        """A draft that keeps the weight because of a gate; an event tells of it once."""
        shared = gate.reason in SHARED
        reason = gate.reason if shared else gate.verdict
        draft = self.draft(Phase.Holding, reason, f"{where}, held by {gate.name}: {gate.message}")
        if shared or self.situation.seen.status.phase == Phase.Holding:
            return draft  # shared drift has an event of its own, whatever held the step before
        return draft.with_event("Normal", f"Holding{gate.verdict}", draft.message, "Hold")

    def intent(self, step: int, weight: int, **changes: object) -> CandidateStatus:
        """The candidate with a new step and weight under a fresh cohort; at 0 and 100 nothing is split."""
        number = self.candidate.cohort_number + 1
        nonce = self.situation.seen.operator.nonce[:12]
        cohort = f"{self.candidate.revision}.{number}.{nonce}" if 0 < weight < 100 else None
        shadow = shadowed.cohort_name(self.candidate.revision, number, nonce) if self._is_shadow(step) else None
        return self.candidate.model_copy(
            update={
                "step": step,
                "weight": weight,
                "cohort": cohort,
                "shadow_cohort": shadow,
                "cohort_number": number,
                "split": None,
                "endpoints_at": None,
                "step_started_at": None,
                **changes,
            }
        )

    def _is_shadow(self, step: int) -> bool:
        steps = self.situation.policy.steps
        return 0 <= step < len(steps) and steps[step].shadow_percent is not None


def judged(situation: Situation, candidate: CandidateStatus) -> Trial:
    """The trial with this observation's answers absorbed and every gate asked."""
    assert situation.stable is not None, "a first deployment is not on trial"
    return _judged(situation, _sized(situation, _clocked(situation, candidate)), situation.stable.revision)


def _sized(situation: Situation, candidate: CandidateStatus) -> CandidateStatus:
    """Where an autoscaler came in mid-trial, stable keeps what it has from here on."""
    if situation.policy.autoscaling is None or candidate.stable_floor is not None:
        return candidate
    return candidate.model_copy(update={"stable_floor": capacity.floor_now(situation)})


def _clocked(situation: Situation, candidate: CandidateStatus) -> CandidateStatus:
    """A paused trial's clocks stand still: on resuming, start of step and deadline move on by the pause."""
    if situation.policy.paused:
        since = candidate.paused_since or situation.now_text
        return candidate.model_copy(update={"paused_since": since})
    if candidate.paused_since is None:
        return candidate
    pause = timestamps.elapsed(candidate.paused_since, situation.now)
    return candidate.model_copy(
        update={
            "paused_since": None,
            "step_started_at": timestamps.moved(candidate.step_started_at, pause),
            "deadline_at": timestamps.moved(candidate.deadline_at, pause),
        }
    )


def _judged(situation: Situation, candidate: CandidateStatus, stable: str) -> Trial:
    seen = situation.seen
    evidence = seen.evidence or evidences.start(candidate.revision, stable)
    arms = tuple(answer for answer in seen.stats if answer.revision in (candidate.revision, stable))
    evidence = evidences.absorb(evidence, arms, seen.now, situation.policy, seen.profiles)
    evidence = confirmation.disturbed(evidence, seen.evidence, candidate.cohort)
    candidate = _confirmed(situation, candidate, stable, evidence)
    if uncounted.sentence(seen, candidate.revision, stable) is not None:
        evidence = uncounted.opened(evidence, candidate.cohort, candidate.step_started_at)
    look = Look(
        evidence=evidence,
        policy=situation.policy,
        share=0.0,
        cohort=candidate.cohort,
        now=seen.now,
        now_text=situation.now_text,
        profiles=seen.profiles,
        custom={answer.gate: answer for answer in seen.custom},
    )
    verdicts = judge.judge(look, candidate.shares or situation.policy.shares, seen.status.gates)
    verdicts = sources.overruled(verdicts, seen, (candidate.revision, stable))
    if candidate.weight == 100:
        verdicts = _kept(verdicts, seen.status.gates)
    gates = (availability.judge(seen, candidate), *verdicts)
    evidence = replace(evidence, course=course.grown(evidence.course, seen.now, verdicts))
    return Trial(situation, candidate, stable, gates, evidence)


def _confirmed(situation: Situation, candidate: CandidateStatus, stable: str, evidence: Evidence) -> CandidateStatus:
    """What the gateway and the requests say of the split; the step's clock starts anew once they confirm it."""
    split, became = confirmation.observed(situation, candidate, stable, evidence)
    changes: dict[str, object] = {"split": split}
    nameless = uncounted.sentence(situation.seen, candidate.revision) is not None
    if candidate.step < 0 and candidate.probe is None and situation.routing.probes and not nameless:
        # Random for each trial: nobody else can lead a request to a candidate that no caller is to meet.
        changes["probe"] = situation.seen.operator.nonce
    if became:
        changes["step_started_at"] = situation.now_text
    referred = situation.routing.mode == "Gateway" and not situation.routing.probes
    if nameless or situation.seen.probe is not None or referred:
        said = confirmation.UNPROBED if referred else confirmation.reached(situation.seen.probe)
        said = uncounted.UNPROBED if nameless else said
        changes["reachable"] = confirmation.remembered(said, candidate.reachable, situation.now_text)
    return candidate.model_copy(update=changes)


def _kept(verdicts: tuple[GateStatus, ...], before: tuple[GateStatus, ...]) -> tuple[GateStatus, ...]:
    """With all traffic on the candidate nothing is split any more: the words that led here stay."""
    known = {gate.name: gate for gate in before}
    return tuple(known.get(gate.name, gate) if gate.verdict == "NoData" else gate for gate in verdicts)


def with_evidence(trial: Trial, draft: Draft) -> Draft:
    """Persist the evidence every so often; an ending has written its own already."""
    if draft.evidence is None or any(report.name == trial.candidate.revision for report in draft.reports):
        return draft
    record = trial.situation.seen.revision(trial.candidate.revision)
    if record is None:
        return draft
    if timestamps.elapsed(record.status.updated_at, trial.situation.now) < EVIDENCE_SECONDS:
        return draft
    dumped = evidences.dump(draft.evidence)
    if dumped == record.status.evidence:
        return draft
    status = ModelRevisionStatus(
        verdict="Trial",
        reason="OnTrial",
        message=f"{trial.candidate.revision} is on trial",
        updated_at=trial.situation.now_text,
        evidence=dumped,
    )
    return replace(draft, reports=(*draft.reports, RevisionReport(trial.candidate.revision, status)))

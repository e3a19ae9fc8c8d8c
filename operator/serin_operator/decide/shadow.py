"""The shadow step: stable's pods send the candidate a copy of the traffic, and no caller sees its answers."""

from __future__ import annotations

from dataclasses import replace

import msgspec

from serin_contract.announcements import Announced, ShadowOrder
from serin_operator.api.deployment import CandidateStatus, Phase
from serin_operator.decide import timestamps, uncounted
from serin_operator.decide.draft import Draft, Situation
from serin_operator.decide.gate_policies import AgreementPolicy
from serin_operator.decide.policy import AGREEMENT
from serin_operator.decide.trial import Trial

ORDER_SECONDS = 60.0
"""A shadow whose operator is gone ends after this time by itself."""
RENEW_SECONDS = 30.0
"""An order that ends sooner than this is given anew."""


def order(situation: Situation, candidate: CandidateStatus | None, held: Announced | None) -> ShadowOrder | None:
    """What a pod of stable is to send, or None where there is no shadow.

    An order that stands and lasts is repeated as it is, so that nothing has to be announced.
    """
    if candidate is None or candidate.shadow_cohort is None or candidate.outcome is not None:
        return None
    step = situation.policy.steps[max(0, min(candidate.step, len(situation.policy.steps) - 1))]
    if step.shadow_percent is None:
        return None
    agreement = situation.policy.gate(AgreementPolicy)
    wanted = ShadowOrder(
        cohort=candidate.shadow_cohort,
        percent=step.shadow_percent,
        targets=_targets(situation, candidate.revision),
        until=situation.now + ORDER_SECONDS,
        tolerance=agreement.tolerance if agreement is not None else 0.0,
    )
    if held is not None and held.shadow_until is not None and held.shadow_until - situation.now > RENEW_SECONDS:
        return msgspec.structs.replace(wanted, until=held.shadow_until)
    return wanted


def sends(held: Announced | None, wanted: ShadowOrder | None) -> bool:
    """Whether the pod does what is wanted."""
    if wanted is None:
        return held is None or held.shadow_cohort is None
    return held is not None and (
        (held.shadow_cohort, held.shadow_percent, sorted(held.shadow_targets), held.shadow_until)
        == (wanted.cohort, wanted.percent, sorted(wanted.targets), wanted.until)
    )


def begins(trial: Trial) -> Draft | None:
    """The clock of a shadow step starts when every ready pod of stable sends."""
    candidate = trial.candidate
    if not trial.shadowing or candidate.step_started_at is not None:
        return None
    why = uncounted.sentence(trial.situation.seen, trial.stable)
    if why is not None:
        message = f"{why} and sends no copies; take the shadow step out of rollout.steps"
        return trial.draft(Phase.Holding, "StartingShadow", message)
    silent = _silent(trial)
    if silent:
        message = f"waiting for pod {silent[0]} of {trial.stable} to send {trial.candidate.revision} a copy"
        return trial.draft(Phase.Shadowing, "StartingShadow", message)
    started = candidate.model_copy(update={"step_started_at": trial.situation.now_text})
    message = f"{_percent(trial)} % of requests are copied to {candidate.revision}; no caller sees its answers"
    return replace(trial.draft(Phase.Shadowing, "Shadowing", message), candidate=started)


def holds(trial: Trial) -> Draft | None:
    """A shadow step is left after its time; where agreement decides, only once it passes."""
    if not trial.shadowing:
        return None
    step = trial.situation.policy.steps[trial.candidate.step]
    left = step.for_seconds - timestamps.elapsed(trial.candidate.step_started_at, trial.situation.now)
    where = f"shadow of {_percent(trial)} %"
    if left > 0:
        message = f"{where} until {timestamps.text(round(trial.situation.now + left))} at the earliest"
        return trial.draft(Phase.Shadowing, "StepRunning", message)
    gate = next((gate for gate in trial.gates if gate.name == AGREEMENT), None)
    if gate is None or gate.mode != "Enforce" or gate.verdict == "Pass":
        return None
    return trial.held(where, gate)


def _percent(trial: Trial) -> int:
    return trial.situation.policy.steps[trial.candidate.step].shadow_percent or 0


def _targets(situation: Situation, revision: str) -> list[str]:
    pods = situation.seen.ready_pods(revision)
    return sorted(pod.origin.partition("://")[2] for pod in pods if pod.origin)


def _silent(trial: Trial) -> list[str]:
    """Ready pods of stable whose stats do not say that they send."""
    seen, cohort = trial.situation.seen, trial.candidate.shadow_cohort
    held, ready = seen.announced, seen.ready_pods(trial.stable)
    return [pod.name for pod in ready if (said := held.get(pod.uid)) is None or said.shadow_cohort != cohort]

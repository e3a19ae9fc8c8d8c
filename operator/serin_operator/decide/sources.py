"""The source of the verdicts: where a whole arm cannot be asked, a gate says so instead of what it said last."""

from __future__ import annotations

from serin_operator.api.deployment import GateStatus
from serin_operator.decide import uncounted
from serin_operator.decide.judge.reasons import GateReason
from serin_operator.decide.observation import Observation


def overruled(verdicts: tuple[GateStatus, ...], seen: Observation, arms: tuple[str, ...]) -> tuple[GateStatus, ...]:
    """The verdicts, with Error in place of all but Fail where no pod of an arm answered.

    A Fail stands on what was counted before, so it holds. An Error decides nothing: it only keeps a step from
    being left while nobody is looking. Where an arm counts nothing by its nature, it is NoData instead, and custom
    gates, which read no counts, stay.
    """
    why = uncounted.sentence(seen, *arms)
    if why is not None:
        known = {gate.name: gate for gate in seen.status.gates}
        return tuple(uncounted.silenced(gate, why, known.get(gate.name)) for gate in verdicts)
    sentence = next((said for arm in arms if (said := _unreadable(seen, arm)) is not None), None)
    if sentence is None:
        return verdicts
    return tuple(gate if gate.verdict == "Fail" else _error(gate, seen, sentence) for gate in verdicts)


def _unreadable(seen: Observation, arm: str) -> str | None:
    answers = [answer for answer in seen.stats if answer.revision == arm]
    if not answers or any(answer.stats is not None for answer in answers):
        return None
    return f"no pod of {arm} gave its stats: {answers[0].error}"


def incomplete(seen: Observation, arm: str) -> str | None:
    """Why the counts of an arm are not whole at this look, or None; a pod that ends may fall silent."""
    ending = {pod.uid for pod in seen.pods if pod.terminating}
    silent = [
        answer
        for answer in seen.stats
        if answer.revision == arm and answer.stats is None and answer.pod_uid not in ending
    ]
    return f"a pod of {arm} did not give its stats: {silent[0].error}" if silent else None


def _error(gate: GateStatus, seen: Observation, sentence: str) -> GateStatus:
    before = next((known for known in seen.status.gates if known.name == gate.name), None)
    since = before.since if before is not None and before.verdict == "Error" else gate.since
    changes = {
        "verdict": "Error",
        "reason": str(GateReason.StatsUnreadable),
        "message": sentence[:1024],
        "since": since,
    }
    return gate.model_copy(update=changes)

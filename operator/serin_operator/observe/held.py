"""Evidence held in memory between passes, since it is written to the ModelRevision only every so often."""

from __future__ import annotations

from collections.abc import Collection

from serin_operator.decide.judge import saved
from serin_operator.decide.judge.evidence import Evidence
from serin_operator.decide.observation import RevisionFacts


class HeldEvidence:
    """The latest evidence of each ModelDeployment, by its UID; one trial at a time has any."""

    def __init__(self) -> None:
        self._by_uid: dict[str, Evidence] = {}

    def keep(self, uid: str, evidence: Evidence | None) -> None:
        """Hold this for the next observation; None forgets what was held."""
        if evidence is None:
            self._by_uid.pop(uid, None)
        else:
            self._by_uid[uid] = evidence

    def keep_only(self, uids: Collection[str]) -> None:
        """Forget the ModelDeployments that are gone."""
        for uid in self._by_uid.keys() - set(uids):
            del self._by_uid[uid]

    def of(self, uid: str, candidate: RevisionFacts | None, stable: str | None) -> Evidence | None:
        """The candidate's evidence: as held, else as last written, else None."""
        if candidate is None or stable is None:
            return None
        held = self._by_uid.get(uid)
        if held is not None and (held.candidate, held.stable) == (candidate.name, stable):
            return held
        if candidate.status.evidence is None:
            return None
        return saved.restore(candidate.status.evidence, candidate.name, stable)

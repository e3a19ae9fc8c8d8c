"""Evidence held in memory between passes, since it is written to the ModelRevision only every so often."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from serin_operator.api.deployment import WatchStatus
from serin_operator.decide.judge import saved, watched, watched_saved
from serin_operator.decide.judge.evidence import Evidence
from serin_operator.decide.judge.watched import WatchEvidence
from serin_operator.decide.observation import RevisionFacts


class HeldEvidence:
    """The latest evidence of each ModelDeployment, by its UID: of its trial, or of its watch."""

    def __init__(self) -> None:
        self._by_uid: dict[str, Evidence] = {}
        self._watched: dict[str, WatchEvidence] = {}

    def keep(self, uid: str, evidence: Evidence | None) -> None:
        """Hold this for the next observation; None forgets what was held."""
        if evidence is None:
            self._by_uid.pop(uid, None)
        else:
            self._by_uid[uid] = evidence

    def keep_only(self, uids: Collection[str]) -> None:
        """Forget the ModelDeployments that are gone."""
        for held in (self._by_uid, self._watched):
            for uid in held.keys() - set(uids):
                del held[uid]

    def keep_watched(self, uid: str, evidence: WatchEvidence | None) -> None:
        """The same of a watch."""
        if evidence is None:
            self._watched.pop(uid, None)
        else:
            self._watched[uid] = evidence

    def watched_of(
        self, uid: str, revisions: Iterable[RevisionFacts], watch: WatchStatus | None
    ) -> WatchEvidence | None:
        """The watch's evidence: as held, else as last written, else None."""
        if watch is None:
            return None
        nonce, held = watched.nonce_of(watch.cohort), self._watched.get(uid)
        if held is not None and (held.revision, held.nonce) == (watch.revision, nonce):
            return held
        record = next((record for record in revisions if record.name == watch.revision), None)
        return watched_saved.restore(record.status.evidence if record else None, watch.revision, nonce)

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

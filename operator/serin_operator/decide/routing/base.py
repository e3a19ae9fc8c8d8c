"""What splits callers' requests between two revisions, whatever it is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from serin_operator.decide.plan import Splitting

Mode = Literal["Gateway", "Replicas"]


@dataclass(frozen=True)
class Split:
    """What is wanted of the callers' requests."""

    stable: str
    """Name of the revision that answers what the candidate does not."""
    candidate: str | None = None
    """Named even at weight 0, so that a gateway knows it before it counts."""
    weight: int = 0
    """Percent that the candidate answers."""
    cohort: str | None = None
    probe: str | None = None
    """Value of the probe header that leads to the candidate whatever its weight, while its trial lasts."""

    @property
    def weights(self) -> dict[str, int]:
        """Percent by revision name."""
        if self.candidate is None:
            return {self.stable: 100}
        return {self.candidate: self.weight, self.stable: 100 - self.weight}


class Routing(Protocol):
    """One way to split; it knows the observation and the spec that it was made for."""

    @property
    def mode(self) -> Mode:
        """Who splits."""

    @property
    def weights(self) -> Mapping[str, int]:
        """Percent by revision name as it stands; empty where nothing is set up."""

    @property
    def available(self) -> bool:
        """Whether there is anything to write to."""

    @property
    def taken(self) -> bool | None:
        """Whether what stands has been taken by all who act on it: true, false or cannot tell."""

    @property
    def probes(self) -> bool:
        """Whether what splits can hold a rule that leads the trial's own probe to the candidate."""

    @property
    def share(self) -> float:
        """Part of what is split, requests or connections, that the candidate is to answer as status has it."""

    def stands(self, split: Split) -> bool:
        """Whether exactly this split stands."""

    def set(self, split: Split, *, narrowing: bool) -> Splitting:
        """The action that brings it to stand.

        What takes traffic back is written over anything. What gives traffic holds only for the object that was
        seen: a pass that was overtaken, by a rollback above all, is answered with a conflict.
        """

    def apex(self, stable: str) -> Mapping[str, Any] | None:
        """The Service that bears the deployment's name, where it is not itself what splits."""

    def companions(self) -> tuple[Mapping[str, Any], ...]:
        """Owned objects that stand beside what splits, as long as this way to split is asked for."""

    def follower(self, stable: str, planned: Splitting | None) -> Mapping[str, Any] | None:
        """An owned object that splits other callers as these are split, a little later; or None.

        Args:
            stable: the revision that is stable after this pass.
            planned: what this pass makes of the split, where it changes it.
        """

    def trouble(self) -> tuple[str, str] | None:
        """Reason and sentence of what keeps the split from working at all, or None."""

    def shortfall(self) -> tuple[str, str] | None:
        """Reason and sentence of what a trial asks for and does not get, though stable is served; or None."""

    def silence(self) -> str | None:
        """The sentence where nobody has spoken of what stands, or None."""

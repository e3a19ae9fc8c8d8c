"""Tells a roll-out as a readable timeline: one line whenever something changes, events between."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from tests.support.world import World

from serin_operator.api.deployment import ModelDeploymentSpec
from serin_operator.decide import identity

_NUMBERS = re.compile(r"(\d+h)?(\d+m)?\d+s\b|-?\d+(\.\d+)?|lower|higher")
_HEADER = f"{'time':>6}  {'phase':<11}  {'step':<4}  {'weights':<13}  {'cohort':<6}  message"


class Telling:
    """A world with someone who writes down what can be seen of it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.lines = [_HEADER]
        self._begun = world.now
        self._last: tuple[object, ...] | None = None
        self._events = len(world.log)
        self._names: dict[str, str] = {}
        self.gate_reasons: set[str] = set()
        """Of every verdict that was shown."""
        self._call(world.spec)

    def change(self, spec: Mapping[str, Any]) -> None:
        """The user applies another spec."""
        self._call(spec)
        self.world.change(spec)

    def note(self, text: str) -> None:
        """What the story does to the world here."""
        self.lines.append(f"{self._time()}  -- {text}")

    def pass_once(self) -> None:
        """One pass of the operator, written down."""
        self.world.step()
        self._look()

    def run(
        self, until: Callable[[World], bool] | None = None, *, seconds: float = 600.0, tick_seconds: float = 1.0
    ) -> None:
        """Pass after pass until the condition holds or, without one, until time is up."""

        def seen(world: World) -> bool:
            self._look()
            return until is not None and until(world)

        done = self.world.run(seen, seconds=seconds, tick_seconds=tick_seconds)
        assert done or until is None, f"the story went no further: {self.world.status.message}"

    def text(self) -> str:
        """The whole timeline, with what became of the requests."""
        end = f"{self._time()}  -- {self.world.unanswered} requests met no ready pod"
        return "\n".join((*self.lines, end)) + "\n"

    def _look(self) -> None:
        for event in self.world.log[self._events :]:
            self.lines.append(f"{self._time()}  {self._plain(event)}")
        self._events = len(self.world.log)
        status, candidate = self.world.status, self.world.status.candidate
        self.gate_reasons |= {gate.reason for gate in status.gates}
        message = self._plain(status.message or "")
        weights = " ".join(f"{self._plain(name)[-2:]} {weight}" for name, weight in self._weights())
        step = "" if candidate is None else str(candidate.step + 1) if candidate.step >= 0 else "warm"
        number = f"#{candidate.cohort_number}" if candidate is not None else ""
        key = (status.phase, step, weights, number, _NUMBERS.sub("#", message))
        if key != self._last:
            shown = f"{self._time()}  {status.phase:<11}  {step:<4}  {weights:<13}  {number:<6}  {message}"
            self.lines.append(shown.rstrip())
        self._last = key

    def _weights(self) -> list[tuple[str, int]]:
        return sorted(self.world.weights().items(), key=lambda item: self._plain(item[0]))

    def _time(self) -> str:
        return f"{self.world.now - self._begun:>6.0f}"

    def _call(self, spec: Mapping[str, Any]) -> None:
        name = identity.revision_name(self.world.name, ModelDeploymentSpec.model_validate(spec))
        self._names.setdefault(name, f"{self.world.name}-v{_version(spec['model']['uri'])}")

    def _plain(self, text: str) -> str:
        for name, called in self._names.items():
            text = text.replace(name, called)
        return re.sub(r"sha256:([0-9a-f]{4})[0-9a-f]{60}", r"sha256:\1…", text)


def _version(uri: str) -> str:
    """`pvc://models/wine/2` and `image://registry/wine:2@sha256:…` are both version 2."""
    return uri.partition("@")[0].rpartition("/")[2].rpartition(":")[2]

"""Recorded observations, decided again: as they were, and by other gates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from serin_operator.api.deployment import ModelDeploymentSpec
from serin_operator.decide import policy
from serin_operator.decide.observation import Observation
from serin_operator.decide.plan import Plan
from serin_operator.decide.rollout import decide
from serin_operator.runtime.record import TYPE_FIELD, encode
from serin_operator.runtime.recorded import RecordError, decode

RECORD_BYTES_MAX = 64 * 2**20
DIFFERENCES_SHOWN = 5


@dataclass(frozen=True)
class Replayed:
    """One record."""

    path: Path
    seen: Observation
    recorded: Plan
    differences: tuple[str, ...]
    """Where the plan decided now is not the recorded one."""
    otherwise: Plan | None = None
    """By the other gates."""

    @property
    def turns(self) -> bool:
        """Whether the other gates decide something else here: another phase, weight, step or outcome."""
        return self.otherwise is not None and course(self.otherwise) != course(self.recorded)


def read(path: Path) -> tuple[Observation, Plan, Any]:
    """The observation and the plan of one record, and the plan's document.

    Raises:
        RecordError: the file is no record, or one of a version too far from this.
    """
    if path.stat().st_size > RECORD_BYTES_MAX:
        raise RecordError(f"{path.name}: larger than {RECORD_BYTES_MAX} bytes")
    try:
        document = msgspec.json.decode(path.read_bytes())
        plan = document["plan"]
        return decode(document["observation"], Observation), decode(plan, Plan), plan
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError(f"{path.name}: {error}") from error


def replayed(paths: Iterable[Path], changes: Mapping[str, Any]) -> Iterator[Replayed]:
    """Every record in turn.

    Args:
        paths: of the records, in the order of their time.
        changes: other values for `gates` and `verdicts` of the spec; empty to decide as it was alone.

    Raises:
        RecordError: a file cannot be read.
    """
    for path in paths:
        seen, recorded, document = read(path)
        differences = tuple(different(document, _plain(decide(seen))))
        otherwise = decide(judged_by(seen, changes)) if changes and seen.spec is not None else None
        yield Replayed(path, seen, recorded, differences, otherwise)


def judged_by(seen: Observation, changes: Mapping[str, Any]) -> Observation:
    """The same observation with other gates, as if the trial had begun with them; the evidence is as recorded.

    The budget is shared out anew, since its shares were fixed for the recorded gates.
    """
    assert seen.spec is not None, "a spec that cannot be read has no gates"
    document = seen.spec.model_dump(mode="json", by_alias=True, exclude_none=True) | dict(changes)
    spec = ModelDeploymentSpec.model_validate(document)
    candidate = seen.status.candidate
    if candidate is not None and candidate.shares is not None:
        resolved = policy.resolve(spec)
        # The hash is kept up to date as well: to the trial these have always been its gates.
        known = policy.resolve(seen.spec).hash
        hashed = resolved.hash if candidate.policy == known else candidate.policy
        candidate = candidate.model_copy(update={"shares": resolved.shares, "policy": hashed})
    return replace(seen, spec=spec, status=seen.status.model_copy(update={"candidate": candidate}))


def course(plan: Plan) -> tuple[Any, ...]:
    """What a plan makes of the roll-out: phase, outcome, step and weight."""
    candidate = plan.status.candidate
    if candidate is None:
        stable = plan.status.stable
        return plan.status.phase, stable.revision if stable else None
    return plan.status.phase, candidate.outcome, candidate.step, candidate.weight


def different(recorded: Any, found: Any, at: str = "plan") -> Iterator[str]:
    """Places at which two documents differ, depth first."""
    if isinstance(recorded, dict) and isinstance(found, dict):
        for name in [*recorded, *(name for name in found if name not in recorded)]:
            if name != TYPE_FIELD or recorded.get(name) != found.get(name):
                yield from different(recorded.get(name), found.get(name), f"{at}.{name}")
    elif isinstance(recorded, list) and isinstance(found, list) and len(recorded) == len(found):
        for place, (one, other) in enumerate(zip(recorded, found, strict=True)):
            yield from different(one, other, f"{at}[{place}]")
    elif recorded != found:
        yield f"{at}: recorded {_short(recorded)}, found {_short(found)}"


def _plain(plan: Plan) -> Any:
    return msgspec.json.decode(msgspec.json.encode(encode(plan)))


def _short(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 80 else text[:77] + "..."

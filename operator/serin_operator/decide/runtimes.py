"""What runs the model of a revision, as its pods tell it."""

from __future__ import annotations

from serin_contract.stats import Runtime
from serin_operator.decide.observation import Observation

REASON_CHARS_MAX = 1024


def told(seen: Observation, revision: str) -> dict[str, Runtime | str | None]:
    """Changes of the status of this revision; none where no pod has told.

    A pod that does not serve the compiled model speaks for all: its callers wait longer.
    """
    answers = [
        answer.stats
        for answer in seen.stats
        if answer.revision == revision and answer.stats is not None and answer.stats.runtime is not None
    ]
    if not answers:
        return {}
    slowest = next((stats for stats in answers if stats.runtime != "onnx"), answers[0])
    return {"runtime": slowest.runtime, "runtime_reason": slowest.runtime_reason[:REASON_CHARS_MAX] or None}

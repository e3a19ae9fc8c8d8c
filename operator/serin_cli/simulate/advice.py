"""What the figures of a simulation suggest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from serin_cli.simulate.trials import Line
from serin_operator.api.deployment import ModelDeploymentSpec
from serin_operator.decide import policy
from serin_operator.decide.gate_policies import RegressionErrorPolicy
from serin_operator.decide.policy import AccuracyPolicy

MOSTLY = 0.8
RARELY = 0.05


def advice(lines: Sequence[Line], document: Mapping[str, Any]) -> Iterator[str]:
    """Sentences, the weightiest first."""
    spec = ModelDeploymentSpec.model_validate({"model": {"uri": "file:///model"}, **document})
    resolved = policy.resolve(spec)
    gate = resolved.gate(AccuracyPolicy)
    errors = resolved.gate(RegressionErrorPolicy)
    minutes = resolved.steps[-1].for_seconds / 60.0
    for line in lines:
        if line.harmless:
            yield from _of_harmless(line, resolved.false_rollback_budget, minutes)
            continue
        if line.promoted > RARELY * line.runs:
            share = _share(line.promoted, line)
            yield f"{share} of the trials promoted '{line.candidate}': {_why(line, gate, errors)}."
        if line.rolled_back < MOSTLY * line.runs and line.undecided > RARELY * line.runs:
            yield (
                f"At this traffic '{line.candidate}' is often neither found nor excluded "
                f"({_share(line.undecided, line)} undecided): "
                f"lengthen the last step ({minutes:g} minutes) or give it a weight near 50."
            )
    regresses = any(line.rise is not None for line in lines)
    if gate is not None and not regresses and not any(line.loss is not None for line in lines):
        yield "Name losses with --drops to see which of them the accuracy gate finds."


def _of_harmless(line: Line, budget: float, minutes: float) -> Iterator[str]:
    if line.low > budget:
        yield (
            f"A model no worse than stable was rolled back in {_share(line.rolled_back, line)} of the trials, "
            f"more than the budget of {100 * budget:g} %: requests of the traffic may not be independent of each other."
        )
    if line.undecided > 0.2 * line.runs:
        yield (
            f"A good model is undecided in {_share(line.undecided, line)} of the trials: lengthen the last step "
            f"({minutes:g} minutes), raise its weight towards 50, or allow a larger loss."
        )


def _why(line: Line, accuracy: AccuracyPolicy | None, errors: RegressionErrorPolicy | None) -> str:
    worse, limit, name, gate = line.loss, accuracy.max_drop if accuracy else None, "maxDrop", "accuracy"
    if line.rise is not None:
        worse, limit, name, gate = line.rise, errors.max_rise if errors else None, "maxRise", "regressionError"
    if worse is not None:
        if limit is None:
            return f"no gate looks at labels; add gates.{gate}"
        if worse <= limit:
            return f"that is within {name}; lower {name} if such a loss matters to you"
        return "it was missed by chance, which a Pass allows in about one trial of twenty"
    return "the gates do not see it; add dataDrift or predictionDrift, or lower its max"


def _share(number: int, line: Line) -> str:
    return f"{100 * number / line.runs:.0f} %"

"""CEL rules that span several fields of a ModelDeployment."""

from __future__ import annotations

from serin_operator.api.markers import Rule

NAME_CHARS_MAX = 40
"""A deployment's name leaves room for `-<hash>` and suffixes within the 63 characters of a label."""

STEPS_RULES = (
    Rule(
        # isSorted() allows equal neighbours, so each weight must also stand once.
        "self.map(s, s.weight).isSorted() && self.all(s, self.exists_one(t, t.weight == s.weight))",
        "the weights of the steps must rise from each to the next; put the smallest weight first",
    ),
)

ROLLOUT_RULES = (
    Rule(
        # A malformed duration has its own message; `duration()` of it would only add an evaluation error.
        "!has(self.deadline) || !has(self.steps) || !self.deadline.matches('^([0-9]+[hms])+$')"
        " || self.steps.exists(s, !s.__for__.matches('^([0-9]+[hms])+$'))"
        " || self.steps.map(s, duration(s.__for__)).sum() < duration(self.deadline)",
        "the deadline must be longer than all steps together, or no candidate could ever be promoted",
    ),
)

MODEL_DEPLOYMENT_RULES = (
    Rule(
        "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
        "metadata.name must start with a letter and hold only a-z, 0-9 and '-': a Service gets this name",
    ),
    Rule(
        f"size(self.metadata.name) <= {NAME_CHARS_MAX}",
        f"metadata.name must have at most {NAME_CHARS_MAX} characters, because revision names extend it",
    ),
)

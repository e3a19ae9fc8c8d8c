"""Kinds of values that several fields share, with the words for a value that is malformed."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from serin_operator.api.markers import Rule, Schema

NAME_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
"""Names of most Kubernetes objects: lower-case labels joined by dots (RFC 1123)."""

QUANTITY_PATTERN = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+))?$"
Quantity = Annotated[Annotated[str, Field(max_length=64, pattern=QUANTITY_PATTERN)] | int, Schema(int_or_string=True)]
"""An amount as Kubernetes writes it, such as 500m or 2Gi."""

Hostname = Annotated[
    str,
    Field(min_length=1, max_length=253),
    Schema(
        rules=(
            Rule(
                # CEL reads its own escapes in a quoted string; a raw one hands the pattern on as it is.
                rf"self.startsWith('*.') ? self.substring(2).matches(r'{NAME_PATTERN}')"
                rf" : self.matches(r'{NAME_PATTERN}')",
                "a host name is lower-case labels joined by dots, such as wine.example.com or *.example.com",
            ),
            Rule(
                "!self.matches('^[0-9.]+$')",
                "an address is not a host name; leave hostnames out to answer all of the listener's",
            ),
        )
    ),
]

TOLERATION_RULES = (
    Rule(
        "has(self.key) || (has(self.operator) && self.operator == 'Exists')",
        "a toleration without key needs operator Exists, which then tolerates every taint",
    ),
    Rule(
        "!has(self.value) || !has(self.operator) || self.operator != 'Exists'",
        "operator Exists compares no value; remove value or write operator Equal",
    ),
)

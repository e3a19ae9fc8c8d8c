"""Durations as Kubernetes users write them: `90s`, `10m`, `1h30m`."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field

from serin_operator.api.markers import Rule, Schema

DURATION_PATTERN = r"^([0-9]{1,5}h)?([0-9]{1,6}m)?([0-9]{1,8}s)?$"
_duration = re.compile(r"(?:(\d{1,5})h)?(?:(\d{1,6})m)?(?:(\d{1,8})s)?")

Duration = Annotated[
    str,
    Field(pattern=DURATION_PATTERN, min_length=2, max_length=24),
    Schema(
        rules=(
            Rule(
                f"self.size() >= 2 && self.matches('{DURATION_PATTERN}')",
                "write hours, minutes and seconds in this order, such as 1h30m, 10m or 90s",
            ),
        )
    ),
]


LATENCY_PATTERN = r"^[1-9][0-9]{0,5}(ms|s)$"
Latency = Annotated[
    str,
    Field(pattern=LATENCY_PATTERN, max_length=8),
    Schema(
        rules=(
            Rule(
                f"self.matches('{LATENCY_PATTERN}')",
                "write a whole number of milliseconds or seconds above zero, such as 250ms or 2s",
            ),
        )
    ),
]


def latency_seconds(text: str) -> float:
    """A latency such as 250ms, in seconds.

    Raises:
        ValueError: the text is no latency; it says what one looks like.
    """
    if re.fullmatch(LATENCY_PATTERN.strip("^$"), text) is None:
        raise ValueError(f"{text!r} is no latency; write milliseconds or seconds, such as 250ms or 2s")
    return float(text[:-2]) / 1000.0 if text.endswith("ms") else float(text[:-1])


def seconds(text: str) -> float:
    """The duration in seconds.

    Raises:
        ValueError: the text is no duration; it says what one looks like.
    """
    match = _duration.fullmatch(text)
    if match is None or not text:
        raise ValueError(f"{text!r} is no duration; write hours, minutes and seconds, such as 1h30m or 90s")
    hours, minutes, rest = (int(part or 0) for part in match.groups())
    return float(hours * 3600 + minutes * 60 + rest)


def text(duration_seconds: float) -> str:
    """The duration in words of the same form, rounded to whole seconds."""
    left = max(0, round(duration_seconds))
    hours, left = divmod(left, 3600)
    minutes, rest = divmod(left, 60)
    parts = [f"{value}{unit}" for value, unit in ((hours, "h"), (minutes, "m"), (rest, "s")) if value]
    return "".join(parts) or "0s"

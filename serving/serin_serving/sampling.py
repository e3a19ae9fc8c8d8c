"""Which traces are kept, as OpenTelemetry's own variables say: OTEL_TRACES_SAMPLER and OTEL_TRACES_SAMPLER_ARG."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass

ENV_SAMPLER = "OTEL_TRACES_SAMPLER"
ENV_SAMPLER_ARG = "OTEL_TRACES_SAMPLER_ARG"

_TRACE_ID_LIMIT = 1 << 64
_PARENT_BASED = "parentbased_"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sampler:
    """Keeps a share of traces, the same in every service that uses OpenTelemetry's rule."""

    share: float
    """From 0 to 1, of the traces that begin here."""
    parent_based: bool
    """Whether a trace that began elsewhere is kept where its caller keeps it."""

    def begins(self, trace_id: int) -> bool:
        """Whether a trace that begins here is kept."""
        return trace_id % _TRACE_ID_LIMIT < round(self.share * _TRACE_ID_LIMIT)

    def goes_on(self, trace_id: int, *, parent_sampled: bool) -> bool:
        """Whether a trace that began elsewhere is kept."""
        return parent_sampled if self.parent_based else self.begins(trace_id)


def from_env(env: Mapping[str, str]) -> Sampler:
    """The sampler that the environment names; every trace whose caller does not say otherwise where it is unclear."""
    name = env.get(ENV_SAMPLER, "").strip().lower() or "parentbased_always_on"
    parent_based = name.startswith(_PARENT_BASED)
    match name.removeprefix(_PARENT_BASED):
        case "always_on":
            return Sampler(1.0, parent_based)
        case "always_off":
            return Sampler(0.0, parent_based)
        case "traceidratio":
            return Sampler(_share(env.get(ENV_SAMPLER_ARG, "")), parent_based)
    _log.warning("%s names no sampler of this server; parentbased_always_on holds", ENV_SAMPLER)
    return Sampler(1.0, parent_based=True)


def _share(text: str) -> float:
    try:
        share = float(text or "1")
    except ValueError:
        share = math.nan
    if not 0 <= share <= 1:
        _log.warning("%s is no number from 0 to 1; 1 holds", ENV_SAMPLER_ARG)
        return 1.0
    return share

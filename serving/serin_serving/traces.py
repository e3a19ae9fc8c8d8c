"""One span for each inference, continued from the caller's W3C trace context. Imports no OpenTelemetry.

A request pays for reading two headers and for one entry of a bounded queue. A thread takes from the queue, at most
BATCH_SPANS_MAX every INTERVAL_SECONDS; what it cannot take in time is dropped and counted.
"""

from __future__ import annotations

import logging
import random
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from serin_serving import sampling
from serin_serving.metrics import Metrics
from serin_serving.sampling import Sampler
from serin_serving.settings import Settings

ENV_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
ENV_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
PROTOCOL = "http/protobuf"

QUEUE_SPANS_MAX = 2048
BATCH_SPANS_MAX = 512
INTERVAL_SECONDS = 0.5
FLUSH_SECONDS_MAX = 2.0
"""How long the end of the process waits for the last spans."""
STATE_CHARS_MAX = 512
"""Of `tracestate`; a longer one is left out, as W3C allows."""

TRACEPARENT = b"traceparent"
TRACESTATE = b"tracestate"
TRACERESPONSE = b"traceresponse"

_parent = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?\Z")
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Span:
    """One inference; what is known at its end is set there."""

    trace_id: int
    span_id: int
    parent_id: int
    """0 where the trace begins here."""
    state: str
    """The caller's `tracestate`."""
    sampled: bool
    started_ns: int
    """Unix time."""
    ended_ns: int = 0
    model_started_ns: int = 0
    """When the body had come, and the rows went to be decoded and predicted; 0 where it never did."""
    model_ended_ns: int = 0
    status: int = 0
    rows: int = 0
    cohort: str = ""
    request_id: str = ""

    @property
    def response(self) -> tuple[bytes, bytes]:
        """The header that tells the caller its trace."""
        return TRACERESPONSE, f"00-{self.trace_id:032x}-{self.span_id:016x}-{self.sampled:02x}".encode()

    @property
    def fields(self) -> dict[str, str]:
        """What a line of the log says of it."""
        return {"trace_id": f"{self.trace_id:032x}", "span_id": f"{self.span_id:016x}"}


class Exporter(Protocol):
    """Sends spans; called from one thread."""

    def export(self, spans: Sequence[Span]) -> bool:
        """Whether the receiver took them."""

    def close(self) -> None:
        """End a running export soon."""


class Tracer:
    """Begins spans, and hands those of the sample to the exporter's thread."""

    def __init__(
        self,
        exporter: Exporter,
        sampler: Sampler,
        exported: Callable[[float], object],
        dropped: Callable[[float], object],
    ) -> None:
        """`exported` and `dropped` count spans; they are called from either thread."""
        self._exporter = exporter
        self._sampler = sampler
        self._exported = exported
        self._dropped = dropped
        self._queue: deque[Span] = deque()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="spans", daemon=True)
        self._thread.start()

    def begin(self, headers: Iterable[tuple[bytes, bytes]]) -> Span:
        """A span under the caller's, or the first of a new trace where the caller has none or a malformed one."""
        parents: list[bytes] = []
        states: list[bytes] = []
        for name, value in headers:
            if name == TRACEPARENT:
                parents.append(value)
            elif name == TRACESTATE:
                states.append(value)
        found = _read_parent(parents)
        # Ids need to differ, not to be secret.
        span_id = random.getrandbits(64) or 1
        if found is None:
            trace_id = random.getrandbits(128) or 1
            return Span(trace_id, span_id, 0, "", self._sampler.begins(trace_id), time.time_ns())
        trace_id, parent_id, sampled = found
        sampled = self._sampler.goes_on(trace_id, parent_sampled=sampled)
        return Span(trace_id, span_id, parent_id, _read_state(states), sampled, time.time_ns())

    def end(self, span: Span) -> None:
        """Queue a span of the sample, or drop it where there is no room; never waits."""
        if not span.sampled:
            return
        span.ended_ns = time.time_ns()
        if len(self._queue) >= QUEUE_SPANS_MAX or self._stopping.is_set():
            self._dropped(1)
            return
        self._queue.append(span)

    def close(self) -> None:
        """Send what is queued, for FLUSH_SECONDS_MAX at most; the rest is dropped and counted."""
        self._stopping.set()
        self._thread.join(FLUSH_SECONDS_MAX)
        self._exporter.close()
        self._dropped(len(self._queue))
        self._queue.clear()

    def _run(self) -> None:
        while not self._stopping.wait(INTERVAL_SECONDS):
            self._send()
        until = time.monotonic() + FLUSH_SECONDS_MAX
        while self._queue and time.monotonic() < until:
            self._send()

    def _send(self) -> None:
        spans = [self._queue.popleft() for _ in range(min(len(self._queue), BATCH_SPANS_MAX))]
        if not spans:
            return
        try:
            taken = self._exporter.export(spans)
        # Whatever goes wrong in a library costs these spans; the next ones are tried.
        except Exception:  # noqa: BLE001
            _log.exception("spans were not exported")
            taken = False
        (self._exported if taken else self._dropped)(len(spans))


def from_env(env: Mapping[str, str], settings: Settings, metrics: Metrics) -> Tracer | None:
    """The tracer that OpenTelemetry's variables ask for; None, with nothing imported, where they ask for none.

    Whatever is wrong with them is logged: a server without traces still answers.
    """
    if not _asked_for(env):
        return None
    try:
        from serin_serving.otlp import OtlpExporter

        exporter = OtlpExporter(settings)
    except ImportError:
        _log.warning("%s is set, but OpenTelemetry is not installed here: nothing is traced", ENV_ENDPOINTS[1])
        return None
    # The library raises what it likes over a malformed variable.
    except Exception:  # noqa: BLE001
        _log.exception("a variable OTEL_… is malformed: nothing is traced")
        return None
    return Tracer(exporter, sampling.from_env(env), metrics.spans_exported.inc, metrics.spans_dropped.inc)


def _asked_for(env: Mapping[str, str]) -> bool:
    if not any(env.get(name) for name in ENV_ENDPOINTS):
        return False
    if env.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if env.get("OTEL_TRACES_EXPORTER", "otlp").strip().lower() == "none":
        return False
    protocol = next((env[name] for name in ENV_PROTOCOLS if env.get(name)), PROTOCOL)
    if protocol != PROTOCOL:
        _log.warning("this server exports by %s alone, not as %s asks: nothing is traced", PROTOCOL, ENV_PROTOCOLS[1])
    return protocol == PROTOCOL


def _read_parent(values: list[bytes]) -> tuple[int, int, bool] | None:
    """Trace id, span id and whether it is sampled; None for what W3C calls invalid."""
    found = _parent.match(values[0]) if len(values) == 1 else None
    if found is None:
        return None
    version, trace, span, flags, more = found.groups()
    if version == b"ff" or (version == b"00" and more is not None):
        return None
    trace_id, span_id = int(trace, 16), int(span, 16)
    if not trace_id or not span_id:
        return None
    return trace_id, span_id, bool(int(flags, 16) & 1)


def _read_state(values: list[bytes]) -> str:
    state = b",".join(values)
    return state.decode("ascii") if len(state) <= STATE_CHARS_MAX and state.isascii() else ""

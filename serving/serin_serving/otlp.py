"""Spans by OTLP over HTTP. The only module that imports OpenTelemetry, and only a server that traces imports it."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import (
    SERVICE_INSTANCE_ID,
    SERVICE_NAME,
    SERVICE_VERSION,
    OTELResourceDetector,
    Resource,
)
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from serin_serving.settings import Settings
from serin_serving.traces import Span

_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
# A vendor's key, as `key` or `tenant@system`, and its value: W3C Trace Context §3.3.1.3.
_member = re.compile(
    r"([a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})"
    r"=([\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e])\Z"
)
_SCOPE = InstrumentationScope("serin_serving")


class OtlpExporter:
    """Turns spans into OpenTelemetry's and sends them as its exporter is configured by OTEL_EXPORTER_OTLP_*."""

    def __init__(self, settings: Settings) -> None:
        """Read the environment.

        Raises:
            Exception: of OpenTelemetry, where a variable of its own is malformed.
        """
        # It quotes a malformed OTEL_EXPORTER_OTLP_HEADERS, which may be a password.
        logging.getLogger("opentelemetry.util.re").setLevel(logging.CRITICAL)
        self._deployment, self._revision = settings.deployment, settings.revision
        self._resource = _resource(settings)
        self._exporter = OTLPSpanExporter()

    def export(self, spans: Sequence[Span]) -> bool:
        """Whether the receiver took them; tries again for as long as OTEL_EXPORTER_OTLP_TIMEOUT says."""
        sent = [part for span in spans for part in self._parts(span)]
        return self._exporter.export(sent) is SpanExportResult.SUCCESS

    def close(self) -> None:
        """End a running export soon."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]

    def _parts(self, span: Span) -> list[ReadableSpan]:
        state = TraceState(_members(span.state))
        context = SpanContext(span.trace_id, span.span_id, is_remote=False, trace_flags=_SAMPLED, trace_state=state)
        parent = SpanContext(span.trace_id, span.parent_id, is_remote=True) if span.parent_id else None
        parts = [
            ReadableSpan(
                f"infer {self._deployment}",
                context,
                parent,
                self._resource,
                self._attributes(span),
                kind=SpanKind.SERVER,
                status=Status(StatusCode.ERROR if span.status >= 500 else StatusCode.UNSET),
                start_time=span.started_ns,
                end_time=span.ended_ns,
                instrumentation_scope=_SCOPE,
            )
        ]
        if span.model_started_ns:
            parts.append(self._predict(span, context))
        return parts

    def _attributes(self, span: Span) -> dict[str, str | int]:
        attributes: dict[str, str | int] = {
            "http.request.method": "POST",
            "http.response.status_code": span.status,
            "serin.model": self._deployment,
            "serin.revision": self._revision,
            "serin.rows": span.rows,
        }
        if span.cohort:
            attributes["serin.cohort"] = span.cohort
        if span.request_id:
            attributes["serin.request_id"] = span.request_id
        return attributes

    def _predict(self, span: Span, parent: SpanContext) -> ReadableSpan:
        # Its id needs only to differ within the trace, and no request waits for it to be drawn.
        own = SpanContext(span.trace_id, span.span_id ^ 1 or 2, is_remote=False, trace_flags=_SAMPLED)
        return ReadableSpan(
            "predict",
            own,
            parent,
            self._resource,
            {"serin.rows": span.rows},
            kind=SpanKind.INTERNAL,
            start_time=span.model_started_ns,
            end_time=span.model_ended_ns,
            instrumentation_scope=_SCOPE,
        )


def _members(state: str) -> list[tuple[str, str]]:
    """The members of a `tracestate`, or none where one is malformed: the library would log a caller's text."""
    found: dict[str, str] = {}
    for member in filter(None, (part.strip(" \t") for part in state.split(","))):
        pair = _member.match(member)
        if pair is None or pair[1] in found:
            return []
        found[pair[1]] = pair[2]
    return list(found.items())


def _resource(settings: Settings) -> Resource:
    """Who sends: what OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say, and this pod where they say nothing."""
    own = Resource(
        {
            SERVICE_NAME: settings.deployment,
            SERVICE_VERSION: settings.revision,
            SERVICE_INSTANCE_ID: settings.pod_uid,
        }
    )
    return Resource.create().merge(own).merge(OTELResourceDetector().detect())

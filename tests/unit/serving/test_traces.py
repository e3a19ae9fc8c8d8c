"""Traces as a receiver of OTLP sees them, and as callers never feel them."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from tests.support.otlp_receiver import Receiver, attributes, receiving
from tests.support.quick import slow
from tests.unit.serving.running import Case, Running, run, settings, wait_for_ends

from serin_serving import sampling, traces
from serin_serving.metrics import Metrics
from serin_serving.sampling import Sampler
from serin_serving.traces import FLUSH_SECONDS_MAX, QUEUE_SPANS_MAX, Span, Tracer

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
SAMPLED = f"00-{TRACE}-{PARENT}-01"
UNSAMPLED = f"00-{TRACE}-{PARENT}-00"
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
EXPORTED = 'serin_server_spans_exported_total{deployment="wine",revision="wine-1"}'
DROPPED = 'serin_server_spans_dropped_total{deployment="wine",revision="wine-1"}'


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture
def traced(wine: Case, keys_file: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    monkeypatch.setenv(ENDPOINT, receiver.url)
    with run(wine, keys_file) as running:
        yield running


def body(server: Running, rows: int = 1) -> dict[str, object]:
    data = server.case.rows[:rows].tolist()
    return {"inputs": [{"name": "x", "shape": [rows, 13], "datatype": "FP64", "data": data}]}


def count(server: Running, name: str) -> float:
    text = server.call("GET", "/metrics", stats=True).body.decode()
    return float(next(line.rsplit(" ", 1)[1] for line in text.splitlines() if line.startswith(name)))


def until_count(server: Running, name: str, wanted: float) -> None:
    deadline = time.monotonic() + 30
    while count(server, name) < wanted:
        assert time.monotonic() < deadline
        threading.Event().wait(0.02)


def test_a_span_goes_on_with_the_callers_trace_and_says_what_was_answered(traced: Running, receiver: Receiver) -> None:
    headers = {"traceparent": SAMPLED, "tracestate": "vendor=1,other=2", "x_request_id": "mine-7"}
    reply = traced.call("POST", traced.path("infer"), body(traced, 3), x_serin_cohort="wine-2.1.a", **headers)
    [span] = receiver.spans(1)
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)
    assert span.trace_state == "vendor=1,other=2"
    assert span.kind == span.SPAN_KIND_SERVER
    assert attributes(span) == {
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "serin.model": "wine",
        "serin.revision": "wine-1",
        "serin.cohort": "wine-2.1.a",
        "serin.rows": 3,
        "serin.request_id": "mine-7",
    }
    assert reply.headers["traceresponse"] == f"00-{TRACE}-{span.span_id.hex()}-01"
    assert receiver.headers[0]["path"] == "/v1/traces"
    assert {key: receiver.resource[key] for key in ("service.name", "service.version", "service.instance.id")} == {
        "service.name": "wine",
        "service.version": "wine-1",
        "service.instance.id": "pod-1",
    }


def test_the_model_has_a_span_within_that_of_the_request(traced: Running, receiver: Receiver) -> None:
    traced.call("POST", traced.path("infer"), body(traced), traceparent=SAMPLED)
    [span], [predict] = receiver.spans(1), receiver.spans(1, "predict")
    assert (predict.trace_id, predict.parent_span_id) == (span.trace_id, span.span_id)
    assert predict.span_id != span.span_id
    assert span.start_time_unix_nano <= predict.start_time_unix_nano <= predict.end_time_unix_nano
    assert predict.end_time_unix_nano <= span.end_time_unix_nano
    assert abs(span.end_time_unix_nano / 1e9 - time.time()) < 60


def test_no_value_of_a_request_or_an_answer_is_in_a_span(traced: Running, receiver: Receiver) -> None:
    document = body(traced)
    document["inputs"][0]["data"][0][0] = 987654.25  # type: ignore[index]
    reply = traced.call("POST", traced.path("infer"), document)
    receiver.spans(1)
    sent = b"".join(request.SerializeToString() for request in receiver.requests)
    assert reply.status == 200
    assert b"987654" not in sent
    assert reply.prediction_id.encode() not in sent


STATES = {
    "members in their order": ("b=2,a=1 , t@v=x y", "b=2,a=1,t@v=x y"),
    "an empty member is left out": ("a=1,,b=2", "a=1,b=2"),
    "one malformed member voids all": ("a=1,B=2", ""),
    "a key twice voids all": ("a=1,a=2", ""),
    "text that is none of it": ("secret-of-a-caller", ""),
}
# Each waits half a second for its span.
QUICK = {"members in their order", "text that is none of it"}


@pytest.mark.parametrize("name", [name if name in QUICK else slow(name) for name in STATES])
def test_a_tracestate_goes_on_as_w3c_says(
    traced: Running, receiver: Receiver, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    sent, kept = STATES[name]
    traced.call("POST", traced.path("infer"), body(traced), traceparent=SAMPLED, tracestate=sent)
    assert receiver.spans(1)[0].trace_state == kept
    assert "secret" not in caplog.text


def test_a_malformed_header_for_the_receiver_is_not_quoted_in_the_log(
    wine: Case, keys_file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "a password")
    made = traces.from_env({ENDPOINT: "http://127.0.0.1:1"}, settings(wine, keys_file), Metrics("wine", "wine-1"))
    assert made is not None
    made.close()
    assert "password" not in caplog.text


def test_a_refused_request_has_a_span_with_its_status(traced: Running, receiver: Receiver) -> None:
    assert traced.call("POST", traced.path("infer"), b"{", traceparent=SAMPLED).status == 400
    [span] = receiver.spans(1)
    found = attributes(span)
    assert (found["http.response.status_code"], found["serin.rows"]) == (400, 0)
    assert span.status.code == 0, "the caller's mistake is no error of this server"
    assert found["serin.request_id"], "whoever is refused has an id to ask with"


BROKEN_PARENTS = {
    "no context": None,
    "a version that is forbidden": f"ff-{TRACE}-{PARENT}-01",
    "a trace id of zeros": f"00-{'0' * 32}-{PARENT}-01",
    "a span id of zeros": f"00-{TRACE}-{'0' * 16}-01",
    "capital letters": f"00-{TRACE.upper()}-{PARENT}-01",
    "a short trace id": f"00-{TRACE[1:]}-{PARENT}-01",
    "more than version 00 has": f"00-{TRACE}-{PARENT}-01-more",
    "a line's end": f"00-{TRACE}-{PARENT}-01\n",
}


@pytest.mark.parametrize("name", BROKEN_PARENTS)
def test_a_trace_begins_here_without_a_context_that_can_be_read(name: str) -> None:
    value = BROKEN_PARENTS[name]
    headers = (
        [(b"tracestate", b"a=1")] if value is None else [(b"traceparent", value.encode()), (b"tracestate", b"a=1")]
    )
    with tracer() as (begun, _):
        span = begun.begin(headers)
    assert (span.parent_id, span.state, span.sampled) == (0, "", True)
    assert f"{span.trace_id:032x}" != TRACE


def test_two_contexts_are_none() -> None:
    with tracer() as (begun, _):
        assert begun.begin([(b"traceparent", SAMPLED.encode())] * 2).parent_id == 0


def test_a_later_version_of_the_context_is_read_as_far_as_it_is_known() -> None:
    with tracer() as (begun, _):
        assert f"{begun.begin([(b'traceparent', f'01-{TRACE}-{PARENT}-01-more'.encode())]).trace_id:032x}" == TRACE


def test_a_tracestate_that_is_too_long_is_left_out() -> None:
    with tracer() as (begun, _):
        parent = (b"traceparent", SAMPLED.encode())
        assert begun.begin([parent, (b"tracestate", b"a=1"), (b"tracestate", b"b=2")]).state == "a=1,b=2"
        assert begun.begin([parent, (b"tracestate", b"a=" + b"x" * 511)]).state == ""


def test_a_trace_that_its_caller_does_not_keep_is_not_exported(traced: Running, receiver: Receiver) -> None:
    reply = traced.call("POST", traced.path("infer"), body(traced), traceparent=UNSAMPLED)
    assert reply.headers["traceresponse"].endswith("-00")
    traced.call("POST", traced.path("infer"), body(traced), traceparent=SAMPLED)
    assert len(receiver.spans(1)) == 1
    until_count(traced, EXPORTED, 1)


SAMPLERS = {
    "every trace where nothing is said": ({}, Sampler(1.0, parent_based=True)),
    "a share": ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.25"}, Sampler(0.25, False)),
    "a share of those that begin here": (
        {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"},
        Sampler(0.0, True),
    ),
    "none but what callers keep": ({"OTEL_TRACES_SAMPLER": "parentbased_always_off"}, Sampler(0.0, True)),
    "none": ({"OTEL_TRACES_SAMPLER": "always_off"}, Sampler(0.0, False)),
    "all": ({"OTEL_TRACES_SAMPLER": "always_on"}, Sampler(1.0, False)),
    "an unknown sampler is as if nothing was said": ({"OTEL_TRACES_SAMPLER": "jaeger"}, Sampler(1.0, True)),
    "a share above one is one": (
        {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "2"},
        Sampler(1.0, False),
    ),
}


@pytest.mark.parametrize("name", SAMPLERS)
def test_opentelemetrys_variables_say_which_traces_are_kept(name: str) -> None:
    env, expected = SAMPLERS[name]
    assert sampling.from_env(env) == expected


def test_a_share_is_drawn_by_the_trace_id_as_every_service_draws_it() -> None:
    from opentelemetry.sdk.trace.sampling import Decision, TraceIdRatioBased

    ours, theirs = Sampler(0.3, parent_based=False), TraceIdRatioBased(0.3)
    ids = [int(TRACE, 16) * odd % 2**128 for odd in range(1, 2001, 2)]
    kept = [ours.begins(trace_id) for trace_id in ids]
    assert kept == [theirs.should_sample(None, i, "x").decision is Decision.RECORD_AND_SAMPLE for i in ids]
    assert 0.2 < sum(kept) / len(kept) < 0.4


def test_a_receiver_that_fails_or_hangs_costs_spans_and_no_answer(traced: Running, receiver: Receiver) -> None:
    receiver.status = 400
    assert all(traced.call("POST", traced.path("infer"), body(traced)).status == 200 for _ in range(5))
    receiver.asked(1)
    until_count(traced, DROPPED, 5)
    receiver.let_go.clear()
    slow = [traced.call("POST", traced.path("infer"), body(traced)).status for _ in range(20)]
    assert slow == [200] * 20
    receiver.status = 200
    receiver.let_go.set()
    receiver.spans(20)
    until_count(traced, EXPORTED, 20)
    assert count(traced, DROPPED) == 5


@pytest.mark.slow
def test_a_receiver_that_is_gone_costs_no_answer_and_no_end(
    wine: Case, keys_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with receiving() as gone:
        monkeypatch.setenv(ENDPOINT, gone.url)
    with run(wine, keys_file) as server:
        assert server.call("POST", server.path("infer"), body(server)).status == 200
        began = time.monotonic()
    wait_for_ends()
    assert time.monotonic() - began < FLUSH_SECONDS_MAX + 5


def test_the_end_of_the_process_sends_what_is_queued(wine: Case, keys_file: Path, receiver: Receiver) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(ENDPOINT, receiver.url)
        with run(wine, keys_file) as server:
            for _ in range(40):
                server.call("POST", server.path("infer"), body(server))
    assert len(receiver.spans(40)) == 40


class Held:
    """An exporter that takes nothing before it is let go."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.taken = 0

    def export(self, spans: Sequence[Span]) -> bool:
        self.let_go.wait(30)
        self.taken += len(spans)
        return True

    def close(self) -> None:
        self.let_go.set()


class tracer:  # noqa: N801
    """A tracer whose exporter lets nothing go, and its counters."""

    def __enter__(self) -> tuple[Tracer, Metrics]:
        metrics = Metrics("wine", "wine-1")
        self.held = Held()
        exporter = Sampler(1.0, parent_based=True)
        self._tracer = Tracer(self.held, exporter, metrics.spans_exported.inc, metrics.spans_dropped.inc)
        return self._tracer, metrics

    def __exit__(self, *_: object) -> None:
        self.held.let_go.set()
        self._tracer.close()


def test_what_the_queue_has_no_room_for_is_dropped_and_counted() -> None:
    labels = {"deployment": "wine", "revision": "wine-1"}
    held = tracer()
    with held as (begun, metrics):
        for _ in range(QUEUE_SPANS_MAX + 1000):
            begun.end(begun.begin([]))
        dropped = metrics.registry.get_sample_value("serin_server_spans_dropped_total", labels)
        # The exporter's thread holds one batch at most beside the queue.
        assert dropped is not None
        assert 1000 - traces.BATCH_SPANS_MAX <= dropped <= 1000
    exported = metrics.registry.get_sample_value("serin_server_spans_exported_total", labels)
    assert exported == held.held.taken
    assert exported + dropped == QUEUE_SPANS_MAX + 1000


OFF = {
    "nothing is set": {},
    "the SDK is disabled": {ENDPOINT: "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"},
    "no exporter is asked for": {ENDPOINT: "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "none"},
    "a protocol is asked for that is not spoken here": {
        ENDPOINT: "http://127.0.0.1:1",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
    },
}


@pytest.mark.parametrize("name", OFF)
def test_nothing_is_traced_where(name: str, wine: Case, keys_file: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert traces.from_env(OFF[name], settings(wine, keys_file), Metrics("wine", "wine-1")) is None
    assert ("by http/protobuf alone" in caplog.text) is ("protocol" in name), "what is asked for and not done is said"


def test_a_malformed_variable_costs_the_traces_only(
    wine: Case, keys_file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER", "odd")
    env = {ENDPOINT: "http://127.0.0.1:1"}
    assert traces.from_env(env, settings(wine, keys_file), Metrics("wine", "wine-1")) is None
    assert "a variable OTEL_… is malformed" in caplog.text


def test_opentelemetry_is_not_even_imported_where_nothing_is_traced() -> None:
    program = (
        "import sys; import serin_serving.drain, serin_serving.main, serin_serving.startup, serin_serving.server; "
        "from serin_serving import traces; traces.from_env({}, None, None); "
        "print(sorted(name for name in sys.modules if name.split('.')[0] in ('opentelemetry', 'google', 'requests')))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert found.stdout.strip() == "[]"


def test_no_header_of_a_trace_is_in_an_answer_where_nothing_is_traced(server: Running) -> None:
    reply = server.call("POST", server.path("infer"), body(server), traceparent=SAMPLED)
    assert reply.status == 200
    assert not [name for name in reply.headers if re.match("trace", name)]

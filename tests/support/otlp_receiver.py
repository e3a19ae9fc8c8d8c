"""A receiver of traces on loopback: takes OTLP over HTTP and decodes the protobuf."""

from __future__ import annotations

import contextlib
import gzip
import http.server
import threading
from collections.abc import Iterator
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

WAIT_SECONDS = 30


class Receiver:
    """What came so far."""

    def __init__(self) -> None:
        self.url = ""
        self.status = 200
        """Of every answer from here on."""
        self.headers: list[dict[str, str]] = []
        self.requests: list[ExportTraceServiceRequest] = []
        self.let_go = threading.Event()
        """Cleared, a request hangs until it is set."""
        self.let_go.set()
        self._came = threading.Condition()

    def take(self, headers: dict[str, str], body: bytes) -> None:
        """One export."""
        self.let_go.wait(WAIT_SECONDS)
        data = gzip.decompress(body) if headers.get("Content-Encoding") == "gzip" else body
        with self._came:
            self.headers.append(headers)
            if self.status == 200:
                self.requests.append(ExportTraceServiceRequest.FromString(data))
            self._came.notify_all()

    def spans(self, count: int, name: str = "infer wine") -> list[Span]:
        """Wait until at least so many spans of that name came; all of them."""
        with self._came:
            assert self._came.wait_for(lambda: len(self._named(name)) >= count, WAIT_SECONDS), "no such spans came"
            return self._named(name)

    def asked(self, count: int) -> None:
        """Wait until at least so many exports came, taken or not."""
        with self._came:
            assert self._came.wait_for(lambda: len(self.headers) >= count, WAIT_SECONDS)

    def _named(self, name: str) -> list[Span]:
        return [
            span
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
            if span.name == name
        ]

    @property
    def resource(self) -> dict[str, Any]:
        """Of the first export."""
        return attributes(self.requests[0].resource_spans[0].resource)


def attributes(of: Any) -> dict[str, Any]:
    """The attributes of a span or resource as a dict."""
    return {item.key: getattr(item.value, item.value.WhichOneof("value")) for item in of.attributes}


@contextlib.contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver for the length of the block."""
    receiver = Receiver()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.take({"path": self.path, **dict(self.headers.items())}, body)
            self.send_response(receiver.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    receiver.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield receiver
    finally:
        receiver.let_go.set()
        server.shutdown()
        thread.join()
        server.server_close()

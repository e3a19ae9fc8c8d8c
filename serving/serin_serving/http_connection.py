"""One HTTP connection as uvicorn has it, within limits of size and time, and with answers in a single write.

uvicorn itself bounds neither a request's head nor the time that a caller takes to send one or to read an answer.
"""

from __future__ import annotations

import functools
import urllib.parse
from asyncio import AbstractEventLoop, BaseTransport, Event
from typing import Any, cast

import httptools
import orjson
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from serin_serving.headers import EXPECT, keep, sorted_out
from serin_serving.patience import Deadlines, Patience
from serin_serving.wire import EXCHANGE, Answer, Common, Headers, header_line

HEAD_BYTES_MAX = 64 * 1024
"""Of a request's line and headers, and of the trailers after its body."""
HEADERS_MAX = 256
CONNECTIONS_MAX = 4096
_FRAMING = 16
"""Bytes of framing that each byte of a chunked body may have: 1 in a chunk of its own takes 6."""
_URL_BYTES_KEPT = 256


class HttpConnection(HttpToolsProtocol):
    """A connection that ends where its caller is too slow or sends too much of a head."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        patience: Patience,
        _loop: AbstractEventLoop | None = None,
        connections_max: int = CONNECTIONS_MAX,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.deadlines = Deadlines()
        self._patience = patience
        self._connections_max = connections_max
        self._received = 0
        """Bytes of the request that is being read."""
        self._piece_bytes = 0
        """Of what came last, which may hold several requests."""
        self._head_begun = False
        self._trailer_bytes = 0
        self._body_bytes = 0
        self._is_refused = False

    def connection_made(self, transport: BaseTransport) -> None:
        """A caller connected."""
        # uvloop's transports are none of asyncio's by class.
        super().connection_made(cast(Any, transport))
        if len(self.connections) > self._connections_max:
            self._refuse(503, "this server has too many connections; try again in a second")
            return
        self.deadlines.head_since = self.loop.time()
        self._patience.watch(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._patience.forget(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on."""
        if self._is_refused:
            return
        self.deadlines.idle_since = None
        self._piece_bytes = len(data)
        self._received += self._piece_bytes
        super().data_received(data)
        if self._received > HEAD_BYTES_MAX + _FRAMING * self._body_bytes:
            self._refuse_head()
        if self._head_begun:
            self._check_head()

    def on_message_begin(self) -> None:
        """Called by the parser."""
        super().on_message_begin()
        self._body_bytes = self._trailer_bytes = 0
        self._head_begun = True
        self.deadlines.head_since = self.loop.time()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser."""
        if self._head_begun:
            self.headers.append((name.lower(), value))
            return
        # A trailer after the body; nobody asks for one.
        self._trailer_bytes += len(name) + len(value)
        if self._trailer_bytes > HEAD_BYTES_MAX:
            self._refuse_head()

    def on_headers_complete(self) -> None:
        """Called by the parser: make the request and begin to answer it."""
        self.deadlines.head_since = None
        self._head_begun = False
        self._check_head()
        if self._is_refused:
            return
        parser, scope = self.parser, self.scope
        found = sorted_out(self.headers)
        keep(cast(dict[str, Any], scope), found)
        waits = EXPECT in found and any(value.lower() == b"100-continue" for value in found[EXPECT])
        version = parser.get_http_version()
        scope["method"] = parser.get_method().decode("ascii")
        scope["http_version"] = version
        split = _split_kept if len(self.url) <= _URL_BYTES_KEPT else _split
        scope["path"], scope["raw_path"], scope["query_string"] = split(self.url)
        before = self.cycle
        self.cycle = cycle = _Cycle(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=Event(),
            expect_100_continue=waits,
            keep_alive=version != "1.0" and parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        cast(dict[str, Any], scope)[EXCHANGE] = cycle
        if before is None or before.response_complete:
            self._start_asgi_task(cycle, self.app)
        else:
            # Requests that come before the answer to the last one wait for it.
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))

    def _check_head(self) -> None:
        # What has come bounds the head: only where that is too much need it be told how much is the head's.
        if max(self._received, self._piece_bytes) > HEAD_BYTES_MAX:
            head_bytes = sum(len(name) + len(value) for name, value in self.headers)
            if max(head_bytes, len(self.url)) > HEAD_BYTES_MAX:
                self._refuse_head()
        if len(self.headers) > HEADERS_MAX:
            self._refuse(431, f"a request has at most {HEADERS_MAX} headers")

    def on_body(self, body: bytes) -> None:
        """Called by the parser."""
        if not self._is_refused:
            self._body_bytes += len(body)
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Called by the parser."""
        self._received = 0
        if not self._is_refused:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """An answer is written."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
        else:
            self.deadlines.idle_since = self.loop.time()

    def pause_writing(self) -> None:
        """The caller does not read what was written."""
        self.deadlines.unread_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        """The caller reads again."""
        self.deadlines.unread_since = None
        super().resume_writing()

    def refuse_slow_head(self) -> None:
        """The head of a request did not come in time; nothing is said where nothing of it has come."""
        if self.cycle is not None and not self.cycle.response_complete:
            # The caller waits for the answer to the request before.
            return
        if self._head_begun:
            self._refuse(408, "the head of the request did not come in time")
        else:
            self.transport.close()

    def _refuse_head(self) -> None:
        self._refuse(431, f"the head of a request has at most {HEAD_BYTES_MAX} bytes")

    def _refuse(self, status: int, sentence: str) -> None:
        """Answer what is no request, and end the connection."""
        if self._is_refused:
            return
        self._is_refused = True
        if self.cycle is not None and not self.cycle.response_complete:
            # Another answer is being written, or would be taken for this one.
            self.transport.close()
            return
        body = orjson.dumps({"error": sentence})
        head = [STATUS_LINE[status], b"content-type: application/json\r\nconnection: close\r\n"]
        if status == 503:
            head.append(b"retry-after: 1\r\n")
        head.append(b"content-length: %d\r\n\r\n" % len(body))
        self.transport.write(b"".join([*head, body]))
        self.transport.close()


def bounded(connections_max: int, patience: Patience | None = None) -> type[HttpConnection]:
    """The protocol of a listener that has at most so many connections."""
    watched_by = patience or Patience()

    class BoundedConnection(HttpConnection):
        def __init__(
            self,
            config: Config,
            server_state: ServerState,
            app_state: dict[str, Any],
            _loop: AbstractEventLoop | None = None,
        ) -> None:
            super().__init__(config, server_state, app_state, watched_by, _loop, connections_max)

    return BoundedConnection


class _Cycle(RequestResponseCycle):
    def body_at_once(self) -> bytes | None:
        """The body where all of it has come; None where `receive` has to be asked."""
        if self.more_body or self.disconnected:
            return None
        body, self.body = bytes(self.body), bytearray()
        # As `receive` does: who asks it now waits for the caller to hang up.
        self.message_event.clear()
        self.flow.resume_reading()
        return body

    def answer_at_once(self, answer: Answer, common: Common) -> bool:
        """Write a whole answer; False where `send` has to be asked, which can wait until the caller reads."""
        if self.flow.write_paused or self.response_started or self.scope["method"] == "HEAD":
            return False
        if self.disconnected:
            return True
        parts = [STATUS_LINE[answer.status], _default_lines(self.default_headers), common.lines]
        for name, value in answer.headers:
            parts.append(header_line(name, value))
        if answer.has_content:
            parts.append(b"content-type: %b\r\ncontent-length: %d\r\n" % (answer.content_type, len(answer.body)))
        closes = common.closes or not self.keep_alive
        if closes and not common.closes:
            parts.append(b"connection: close\r\n")
        parts += (b"\r\n", answer.body)
        # The scope leads to this cycle: kept, it would be garbage that only the collector finds.
        self.scope.pop(EXCHANGE, None)  # type: ignore[misc]
        self.response_started = self.response_complete = True
        self.waiting_for_100_continue = False
        self.transport.write(b"".join(parts))
        self.message_event.set()
        if closes:
            self.keep_alive = False
            self.transport.close()
        self.on_response()
        return True


class _DefaultLines:
    """The headers that uvicorn adds, as they are written: it makes their list anew each second, for the date."""

    def __init__(self) -> None:
        self._headers: Headers = []
        self._lines = b""

    def __call__(self, headers: Headers) -> bytes:
        if headers is not self._headers:
            self._headers, self._lines = headers, b"".join(header_line(name, value) for name, value in headers)
        return self._lines


_default_lines = _DefaultLines()


def _split(url: bytes) -> tuple[str, bytes, bytes]:
    parsed = httptools.parse_url(url)
    path = parsed.path.decode("ascii")
    return urllib.parse.unquote(path) if "%" in path else path, parsed.path, parsed.query or b""


_split_kept = functools.lru_cache(maxsize=64)(_split)

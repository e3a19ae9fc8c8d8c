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
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from serin_serving.headers import EXPECT, Named, keep, sorted_out
from serin_serving.http_cycles import Cycle, Direct, WholeRequest
from serin_serving.patience import Deadlines, Patience
from serin_serving.wire import EXCHANGE

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
        direct: Direct | None = None,
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
        self._direct = direct
        self._named: Named = {}
        self._is_unbegun = False
        """A head is complete, and whether the body came with it shows at the end of the piece."""
        self._unbegun_body: list[bytes] = []

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
        if self._is_unbegun and not self._is_refused:
            self._begin(is_whole=False)

    def on_message_begin(self) -> None:
        """Called by the parser."""
        self.url = b""
        self.headers = []
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
        """Called by the parser."""
        self.deadlines.head_since = None
        self._head_begun = False
        self._check_head()
        if self._is_refused:
            return
        self._named = sorted_out(self.headers)
        before = self.cycle
        if before is None or before.response_complete:
            self._is_unbegun = True
            return
        # Requests that come before the answer to the last one wait for it.
        self.flow.pause_reading()
        self.pipeline.appendleft((self._new_cycle(), self.app))

    def _begin(self, *, is_whole: bool) -> None:
        """Begin to answer a request, all of which has come or not."""
        self._is_unbegun = False
        pieces, self._unbegun_body = self._unbegun_body, []
        if is_whole and self._direct is not None and not self.flow.write_paused:
            parser, body = self.parser, pieces[0] if len(pieces) == 1 else b"".join(pieces)
            keep_alive = parser.get_http_version() != "1.0" and parser.should_keep_alive()
            request = WholeRequest(self, parser.get_method(), self._named, body, keep_alive=keep_alive)
            if self._direct.takes(request):
                self.cycle = cast(Cycle, request)
                self._direct.begin(request)
                return
        cycle = self._new_cycle()
        for piece in pieces:
            super().on_body(piece)
        if is_whole:
            super().on_message_complete()
        self._start_asgi_task(cycle, self.app)

    def _new_cycle(self) -> Cycle:
        parser, scope = self.parser, self._new_scope()
        waits = any(value.lower() == b"100-continue" for value in self._named.get(EXPECT, ()))
        version = parser.get_http_version()
        self.cycle = cycle = Cycle(
            scope=cast(Any, scope),
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
        scope[EXCHANGE] = cycle
        return cycle

    def _new_scope(self) -> dict[str, Any]:
        split = _split_kept if len(self.url) <= _URL_BYTES_KEPT else _split
        path, raw_path, query = split(self.url)
        scope = {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": self.parser.get_http_version(),
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "root_path": self.root_path,
            "method": self.parser.get_method().decode("ascii"),
            "path": path,
            "raw_path": raw_path,
            "query_string": query,
            "headers": self.headers,
            "state": self.app_state.copy(),
        }
        keep(scope, self._named)
        return scope

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
            if self._is_unbegun:
                self._unbegun_body.append(body)
            else:
                super().on_body(body)

    def on_message_complete(self) -> None:
        """Called by the parser."""
        self._received = 0
        if self._is_refused:
            return
        if self._is_unbegun:
            self._begin(is_whole=True)
        else:
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


def bounded(
    connections_max: int, patience: Patience | None = None, direct: Direct | None = None
) -> type[HttpConnection]:
    """The protocol of a listener that has at most so many connections; `direct` is asked before ASGI."""
    watched_by = patience or Patience()

    class BoundedConnection(HttpConnection):
        def __init__(
            self,
            config: Config,
            server_state: ServerState,
            app_state: dict[str, Any],
            _loop: AbstractEventLoop | None = None,
        ) -> None:
            super().__init__(config, server_state, app_state, watched_by, _loop, connections_max, direct)

    return BoundedConnection


def _split(url: bytes) -> tuple[str, bytes, bytes]:
    parsed = httptools.parse_url(url)
    path = parsed.path.decode("ascii")
    return urllib.parse.unquote(path) if "%" in path else path, parsed.path, parsed.query or b""


_split_kept = functools.lru_cache(maxsize=64)(_split)

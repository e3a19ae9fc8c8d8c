"""Two ways from a request on a connection to its answer: through ASGI, or, where all of it has come, past it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from serin_serving.headers import Named
from serin_serving.wire import EXCHANGE, Answer, Common, Headers, header_line

if TYPE_CHECKING:
    from serin_serving.http_connection import HttpConnection


class Direct(Protocol):
    """Answers some requests without ASGI."""

    def takes(self, request: WholeRequest) -> bool:
        """Whether it is one of them; every other goes through ASGI."""

    def begin(self, request: WholeRequest) -> None:
        """Answer it, now or later."""


class Cycle(RequestResponseCycle):
    """A request that goes through ASGI."""

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
        closes = common.closes or not self.keep_alive
        written = answer_bytes(answer, common, self.default_headers, closes=closes)
        # The scope leads to this cycle: kept, it would be garbage that only the collector finds.
        self.scope.pop(EXCHANGE, None)  # type: ignore[misc]
        self.response_started = self.response_complete = True
        self.waiting_for_100_continue = False
        self.transport.write(written)
        self.message_event.set()
        if closes:
            self.keep_alive = False
            self.transport.close()
        self.on_response()
        return True


class WholeRequest:
    """A request that has come whole and is answered once, past ASGI; it stands where uvicorn has a cycle."""

    __slots__ = ("_connection", "body", "disconnected", "headers", "keep_alive", "method", "named", "response_complete")

    def __init__(
        self, connection: HttpConnection, method: bytes, named: Named, body: bytes, *, keep_alive: bool
    ) -> None:
        self._connection = connection
        self.method = method
        self.headers: Headers = connection.headers
        self.named = named
        """Those of the headers that are looked at."""
        self.body = body
        self.keep_alive = keep_alive
        self.disconnected = False
        self.response_complete = False

    @property
    def url(self) -> bytes:
        """As it came."""
        return self._connection.url

    @property
    def state(self) -> dict[str, Any]:
        """Of the connection."""
        return self._connection.app_state

    @property
    def message_event(self) -> _NobodyWaits:
        """Which uvicorn sets where the caller hangs up."""
        return _NOBODY_WAITS

    def answer(self, answer: Answer, common: Common) -> None:
        """Write the whole answer; a caller that hung up gets none."""
        self.response_complete = True
        if self.disconnected:
            return
        closes = common.closes or not self.keep_alive
        connection = self._connection
        connection.transport.write(answer_bytes(answer, common, connection.server_state.default_headers, closes=closes))
        if closes:
            connection.transport.close()
        connection.on_response_complete()


class _NobodyWaits:
    def set(self) -> None:
        """Wake nobody."""


_NOBODY_WAITS = _NobodyWaits()


def answer_bytes(answer: Answer, common: Common, default_headers: Headers, *, closes: bool) -> bytes:
    """An answer as HTTP/1.1 has it.

    Raises:
        RuntimeError: a header of it would be read as something else.
    """
    own = b"".join([header_line(name, value) for name, value in answer.headers]) if answer.headers else b""
    if answer.has_content:
        own += b"content-type: %b\r\ncontent-length: %d\r\n" % (answer.content_type, len(answer.body))
    if closes and not common.closes:
        own += b"connection: close\r\n"
    defaults = _default_lines(default_headers)
    return b"%b%b%b%b\r\n%b" % (STATUS_LINE[answer.status], defaults, common.lines, own, answer.body)


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

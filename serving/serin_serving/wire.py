"""ASGI in and out: read a bounded body, send one answer."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol

import orjson

from serin_contract.stats import MalformedReason
from serin_serving.errors import RequestError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

JSON = b"application/json"
EXCHANGE = "serin.exchange"
"""Key of a scope under which the connection may offer an AtOnce, which saves messages."""
_CONTROL = re.compile(b"[\x00-\x08\x0a-\x1f\x7f]")
BODY_BYTES_MAX = 16 * 1024 * 1024
BODIES_BYTES_MAX = 128 * 1024 * 1024
BODY_SECONDS_MAX = 20.0


class AtOnce(Protocol):
    """A request whose body, or answer, can pass whole and without waiting."""

    def body_at_once(self) -> bytes | None:
        """The body where all of it has come."""

    def answer_at_once(self, answer: Answer, common: Common) -> bool:
        """Whether the answer was taken."""


class GoneError(Exception):
    """The caller went away before the whole body had come."""


class Answer:
    """One answer: a status, a body and headers beside those that every answer has."""

    __slots__ = ("body", "content_type", "headers", "malformed", "status")

    def __init__(self, status: int, body: bytes, headers: Headers | None = None, content_type: bytes = JSON) -> None:
        self.status = status
        self.body = body
        self.headers = headers or []
        self.content_type = content_type
        self.malformed: MalformedReason = "other"
        """Why an inference request was refused; what it says of any other answer means nothing."""

    @property
    def has_content(self) -> bool:
        """Not with 204, which may not even name a length of 0 (RFC 9110 §8.6)."""
        return self.status != 204


def failure(status: int, sentence: str, headers: Headers | None = None) -> Answer:
    """An error in the form of the Open Inference Protocol."""
    if status == 503:
        headers = [*(headers or []), (b"retry-after", b"1")]
    return Answer(status, orjson.dumps({"error": sentence}), headers)


class Common:
    """The headers that all answers have in common, for ASGI and as they are written."""

    __slots__ = ("closes", "headers", "lines")

    def __init__(self, headers: Headers) -> None:
        self.headers = headers
        self.lines = b"".join(header_line(name, value) for name, value in headers)
        self.closes = any(name == b"connection" for name, _ in headers)


def header_line(name: bytes, value: bytes) -> bytes:
    """One header as HTTP/1 has it.

    Raises:
        RuntimeError: its value would be read as something else (RFC 9110 §5.5).
    """
    if _CONTROL.search(value):
        raise RuntimeError("a header's value holds a control character")
    return b"%b: %b\r\n" % (name, value)


async def send_answer(scope: Scope, send: Send, answer: Answer, common: Common) -> None:
    """Send the answer with the headers that all have in common."""
    at_once: AtOnce | None = scope.get(EXCHANGE)
    if at_once is not None and at_once.answer_at_once(answer, common):
        return
    content: Headers = []
    if answer.has_content:
        content = [(b"content-type", answer.content_type), (b"content-length", str(len(answer.body)).encode())]
    headers = [*content, *common.headers, *answer.headers]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


class BodyReader:
    """Reads bodies within a limit for each and for all that are held at once."""

    def __init__(self, each_max: int = BODY_BYTES_MAX, all_max: int = BODIES_BYTES_MAX) -> None:
        self._each_max = each_max
        self._all_max = all_max
        self._held = 0

    async def read(self, scope: Scope, receive: Receive) -> bytes:
        """The whole body.

        Raises:
            RequestError: it is too big (413), too slow (408), or too much is being read already (503).
            GoneError: the caller hung up.
        """
        at_once: AtOnce | None = scope.get(EXCHANGE)
        whole = None if at_once is None else at_once.body_at_once()
        if whole is not None:
            if len(whole) > self._each_max:
                raise self._too_big()
            return whole
        declared = _content_length(scope)
        if declared > self._each_max:
            raise self._too_big()
        message = await receive()
        if message["type"] == "http.request" and not message.get("more_body", False):
            body: bytes = message.get("body", b"")
            if len(body) > self._each_max:
                raise self._too_big()
            return body
        try:
            async with asyncio.timeout(BODY_SECONDS_MAX):
                return await self._read_on(message, receive)
        except TimeoutError:
            raise RequestError(408, "the body did not come within 20 seconds") from None

    async def _read_on(self, message: Message, receive: Receive) -> bytes:
        body = bytearray()
        try:
            while True:
                if message["type"] == "http.disconnect":
                    raise GoneError
                chunk = message.get("body", b"")
                body += chunk
                self._held += len(chunk)
                if len(body) > self._each_max:
                    raise self._too_big()
                if self._held > self._all_max:
                    raise RequestError(503, "this server is reading too much already; try again in a second")
                if not message.get("more_body", False):
                    return bytes(body)
                message = await receive()
        finally:
            self._held -= len(body)

    def _too_big(self) -> RequestError:
        return RequestError(413, f"the body is larger than {self._each_max} bytes")


def _content_length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0

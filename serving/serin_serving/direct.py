"""Inference past ASGI: nearly all requests come whole, as plain JSON, and a third of their cost were ASGI's messages.

Whatever is not such a request goes through `app.CallersApp`, which counts, refuses and traces in the same functions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from serin_serving import headers, spellings
from serin_serving.app import CallersApp, inferred
from serin_serving.http_cycles import WholeRequest
from serin_serving.model import Answers
from serin_serving.server import Asked, Server
from serin_serving.visits import Visit
from serin_serving.wire import Answer


class DirectInference:
    """Answers the inference requests that came whole; made inside a running loop."""

    def __init__(self, server: Server, app: CallersApp, paths: Mapping[bytes, bool]) -> None:
        """`paths` are those of inference; True for one that names the revision."""
        self._server = server
        self._app = app
        self._paths = paths
        self._loop = asyncio.get_running_loop()
        self._begun: list[_Inference] = []

    def takes(self, request: WholeRequest) -> bool:
        """Whether this is inference, and JSON that asks for JSON."""
        return (
            request.method == b"POST" and request.url in self._paths and spellings.is_plain(request.named, request.body)
        )

    def begin(self, request: WholeRequest) -> None:
        """Answer it, together with the others that this turn of the loop brings in.

        One after the other they would be as good, but parsing and answering in turn drives each other's code out of
        the processor's cache.
        """
        self._begun.append(_Inference(self._server, self._app, request, pinned=self._paths[request.url]))
        if len(self._begun) == 1:
            self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        begun, self._begun = self._begun, []
        for inference in begun:
            inference.ask()


class _Inference:
    """One of them, from its arrival to its answer."""

    __slots__ = ("_app", "_asked", "_pinned", "_request", "_scope", "_server", "_visit")

    def __init__(self, server: Server, app: CallersApp, request: WholeRequest, *, pinned: bool) -> None:
        self._server = server
        self._app = app
        self._request = request
        self._pinned = pinned
        self._visit: Visit
        self._asked: Asked
        self._scope: dict[str, Any] = {"headers": request.headers, "state": request.state}
        headers.keep(self._scope, request.named)

    def ask(self) -> None:
        """Let the model answer."""
        self._visit = self._app.arrived(self._scope, pinned=self._pinned)
        try:
            self._asked = self._server.ask(self._request.body)
        # As for every request: a failure becomes the answer of the one that it belongs to.
        except Exception as error:  # noqa: BLE001
            self._end(self._app.failed(self._scope, error))
        else:
            self._asked.answers.add_done_callback(self._tell)

    def _tell(self, _answers: asyncio.Future[Answers]) -> None:
        try:
            answer = inferred(*self._server.told(self._asked, self._visit))
        except Exception as error:  # noqa: BLE001
            answer = self._app.failed(self._scope, error)
        self._end(answer)

    def _end(self, answer: Answer) -> None:
        app, scope, visit = self._app, self._scope, self._visit
        try:
            app.answered(scope, visit, answer)
            self._request.answer(answer, app.dressed(scope, answer))
            app.sent(scope, visit, answer.status)
        finally:
            self._server.visits.end()

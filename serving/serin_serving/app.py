"""The routes of both ports as raw ASGI."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Awaitable, Callable

import msgspec
import orjson

from serin_contract import http, profile
from serin_contract.announcements import ANNOUNCEMENT_BYTES_MAX
from serin_contract.mirrored import MIRRORED_BYTES_MAX
from serin_serving import openapi, request_ids, spellings
from serin_serving.about import about_server
from serin_serving.announced import AnnouncementReason
from serin_serving.connections import connection_of
from serin_serving.errors import RequestError
from serin_serving.feedback import encode_receipt
from serin_serving.headers import named
from serin_serving.oip import encode_metadata
from serin_serving.server import Server
from serin_serving.traces import Span, Tracer
from serin_serving.visits import Visit
from serin_serving.wire import (
    Answer,
    BodyReader,
    Common,
    GoneError,
    Headers,
    Receive,
    Scope,
    Send,
    failure,
    send_answer,
)

_log = logging.getLogger(__name__)

Route = Callable[[Scope, Receive], Awaitable[Answer]]

_ANNOUNCEMENT_MAC = http.ANNOUNCEMENT_MAC_HEADER.encode()
_MIRRORED_MAC = http.MIRRORED_MAC_HEADER.encode()
_ROWS_MAC = http.ROWS_MAC_HEADER.encode()
_MODELS = f"{http.INFERENCE_PATH_PREFIX}/models/"
_VERSIONS = "/versions/"
_VISIT = "serin.visit"
_SPAN = "serin.span"
ANNOUNCEMENTS_AT_ONCE = 16
MIRRORED_AT_ONCE = 16
_MSGPACK = b"application/msgpack"
_TEXT = b"text/plain; version=0.0.4; charset=utf-8"


class App:
    """Routes by exact path and method, and turns every failure into an answer."""

    def __init__(self, server: Server, routes: dict[str, dict[str, Route]]) -> None:
        self._server = server
        self._routes = routes
        revision = (http.REVISION_HEADER.encode(), server.revision.encode())
        self._common = Common([revision])
        self._common_closing = Common([revision, (b"connection", b"close")])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        try:
            await self._send(scope, send, await self._answer(scope, receive))
        except GoneError:
            return

    def _closes(self, _scope: Scope) -> bool:
        return self._server.draining

    def dressed(self, scope: Scope, answer: Answer) -> Common:
        """The headers that the answer has in common with others, once it has those of its request."""
        request_id = request_ids.header(scope, answer.status)
        if request_id is not None:
            answer.headers.append(request_id)
        # Asked when the answer is there: the drain may have begun meanwhile.
        return self._common_closing if self._closes(scope) else self._common

    async def _send(self, scope: Scope, send: Send, answer: Answer) -> None:
        await send_answer(scope, send, answer, self.dressed(scope, answer))

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        try:
            return await self._route(scope)(scope, receive)
        except GoneError:
            raise
        except Exception as error:  # noqa: BLE001
            return self.failed(scope, error)

    def failed(self, scope: Scope, error: Exception) -> Answer:
        """The answer to a request that was refused, or over which this server stumbled."""
        if not isinstance(error, RequestError):
            # A bug in one answer must not take the connection down; it is logged without the caller's values.
            _log.error("a request failed", exc_info=error, extra={"fields": _names(scope)})
            return failure(500, "this server failed to answer; its log says where")
        allow = _allow(self._routes.get(scope["path"], {})) if error.status == 405 else None
        refused = failure(error.status, error.sentence, allow)
        refused.malformed = error.malformed
        return refused

    def _route(self, scope: Scope) -> Route:
        path, method = scope["path"], scope["method"]
        methods = self._routes.get(path)
        if methods is None:
            raise RequestError(404, self._not_found(path))
        route = methods.get(method)
        if route is None:
            raise RequestError(405, f"this path takes {' and '.join(methods)}")
        return route

    def _not_found(self, path: str) -> str:
        if path.startswith(f"{_MODELS}{self._server.name}{_VERSIONS}"):
            return f"this pod serves one version of its model, {self._server.revision!r}"
        if path.startswith(_MODELS):
            return f"this server has one model, {self._server.name!r}, under {_MODELS}{self._server.name}"
        return "there is nothing under this path"


class CallersApp(App):
    """The port that callers reach: counts inference requests, and may ask callers to connect anew."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        if not _is_infer(scope):
            await super().__call__(scope, receive, send)
            return
        visit = scope[_VISIT] = self.arrived(scope, pinned=_VERSIONS in scope["path"])
        try:
            answer = await self._answer(scope, receive)
            self.answered(scope, visit, answer)
            await self._send(scope, send, answer)
            self.sent(scope, visit, answer.status)
        except GoneError:
            self._server.visits.gone(visit)
        finally:
            self._server.visits.end()

    def arrived(self, scope: Scope, *, pinned: bool) -> Visit:
        """Begin an inference request; `pinned` is one whose caller chose the revision."""
        if self._server.traces is not None:
            scope[_SPAN] = self._server.traces.begin(scope["headers"])
        return self._server.arrive(scope, pinned=pinned)

    def answered(self, scope: Scope, visit: Visit, answer: Answer) -> None:
        """Count it by its outcome, and give the answer what the caller is to keep."""
        self._server.answered(visit, answer.status, answer.malformed)
        # Whatever the status: a caller that counts as refused or failed must be known when it tries again.
        if visit.set_cookie is not None:
            answer.headers.append((b"set-cookie", visit.set_cookie))
        if self._server.traces is not None:
            answer.headers.append(scope[_SPAN].response)

    def sent(self, scope: Scope, visit: Visit, status: int) -> None:
        """Tell who follows it that it is over."""
        if self._server.traces is not None:
            _end(self._server.traces, scope, visit, status)
        if self._server.logs_requests:
            _log_answered(scope, visit, status)

    def _closes(self, scope: Scope) -> bool:
        return self._server.closes(connection_of(scope["state"]))


def inference_app(server: Server) -> CallersApp:
    """Port 8080: Open Inference Protocol v2 and feedback."""

    async def infer(scope: Scope, receive: Receive) -> Answer:
        asked = await server.bodies.read(scope, receive)
        if not spellings.is_plain(named(scope), asked):
            return await spellings.infer_binary(server, scope, scope[_VISIT], asked)
        return inferred(*await server.infer(asked, scope[_VISIT]))

    async def predict(scope: Scope, receive: Receive) -> Answer:
        return await spellings.predict(server, scope, scope[_VISIT], await server.bodies.read(scope, receive))

    async def feedback(scope: Scope, receive: Receive) -> Answer:
        receipt = server.take_labels(await server.bodies.read(scope, receive))
        return Answer(receipt.status, encode_receipt(receipt))

    async def model_ready(_scope: Scope, _receive: Receive) -> Answer:
        return _ready(server, {"name": server.name})

    metadata = encode_metadata(server.name, server.revision, server.model.signature)
    of_model: dict[str, dict[str, Route]] = {
        "/infer": {"POST": infer},
        "": {"GET": _fixed(metadata)},
        "/ready": {"GET": model_ready},
    }
    return CallersApp(
        server,
        {
            **{prefix + last: route for prefix in _prefixes(server) for last, route in of_model.items()},
            http.PREDICT_PATH: {"POST": predict},
            http.OPENAPI_PATH: {"GET": _made(server, openapi.encode)},
            http.DOCS_PATH: {"GET": _made(server, openapi.page)},
            http.FEEDBACK_PATH: {"POST": feedback},
            http.INFERENCE_PATH_PREFIX: {"GET": _made(server, _about)},
            **_health(server),
        },
    )


def inference_paths(server: Server) -> dict[bytes, bool]:
    """Where the Open Inference Protocol is asked for inference; True where the path names the revision."""
    model, version = _prefixes(server)
    return {f"{model}/infer".encode(): False, f"{version}/infer".encode(): True}


def _prefixes(server: Server) -> tuple[str, str]:
    """Paths of the model, and of its revision."""
    model = f"{_MODELS}{server.name}"
    return model, f"{model}{_VERSIONS}{server.revision}"


def inferred(body: bytes, prediction_id: str) -> Answer:
    """The answer to an inference request."""
    return Answer(200, body, spellings.id_headers(prediction_id))


def stats_app(server: Server) -> App:
    """Port 8081: stats, the profile, metrics, announcements, mirrored requests, sampled rows and probes."""

    async def stats(_scope: Scope, _receive: Receive) -> Answer:
        return Answer(200, server.stats())

    async def metrics(_scope: Scope, _receive: Receive) -> Answer:
        return Answer(200, server.metrics.encode(), content_type=_TEXT)

    async def rows(scope: Scope, _receive: Receive) -> Answer:
        return Answer(200, server.rows(_only(scope, _ROWS_MAC)), content_type=_MSGPACK)

    return App(
        server,
        {
            http.STATS_PATH: {"GET": stats},
            http.PROFILE_PATH: {"GET": _fixed(profile.encode(server.profile))},
            http.METRICS_PATH: {"GET": metrics},
            http.ANNOUNCEMENT_PATH: {"POST": _announcement(server)},
            http.MIRRORED_PATH: {"POST": _mirrored(server)},
            http.ROWS_PATH: {"GET": rows},
            **_health(server),
        },
    )


def _health(server: Server) -> dict[str, dict[str, Route]]:
    async def ready(_scope: Scope, _receive: Receive) -> Answer:
        return _ready(server, {})

    return {http.LIVE_PATH: {"GET": _fixed(b'{"live":true}')}, http.READY_PATH: {"GET": ready}}


def _announcement(server: Server) -> Route:
    bodies = BodyReader(ANNOUNCEMENT_BYTES_MAX, ANNOUNCEMENTS_AT_ONCE * ANNOUNCEMENT_BYTES_MAX)

    async def announce(scope: Scope, receive: Receive) -> Answer:
        try:
            body = await bodies.read(scope, receive)
        except RequestError:
            server.metrics.announcement_refused(AnnouncementReason.Unread)
            raise
        refusal = server.take_announcement(body, _only(scope, _ANNOUNCEMENT_MAC))
        if refusal is None:
            return Answer(200, orjson.dumps(msgspec.to_builtins(server.announcements.said())))
        if refusal.reason is AnnouncementReason.NotHigher:
            return Answer(409, orjson.dumps({"error": refusal.error, "sequence": server.announcements.sequence}))
        return failure(refusal.status, refusal.error)

    return announce


def _mirrored(server: Server) -> Route:
    # A reader of its own: what is mirrored takes no room from callers.
    bodies = BodyReader(MIRRORED_BYTES_MAX, MIRRORED_AT_ONCE * MIRRORED_BYTES_MAX)

    async def take(scope: Scope, receive: Receive) -> Answer:
        await server.mirrored(await bodies.read(scope, receive), _only(scope, _MIRRORED_MAC))
        return Answer(204, b"")

    return take


def _ready(server: Server, document: dict[str, object]) -> Answer:
    if server.draining:
        return failure(503, "this server is draining")
    return Answer(200, orjson.dumps({**document, "ready": True}))


def _fixed(body: bytes) -> Route:
    async def answer(_scope: Scope, _receive: Receive) -> Answer:
        return Answer(200, body)

    return answer


def _made(server: Server, make: Callable[[Server], Answer]) -> Route:
    """An answer that is made when it is first asked for: few pods ever are."""
    once = functools.cache(lambda: make(server))

    async def answer(_scope: Scope, _receive: Receive) -> Answer:
        kept = once()
        # Each caller's own id goes among the headers.
        return Answer(kept.status, kept.body, [*kept.headers], kept.content_type)

    return answer


def _about(_server: Server) -> Answer:
    return Answer(200, orjson.dumps(msgspec.to_builtins(about_server())))


def _end(tracer: Tracer, scope: Scope, visit: Visit, status: int) -> None:
    span: Span = scope[_SPAN]
    span.status, span.rows, span.cohort = status, visit.rows, visit.cohort
    span.request_id = request_ids.given(scope)
    if visit.model_began:
        span.model_started_ns = span.started_ns + round((visit.model_began - visit.arrived_at) * 1e9)
        span.model_ended_ns = span.model_started_ns + round(visit.model_seconds * 1e9)
    tracer.end(span)


def _log_answered(scope: Scope, visit: Visit, status: int) -> None:
    fields: dict[str, object] = {"status": status, "rows": visit.rows, "cohort": visit.cohort}
    fields["seconds"] = round(time.perf_counter() - visit.arrived_at, 6)
    _log.info("answered", extra={"fields": {**fields, **_names(scope)}})


def _names(scope: Scope) -> dict[str, str]:
    """By what a line of the log is found again: the request's id, and its trace where it has one."""
    span: Span | None = scope.get(_SPAN)
    return {"request_id": request_ids.made(scope), **(span.fields if span is not None else {})}


def _is_infer(scope: Scope) -> bool:
    path: str = scope["path"]
    if scope["method"] != "POST":
        return False
    return (path.endswith("/infer") and path.startswith(_MODELS)) or path == http.PREDICT_PATH


def _only(scope: Scope, header: bytes) -> str:
    values = [value for name, value in scope["headers"] if name == header]
    return values[0].decode("latin-1") if len(values) == 1 else ""


def _allow(methods: dict[str, Route]) -> Headers:
    return [(b"allow", ", ".join(methods).encode())]

"""The routes of both ports as raw ASGI."""

from __future__ import annotations

import importlib.metadata
import logging
import time
from collections.abc import Awaitable, Callable

import orjson

from serin_contract import http, ids, profile
from serin_serving.counts import valid_cohort
from serin_serving.errors import RequestError
from serin_serving.feedback import encode_receipt
from serin_serving.oip import encode_metadata
from serin_serving.server import Server
from serin_serving.wire import Answer, GoneError, Headers, Receive, Scope, Send, failure, send_answer

_log = logging.getLogger(__name__)

Route = Callable[[Scope, Receive], Awaitable[Answer]]

_COHORT = http.COHORT_HEADER.encode()
_PREDICTION_ID = http.PREDICTION_ID_HEADER.encode()
_MODELS = f"{http.INFERENCE_PATH_PREFIX}/models/"
_TEXT = b"text/plain; version=0.0.4; charset=utf-8"


class App:
    """Routes by exact path and method, turns every failure into an answer and counts inference requests."""

    def __init__(self, server: Server, routes: dict[str, dict[str, Route]]) -> None:
        self._server = server
        self._routes = routes
        self._common: Headers = [(http.REVISION_HEADER.encode(), server.revision.encode())]
        self._common_draining: Headers = [*self._common, (b"connection", b"close")]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        arrived = time.perf_counter()
        try:
            answer = await self._answer(scope, receive)
        except GoneError:
            return
        if _is_infer(scope):
            self._server.answered(_cohort(scope), answer.status, time.perf_counter() - arrived)
        # Asked again after the wait: the drain may have begun meanwhile.
        common = self._common_draining if self._server.draining else self._common
        await send_answer(send, answer, common)

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        try:
            return await self._route(scope)(scope, receive)
        except RequestError as error:
            allow = _allow(self._routes.get(scope["path"], {})) if error.status == 405 else None
            return failure(error.status, error.sentence, allow)
        except GoneError:
            raise
        # A bug in one answer must not take the connection down; it is logged without the caller's values.
        except Exception:  # noqa: BLE001
            _log.exception("a request failed")
            return failure(500, "this server failed to answer; its log says where")

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
        if path.startswith(_MODELS):
            return f"this server has one model, {self._server.name!r}, under {_MODELS}{self._server.name}"
        return "there is nothing under this path"


def inference_app(server: Server) -> App:
    """Port 8080: Open Inference Protocol v2 and feedback."""

    async def infer(scope: Scope, receive: Receive) -> Answer:
        body, prediction_id = await server.infer(await server.bodies.read(scope, receive), _cohort(scope))
        headers: Headers = []
        if 0 < len(prediction_id) <= ids.HEADER_CHARS_MAX:
            headers.append((_PREDICTION_ID, prediction_id.encode()))
        return Answer(200, body, headers)

    async def feedback(scope: Scope, receive: Receive) -> Answer:
        receipt = server.take_labels(await server.bodies.read(scope, receive))
        return Answer(receipt.status, encode_receipt(receipt))

    async def model_ready(_scope: Scope, _receive: Receive) -> Answer:
        return _ready(server, {"name": server.name})

    metadata = encode_metadata(server.name, server.revision, server.model.signature)
    about = orjson.dumps({"name": "serin", "version": importlib.metadata.version("serin-operator"), "extensions": []})
    model = f"{_MODELS}{server.name}"
    return App(
        server,
        {
            f"{model}/infer": {"POST": infer},
            http.FEEDBACK_PATH: {"POST": feedback},
            model: {"GET": _fixed(metadata)},
            f"{model}/ready": {"GET": model_ready},
            http.INFERENCE_PATH_PREFIX: {"GET": _fixed(about)},
            **_health(server),
        },
    )


def stats_app(server: Server) -> App:
    """Port 8081: stats, the profile, metrics and probes."""

    async def stats(_scope: Scope, _receive: Receive) -> Answer:
        return Answer(200, server.stats())

    async def metrics(_scope: Scope, _receive: Receive) -> Answer:
        return Answer(200, server.metrics.encode(), content_type=_TEXT)

    return App(
        server,
        {
            http.STATS_PATH: {"GET": stats},
            http.PROFILE_PATH: {"GET": _fixed(profile.encode(server.profile))},
            http.METRICS_PATH: {"GET": metrics},
            **_health(server),
        },
    )


def _health(server: Server) -> dict[str, dict[str, Route]]:
    async def ready(_scope: Scope, _receive: Receive) -> Answer:
        return _ready(server, {})

    return {http.LIVE_PATH: {"GET": _fixed(b'{"live":true}')}, http.READY_PATH: {"GET": ready}}


def _ready(server: Server, document: dict[str, object]) -> Answer:
    if server.draining:
        return failure(503, "this server is draining")
    return Answer(200, orjson.dumps({**document, "ready": True}))


def _fixed(body: bytes) -> Route:
    async def answer(_scope: Scope, _receive: Receive) -> Answer:
        return Answer(200, body)

    return answer


def _is_infer(scope: Scope) -> bool:
    path: str = scope["path"]
    return path.endswith("/infer") and path.startswith(_MODELS) and scope["method"] == "POST"


def _cohort(scope: Scope) -> str:
    return valid_cohort([value for name, value in scope["headers"] if name == _COHORT])


def _allow(methods: dict[str, Route]) -> Headers:
    return [(b"allow", ", ".join(methods).encode())]

"""The Open Inference Protocol v2 over gRPC: the same model, queue, counters and limits as by HTTP.

Imported only where it is asked for: gRPC takes a tenth of a second to load.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, NamedTuple

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from serin_contract import http, ids
from serin_contract.startup import StartupReason
from serin_contract.stats import MalformedReason
from serin_serving import oip_messages
from serin_serving.about import about_server
from serin_serving.connections import Connection, Connections, state_of
from serin_serving.errors import RefusedError, RequestError
from serin_serving.oip import PLATFORM, tensors_of
from serin_serving.oip_grpc import decode_message, encode_message
from serin_serving.server import Server
from serin_serving.visits import Visit
from serin_serving.wire import BODY_BYTES_MAX, Scope

CALLS_AT_ONCE_MAX = 256
METADATA_BYTES_MAX = 16 * 1024
CONNECTION_SECONDS_MAX = 30
"""A connection ends by then with GOAWAY, and its caller makes another without losing a call. So a change of the
split reaches callers that keep theirs, as `Connection: close` does by HTTP."""
PEERS_REMEMBERED = 4096

_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    404: grpc.StatusCode.NOT_FOUND,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    500: grpc.StatusCode.INTERNAL,
    503: grpc.StatusCode.UNAVAILABLE,
}
_RETRY_LATER = (("grpc-retry-pushback-ms", "1000"),)
_OPTIONS = (
    ("grpc.max_receive_message_length", BODY_BYTES_MAX),
    ("grpc.max_metadata_size", METADATA_BYTES_MAX),
    ("grpc.absolute_max_metadata_size", METADATA_BYTES_MAX),
    ("grpc.max_connection_age_ms", CONNECTION_SECONDS_MAX * 1000),
    # Two servers on one port would each get some of the calls.
    ("grpc.so_reuseport", 0),
)
_log = logging.getLogger(__name__)

Metadata = tuple[tuple[str, str], ...]
Context = Any
"""A grpc.aio.ServicerContext; gRPC brings no types."""


class _Outcome(NamedTuple):
    """How one call of ModelInfer ends."""

    status: int
    message: bytes = b""
    sentence: str = ""
    metadata: Metadata = ()
    malformed: MalformedReason = "other"


class GrpcListener:
    """Answers on a port of its own; made and used inside a running loop."""

    def __init__(self, server: Server, host: str, port: int) -> None:
        """Listen, without answering yet.

        Raises:
            RefusedError: the port is taken or may not be used.
        """
        self._grpc = grpc.aio.server(options=_OPTIONS, maximum_concurrent_rpcs=CALLS_AT_ONCE_MAX)
        self._grpc.add_generic_rpc_handlers((_handlers(server),))
        try:
            self.port = self._grpc.add_insecure_port(_address(host, port))
        except RuntimeError as error:
            raise RefusedError(StartupReason.SettingsInvalid, "the gRPC port cannot be listened on") from error

    async def start(self) -> None:
        """Answer from here on."""
        await self._grpc.start()

    async def stop(self, in_flight_seconds: float) -> None:
        """Accept nothing more, and return when every call has its answer, or after that time."""
        await self._grpc.stop(in_flight_seconds)


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host or '[::]'}:{port}"


def _handlers(server: Server) -> Any:
    service = GrpcService(server)
    methods = {
        "ServerLive": service.server_live,
        "ServerReady": service.server_ready,
        "ModelReady": service.model_ready,
        "ServerMetadata": service.server_metadata,
        "ModelMetadata": service.model_metadata,
        "ModelInfer": service.model_infer,
    }
    # Messages stay bytes here: one that cannot be read is a refused request, and counts as one.
    return grpc.method_handlers_generic_handler(
        oip_messages.SERVICE, {name: grpc.unary_unary_rpc_method_handler(method) for name, method in methods.items()}
    )


class GrpcService:
    """The six calls of the protocol, from bytes to bytes."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._peers = Peers(server.connections)
        self._revision: Metadata = ((http.REVISION_HEADER, server.revision),)

    async def server_live(self, _data: bytes, _context: Context) -> bytes:
        """ServerLive."""
        return _bytes(oip_messages.ServerLiveResponse(live=True))

    async def server_ready(self, _data: bytes, _context: Context) -> bytes:
        """ServerReady; false while the server drains."""
        return _bytes(oip_messages.ServerReadyResponse(ready=not self._server.draining))

    async def server_metadata(self, _data: bytes, _context: Context) -> bytes:
        """ServerMetadata."""
        about = about_server()
        return _bytes(
            oip_messages.ServerMetadataResponse(name=about.name, version=about.version, extensions=about.extensions)
        )

    async def model_ready(self, data: bytes, context: Context) -> bytes:
        """ModelReady."""
        await self._check_model(oip_messages.ModelReadyRequest, data, context)
        return _bytes(oip_messages.ModelReadyResponse(ready=not self._server.draining))

    async def model_metadata(self, data: bytes, context: Context) -> bytes:
        """ModelMetadata."""
        await self._check_model(oip_messages.ModelMetadataRequest, data, context)
        inputs, outputs = tensors_of(self._server.model.signature)
        return _bytes(
            oip_messages.ModelMetadataResponse(
                name=self._server.name,
                versions=[self._server.revision],
                platform=PLATFORM,
                inputs=[tensor._asdict() for tensor in inputs],
                outputs=[tensor._asdict() for tensor in outputs],
            )
        )

    async def model_infer(self, data: bytes, context: Context) -> bytes:
        """ModelInfer, counted as an inference request by HTTP is."""
        scope: Scope = {
            "headers": [(name.encode(), _value(value)) for name, value in context.invocation_metadata() or ()],
            "state": state_of(self._peers.connection(context.peer())),
        }
        # A caller that gives up has asked all the same: the request is answered and counted as by HTTP.
        outcome = await asyncio.shield(self._visit(data, scope))
        await context.send_initial_metadata((*self._revision, *outcome.metadata))
        if outcome.status != 200:
            later = _RETRY_LATER if outcome.status == 503 else ()
            await context.abort(_CODES.get(outcome.status, grpc.StatusCode.UNKNOWN), outcome.sentence, later)
        return outcome.message

    async def _visit(self, data: bytes, scope: Scope) -> _Outcome:
        message = oip_messages.ModelInferRequest()
        try:
            message.ParseFromString(data)
        except DecodeError:
            message = None
        visit = self._server.arrive(scope, pinned=message is not None and bool(message.model_version))
        try:
            outcome = await self._outcome(message, visit)
            self._server.answered(visit, outcome.status, outcome.malformed)
        finally:
            self._server.visits.end()
        if visit.set_cookie is None:
            return outcome
        return outcome._replace(metadata=(*outcome.metadata, ("set-cookie", visit.set_cookie.decode())))

    async def _outcome(self, message: Any, visit: Visit) -> _Outcome:
        try:
            if message is None:
                raise RequestError(400, "the message is no ModelInferRequest")
            self._check(message.model_name, message.model_version)
            return await self._infer(message, visit)
        except RequestError as error:
            return _Outcome(error.status, sentence=error.sentence, malformed=error.malformed)
        # A bug in one answer is logged without the caller's values, and the server goes on.
        except Exception:  # noqa: BLE001
            _log.exception("a request failed")
            return _Outcome(500, sentence="this server failed to answer; its log says where")

    async def _infer(self, message: Any, visit: Visit) -> _Outcome:
        server = self._server
        request = decode_message(message, server.model.layout)
        answers, prediction_id = await server.answer(request, visit)
        answer = encode_message(
            server.name,
            server.revision,
            request,
            answers,
            server.model.signature,
            prediction_id,
            raw=bool(message.raw_input_contents),
        )
        metadata: Metadata = ()
        if 0 < len(prediction_id) <= ids.HEADER_CHARS_MAX:
            metadata = ((http.PREDICTION_ID_HEADER, prediction_id),)
        return _Outcome(200, _bytes(answer), metadata=metadata)

    def _check(self, name: str, version: str) -> None:
        if name != self._server.name:
            raise RequestError(404, f"this server has one model, {self._server.name!r}")
        if version and version != self._server.revision:
            raise RequestError(404, f"this pod serves one version of its model, {self._server.revision!r}")

    async def _check_model(self, kind: Any, data: bytes, context: Context) -> None:
        try:
            message = kind.FromString(data)
            self._check(message.name, message.version)
        except DecodeError:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the message cannot be read")
        except RequestError as error:
            await context.abort(_CODES[error.status], error.sentence)


class Peers:
    """Connections by the address at their other end: gRPC names no connection otherwise."""

    def __init__(self, connections: Connections, peers_max: int = PEERS_REMEMBERED) -> None:
        self._connections = connections
        self._peers_max = peers_max
        self._known: dict[str, Connection] = {}

    def connection(self, peer: str) -> Connection:
        """The connection to that address."""
        known = self._known.get(peer)
        if known is None:
            known = self._known[peer] = self._connections.open()
            if len(self._known) > self._peers_max:
                del self._known[next(iter(self._known))]
        return known


def _value(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()


def _bytes(message: Any) -> bytes:
    data: bytes = message.SerializeToString()
    return data

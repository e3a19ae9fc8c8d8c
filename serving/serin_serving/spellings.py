"""The ways beside the JSON of the Open Inference Protocol in which rows come in by HTTP and answers go out."""

from __future__ import annotations

from serin_contract import http, ids
from serin_serving import oip_binary
from serin_serving.errors import RequestError
from serin_serving.headers import CONTENT_ENCODING, JSON_LENGTH, Named, named
from serin_serving.predict import decode_predict, encode_predict
from serin_serving.server import Server
from serin_serving.visits import Visit
from serin_serving.wire import Answer, Headers, Scope

_PREDICTION_ID = http.PREDICTION_ID_HEADER.encode()
_OCTETS = b"application/octet-stream"


def is_plain(found: Named, body: bytes) -> bool:
    """Whether a request for inference with these headers is JSON that asks for JSON, as nearly all are."""
    return JSON_LENGTH not in found and CONTENT_ENCODING not in found and b'"binary_data' not in body


async def infer_binary(server: Server, scope: Scope, visit: Visit, body: bytes) -> Answer:
    """Answer an inference request with binary tensors in it, asked of it, or both.

    Raises:
        RequestError: it cannot be answered.
    """
    check_encoding(scope)
    lengths = named(scope).get(JSON_LENGTH, [])
    if len(lengths) > 1:
        raise RequestError(400, "`Inference-Header-Content-Length` comes twice")
    length = oip_binary.json_length(lengths[0] if lengths else None, len(body))
    request = oip_binary.decode_binary(body, length, server.model.layout)
    answers, prediction_id = await server.answer(request, visit)
    content, header_length = oip_binary.encode_binary(
        server.name, server.revision, request, answers, server.model.signature, prediction_id
    )
    headers = id_headers(prediction_id)
    if header_length is None:
        return Answer(200, content, headers)
    headers.append((JSON_LENGTH, str(header_length).encode()))
    return Answer(200, content, headers, _OCTETS)


async def predict(server: Server, scope: Scope, visit: Visit, body: bytes) -> Answer:
    """Answer a request for people.

    Raises:
        RequestError: it cannot be answered.
    """
    check_encoding(scope)
    request = decode_predict(body, server.model.layout)
    answers, prediction_id = await server.answer(request, visit)
    content = encode_predict(request, server.revision, answers, server.model.signature, prediction_id)
    return Answer(200, content, id_headers(prediction_id))


def check_encoding(scope: Scope) -> None:
    """Refuse a compressed body: what it unpacks to has no bound.

    Raises:
        RequestError: it has an encoding (415).
    """
    if any(value.lower() != b"identity" for value in named(scope).get(CONTENT_ENCODING, [])):
        raise RequestError(415, "this server takes bodies without a Content-Encoding only")


def id_headers(prediction_id: str) -> Headers:
    """The header with the prediction id; an answer whose id is too long for one has none."""
    if 0 < len(prediction_id) <= ids.HEADER_CHARS_MAX:
        return [(_PREDICTION_ID, prediction_id.encode())]
    return []

"""The binary tensor extension of the Open Inference Protocol v2: tensors as bytes behind the JSON. Pure.

A request names the length of its JSON in the header `Inference-Header-Content-Length`; what follows are the data of
the inputs that have the parameter `binary_data_size`, in their order. An answer is laid out alike, with the outputs
that were asked for by `binary_data`, or all of them by the request's `binary_data_output`.
"""

from __future__ import annotations

from typing import Any

import msgspec
import orjson

from serin_contract.bundle import Signature
from serin_serving.errors import RequestError
from serin_serving.layout import Layout
from serin_serving.model import Answers
from serin_serving.oip import (
    PREDICT,
    PROBABILITIES,
    InferRequest,
    answer_document,
    load,
    outputs_of,
    read_infer,
)
from serin_serving.oip_fields import datatype_of, label_of, shape_of
from serin_serving.raw_tensors import decode_raw, encode_raw

EXTENSION = "binary_tensor_data"
"""Its name among the extensions of the server's metadata."""

_SIZE = "binary_data_size"


def json_length(header: bytes | None, body_length: int) -> int:
    """How much of the body is JSON; all of it where the header is absent.

    Raises:
        RequestError: the header is no number, or more than there is.
    """
    if header is None:
        return body_length
    # Digits as a cap, since a number of a million digits takes long to read.
    if not header.isdigit() or len(header) > 12 or int(header) > body_length:
        raise RequestError(400, "`Inference-Header-Content-Length` must be a number of bytes that the body has")
    return int(header)


def decode_binary(body: bytes, header_length: int, layout: Layout) -> InferRequest:
    """Read an inference request with binary tensors, asked for, sent or both.

    Args:
        body: the JSON and what follows it.
        header_length: how much of it is JSON, as `json_length` says.
        layout: of the model.

    Raises:
        RequestError: as of `oip.decode_infer`, or the binary data do not fit what the JSON says of them.
    """
    document = load(body[:header_length])
    if not isinstance(document, dict):
        raise RequestError(400, "the body must be a JSON object with `inputs`")
    _fill(document.get("inputs"), memoryview(body)[header_length:])
    request = read_infer(document, layout)
    return msgspec.structs.replace(request, raw_outputs=_raw_outputs(document))


def encode_binary(
    name: str,
    revision: str,
    request: InferRequest,
    answers: Answers,
    signature: Signature,
    prediction_id: str,
) -> tuple[bytes, int | None]:
    """The answer's body, and the length of its JSON where binary data follow it."""
    described: list[dict[str, Any]] = []
    raw: list[bytes] = []
    for output in outputs_of(request, answers, signature):
        tensor: dict[str, Any] = {"name": output.name, "datatype": output.datatype, "shape": output.shape}
        if output.name in request.raw_outputs:
            raw.append(encode_raw(output.values, output.datatype))
            tensor["parameters"] = {_SIZE: len(raw[-1])}
        else:
            tensor["data"] = output.values
        described.append(tensor)
    document = answer_document(name, revision, request.id, described, prediction_id)
    header = orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    return (b"".join([header, *raw]), len(header)) if raw else (header, None)


def _fill(inputs: object, binary: memoryview) -> None:
    """Give each input that names a size its data from what follows the JSON."""
    start = 0
    for tensor in inputs if isinstance(inputs, list) else ():
        size = _size(tensor)
        if size is None:
            continue
        name = label_of(tensor)
        if "data" in tensor:
            raise RequestError(400, f"input {name!r} has both `data` and `{_SIZE}`", "shape")
        if start + size > len(binary):
            raise RequestError(400, f"input {name!r} names more binary data than follow the JSON", "shape")
        tensor["data"] = decode_raw(binary[start : start + size], datatype_of(tensor), shape_of(tensor), name)
        start += size
    if start != len(binary):
        raise RequestError(400, "more binary data follow the JSON than its inputs name", "shape")


def _size(tensor: object) -> int | None:
    parameters = tensor.get("parameters") if isinstance(tensor, dict) else None
    size = parameters.get(_SIZE) if isinstance(parameters, dict) else None
    if size is None or (type(size) is int and size >= 0):
        return size
    raise RequestError(400, f"`{_SIZE}` must be a number of bytes", "shape")


def _raw_outputs(document: dict[str, Any]) -> frozenset[str]:
    by_default = _flag(document, "binary_data_output")
    named = document.get("outputs") or ()
    if not named:
        return frozenset((PREDICT, PROBABILITIES)) if by_default else frozenset()
    return frozenset(output["name"] for output in named if _flag(output, "binary_data", otherwise=by_default))


def _flag(holder: dict[str, Any], name: str, *, otherwise: bool = False) -> bool:
    parameters = holder.get("parameters")
    flag = parameters.get(name) if isinstance(parameters, dict) else None
    if flag is None:
        return otherwise
    if isinstance(flag, bool):
        return flag
    raise RequestError(400, f"`{name}` must be true or false")

"""Inference requests and answers as messages of gRPC. Pure."""

from __future__ import annotations

from typing import Any

import numpy as np

from serin_contract.bundle import Signature
from serin_serving.errors import RequestError
from serin_serving.layout import Layout, Matrix
from serin_serving.model import Answers
from serin_serving.oip import InferRequest, Output, outputs_of, read_infer
from serin_serving.oip_fields import datatype_of, label_of, shape_of
from serin_serving.oip_messages import ModelInferResponse
from serin_serving.raw_tensors import decode_raw, encode_raw

_CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
"""Where the elements of each datatype stand; FP16 has raw contents only."""


def decode_message(message: Any, layout: Layout) -> InferRequest:
    """Read a ModelInferRequest.

    Raises:
        RequestError: as of `oip.decode_infer`, or the contents do not fit what the message says of them.
    """
    raw = message.raw_input_contents
    if raw and len(raw) != len(message.inputs):
        raise RequestError(400, "`raw_input_contents` must have one entry for each input", "shape")
    inputs: list[dict[str, Any]] = []
    for index, tensor in enumerate(message.inputs):
        document: dict[str, Any] = {
            "name": tensor.name,
            "datatype": tensor.datatype,
            "shape": list(tensor.shape),
        }
        document["data"] = _raw(tensor, document, raw[index]) if raw else _typed(tensor, document)
        inputs.append(document)
    outputs = [{"name": output.name} for output in message.outputs]
    return read_infer({"id": message.id or None, "inputs": inputs, "outputs": outputs}, layout)


def encode_message(
    name: str,
    revision: str,
    request: InferRequest,
    answers: Answers,
    signature: Signature,
    prediction_id: str,
    *,
    raw: bool,
) -> Any:
    """The answer as a ModelInferResponse; `raw` where the request's contents were."""
    message = ModelInferResponse(model_name=name, model_version=revision, id=request.id or "")
    if prediction_id:
        message.parameters["prediction_id"].string_param = prediction_id
    for output in outputs_of(request, answers, signature):
        tensor = message.outputs.add(name=output.name, datatype=output.datatype, shape=output.shape)
        if raw:
            message.raw_output_contents.append(encode_raw(output.values, output.datatype))
        else:
            getattr(tensor.contents, _CONTENTS[output.datatype]).extend(_elements(output))
    return message


def _elements(output: Output) -> Any:
    if output.datatype == "BYTES":
        return [str(value).encode() for value in output.values]
    return output.values


def _raw(tensor: Any, document: dict[str, Any], data: bytes) -> Matrix | list[object]:
    name = label_of(document)
    if tensor.HasField("contents"):
        raise RequestError(400, f"input {name!r} has both `contents` and `raw_input_contents`", "shape")
    return decode_raw(memoryview(data), datatype_of(document), shape_of(document), name)


def _typed(tensor: Any, document: dict[str, Any]) -> Matrix | list[object]:
    name, datatype = label_of(document), datatype_of(document)
    field = _CONTENTS.get(datatype)
    filled = [descriptor.name for descriptor, _ in tensor.contents.ListFields()]
    if field is None or any(other != field for other in filled):
        wanted = field or "raw_input_contents"
        raise RequestError(400, f"input {name!r} is {datatype}; its data belong in `{wanted}`", "type_error")
    elements = getattr(tensor.contents, field)
    if datatype == "BYTES":
        try:
            return [str(value, "utf-8") for value in elements]
        except UnicodeDecodeError:
            raise RequestError(400, f"input {name!r} holds a text that is no UTF-8", "type_error") from None
    if datatype == "BOOL":
        return np.array(elements, dtype=np.bool_)
    numbers: Matrix = np.array(elements, dtype=np.uint64 if datatype == "UINT64" else _wide(datatype))
    return numbers


def _wide(datatype: str) -> type[np.float64] | type[np.int64]:
    return np.float64 if datatype.startswith("FP") else np.int64

"""Open Inference Protocol v2: from a request's JSON to rows and from answers to JSON. Pure.

A request carries one tensor of shape [m, d] under any name, or d tensors of shape [m] or [m, 1] named like
the model's columns. Data are flat in row order or nested; null is a missing value. Among numbers JSON's true
and false count as 1 and 0. The answer has `predict` and, where the model gives them and the request's
`outputs` does not leave them out, `probabilities`.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import orjson

from serin_contract.bundle import Signature
from serin_contract.ids import ROWS_MAX
from serin_serving import plain_tensor
from serin_serving.errors import RequestError
from serin_serving.layout import Layout, Matrix
from serin_serving.model import Answers

PREDICT = "predict"
PROBABILITIES = "probabilities"

_FLOATS = frozenset({"FP64", "FP32", "FP16"})
_WHOLE = frozenset({"INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"})
_DATATYPES = _FLOATS | _WHOLE | {"BOOL", "BYTES"}
_ID_CHARS_MAX = 1024
_PREDICT_ONLY = [{"name": PREDICT}]


class InferRequest(msgspec.Struct, frozen=True):
    """One decoded request."""

    id: str | None
    """The caller's own id, echoed."""
    matrix: Matrix
    """Shape [m, d] as the model is fed it."""
    probabilities: bool
    """Whether the caller wants them where there are any."""
    is_finite: bool = False
    """Whether every value is known to be there and finite; where it is not, the matrix has to be asked."""


def decode_infer(body: bytes, layout: Layout) -> InferRequest:
    """Read an inference request.

    Raises:
        RequestError: it does not follow the protocol or the model's signature (400), or has too many rows
            (413). The sentence names the place and never quotes a value.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestError(400, f"the body is not JSON: {error.msg} at character {error.pos}") from error
    if not isinstance(document, dict):
        raise RequestError(400, "the body must be a JSON object with `inputs`")
    inputs = document.get("inputs")
    if not isinstance(inputs, list) or not inputs or not all(isinstance(item, dict) for item in inputs):
        raise RequestError(400, "`inputs` must be a list of at least one tensor", "shape")
    plain = plain_tensor.read(inputs, layout)
    return InferRequest(
        id=_request_id(document.get("id")),
        matrix=_matrix(inputs, layout) if plain is None else plain,
        probabilities=_wants_probabilities(document.get("outputs")),
        is_finite=plain is not None,
    )


def encode_infer(
    name: str,
    revision: str,
    request: InferRequest,
    answers: Answers,
    signature: Signature,
    prediction_id: str,
) -> bytes:
    """The answer as JSON; an empty prediction id is left out."""
    rows = len(answers.values)
    outputs: list[dict[str, Any]] = [
        {"name": PREDICT, "datatype": output_datatype(signature), "shape": [rows], "data": answers.values}
    ]
    if request.probabilities and answers.probabilities is not None:
        outputs.append(
            {
                "name": PROBABILITIES,
                "datatype": "FP64",
                "shape": list(answers.probabilities.shape),
                "data": answers.probabilities.ravel(),
            }
        )
    document: dict[str, Any] = {"model_name": name, "model_version": revision}
    if request.id is not None:
        document["id"] = request.id
    document["outputs"] = outputs
    if prediction_id:
        document["parameters"] = {"prediction_id": prediction_id}
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)


def encode_metadata(name: str, revision: str, signature: Signature) -> bytes:
    """The model's metadata: its columns as inputs and what it answers."""
    outputs = [{"name": PREDICT, "datatype": output_datatype(signature), "shape": [-1]}]
    if signature.probabilities:
        outputs.append({"name": PROBABILITIES, "datatype": "FP64", "shape": [-1, len(signature.classes)]})
    return orjson.dumps(
        {
            "name": name,
            "versions": [revision],
            "platform": "serin_sklearn",
            "inputs": [
                {"name": column.name, "datatype": column.datatype, "shape": [-1, 1]} for column in signature.columns
            ],
            "outputs": outputs,
        }
    )


def output_datatype(signature: Signature) -> str:
    """The datatype of `predict`: that of the classes, or FP64 for a regressor."""
    kinds = {type(label) for label in signature.classes}
    if str in kinds:
        return "BYTES"
    if kinds == {bool}:
        return "BOOL"
    return "INT64" if kinds == {int} else "FP64"


def _request_id(value: object) -> str | None:
    if value is None or (isinstance(value, str) and len(value) <= _ID_CHARS_MAX):
        return value
    raise RequestError(400, f"`id` must be a text of at most {_ID_CHARS_MAX} characters")


def _wants_probabilities(outputs: object) -> bool:
    if outputs is None or outputs == []:
        return True
    if outputs == _PREDICT_ONLY:
        return False
    if not isinstance(outputs, list) or not all(isinstance(output, dict) for output in outputs):
        raise RequestError(400, "`outputs` must be a list of objects with a name")
    names = [output.get("name") for output in outputs]
    if any(name not in (PREDICT, PROBABILITIES) for name in names):
        raise RequestError(400, f"`outputs` may name {PREDICT!r} and {PROBABILITIES!r}")
    return PROBABILITIES in names


def _matrix(inputs: list[dict[str, Any]], layout: Layout) -> Matrix:
    if len(inputs) == 1 and (layout.width == 1 or len(_shape(inputs[0])) == 2):
        return _tensor(inputs[0], layout)
    return _named(inputs, layout)


def _tensor(tensor: dict[str, Any], layout: Layout) -> Matrix:
    name, shape, datatype = _label(tensor), _shape(tensor), _datatype(tensor)
    rows, width = shape[0], math.prod(shape[1:])
    if len(shape) > 2 or width != layout.width:
        raise RequestError(400, f"input {name!r} has shape {shape}; this model takes [m, {layout.width}]", "shape")
    _check_rows(rows)
    data = tensor.get("data")
    if datatype == "BYTES" or layout.type == "object":
        return layout.from_rows(_nested(data, rows, width, name))
    numbers = _numbers(data, datatype, name)
    if numbers.size != rows * width or (numbers.ndim > 1 and numbers.shape != (rows, width)):
        raise _wrong_size(name)
    return layout.from_numbers(numbers.reshape(rows, width))


def _named(inputs: list[dict[str, Any]], layout: Layout) -> Matrix:
    by_name = {_label(tensor): tensor for tensor in inputs}
    for name in by_name:
        if name not in layout.names:
            raise RequestError(
                400,
                f"this model has no input {name!r}; send one tensor [m, {layout.width}] or its columns",
                "extra_column",
            )
    missing = [name for name in layout.names if name not in by_name]
    if missing or len(by_name) != len(inputs):
        sentence = f"inputs are missing or doubled; missing: {', '.join(missing[:5]) or 'none'}"
        raise RequestError(400, sentence, "missing_column" if missing else "extra_column")
    rows = _shape(inputs[0])[0]
    _check_rows(rows)
    return layout.from_columns([_column(by_name[name], rows) for name in layout.names])


def _column(tensor: dict[str, Any], rows: int) -> list[object]:
    name, shape, datatype = _label(tensor), _shape(tensor), _datatype(tensor)
    if shape not in ([rows], [rows, 1]):
        raise RequestError(400, f"input {name!r} has shape {shape}; [{rows}] or [{rows}, 1] is expected", "shape")
    values = [row[0] for row in _nested(tensor.get("data"), rows, 1, name)]
    wanted = {"BYTES": (str,), "BOOL": (bool,)}.get(datatype, (int, float))
    if not all(value is None or isinstance(value, wanted) for value in values):
        raise RequestError(400, f"input {name!r} holds a value that is no {datatype}", "type_error")
    return values


def _numbers(data: object, datatype: str, name: str) -> Matrix:
    """A numeric array of the data's own shape; null becomes NaN."""
    if not isinstance(data, list):
        raise RequestError(400, f"input {name!r} has no list `data`", "shape")
    try:
        array = np.array(data)
        if array.dtype.kind == "O":
            array = _with_gaps(array)
    except ValueError as error:
        raise RequestError(400, f"input {name!r} holds uneven lists", "shape") from error
    except (TypeError, OverflowError) as error:
        raise RequestError(400, f"input {name!r} holds a value that is no number", "type_error") from error
    allowed = "b" if datatype == "BOOL" else "iub" if datatype in _WHOLE else "fiub"
    # A gap makes floats of whole numbers and booleans; the model's own type then decides.
    if array.dtype.kind not in allowed and not (array.dtype.kind == "f" and np.isnan(array).any()):
        raise RequestError(400, f"input {name!r} holds a value that is no {datatype}", "type_error")
    return array


def _with_gaps(array: Matrix) -> Matrix:
    if not all(value is None or isinstance(value, (int, float)) for value in array.flat):
        raise TypeError
    return np.array([math.nan if value is None else float(value) for value in array.flat], dtype=np.float64).reshape(
        array.shape
    )


def _nested(data: object, rows: int, width: int, name: str) -> list[list[object]]:
    """The data as m lists of d values, from flat or nested lists."""
    if not isinstance(data, list):
        raise RequestError(400, f"input {name!r} has no list `data`", "shape")
    if len(data) == rows and all(isinstance(row, list) and len(row) == width for row in data):
        return data
    if len(data) != rows * width:
        raise _wrong_size(name)
    return [data[start : start + width] for start in range(0, len(data), width)]


def _wrong_size(name: str) -> RequestError:
    return RequestError(400, f"the data of input {name!r} do not fit its shape", "shape")


def _label(tensor: dict[str, Any]) -> str:
    name = tensor.get("name")
    if isinstance(name, str) and 0 < len(name) <= _ID_CHARS_MAX:
        return name
    raise RequestError(400, "every input needs a name")


def _shape(tensor: dict[str, Any]) -> list[int]:
    shape = tensor.get("shape")
    if isinstance(shape, list) and shape and all(type(size) is int and size >= 0 for size in shape):
        return shape
    raise RequestError(400, f"input {_label(tensor)!r} needs a shape of whole numbers", "shape")


def _datatype(tensor: dict[str, Any]) -> str:
    datatype = tensor.get("datatype")
    if isinstance(datatype, str) and datatype in _DATATYPES:
        return datatype
    raise RequestError(400, f"input {_label(tensor)!r} needs a datatype: {', '.join(sorted(_DATATYPES))}", "type_error")


def _check_rows(rows: int) -> None:
    if rows == 0:
        raise RequestError(400, "a request has at least one row", "shape")
    if rows > ROWS_MAX:
        raise RequestError(413, f"a request has at most {ROWS_MAX} rows; this one has {rows}")

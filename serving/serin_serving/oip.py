"""Open Inference Protocol v2: from a request's JSON to rows and from answers to JSON. Pure.

A request carries one tensor of shape [m, d] under any name, or d tensors of shape [m] or [m, 1] named like
the model's columns. Data are flat in row order or nested; null is a missing value. Among numbers JSON's true
and false count as 1 and 0. The answer has `predict` and, where the model gives them and the request's
`outputs` does not leave them out, `probabilities`.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any, NamedTuple

import msgspec
import numpy as np
import orjson
from numpy.typing import NDArray

from serin_contract.bundle import Signature
from serin_contract.ids import Prediction
from serin_serving import plain_tensor
from serin_serving.errors import RequestError
from serin_serving.layout import Layout, Matrix
from serin_serving.model import Answers
from serin_serving.oip_fields import NAME_CHARS_MAX, WHOLE, check_rows, datatype_of, label_of, shape_of

PREDICT = "predict"
PROBABILITIES = "probabilities"
PLATFORM = "serin_sklearn"

STRUCTURES_MAX = 1_000_000
"""Lists and objects in one body: a nested tensor of all rows and hundreds of columns has fewer."""
_NAME_CHARS_QUOTED = 64
_PREDICT_ONLY = [{"name": PREDICT}]


class InferRequest(msgspec.Struct, frozen=True):
    """One decoded request."""

    id: str | None
    """The caller's own id, echoed."""
    matrix: Matrix
    """Shape [m, d] as the model is fed it."""
    probabilities: bool
    """Whether the caller wants them where there are any."""
    predict: bool = True
    """Whether the caller wants the class or value of each row."""
    named: bool = False
    """Whether the columns came by name, in any order."""
    raw_outputs: frozenset[str] = frozenset()
    """The outputs that the caller wants as binary tensors."""
    is_finite: bool = False
    """Whether every value is known to be there and finite; where it is not, the matrix has to be asked."""


class Output(NamedTuple):
    """One output tensor of an answer."""

    name: str
    datatype: str
    shape: list[int]
    values: list[Prediction] | NDArray[np.float64]
    """As many as the product of the shape."""


def decode_infer(body: bytes, layout: Layout) -> InferRequest:
    """Read an inference request.

    Raises:
        RequestError: it does not follow the protocol or the model's signature (400), or has too many rows
            (413). The sentence names the place and never quotes a value.
    """
    return read_infer(load(body), layout)


def load(body: bytes) -> object:
    """The JSON of a request.

    Raises:
        RequestError: it is none, or holds so many lists and objects that they would take all memory.
    """
    # Each takes twenty times the two or three bytes that it is written in.
    if len(body) > STRUCTURES_MAX and body.count(b"[") + body.count(b"{") > STRUCTURES_MAX:
        raise RequestError(413, f"the body holds more than {STRUCTURES_MAX} lists and objects")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestError(400, f"the body is not JSON: {error.msg} at character {error.pos}") from error


def read_infer(document: object, layout: Layout) -> InferRequest:
    """Read an inference request whose JSON, or what stands for it, was parsed.

    Args:
        document: the request; the `data` of an input may be an array of numbers of shape [n] too.
        layout: of the model.

    Raises:
        RequestError: as `decode_infer` does.
    """
    if not isinstance(document, dict):
        raise RequestError(400, "the body must be a JSON object with `inputs`")
    inputs = document.get("inputs")
    plain = plain_tensor.read(inputs, layout)
    matrix, named = _matrix(inputs, layout) if plain is None else (plain, False)
    wanted = _outputs(document.get("outputs"))
    return InferRequest(
        id=request_id(document.get("id")),
        matrix=matrix,
        probabilities=PROBABILITIES in wanted,
        predict=PREDICT in wanted,
        named=named,
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
    outputs: list[dict[str, Any]] = [
        {"name": output.name, "datatype": output.datatype, "shape": output.shape, "data": output.values}
        for output in outputs_of(request, answers, signature)
    ]
    document = answer_document(name, revision, request.id, outputs, prediction_id)
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)


def outputs_of(request: InferRequest, answers: Answers, signature: Signature) -> list[Output]:
    """The outputs that the request asks for and the model gives."""
    outputs: list[Output] = []
    if request.predict:
        outputs.append(Output(PREDICT, output_datatype(signature), [len(answers.values)], answers.values))
    if request.probabilities and answers.probabilities is not None:
        shape = list(answers.probabilities.shape)
        outputs.append(Output(PROBABILITIES, "FP64", shape, answers.probabilities.ravel()))
    return outputs


def answer_document(
    name: str, revision: str, request_id: str | None, outputs: list[dict[str, Any]], prediction_id: str
) -> dict[str, Any]:
    """The answer around its outputs; an id that there is not is left out."""
    document: dict[str, Any] = {"model_name": name, "model_version": revision}
    if request_id is not None:
        document["id"] = request_id
    document["outputs"] = outputs
    if prediction_id:
        document["parameters"] = {"prediction_id": prediction_id}
    return document


def encode_metadata(name: str, revision: str, signature: Signature) -> bytes:
    """The model's metadata: its columns as inputs and what it answers."""
    inputs, outputs = tensors_of(signature)
    return orjson.dumps(
        {
            "name": name,
            "versions": [revision],
            "platform": PLATFORM,
            "inputs": [tensor._asdict() for tensor in inputs],
            "outputs": [tensor._asdict() for tensor in outputs],
        }
    )


class Tensor(NamedTuple):
    """What the metadata say of one input or output."""

    name: str
    datatype: str
    shape: list[int]
    """-1 stands for m, the number of rows."""


def tensors_of(signature: Signature) -> tuple[list[Tensor], list[Tensor]]:
    """The model's columns as inputs, and its outputs."""
    outputs = [Tensor(PREDICT, output_datatype(signature), [-1])]
    if signature.probabilities:
        outputs.append(Tensor(PROBABILITIES, "FP64", [-1, len(signature.classes)]))
    return [Tensor(column.name, column.datatype, [-1, 1]) for column in signature.columns], outputs


def output_datatype(signature: Signature) -> str:
    """The datatype of `predict`: that of the classes, or FP64 for a regressor."""
    kinds = {type(label) for label in signature.classes}
    if str in kinds:
        return "BYTES"
    if kinds == {bool}:
        return "BOOL"
    return "INT64" if kinds == {int} else "FP64"


def request_id(value: object) -> str | None:
    """The caller's own id.

    Raises:
        RequestError: it is not to be had.
    """
    if value is None or (isinstance(value, str) and len(value) <= NAME_CHARS_MAX):
        return value
    raise RequestError(400, f"`id` must be a text of at most {NAME_CHARS_MAX} characters")


def _outputs(outputs: object) -> Collection[str]:
    if outputs is None or outputs == []:
        return (PREDICT, PROBABILITIES)
    if outputs == _PREDICT_ONLY:
        return (PREDICT,)
    if not isinstance(outputs, list) or not all(isinstance(output, dict) for output in outputs):
        raise RequestError(400, "`outputs` must be a list of objects with a name")
    names = [output.get("name") for output in outputs]
    if any(name not in (PREDICT, PROBABILITIES) for name in names):
        raise RequestError(400, f"`outputs` may name {PREDICT!r} and {PROBABILITIES!r}")
    return names


def _matrix(inputs: object, layout: Layout) -> tuple[Matrix, bool]:
    """The rows, and whether their columns came by name."""
    if not isinstance(inputs, list) or not inputs or not all(isinstance(item, dict) for item in inputs):
        raise RequestError(400, "`inputs` must be a list of at least one tensor", "shape")
    if len(inputs) == 1 and (layout.width == 1 or len(shape_of(inputs[0])) == 2):
        return _tensor(inputs[0], layout), False
    return _named(inputs, layout), True


def _tensor(tensor: dict[str, Any], layout: Layout) -> Matrix:
    name, shape, datatype = label_of(tensor), shape_of(tensor), datatype_of(tensor)
    rows, width = shape[0], math.prod(shape[1:])
    if width != layout.width:
        raise RequestError(400, f"input {name!r} has shape {shape}; this model takes [m, {layout.width}]", "shape")
    check_rows(rows)
    data = tensor.get("data")
    if datatype == "BYTES" or layout.type == "object":
        return layout.from_rows(_nested(data, rows, width, name))
    numbers = data if isinstance(data, np.ndarray) else _numbers(data, datatype, name)
    if numbers.size != rows * width or (numbers.ndim > 1 and numbers.shape != (rows, width)):
        raise _wrong_size(name)
    return layout.from_numbers(numbers.reshape(rows, width))


def _named(inputs: list[dict[str, Any]], layout: Layout) -> Matrix:
    by_name = {label_of(tensor): tensor for tensor in inputs}
    check_names(by_name, layout)
    if len(by_name) != len(inputs):
        raise RequestError(400, "an input comes twice", "extra_column")
    rows = shape_of(inputs[0])[0]
    check_rows(rows)
    return layout.from_columns([_column(by_name[name], rows) for name in layout.names])


def check_names(names: Collection[str], layout: Layout) -> None:
    """Refuse names that are not the model's columns, each of them.

    Raises:
        RequestError: one is unknown or missing.
    """
    for name in names:
        if name not in layout.names:
            raise RequestError(
                400,
                f"this model has no input {name[:_NAME_CHARS_QUOTED]!r}; "
                f"send one tensor [m, {layout.width}] or its columns",
                "extra_column",
            )
    missing = [name for name in layout.names if name not in names]
    if missing:
        raise RequestError(400, f"inputs are missing: {', '.join(missing[:5])}", "missing_column")


def _column(tensor: dict[str, Any], rows: int) -> list[object]:
    name, shape, datatype = label_of(tensor), shape_of(tensor), datatype_of(tensor)
    if shape not in ([rows], [rows, 1]):
        raise RequestError(400, f"input {name!r} has shape {shape}; [{rows}] or [{rows}, 1] is expected", "shape")
    values = [row[0] for row in _nested(tensor.get("data"), rows, 1, name)]
    wanted = {"BYTES": (str,), "BOOL": (bool,)}.get(datatype, (int, float))
    if not all(value is None or isinstance(value, wanted) for value in values):
        raise _wrong_type(name, datatype)
    return values


def _numbers(data: object, datatype: str, name: str) -> Matrix:
    """A numeric array of the data's own shape; null becomes NaN."""
    if not isinstance(data, list):
        raise RequestError(400, f"input {name!r} has no list `data`", "shape")
    try:
        _check_numbers(data, datatype, name)
        array = np.array(data)
        if array.dtype.kind == "O":
            array = _with_gaps(array)
    except ValueError as error:
        raise RequestError(400, f"input {name!r} holds uneven lists", "shape") from error
    except (TypeError, OverflowError) as error:
        raise RequestError(400, f"input {name!r} holds a value that is no number", "type_error") from error
    allowed = "b" if datatype == "BOOL" else "iub" if datatype in WHOLE else "fiub"
    # A gap makes floats of whole numbers and booleans; the model's own type then decides.
    if array.dtype.kind not in allowed and not (array.dtype.kind == "f" and np.isnan(array).any()):
        raise _wrong_type(name, datatype)
    return array


def _check_numbers(data: list[Any], datatype: str, name: str) -> None:
    """Refuse texts among numbers, and lists deeper than two, before NumPy sees them.

    It would make room for the longest text in every place. A sum is the quickest look at every element and stops at
    the first that is no number, which may still be a missing value.
    """
    for row in data if isinstance(data[0] if data else None, list) else (data,):
        try:
            sum(row)
        except TypeError:
            if isinstance(row, str) or any(isinstance(value, str) for value in row):
                raise _wrong_type(name, datatype) from None
            if isinstance(row, list) and any(isinstance(value, list) for value in row):
                raise _wrong_size(name) from None


def _with_gaps(array: Matrix) -> Matrix:
    if not all(value is None or isinstance(value, (int, float)) for value in array.flat):
        raise TypeError
    return np.array([math.nan if value is None else float(value) for value in array.flat], dtype=np.float64).reshape(
        array.shape
    )


def _nested(data: object, rows: int, width: int, name: str) -> list[list[object]]:
    """The data as m lists of d values, from flat or nested lists."""
    if isinstance(data, np.ndarray):
        data = data.tolist()
    if not isinstance(data, list):
        raise RequestError(400, f"input {name!r} has no list `data`", "shape")
    if len(data) == rows and all(isinstance(row, list) and len(row) == width for row in data):
        return data
    if len(data) != rows * width:
        raise _wrong_size(name)
    return [data[start : start + width] for start in range(0, len(data), width)]


def _wrong_type(name: str, datatype: str) -> RequestError:
    return RequestError(400, f"input {name!r} holds a value that is no {datatype}", "type_error")


def _wrong_size(name: str) -> RequestError:
    return RequestError(400, f"the data of input {name!r} do not fit its shape", "shape")

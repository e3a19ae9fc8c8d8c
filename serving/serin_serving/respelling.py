"""A decoded request as the JSON of the Open Inference Protocol, for another server to decode. Pure."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import orjson

from serin_contract.bundle import Column
from serin_serving.layout import Layout, Matrix
from serin_serving.oip import InferRequest


def infer_body(request: InferRequest, layout: Layout) -> bytes | None:
    """The request's JSON; None where a number is infinite, which JSON cannot say.

    Columns that came by name go by name: the other server's may stand in another order.

    Args:
        request: as it was decoded.
        layout: that it was decoded by.
    """
    matrix = _plain(request.matrix)
    if _has_infinity(matrix):
        return None
    rows, width = matrix.shape
    if request.named:
        pairs = zip(layout.columns, matrix.T, strict=True)
        inputs = [_tensor(column.name, [rows], column.datatype, _values(data, column)) for column, data in pairs]
    else:
        data = matrix.ravel().tolist() if matrix.dtype.kind == "O" else matrix.ravel()
        inputs = [_tensor("rows", [rows, width], _datatype(layout.type), data)]
    return orjson.dumps({"inputs": inputs}, option=orjson.OPT_SERIALIZE_NUMPY)


def _has_infinity(matrix: Matrix) -> bool:
    if matrix.dtype.kind == "O":
        return any(isinstance(value, float) and math.isinf(value) for value in matrix.flat)
    return bool(np.isinf(matrix).any())


def _plain(matrix: Matrix) -> Matrix:
    # An FP32 is written as the FP64 that it is exactly, and not as the short one that rounds to it.
    return matrix.astype(np.float64) if matrix.dtype == np.float32 else matrix


def _values(data: Matrix, column: Column) -> Matrix | list[object]:
    """One column as its datatype is written; what is missing is null."""
    if column.datatype in ("FP64", "FP32") and data.dtype.kind == "f":
        return np.ascontiguousarray(data)
    # Among floats whole numbers and booleans have become floats too.
    kind = {"INT64": int, "INT32": int, "BOOL": bool}.get(column.datatype, _as_it_is)
    return [None if value is None or value != value else kind(value) for value in data.tolist()]


def _as_it_is(value: object) -> object:
    return value


def _tensor(name: str, shape: list[int], datatype: str, data: Matrix | list[object]) -> dict[str, Any]:
    return {"name": name, "shape": shape, "datatype": datatype, "data": data}


def _datatype(kind: str) -> str:
    return {"object": "BYTES", "bool": "BOOL", "int64": "INT64", "int32": "INT32"}.get(kind, "FP64")

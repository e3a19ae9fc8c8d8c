"""Tensors as bytes: little-endian numbers one after the other, and texts each behind its length. Pure.

The binary tensor extension of REST and the raw contents of gRPC are written alike.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from serin_contract.ids import Prediction
from serin_serving.errors import RequestError
from serin_serving.layout import Matrix

_TYPES = {
    "FP64": "<f8",
    "FP32": "<f4",
    "FP16": "<f2",
    "INT64": "<i8",
    "INT32": "<i4",
    "INT16": "<i2",
    "INT8": "|i1",
    "UINT64": "<u8",
    "UINT32": "<u4",
    "UINT16": "<u2",
    "UINT8": "|u1",
    "BOOL": "|u1",
}
_length = struct.Struct("<I")


def decode_raw(data: memoryview, datatype: str, shape: Sequence[int], name: str) -> Matrix | list[object]:
    """The elements of one tensor: an array of numbers of shape [n], or a list of n texts.

    Args:
        data: the bytes of this tensor and no others.
        datatype: of the protocol.
        shape: its product is n.
        name: of the input, for the sentence.

    Raises:
        RequestError: the bytes are not n elements of that type.
    """
    count = math.prod(shape)
    if datatype == "BYTES":
        return _texts(data, count, name)
    kind = np.dtype(_TYPES[datatype])
    if len(data) != count * kind.itemsize:
        raise _wrong_length(name)
    numbers: Matrix = np.frombuffer(data, dtype=kind)
    if datatype != "BOOL":
        return numbers
    if count and numbers.max() > 1:
        raise RequestError(400, f"input {name!r} holds a byte that is no BOOL: 0 and 1 are", "type_error")
    return numbers.view(np.bool_)


def encode_raw(values: Sequence[Prediction] | NDArray[np.float64], datatype: str) -> bytes:
    """The values as the bytes of one tensor."""
    if datatype == "BYTES":
        texts = [str(value).encode() for value in values]
        return b"".join(part for text in texts for part in (_length.pack(len(text)), text))
    return np.asarray(values, dtype=_TYPES[datatype]).tobytes()


def _texts(data: memoryview, count: int, name: str) -> list[object]:
    # Each text takes its length at least, so that a large count makes no work.
    if count * _length.size > len(data):
        raise _wrong_length(name)
    texts: list[object] = []
    start = 0
    for _ in range(count):
        if start + _length.size > len(data):
            raise _wrong_length(name)
        stop = start + _length.size + _length.unpack_from(data, start)[0]
        if stop > len(data):
            raise _wrong_length(name)
        texts.append(_text(data[start + _length.size : stop], name))
        start = stop
    if start != len(data):
        raise _wrong_length(name)
    return texts


def _text(data: memoryview, name: str) -> str:
    try:
        return str(data, "utf-8")
    except UnicodeDecodeError:
        raise RequestError(400, f"input {name!r} holds a text that is no UTF-8", "type_error") from None


def _wrong_length(name: str) -> RequestError:
    return RequestError(400, f"the binary data of input {name!r} do not fit its shape and datatype", "shape")

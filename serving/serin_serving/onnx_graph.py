"""Look through an ONNX graph before onnxruntime sees it: only standard operators, and no file but the graph itself.

The walk reads protobuf's wire format, so that a server needs no library for it, and visits every message that can
hold an operator or a tensor, however deep.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from serin_contract.compiled import ONNX_DOMAINS, ONNX_FILE
from serin_contract.startup import StartupReason
from serin_serving.errors import RefusedError

DEPTH_MAX = 100
"""Of messages inside messages: a graph inside a graph takes three."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED_SIZES = {_FIXED64: 8, _FIXED32: 4}
_VARINT_BYTES_MAX = 10
_TAG_MAX = 2**32 - 1
"""Readers differ in what they make of a larger one."""

# The lists of a large forest's nodes, millions of numbers, are passed over in one match.
_numbers = re.compile(
    rb"(?:\x40[\x80-\xff]{0,9}[\x00-\x7f])++|(?:\x3d[\x00-\xff]{4})++|(?:\x4a\x0aBRANCH_LEQ|\x4a\x04LEAF)++"
)

_MODEL, _GRAPH, _NODE, _ATTRIBUTE, _TENSOR, _SPARSE, _OPSET = range(7)

_CHILDREN = {
    _MODEL: {7: _GRAPH, 8: _OPSET},
    _GRAPH: {1: _NODE, 5: _TENSOR, 15: _SPARSE},
    _NODE: {5: _ATTRIBUTE},
    _ATTRIBUTE: {5: _TENSOR, 6: _GRAPH, 10: _TENSOR, 11: _GRAPH, 22: _SPARSE, 23: _SPARSE},
    _SPARSE: {1: _TENSOR, 2: _TENSOR},
    _TENSOR: {},
    _OPSET: {},
}
"""Fields that hold a message to look into, by kind of message, as onnx.proto numbers them."""

_REFUSED = {
    (_MODEL, 20): "it holds training steps",
    (_MODEL, 25): "it defines operators of its own",
    (_TENSOR, 13): "a tensor of it lies in another file",
}
_DOMAINS = {(_NODE, 7), (_OPSET, 1)}
_DATA_LOCATION = (_TENSOR, 14)


def check_graph(data: bytes) -> None:
    """Check the whole graph.

    Raises:
        RefusedError: it names another file or an operator of no standard (ModelTypeRefused), or is damaged
            (BundleInvalid).
    """
    try:
        _check(data, 0, len(data), _MODEL, 0)
    except (IndexError, ValueError) as error:
        raise RefusedError(StartupReason.BundleInvalid, f"{ONNX_FILE} is no ONNX graph: {error}") from error


def _check(data: bytes, start: int, end: int, kind: int, depth: int) -> None:
    if depth > DEPTH_MAX:
        raise ValueError("its graphs are nested too deeply")
    children = _CHILDREN[kind]
    for field, wire, value_start, value_end in _fields(data, start, end, skip_numbers=kind == _ATTRIBUTE):
        if (kind, field) in _REFUSED:
            raise _refused(_REFUSED[kind, field])
        if (kind, field) == _DATA_LOCATION and data[value_start:value_end] != b"\x00":
            raise _refused(_REFUSED[_TENSOR, 13])
        if (kind, field) in _DOMAINS and wire == _BYTES:
            domain = data[value_start:value_end]
            if domain.decode(errors="replace") not in ONNX_DOMAINS:
                raise _refused("it uses operators that are not of the standard")
        child = children.get(field)
        if child is not None:
            if wire != _BYTES:
                raise ValueError("a field has the wrong type")
            _check(data, value_start, value_end, child, depth + 1)


def _fields(data: bytes, position: int, end: int, *, skip_numbers: bool) -> Iterator[tuple[int, int, int, int]]:
    """Number, wire type, and where the value begins and ends, of each field of one message."""
    while position < end:
        if skip_numbers:
            skipped = _numbers.match(data, position, end)
            if skipped is not None:
                position = skipped.end()
                continue
        tag, position = _varint(data, position, end)
        if tag > _TAG_MAX:
            raise ValueError("a field has an impossible number")
        wire = tag & 7
        start = position
        if wire == _VARINT:
            _, position = _varint(data, position, end)
        elif wire == _BYTES:
            size, start = _varint(data, position, end)
            position = start + size
        elif wire in _FIXED_SIZES:
            position += _FIXED_SIZES[wire]
        else:
            raise ValueError("a field has an unknown wire type")
        if position > end:
            raise ValueError("it is cut off")
        yield tag >> 3, wire, start, position


def _varint(data: bytes, position: int, end: int) -> tuple[int, int]:
    value = 0
    for place in range(_VARINT_BYTES_MAX):
        if position >= end:
            raise ValueError("it is cut off")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, position
    raise ValueError("a number is too long")


def _refused(what: str) -> RefusedError:
    return RefusedError(StartupReason.ModelTypeRefused, f"{ONNX_FILE} is not served: {what}")

"""What each input of the Open Inference Protocol says of itself: name, shape and datatype."""

from __future__ import annotations

from typing import Any

from serin_contract.ids import ROWS_MAX
from serin_serving.errors import RequestError

FLOATS = frozenset({"FP64", "FP32", "FP16"})
WHOLE = frozenset({"INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"})
DATATYPES = FLOATS | WHOLE | {"BOOL", "BYTES"}
NAME_CHARS_MAX = 1024
"""Of a name, and of the id of a request."""


def label_of(tensor: dict[str, Any]) -> str:
    """The name of an input.

    Raises:
        RequestError: it is not to be had.
    """
    name = tensor.get("name")
    if isinstance(name, str) and 0 < len(name) <= NAME_CHARS_MAX:
        return name
    raise RequestError(400, "every input needs a name")


def shape_of(tensor: dict[str, Any]) -> list[int]:
    """The shape of an input: [m] or [m, d].

    Raises:
        RequestError: it is not to be had.
    """
    shape = tensor.get("shape")
    # The length first: the product of a long shape would take minutes.
    if isinstance(shape, list) and 0 < len(shape) <= 2 and all(type(size) is int and size >= 0 for size in shape):
        return shape
    raise RequestError(400, f"input {label_of(tensor)!r} needs a shape of one or two whole numbers", "shape")


def datatype_of(tensor: dict[str, Any]) -> str:
    """The datatype of an input.

    Raises:
        RequestError: it is not to be had.
    """
    datatype = tensor.get("datatype")
    if isinstance(datatype, str) and datatype in DATATYPES:
        return datatype
    raise RequestError(
        400, f"input {label_of(tensor)!r} needs a datatype: {', '.join(sorted(DATATYPES))}", "type_error"
    )


def check_rows(rows: int) -> None:
    """Refuse no rows, and more than an id may name.

    Raises:
        RequestError: it is not to be had.
    """
    if rows == 0:
        raise RequestError(400, "a request has at least one row", "shape")
    if rows > ROWS_MAX:
        raise RequestError(413, f"a request has at most {ROWS_MAX} rows; this one has {rows}")

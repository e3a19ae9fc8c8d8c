"""The request that nearly all callers send, read in a few steps: one tensor of floats of shape [m, d].

What is read here is read exactly as `oip` reads it; whatever differs in the least is left to it, and so is every
refusal.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from serin_contract.ids import ROWS_MAX
from serin_serving.layout import Layout, Matrix
from serin_serving.oip_fields import FLOATS, NAME_CHARS_MAX


def read(inputs: object, layout: Layout) -> Matrix | None:
    """The model's array, in which every value is finite; None where this is no such request.

    Args:
        inputs: as the request's JSON has them. JSON knows no infinite numbers.
        layout: of the model.
    """
    if layout.type != "float64" or type(inputs) is not list or len(inputs) != 1 or type(inputs[0]) is not dict:
        return None
    tensor: dict[str, Any] = inputs[0]
    name, datatype, data = tensor.get("name"), tensor.get("datatype"), tensor.get("data")
    if type(name) is not str or not 0 < len(name) <= NAME_CHARS_MAX or type(data) is not list:
        return None
    shape: Any = tensor.get("shape")
    if type(datatype) is not str or datatype not in FLOATS or not _fits(shape, layout.width):
        return None
    try:
        # NumPy would make room for the longest text in every place; a sum stops at the first that is no number.
        for row in data if type(data[0] if data else None) is list else (data,):
            sum(row)
        array: Matrix = np.array(data)
    except (ValueError, TypeError, OverflowError):
        return None
    # Numbers all whole, texts and gaps come as other types.
    if array.dtype != np.float64:
        return None
    rows, width = shape
    if array.ndim == 1 and array.size == rows * width:
        return array.reshape(rows, width)
    return array if array.shape == (rows, width) else None


def _fits(shape: object, width: int) -> bool:
    if type(shape) is not list or len(shape) != 2:
        return False
    rows, columns = shape
    return type(rows) is int and type(columns) is int and columns == width and 0 < rows <= ROWS_MAX

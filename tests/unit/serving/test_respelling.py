from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pytest

from serin_contract.bundle import Column
from serin_serving.layout import Layout
from serin_serving.oip import decode_infer
from serin_serving.predict import decode_predict
from serin_serving.respelling import infer_body

LAYOUTS = {
    "FP64": Layout([Column("a", "FP64"), Column("b", "FP64")]),
    "FP32": Layout([Column("a", "FP32"), Column("b", "FP32")]),
    "INT64": Layout([Column("a", "INT64"), Column("b", "INT64")]),
    "BOOL": Layout([Column("a", "BOOL"), Column("b", "BOOL")]),
    "numbers of several types": Layout([Column("a", "FP64"), Column("b", "INT32"), Column("c", "BOOL")]),
    "texts and numbers": Layout([Column("a", "BYTES"), Column("b", "INT64"), Column("c", "FP32")]),
}
ROWS: dict[str, list[list[Any]]] = {
    "FP64": [[0.1, None], [1e300, -0.0]],
    "FP32": [[0.1, None], [3.4e38, -1.0]],
    "INT64": [[2**62 + 1, -1], [0, 7]],
    "BOOL": [[True, False], [False, True]],
    "numbers of several types": [[0.1, 7, True], [None, None, None]],
    "texts and numbers": [["weiß", 2**40, 0.1], [None, None, None]],
}


@pytest.mark.parametrize("named", [False, True], ids=["in order", "by name"])
@pytest.mark.parametrize("name", LAYOUTS)
def test_another_server_reads_the_same_rows_of(name: str, named: bool) -> None:
    layout = LAYOUTS[name]
    rows = [dict(zip(layout.names, row, strict=True)) for row in ROWS[name]] if named else ROWS[name]
    request = decode_predict(orjson.dumps({"rows": rows}), layout)
    body = infer_body(request, layout)
    assert body is not None
    again = decode_infer(body, layout)
    assert again.matrix.dtype == request.matrix.dtype
    assert repr(again.matrix.tolist()) == repr(request.matrix.tolist())
    assert again.named == named


def test_columns_that_came_by_name_find_their_place_in_another_order() -> None:
    layout, turned = LAYOUTS["FP64"], Layout(LAYOUTS["FP64"].columns[::-1])
    body = infer_body(decode_predict(b'{"rows":[{"a":1,"b":2}]}', layout), layout)
    assert body is not None
    assert decode_infer(body, turned).matrix.tolist() == [[2.0, 1.0]]


def test_an_fp32_reaches_a_server_of_fp64_as_it_is() -> None:
    body = infer_body(decode_predict(b'{"rows":[[0.1,0.2]]}', LAYOUTS["FP32"]), LAYOUTS["FP32"])
    assert body is not None
    assert decode_infer(body, LAYOUTS["FP64"]).matrix.tolist() == np.float32([[0.1, 0.2]]).tolist()


@pytest.mark.parametrize("name", ["FP32", "texts and numbers"])
def test_an_infinite_number_cannot_be_said(name: str) -> None:
    layout = LAYOUTS[name]
    request = decode_predict(orjson.dumps({"rows": ROWS[name]}), layout)
    request.matrix[0, -1] = np.inf
    assert infer_body(request, layout) is None

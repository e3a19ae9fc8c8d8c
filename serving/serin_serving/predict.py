"""`/v1/predict`: rows and columns as people write them, without tensors. Pure.

A request holds one table: `rows`, a list of lists in the signature's order or of objects by column name; `columns`,
an object with a list for each column; or `columns`, a list of names, with `data`, a list of lists, as pandas writes
with `orient="split"` (its `index` is not looked at). null is a missing value. It may hold `id`, a text that comes
back, and `probabilities`, false where the caller wants none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from serin_contract.bundle import Signature
from serin_serving.errors import RequestError
from serin_serving.layout import Layout, Matrix
from serin_serving.model import Answers
from serin_serving.oip import InferRequest, check_names, load, request_id
from serin_serving.oip_fields import check_rows

_KEYS = frozenset({"rows", "columns", "data", "index", "id", "probabilities"})
_FORMS = "send `rows`, `columns` as an object, or `columns` and `data`"


def decode_predict(body: bytes, layout: Layout) -> InferRequest:
    """Read a request for people.

    Raises:
        RequestError: it holds no table, or one that the model does not take (400), or too many rows (413). The
            sentence names the place and never quotes a value.
    """
    document = load(body)
    if not isinstance(document, dict) or not document.keys() <= _KEYS:
        raise RequestError(400, f"the body must be a JSON object with nothing but {', '.join(sorted(_KEYS))}")
    wants = document.get("probabilities", True)
    if not isinstance(wants, bool):
        raise RequestError(400, "`probabilities` must be true or false")
    matrix, named = _table(document, layout)
    return InferRequest(request_id(document.get("id")), matrix, probabilities=wants, named=named)


def encode_predict(
    request: InferRequest, revision: str, answers: Answers, signature: Signature, prediction_id: str
) -> bytes:
    """The answer: a prediction for each row, and the probabilities of the classes in the order of `classes`."""
    document: dict[str, Any] = {} if request.id is None else {"id": request.id}
    document["predictions"] = answers.values
    if request.probabilities and answers.probabilities is not None:
        document["probabilities"] = answers.probabilities
        document["classes"] = signature.classes
    document["revision"] = revision
    if prediction_id:
        document["prediction_id"] = prediction_id
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)


def _table(document: dict[str, Any], layout: Layout) -> tuple[Matrix, bool]:
    """The rows, and whether their columns came by name."""
    if "rows" in document:
        if "columns" in document or "data" in document:
            raise RequestError(400, f"there are two tables; {_FORMS}", "shape")
        return _rows(document["rows"], layout)
    columns = document.get("columns")
    if isinstance(columns, dict) and "data" not in document:
        return _columns(columns, layout), True
    if isinstance(columns, list) and "data" in document:
        return _split(columns, document["data"], layout), True
    raise RequestError(400, f"there is no table; {_FORMS}", "shape")


def _rows(rows: object, layout: Layout) -> tuple[Matrix, bool]:
    if not isinstance(rows, list) or not all(isinstance(row, (list, dict)) for row in rows):
        raise RequestError(400, "`rows` must be a list of lists or of objects", "shape")
    check_rows(len(rows))
    if all(isinstance(row, dict) for row in rows):
        for row in rows:
            check_names(row, layout)
        return layout.from_columns([[row[name] for row in rows] for name in layout.names]), True
    return layout.from_rows(_even(rows, layout.width, "a row")), False


def _columns(columns: dict[str, Any], layout: Layout) -> Matrix:
    check_names(columns, layout)
    lists = [columns[name] for name in layout.names]
    if not all(isinstance(values, list) and len(values) == len(lists[0]) for values in lists):
        raise RequestError(400, "each of `columns` must be a list, all of one length", "shape")
    check_rows(len(lists[0]))
    return layout.from_columns(lists)


def _split(names: list[Any], data: object, layout: Layout) -> Matrix:
    if not all(isinstance(name, str) for name in names):
        raise RequestError(400, "`columns` beside `data` must be a list of names", "shape")
    places = {name: index for index, name in enumerate(names)}
    check_names(places, layout)
    if len(places) != len(names):
        raise RequestError(400, "a column comes twice", "extra_column")
    if not isinstance(data, list):
        raise RequestError(400, "`data` must be a list of lists", "shape")
    check_rows(len(data))
    rows = _even(data, layout.width, "a row of `data`")
    return layout.from_columns([[row[places[name]] for row in rows] for name in layout.names])


def _even(rows: list[Any], width: int, what: str) -> Sequence[Sequence[object]]:
    if not all(isinstance(row, list) and len(row) == width for row in rows):
        raise RequestError(400, f"{what} must be a list of {width} values, one for each column", "shape")
    return rows

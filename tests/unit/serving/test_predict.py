from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_wine
from tests.unit.serving.running import Case, Running, run

from serin_contract import ids
from serin_contract.keys import KeyRing

ROW = [13.2, 1.78, 2.14, 11.2, 100, 2.65, 2.76, 0.26, 1.28, 4.38, 1.05, 3.4, 1050]
NAMES = list(load_wine().feature_names)
NAMED = dict(zip(NAMES, ROW, strict=True))
SECOND = [12.3, *ROW[1:]]
BACKWARDS = NAMES[::-1]

FORMS = {
    "rows in the signature's order": {"rows": [ROW, SECOND]},
    "rows by name": {"rows": [NAMED, {**NAMED, "alcohol": 12.3}]},
    "columns": {"columns": {name: [value, 12.3 if name == "alcohol" else value] for name, value in NAMED.items()}},
    "the split of pandas": {"columns": NAMES, "index": [0, 1], "data": [ROW, SECOND]},
    "the split of pandas in another order": {"columns": BACKWARDS, "data": [ROW[::-1], SECOND[::-1]]},
}


@pytest.mark.parametrize("name", FORMS)
def test_it_answers(server: Running, name: str, ring: KeyRing) -> None:
    reply = server.call("POST", "/v1/predict", {"id": "mine", **FORMS[name]})
    rows = np.array([ROW, SECOND])
    model = server.case.model
    assert reply.status == 200
    assert reply.json["predictions"] == model.predict(rows).tolist()
    assert reply.json["probabilities"] == model.predict_proba(rows).tolist()
    assert reply.json["classes"] == [0, 1, 2]
    assert (reply.json["id"], reply.json["revision"]) == ("mine", "wine-1")
    assert reply.json["prediction_id"] == reply.headers["x-serin-prediction-id"]
    assert ids.verify(ring, reply.json["prediction_id"]).predictions == reply.json["predictions"]


def test_probabilities_are_left_out_where_none_are_wanted(server: Running) -> None:
    reply = server.call("POST", "/v1/predict", {"rows": [ROW], "probabilities": False})
    assert reply.json.keys() == {"predictions", "revision", "prediction_id"}


def test_a_regressor_answers_numbers_alone(regressor_server: Running) -> None:
    rows = regressor_server.case.rows[:2]
    reply = regressor_server.call("POST", "/v1/predict", {"rows": rows.tolist()})
    assert reply.json["predictions"] == pytest.approx(regressor_server.case.model.predict(rows).tolist(), rel=1e-12)
    assert "probabilities" not in reply.json


@pytest.fixture(scope="module")
def mixed_server(cases: dict[str, Case], keys_file: Path) -> Iterator[Running]:
    with run(cases["mixed"], keys_file) as running:
        yield running


def test_texts_and_missing_values_are_taken(mixed_server: Running) -> None:
    rows = [{"shade": None, "alcohol": 13.0, "magnesium": None}, {"shade": "dark", "alcohol": 12, "magnesium": 1.5}]
    reply = mixed_server.call("POST", "/v1/predict", {"rows": rows})
    expected = np.array([[13.0, None, np.nan], [12.0, "dark", 1.5]], dtype=object)
    assert reply.json["predictions"] == mixed_server.case.model.predict(expected).tolist()


def test_it_counts_exactly_as_infer_does(server: Running) -> None:
    by_infer, by_predict = server.cohort(), server.cohort()
    server.infer([ROW, SECOND], cohort=by_infer)
    server.call("POST", "/v1/predict", FORMS["rows by name"], x_serin_cohort=by_predict)
    counted = server.stats()["cohorts"]
    same = [
        {name: value for name, value in counted[cohort].items() if name not in ("latency", "slots")}
        for cohort in (by_infer, by_predict)
    ]
    assert same[0] == same[1]
    assert (same[0]["requests"], same[0]["rows"]) == (1, 2)


def test_a_caller_that_is_told_apart_counts_once(server: Running) -> None:
    cohort = server.cohort()
    known = {"x_serin_cohort": cohort, "x_serin_stickiness": "serin;wine-1;0;50"}
    first = server.call("POST", "/v1/predict", {"rows": [ROW]}, **known)
    server.call("POST", "/v1/predict", {"rows": [ROW]}, cookie=first.headers["set-cookie"].partition(";")[0], **known)
    counted = server.stats()["cohorts"][cohort]
    assert (counted["requests"], counted["callers"], counted["repeated"]) == (1, 1, 1)


REFUSED: dict[str, tuple[Any, str, str]] = {
    "no JSON": (b"rows", "is not JSON", "other"),
    "a list": ([], "must be a JSON object", "other"),
    "no table": ({}, "there is no table", "shape"),
    "a key that means nothing": ({"rows": [ROW], "row": 1}, "nothing but columns, data, id", "other"),
    "two tables": ({"rows": [ROW], "columns": NAMES}, "there are two tables", "shape"),
    "columns without data": ({"columns": NAMES}, "there is no table", "shape"),
    "data beside columns by name": ({"columns": {}, "data": [ROW]}, "there is no table", "shape"),
    "rows that are numbers": ({"rows": ROW}, "list of lists or of objects", "shape"),
    "no rows": ({"rows": []}, "at least one row", "shape"),
    "a row too short": ({"rows": [ROW[1:]]}, "a row must be a list of 13 values", "shape"),
    "lists and objects": ({"rows": [ROW, NAMED]}, "a row must be a list of 13 values", "shape"),
    "a row without a column": ({"rows": [{}]}, "inputs are missing: alcohol", "missing_column"),
    "a row with another column": ({"rows": [{**NAMED, "height": 1}]}, "no input 'height'", "extra_column"),
    "columns of two lengths": ({"columns": {**{n: [1] for n in NAMES}, "alcohol": []}}, "all of one length", "shape"),
    "columns that are no lists": ({"columns": dict.fromkeys(NAMES, 1)}, "each of `columns`", "shape"),
    "columns without rows": ({"columns": {name: [] for name in NAMES}}, "at least one row", "shape"),
    "a column twice": ({"columns": [*NAMES, "alcohol"], "data": [[*ROW, 1]]}, "a column comes twice", "extra_column"),
    "names that are numbers": ({"columns": [1], "data": [[1]]}, "must be a list of names", "shape"),
    "data that are no list": ({"columns": NAMES, "data": 1}, "`data` must be a list", "shape"),
    "a row of data too long": ({"columns": NAMES, "data": [[*ROW, 1]]}, "a row of `data`", "shape"),
    "a text for a number": ({"rows": [{**NAMED, "alcohol": "dry"}]}, "column 'alcohol' takes numbers", "type_error"),
    "a missing value": ({"rows": [[None, *ROW[1:]]]}, "misses a value", "other"),
    "an id that is a number": ({"rows": [ROW], "id": 7}, "`id` must be a text", "other"),
    "probabilities that are no truth value": ({"rows": [ROW], "probabilities": 1}, "must be true or false", "other"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_refuses_and_counts(server: Running, name: str) -> None:
    body, part, reason = REFUSED[name]
    cohort = server.cohort()
    reply = server.call("POST", "/v1/predict", body, x_serin_cohort=cohort)
    assert (reply.status, part in reply.error) == (400, True), reply.error
    counted = server.stats()["cohorts"][cohort]
    assert (counted["requests"], counted["refused"], counted["rows"]) == (1, 1, 0)
    assert counted["malformed"] == {reason: 1}


def test_too_many_rows_are_refused(server: Running) -> None:
    assert server.call("POST", "/v1/predict", {"rows": [ROW] * 4097}).status == 413

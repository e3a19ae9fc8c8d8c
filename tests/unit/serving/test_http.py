from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_wine
from tests.unit.serving.running import Running

from serin_contract import ids, metrics, stats
from serin_contract.keys import KeyRing, derive_ring
from serin_contract.profile import decode as decode_profile
from serin_contract.profile import profile_hash

ROW = [13.2, 1.78, 2.14, 11.2, 100, 2.65, 2.76, 0.26, 1.28, 4.38, 1.05, 3.4, 1050]

FOREIGN = ids.sign(derive_ring({"m2": b"3" * 32}, "m2", "uid-of-beer"), "beer-1", "beer-1.1.x", 1, [0])
GONE = ids.sign(derive_ring({"m0": b"0" * 32}, "m0", "uid-of-wine"), "wine-1", "wine-1.1.x", 1, [0])


def tensor(**changes: Any) -> dict[str, Any]:
    return {"inputs": [{"name": "x", "shape": [1, 13], "datatype": "FP64", "data": ROW, **changes}]}


def named(**changes: Any) -> list[dict[str, Any]]:
    """The row as one input for each column, with other data where told."""
    return [
        {"name": name, "shape": [1], "datatype": "FP64", "data": changes.get(name, [value])}
        for name, value in zip(load_wine().feature_names, ROW, strict=True)
    ]


def test_a_compiled_model_answers_alike_in_all_but_the_last_bits(server: Running) -> None:
    rows = server.case.rows[:40]
    predict, probabilities = server.infer(rows).json["outputs"]
    assert predict["data"] == server.case.model.predict(rows).tolist()
    assert probabilities["data"] == pytest.approx(server.case.model.predict_proba(rows).ravel(), abs=1e-12)
    assert (server.stats()["runtime"], server.stats()["runtime_reason"]) == ("onnx", "")
    metrics = server.call("GET", "/metrics", stats=True).body.decode()
    assert 'serin_server_runtime_info{deployment="wine",revision="wine-1",runtime="onnx"} 1.0' in metrics


def test_answers_equal_the_model_bit_for_bit(skops_server: Running) -> None:
    server = skops_server
    rows = server.case.rows[:40]
    reply = server.infer(rows, id="mine")
    assert server.stats()["runtime_reason"] == "spec.serving.compile is never"
    predict, probabilities = reply.json["outputs"]
    assert reply.status == 200
    assert reply.json["id"] == "mine"
    assert reply.json["model_name"] == "wine"
    assert reply.json["model_version"] == "wine-1"
    assert predict["data"] == server.case.model.predict(rows).tolist()
    assert predict["datatype"] == "INT64"
    assert predict["shape"] == [40]
    assert probabilities["shape"] == [40, 3]
    assert probabilities["data"] == server.case.model.predict_proba(rows).ravel().tolist()


def test_probabilities_are_left_out_when_only_predict_is_asked_for(server: Running) -> None:
    reply = server.infer([ROW], outputs=[{"name": "predict"}])
    assert [output["name"] for output in reply.json["outputs"]] == ["predict"]


def test_a_short_prediction_id_stands_in_the_header_too(server: Running, ring: KeyRing) -> None:
    reply = server.infer([ROW], cohort="wine-2.1.a")
    assert reply.headers["x-serin-prediction-id"] == reply.prediction_id
    claimed = ids.verify(ring, reply.prediction_id)
    assert (claimed.revision, claimed.cohort, claimed.predictions) == ("wine-1", "wine-2.1.a", [0])


def test_a_long_prediction_id_stands_in_the_body_only(server: Running, ring: KeyRing) -> None:
    reply = server.infer([ROW] * 1500)
    assert "x-serin-prediction-id" not in reply.headers
    assert ids.verify(ring, reply.prediction_id).rows == 1500


GETS = {
    "liveness": ("/v2/health/live", {"live": True}),
    "readiness": ("/v2/health/ready", {"ready": True}),
    "the model's readiness": ("/v2/models/wine/ready", {"name": "wine", "ready": True}),
}


@pytest.mark.parametrize("name", GETS)
def test_it_answers(server: Running, name: str) -> None:
    path, expected = GETS[name]
    reply = server.call("GET", path)
    assert (reply.status, reply.json) == (200, expected)
    assert reply.headers["x-serin-revision"] == "wine-1"


def test_the_metadata_name_the_columns(server: Running) -> None:
    document = server.call("GET", "/v2/models/wine").json
    assert [column["name"] for column in document["inputs"]][:2] == ["alcohol", "malic_acid"]
    assert [output["name"] for output in document["outputs"]] == ["predict", "probabilities"]
    assert server.call("GET", "/v2").json["name"] == "serin"


def test_the_stats_port_answers_probes_and_the_profile(server: Running) -> None:
    for path in ("/v2/health/live", "/v2/health/ready"):
        assert server.call("GET", path, stats=True).status == 200
    profile = decode_profile(server.call("GET", "/serin/v1/profile", stats=True).body)
    cohort = server.cohort()
    server.infer([ROW], cohort=cohort)
    assert server.stats()["cohorts"][cohort]["own_bins"]["profile_hash"] == profile_hash(profile)


def test_neither_port_answers_for_the_other(server: Running) -> None:
    assert server.call("GET", "/serin/v1/stats").status == 404
    assert server.call("GET", "/metrics").status == 404
    assert server.call("POST", server.path("infer"), tensor(), stats=True).status == 404


REFUSED = {
    "a body that is no JSON": (b"{", 400, "not JSON", "other"),
    "a body that is a list": ([], 400, "must be a JSON object", "other"),
    "no inputs": ({}, 400, "`inputs` must be a list", "shape"),
    "too few columns": (tensor(shape=[1, 12], data=ROW[1:]), 400, "this model takes [m, 13]", "shape"),
    "data that do not fit the shape": (tensor(shape=[2, 13]), 400, "do not fit its shape", "shape"),
    "no rows": (tensor(shape=[0, 13], data=[]), 400, "at least one row", "shape"),
    "text in a numeric tensor": (tensor(data=["a"] * 13), 400, "no FP64", "type_error"),
    "uneven lists": (tensor(shape=[2, 13], data=[ROW, ROW[1:]]), 400, "uneven lists", "shape"),
    "whole numbers with fractions": (tensor(datatype="INT64"), 400, "no INT64", "type_error"),
    "an unknown datatype": (tensor(datatype="COMPLEX"), 400, "needs a datatype", "type_error"),
    "a tensor without a shape": (tensor(shape=None), 400, "needs a shape", "shape"),
    "a missing value that the model does not take": (tensor(data=[None, *ROW[1:]]), 400, "'alcohol' misses", "other"),
    "an infinite value": (b'{"inputs":[' + json.dumps(tensor()["inputs"][0]).replace("13.2", "1e999").encode() + b"]}",
                          400, "infinit", "other"),
    "an input that the model does not have": (
        {"inputs": [{"name": name, "shape": [1], "datatype": "FP64", "data": [1.0]} for name in ("alcohol", "height")]},
        400,
        "no input 'height'",
        "extra_column",
    ),
    "a named input with a text": ({"inputs": named(alcohol=["dry"])}, 400, "no FP64", "type_error"),
    "an input too few": ({"inputs": named()[1:]}, 400, "are missing: alcohol", "missing_column"),
    "an input twice": ({"inputs": [*named(), *named()[:1]]}, 400, "comes twice", "extra_column"),
    "an input of two columns": (
        {"inputs": [{**named()[0], "shape": [1, 2]}, *named()[1:]]},
        400,
        "is expected",
        "shape",
    ),
    "lists for numbers": (tensor(data=[[[value]] for value in ROW]), 400, "do not fit", "shape"),
    "objects for numbers": (tensor(data=[{}] * 13), 400, "no number", "type_error"),
    "a text that is longer than all memory, times its neighbours": (
        tensor(shape=[1000, 13], data=["a" * 1_000_000] + ["b"] * 12_999), 400, "no FP64", "type_error"),
    "such a text after a number": (
        tensor(shape=[1000, 13], data=[1.0, "a" * 1_000_000] + ["b"] * 12_998), 400, "no FP64", "type_error"),
    "such a text in nested lists": (
        tensor(shape=[1000, 13], data=[["a" * 1_000_000]] + [["b"]] * 999), 400, "no FP64", "type_error"),
    "such a text in lists three deep": (
        tensor(shape=[1000, 13], data=[[["a" * 1_000_000]]] + [[["b"]]] * 999), 400, "do not fit", "shape"),
    "a shape whose product takes minutes": (tensor(shape=[1, 13] + [2**62] * 100_000), 400, "one or two", "shape"),
    "a negative shape": (tensor(shape=[-1, 13]), 400, "one or two whole numbers", "shape"),
    "a shape of fractions": (tensor(shape=[1.0, 13]), 400, "one or two whole numbers", "shape"),
    "lists deeper than any reader goes": (b"[" * 100_000, 400, "is not JSON", "other"),
    "objects without number": (b'{"inputs":[' + b"{}," * 1_000_001 + b"{}]}", 413, "more than 1000000", "other"),
    "bytes that are no UTF-8": (b'{"inputs":"\xff"}', 400, "is not JSON", "other"),
    "NaN, which is no JSON": (b'{"inputs":[NaN]}', 400, "is not JSON", "other"),
    "inputs that are an object": ({"inputs": {}}, 400, "`inputs` must be a list", "shape"),
    "a tensor without a name": (tensor(name=""), 400, "needs a name", "other"),
    "outputs that are texts": ({**tensor(), "outputs": ["predict"]}, 400, "list of objects", "other"),
    "more rows than an id may name": (tensor(shape=[5000, 13], data=[]), 413, "at most 4096 rows", "other"),
    "an unknown output": ({**tensor(), "outputs": [{"name": "shap"}]}, 400, "`outputs` may name", "other"),
    "an id that is no text": ({**tensor(), "id": 7}, 400, "`id` must be a text", "other"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_it_refuses_and_counts(server: Running, name: str) -> None:
    body, status, part, reason = REFUSED[name]
    cohort = server.cohort()
    reply = server.call("POST", server.path("infer"), body, x_serin_cohort=cohort)
    assert reply.status == status
    assert part in reply.error
    assert reply.headers["x-serin-revision"] == "wine-1"
    counted = server.stats()["cohorts"][cohort]
    assert (counted["requests"], counted["refused"], counted["failed"]) == (1, 1, 0)
    assert (counted["predictions"], counted["rows"], sum(counted["latency"])) == (0, 0, 1)
    assert counted["malformed"] == {reason: 1}


def test_an_unknown_model_is_not_found_and_counts_as_refused(server: Running) -> None:
    cohort = server.cohort()
    reply = server.call("POST", "/v2/models/beer/infer", tensor(), x_serin_cohort=cohort)
    assert (reply.status, reply.error) == (404, "this server has one model, 'wine', under /v2/models/wine")
    assert server.stats()["cohorts"][cohort]["refused"] == 1


def test_a_wrong_method_is_named(server: Running) -> None:
    reply = server.call("GET", server.path("infer"))
    assert (reply.status, reply.headers["allow"]) == (405, "POST")


LABELS: dict[str, tuple[Any, int, str]] = {
    "an id of another deployment": ({"id": FOREIGN, "label": 0}, 403, "NotOurs"),
    "an id under a key that is gone": ({"id": GONE, "label": 0}, 422, "KeyRetired"),
    "an id that is a number": ({"id": 7, "label": 0}, 422, "Malformed"),
    "an id that is longer than any": ({"id": "A" * 200_000, "label": 0}, 403, "NotOurs"),
    "a label that is a list": ({"id": FOREIGN, "label": [0]}, 422, "Malformed"),
    "a negative row": ({"id": FOREIGN, "label": 0, "row": -1}, 422, "Malformed"),
    "a row of a million": ({"id": FOREIGN, "label": 0, "row": 10**6}, 422, "Malformed"),
    "a number for an item": ([7], 422, "Malformed"),
}


@pytest.mark.parametrize("name", LABELS)
def test_a_label_is_refused_and_counts_nowhere_with(server: Running, name: str) -> None:
    body, status, reason = LABELS[name]
    before = server.stats()
    reply = server.call("POST", "/v1/feedback", body)
    after = server.stats()
    assert (reply.status, [item["reason"] for item in reply.json["refused"]]) == (status, [reason])
    assert reply.error
    assert after["labels_refused"][reason] == before["labels_refused"].get(reason, 0) + 1
    assert after["cohorts"] == before["cohorts"]


def test_a_request_that_names_the_version_is_answered_and_counts_in_no_cohort(server: Running) -> None:
    cohort = server.cohort()
    path = f"{server.path()}/versions/wine-1"
    reply = server.call("POST", f"{path}/infer", tensor(), x_serin_cohort=cohort)
    assert (reply.status, reply.json["model_version"]) == (200, "wine-1")
    assert server.call("GET", path).json == server.call("GET", server.path()).json
    assert server.call("GET", f"{path}/ready").json == {"name": "wine", "ready": True}
    other = server.call("POST", f"{server.path()}/versions/wine-2/infer", tensor(), x_serin_cohort=cohort)
    assert (other.status, other.error) == (404, "this pod serves one version of its model, 'wine-1'")
    assert cohort not in server.stats()["cohorts"]


@pytest.mark.parametrize("path", ["/v2/repository/index", "/v2/repository/models/wine/load"])
def test_there_are_no_routes_of_a_model_repository(server: Running, path: str) -> None:
    assert server.call("POST", path, {}).status == 404


def test_a_body_above_the_limit_is_refused_before_it_is_read(server: Running) -> None:
    reply = server.call("POST", server.path("infer"), b" " * (17 * 1024 * 1024))
    assert reply.status == 413


def test_named_columns_may_come_in_any_order(server: Running) -> None:
    names = [column["name"] for column in server.call("GET", "/v2/models/wine").json["inputs"]]
    inputs = [
        {"name": name, "shape": [1, 1], "datatype": "FP64", "data": [value]}
        for name, value in zip(names, ROW, strict=True)
    ]
    reply = server.call("POST", server.path("infer"), {"inputs": inputs[::-1]})
    assert reply.json["outputs"] == server.infer([ROW]).json["outputs"]


def test_each_request_counts_once_and_each_row_by_its_share(server: Running) -> None:
    cohort = server.cohort()
    server.infer(server.case.rows[:3], cohort=cohort)
    server.infer(server.case.rows[3:4], cohort=cohort)
    document = stats.decode(server.call("GET", "/serin/v1/stats", stats=True).body)
    counted = document.cohorts[cohort]
    assert (counted.requests, counted.predictions, counted.rows) == (2, 2.0, 4)
    assert counted.own_bins is not None
    assert sum(counted.own_bins.features) == pytest.approx(2 * 13)
    assert sum(counted.own_bins.prediction) == pytest.approx(2)
    assert counted.stable_bins == counted.own_bins
    assert (document.revision, document.pod_uid) == ("wine-1", "pod-1")


COHORTS_THAT_DO_NOT_COUNT = {
    "no cohort": {},
    "an empty one": {"x_serin_cohort": ""},
    "one with a space": {"x_serin_cohort": "a b"},
    "one that is too long": {"x_serin_cohort": "a" * 129},
    "one with a quote": {"x_serin_cohort": 'a"'},
}


@pytest.mark.parametrize("name", COHORTS_THAT_DO_NOT_COUNT)
def test_it_counts_nowhere_with(server: Running, name: str, ring: KeyRing) -> None:
    before = server.stats()["cohorts"].keys()
    reply = server.call("POST", server.path("infer"), tensor(), **COHORTS_THAT_DO_NOT_COUNT[name])
    assert reply.status == 200
    assert server.stats()["cohorts"].keys() == before
    assert ids.verify(ring, reply.prediction_id).cohort == ""


def test_a_label_is_counted_once_for_the_revision_that_predicted(server: Running) -> None:
    cohort = server.cohort()
    reply = server.infer(server.case.rows[:2], cohort=cohort)
    right, wrong = server.case.model.predict(server.case.rows[:2]).tolist()[0], 2
    labels = [
        {"id": reply.prediction_id, "label": right},
        {"id": reply.prediction_id, "label": wrong, "row": 1},
    ]
    first = server.call("POST", "/v1/feedback", labels)
    again = server.call("POST", "/v1/feedback", labels[0])
    assert (first.status, first.json) == (200, {"accepted": 2, "duplicates": 0, "refused": []})
    assert (again.status, again.json) == (200, {"accepted": 0, "duplicates": 1, "refused": []})
    assert server.stats()["cohorts"][cohort]["labels"] == {"wine-1": {"labelled": 1.0, "correct": 0.5}}


def test_a_label_under_no_cohort_is_accepted_and_counts_nowhere(server: Running) -> None:
    before = server.stats()["cohorts"]
    reply = server.call("POST", "/v1/feedback", {"id": server.infer([ROW]).prediction_id, "label": 0})
    assert (reply.status, reply.json["accepted"]) == (200, 1)
    assert server.stats()["cohorts"] == before


def test_an_id_that_was_tampered_with_is_forbidden_and_counted(server: Running) -> None:
    before = server.stats()["labels_refused"].get("NotOurs", 0)
    good = server.infer([ROW]).prediction_id
    bad = ("A" if good[0] != "A" else "B") + good[1:]
    reply = server.call("POST", "/v1/feedback", {"id": bad, "label": 0})
    assert reply.status == 403
    assert reply.json["refused"] == [
        {"index": 0, "reason": "NotOurs", "message": "the prediction id was not given by this deployment"}
    ]
    assert server.stats()["labels_refused"]["NotOurs"] == before + 1


def test_a_label_outside_the_classes_is_unprocessable(server: Running) -> None:
    reply = server.call("POST", "/v1/feedback", {"id": server.infer([ROW]).prediction_id, "label": "0"})
    assert (reply.status, reply.json["refused"][0]["reason"]) == (422, "UnknownClass")


POSTS = {"no JSON": (b"]", 400), "a text": ("label", 400), "nothing": ([], 400), "too many": ([{}] * 1001, 413)}


@pytest.mark.parametrize("name", POSTS)
def test_feedback_refuses_whole_posts_of(server: Running, name: str) -> None:
    body, status = POSTS[name]
    reply = server.call("POST", "/v1/feedback", body)
    assert reply.status == status
    assert reply.error


def test_a_regressor_answers_numbers_and_refuses_labels_that_are_none(regressor_server: Running) -> None:
    case = regressor_server.case
    reply = regressor_server.infer(case.rows[:5])
    assert reply.json["outputs"][0]["data"] == pytest.approx(case.model.predict(case.rows[:5]), rel=1e-12)
    refused = regressor_server.call("POST", "/v1/feedback", {"id": reply.prediction_id, "label": "100"})
    assert (refused.status, refused.json["refused"][0]["reason"]) == (422, "NotANumber")
    assert refused.error == "the model answers numbers; the label, and what was predicted, must be finite ones"


def test_the_metrics_bear_the_names_of_the_contract(server: Running) -> None:
    server.infer([ROW])
    server.call("POST", "/v1/feedback", {"id": "x", "label": 0})
    text = server.call("GET", "/metrics", stats=True).body.decode()
    for name in (
        metrics.SERVER_REQUESTS,
        metrics.SERVER_REQUEST_SECONDS + "_bucket",
        metrics.SERVER_ROWS,
        metrics.SERVER_FEEDBACK,
        metrics.SERVER_FEEDBACK_REFUSED,
        metrics.SERVER_READY,
        metrics.SERVER_ANNOUNCEMENTS,
        metrics.SERVER_CALLERS,
        metrics.SERVER_CALLERS_REPEATED,
    ):
        assert f"\n{name}{{" in text


def test_concurrent_callers_each_get_their_own_rows(server: Running) -> None:
    from concurrent.futures import ThreadPoolExecutor

    rows = server.case.rows
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda index: server.infer(rows[index : index + 2]), range(60)))
    expected = [server.case.model.predict_proba(rows[index : index + 2]).ravel() for index in range(60)]
    found = [reply.json["outputs"][1]["data"] for reply in replies]
    # Rows that share a call may be summed in another order: equal to the last bits, not beyond.
    np.testing.assert_allclose(found, expected, rtol=1e-12)

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.serving.running import Case, Reply, Running, run

from serin_contract import ids
from serin_contract.bundle import Column
from serin_contract.keys import KeyRing
from serin_serving.errors import RequestError
from serin_serving.layout import Layout
from serin_serving.oip_binary import decode_binary
from serin_serving.raw_tensors import decode_raw, encode_raw

ROW = [13.2, 1.78, 2.14, 11.2, 100, 2.65, 2.76, 0.26, 1.28, 4.38, 1.05, 3.4, 1050]
BYTES = np.array([ROW], "<f8").tobytes()


def tensor(data: bytes = BYTES, **changes: Any) -> dict[str, Any]:
    size = {"parameters": {"binary_data_size": len(data)}}
    return {"name": "x", "shape": [1, 13], "datatype": "FP64", **size, **changes}


def post(server: Running, document: Any, *data: bytes, length: str | None = None, **headers: str) -> Reply:
    """Post JSON with bytes behind it; `length` says another length of the JSON than is true."""
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    stated = str(len(text)) if length is None else length
    body = text + b"".join(data)
    return server.call("POST", server.path("infer"), body, inference_header_content_length=stated, **headers)


def binary_of(reply: Reply) -> tuple[Any, list[bytes]]:
    """The JSON of an answer and the bytes of each output that has some."""
    length = int(reply.headers["inference-header-content-length"])
    document, data, parts = json.loads(reply.body[:length]), reply.body[length:], []
    for output in document["outputs"]:
        size = output.get("parameters", {}).get("binary_data_size", 0)
        parts.append(data[:size])
        data = data[size:]
    assert data == b""
    return document, parts


def test_answers_are_the_models_both_ways(server: Running, ring: KeyRing) -> None:
    rows = server.case.rows[:40]
    data = rows.astype("<f8").tobytes()
    asked = {"id": "mine", "inputs": [tensor(data, shape=[40, 13])], "parameters": {"binary_data_output": True}}
    reply = post(server, asked, data)
    document, (predict, probabilities) = binary_of(reply)
    assert reply.headers["content-type"] == "application/octet-stream"
    assert (document["id"], document["outputs"][0]["shape"], document["outputs"][1]["shape"]) == ("mine", [40], [40, 3])
    assert np.frombuffer(predict, "<i8").tolist() == server.case.model.predict(rows).tolist()
    assert np.frombuffer(probabilities) == pytest.approx(server.case.model.predict_proba(rows).ravel(), abs=1e-12)
    assert ids.verify(ring, document["parameters"]["prediction_id"]).rows == 40


def test_each_output_may_be_asked_for_in_its_own_form(server: Running) -> None:
    outputs = [{"name": "predict"}, {"name": "probabilities", "parameters": {"binary_data": True}}]
    plain = {"name": "x", "shape": [1, 13], "datatype": "FP64", "data": ROW}
    reply = server.call("POST", server.path("infer"), {"inputs": [plain], "outputs": outputs})
    document, (nothing, probabilities) = binary_of(reply)
    assert document["outputs"][0]["data"] == [0]
    assert "data" not in document["outputs"][1]
    assert (nothing, len(probabilities)) == (b"", 24)


def test_an_output_may_be_left_out_of_the_binary_default(server: Running) -> None:
    asked = {
        "inputs": [tensor()],
        "outputs": [{"name": "predict", "parameters": {"binary_data": False}}],
        "parameters": {"binary_data_output": True},
    }
    reply = post(server, asked, BYTES)
    assert reply.headers["content-type"] == "application/json"
    assert [output["data"] for output in reply.json["outputs"]] == [[0]]


def test_only_the_outputs_that_were_asked_for_come(server: Running) -> None:
    reply = post(server, {"inputs": [tensor()], "outputs": [{"name": "probabilities"}]}, BYTES)
    assert [output["name"] for output in reply.json["outputs"]] == ["probabilities"]


def test_a_binary_request_counts_as_a_plain_one(server: Running) -> None:
    cohort = server.cohort()
    post(server, {"inputs": [tensor()]}, BYTES, x_serin_cohort=cohort)
    server.infer([ROW], cohort=cohort)
    counted = server.stats()["cohorts"][cohort]
    assert (counted["requests"], counted["rows"], sum(counted["latency"])) == (2, 2, 2)


@pytest.fixture(scope="module")
def mixed_server(cases: dict[str, Case], keys_file: Path) -> Iterator[Running]:
    with run(cases["mixed"], keys_file) as running:
        yield running


def test_texts_go_length_first_both_ways(cases: dict[str, Case], keys_file: Path, mixed_server: Running) -> None:
    shade = "weiß".encode()
    parts = [struct.pack("<d", 13.0), struct.pack("<I", len(shade)) + shade, struct.pack("<f", 100.0)]
    inputs = [
        {
            "name": name,
            "shape": [1],
            "datatype": datatype,
            "parameters": {"binary_data_size": len(part)},
        }
        for (name, datatype), part in zip(
            [("alcohol", "FP64"), ("shade", "BYTES"), ("magnesium", "FP32")], parts, strict=True
        )
    ]
    reply = post(mixed_server, {"inputs": inputs}, *parts)
    row = np.array([[13.0, "weiß", 100.0]], dtype=object)
    assert reply.json["outputs"][0]["data"] == mixed_server.case.model.predict(row).tolist()
    with run(cases["forest"], keys_file) as forest:
        asked = {"name": "x", "shape": [1, 30], "datatype": "FP64", "data": forest.case.rows[0].tolist()}
        document = {"inputs": [asked], "parameters": {"binary_data_output": True}}
        _, (predict, _) = binary_of(forest.call("POST", forest.path("infer"), document))
    name = forest.case.model.predict(forest.case.rows[:1])[0].encode()
    assert predict == struct.pack("<I", len(name)) + name


REFUSED: dict[str, tuple[Any, tuple[bytes, ...], dict[str, str], str]] = {
    "a length of the JSON beyond the body": ({"inputs": [tensor()]}, (BYTES,), {"length": "99999"}, "must be a number"),
    "a negative length of the JSON": ({"inputs": [tensor()]}, (BYTES,), {"length": "-1"}, "must be a number"),
    "a length of the JSON that is no number": ({"inputs": [tensor()]}, (BYTES,), {"length": "ten"}, "must be a number"),
    "a length of a thousand digits": ({"inputs": [tensor()]}, (BYTES,), {"length": "1" * 1000}, "must be a number"),
    "a length that cuts the JSON": ({"inputs": [tensor()]}, (BYTES,), {"length": "10"}, "is not JSON"),
    "a length of nothing": ({"inputs": [tensor()]}, (BYTES,), {"length": "0"}, "is not JSON"),
    "a list for the JSON": (b"[]", (), {}, "must be a JSON object"),
    "inputs that are numbers": ({"inputs": [1]}, (), {}, "at least one tensor"),
    "less data than an input names": ({"inputs": [tensor()]}, (BYTES[:-1],), {}, "more binary data than follow"),
    "more data than the inputs name": ({"inputs": [tensor()]}, (BYTES, b"\0"), {}, "than its inputs name"),
    "a negative size": (
        {"inputs": [tensor(parameters={"binary_data_size": -1})]}, (BYTES,), {}, "must be a number of bytes"),
    "a size that is true": (
        {"inputs": [tensor(parameters={"binary_data_size": True})]}, (BYTES,), {}, "must be a number of bytes"),
    "a size that is a text": (
        {"inputs": [tensor(parameters={"binary_data_size": "104"})]}, (BYTES,), {}, "must be a number of bytes"),
    "a size that the shape does not have": (
        {"inputs": [tensor(BYTES[:-8])]}, (BYTES[:-8],), {}, "do not fit its shape"),
    "data and a size": ({"inputs": [{**tensor(), "data": ROW}]}, (BYTES,), {}, "both `data` and"),
    "a shape whose product is huge": (
        {"inputs": [tensor(shape=[2**62, 2**62])]}, (BYTES,), {}, "do not fit its shape"),
    "a missing value": ({"inputs": [tensor()]}, (np.array([np.nan, *ROW[1:]]).tobytes(),), {}, "misses a value"),
    "an infinite value": ({"inputs": [tensor()]}, (np.array([np.inf, *ROW[1:]]).tobytes(),), {}, "an infinite number"),
    "a byte that is no BOOL": (
        {"inputs": [tensor(b"\2" * 13, datatype="BOOL")]}, (b"\2" * 13,), {}, "no BOOL"),
    "a text whose length lies": (
        {"inputs": [tensor(b"\xff" * 52, datatype="BYTES")]}, (b"\xff" * 52,), {}, "do not fit its shape"),
    "a byte behind the last text": (
        {"inputs": [tensor(b"\0" * 53, datatype="BYTES")]}, (b"\0" * 53,), {}, "do not fit its shape"),
    "texts that are too few": (
        {"inputs": [tensor(b"\0" * 48, datatype="BYTES")]}, (b"\0" * 48,), {}, "do not fit its shape"),
    "texts that are no UTF-8": (
        {"inputs": [tensor(b"\1\0\0\0\xff" * 13, datatype="BYTES")]}, (b"\1\0\0\0\xff" * 13,), {}, "no UTF-8"),
    "an unknown datatype": ({"inputs": [tensor(datatype="COMPLEX")]}, (BYTES,), {}, "needs a datatype"),
    "a flag that is no truth value": (
        {"inputs": [tensor()], "parameters": {"binary_data_output": 1}}, (BYTES,), {}, "must be true or false"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_it_refuses_and_counts(server: Running, name: str) -> None:
    document, data, headers, part = REFUSED[name]
    cohort = server.cohort()
    reply = post(server, document, *data, x_serin_cohort=cohort, **headers)
    assert (reply.status, part in reply.error) == (400, True), reply.error
    counted = server.stats()["cohorts"][cohort]
    assert (counted["requests"], counted["refused"], counted["failed"], counted["rows"]) == (1, 1, 0, 0)


def test_binary_sizes_need_the_header(server: Running) -> None:
    reply = server.call("POST", server.path("infer"), {"inputs": [tensor()]})
    assert (reply.status, "more binary data than follow" in reply.error) == (400, True)


def test_a_compressed_body_is_refused(server: Running) -> None:
    reply = server.call("POST", server.path("infer"), b"x", content_encoding="gzip")
    assert (reply.status, reply.error) == (415, "this server takes bodies without a Content-Encoding only")


NUMBERS = {
    "FP64": ("<f8", [1.5, -2.25]),
    "FP32": ("<f4", [1.5, -2.25]),
    "FP16": ("<f2", [1.5, -2.25]),
    "INT64": ("<i8", [-(2**63), 2**63 - 1]),
    "INT32": ("<i4", [-(2**31), 7]),
    "INT16": ("<i2", [-(2**15), 7]),
    "INT8": ("i1", [-128, 7]),
    "UINT64": ("<u8", [0, 2**64 - 1]),
    "UINT32": ("<u4", [0, 2**32 - 1]),
    "UINT16": ("<u2", [0, 2**16 - 1]),
    "UINT8": ("u1", [0, 255]),
    "BOOL": ("?", [True, False]),
}


@pytest.mark.parametrize("datatype", NUMBERS)
def test_raw_numbers_are_little_endian(datatype: str) -> None:
    kind, values = NUMBERS[datatype]
    data = np.array(values, kind).tobytes()
    found = decode_raw(memoryview(data), datatype, [2], "x")
    assert isinstance(found, np.ndarray)
    assert found.tolist() == values
    assert encode_raw(values, datatype) == data


def test_raw_texts_come_back_as_they_went() -> None:
    texts = ["", "a", "weiß", "\0"]
    assert decode_raw(memoryview(encode_raw(texts, "BYTES")), "BYTES", [2, 2], "x") == texts


def test_whole_numbers_beyond_the_model_are_refused() -> None:
    layout = Layout([Column("a", "INT32"), Column("b", "INT32")])
    data = np.array([1, 2**31], "<u4").tobytes()
    document = {"inputs": [{**tensor(data, datatype="UINT32"), "shape": [1, 2]}]}
    text = json.dumps(document).encode()
    with pytest.raises(RequestError, match="outside the range of INT32"):
        decode_binary(text + data, len(text), layout)

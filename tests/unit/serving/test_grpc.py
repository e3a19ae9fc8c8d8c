from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from tests.support import protoc
from tests.unit.serving.running import Case, Running, run

from serin_contract import ids
from serin_contract.keys import KeyRing
from serin_serving import oip_messages
from serin_serving.connections import Connections
from serin_serving.grpc_service import Peers

ROW = [13.2, 1.78, 2.14, 11.2, 100, 2.65, 2.76, 0.26, 1.28, 4.38, 1.05, 3.4, 1050]
CODES = grpc.StatusCode


class Client:
    """Calls of the protocol as bytes, with what came back beside the answer."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._channel = channel

    def call(self, method: str, message: Any = b"", **metadata: str) -> tuple[bytes, dict[str, str]]:
        data = message if isinstance(message, bytes) else message.SerializeToString()
        unary = self._channel.unary_unary(f"/{oip_messages.SERVICE}/{method}")
        pairs = [(name.replace("_", "-"), value) for name, value in metadata.items()]
        answer, call = unary.with_call(data, timeout=10, metadata=pairs)
        return answer, dict(call.initial_metadata())

    def infer(self, message: Any, **metadata: str) -> Any:
        return oip_messages.ModelInferResponse.FromString(self.call("ModelInfer", message, **metadata)[0])

    def refusal(self, method: str, message: Any, **metadata: str) -> grpc.RpcError:
        with pytest.raises(grpc.RpcError) as refused:
            self.call(method, message, **metadata)
        return refused.value


@pytest.fixture(scope="session")
def client(grpc_server: Running) -> Iterator[Client]:
    with grpc.insecure_channel(f"127.0.0.1:{grpc_server.grpc_port}") as channel:
        yield Client(channel)


def request(rows: Any = (ROW,), *, raw: bool = False, datatype: str = "FP64", **fields: Any) -> Any:
    """A ModelInferRequest of one tensor."""
    values = np.array(rows, dtype={"FP64": "<f8", "FP32": "<f4"}[datatype])
    message = oip_messages.ModelInferRequest(**{"model_name": "wine", **fields})
    tensor = message.inputs.add(name="x", datatype=datatype, shape=values.shape)
    if raw:
        message.raw_input_contents.append(values.tobytes())
    else:
        getattr(tensor.contents, f"{datatype.lower()}_contents").extend(values.ravel())
    return message


def test_the_descriptors_are_those_of_the_proto_file() -> None:
    assert protoc.DESCRIPTORS.read_bytes() == protoc.compiled(), "run: python -m tests.support.protoc"


def test_health_and_metadata_say_what_http_says(client: Client, grpc_server: Running) -> None:
    live = oip_messages.ServerLiveResponse.FromString(client.call("ServerLive")[0])
    ready = oip_messages.ServerReadyResponse.FromString(client.call("ServerReady")[0])
    about = oip_messages.ServerMetadataResponse.FromString(client.call("ServerMetadata")[0])
    name = oip_messages.ModelReadyRequest(name="wine", version="wine-1")
    model_ready = oip_messages.ModelReadyResponse.FromString(client.call("ModelReady", name)[0])
    model = oip_messages.ModelMetadataResponse.FromString(client.call("ModelMetadata", name)[0])
    by_http = grpc_server.call("GET", "/v2/models/wine").json
    assert (live.live, ready.ready, model_ready.ready) == (True, True, True)
    assert about.extensions == grpc_server.call("GET", "/v2").json["extensions"]
    for side in ("inputs", "outputs"):
        found = [
            {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape)}
            for tensor in getattr(model, side)
        ]
        assert found == by_http[side]


@pytest.mark.parametrize("raw", [True, False], ids=["raw contents", "typed contents"])
def test_answers_are_the_models_from(client: Client, grpc_server: Running, raw: bool) -> None:
    case = grpc_server.case
    answer = client.infer(request(case.rows[:7], raw=raw, id="mine"))
    predict, probabilities = answer.outputs
    if raw:
        found = [np.frombuffer(answer.raw_output_contents[0], "<i8"), np.frombuffer(answer.raw_output_contents[1])]
    else:
        found = [np.array(predict.contents.int64_contents), np.array(probabilities.contents.fp64_contents)]
    assert (answer.id, answer.model_name, answer.model_version) == ("mine", "wine", "wine-1")
    assert (list(predict.shape), list(probabilities.shape)) == ([7], [7, 3])
    assert found[0].tolist() == case.model.predict(case.rows[:7]).tolist()
    assert found[1] == pytest.approx(case.model.predict_proba(case.rows[:7]).ravel(), abs=1e-12)


def test_the_prediction_id_stands_in_the_parameters_and_in_the_metadata(client: Client, ring: KeyRing) -> None:
    data, metadata = client.call("ModelInfer", request(), x_serin_cohort="wine-2.1.grpc")
    stated = oip_messages.ModelInferResponse.FromString(data).parameters["prediction_id"].string_param
    assert metadata["x-serin-prediction-id"] == stated
    assert metadata["x-serin-revision"] == "wine-1"
    claimed = ids.verify(ring, stated)
    assert (claimed.revision, claimed.cohort, claimed.predictions) == ("wine-1", "wine-2.1.grpc", [0])


def test_a_request_counts_as_by_http(client: Client, grpc_server: Running) -> None:
    cohort = grpc_server.cohort()
    client.infer(request([ROW, ROW]), x_serin_cohort=cohort)
    client.infer(request(), x_serin_cohort=cohort)
    counted = grpc_server.stats()["cohorts"][cohort]
    assert (counted["requests"], counted["predictions"], counted["rows"]) == (2, 2.0, 3)
    # Both came on one connection.
    assert counted["connections"] == 1


def test_a_caller_that_is_told_apart_counts_once_by_its_cookie(client: Client, grpc_server: Running) -> None:
    cohort = grpc_server.cohort()
    known = {"x_serin_cohort": cohort, "x_serin_stickiness": "serin;wine-1;0;50"}
    _, metadata = client.call("ModelInfer", request(), **known)
    client.call("ModelInfer", request(), cookie=metadata["set-cookie"].partition(";")[0], **known)
    counted = grpc_server.stats()["cohorts"][cohort]
    assert (counted["requests"], counted["callers"], counted["repeated"]) == (1, 1, 1)


def test_a_request_that_names_the_version_counts_in_no_cohort(client: Client, grpc_server: Running) -> None:
    cohort = grpc_server.cohort()
    client.infer(request(model_version="wine-1"), x_serin_cohort=cohort)
    refused = client.refusal("ModelInfer", request(model_version="wine-2"), x_serin_cohort=cohort)
    assert (refused.code(), refused.details()) == (
        CODES.NOT_FOUND,
        "this pod serves one version of its model, 'wine-1'",
    )
    assert cohort not in grpc_server.stats()["cohorts"]


def _both() -> Any:
    message = request(raw=True)
    message.inputs[0].contents.fp64_contents.append(1.0)
    return message


def _misplaced() -> Any:
    message = request()
    message.inputs[0].contents.fp32_contents.append(1.0)
    return message


def _short() -> Any:
    message = request(raw=True)
    message.raw_input_contents[0] = message.raw_input_contents[0][:-1]
    return message


def _two_raw() -> Any:
    message = request(raw=True)
    message.raw_input_contents.append(b"")
    return message


def _shaped(*shape: int) -> Any:
    message = request(raw=True)
    del message.inputs[0].shape[:]
    message.inputs[0].shape.extend(shape)
    return message


def _typed(datatype: str, **contents: Any) -> Any:
    message = oip_messages.ModelInferRequest(model_name="wine")
    message.inputs.add(name="x", datatype=datatype, shape=[1, 13], contents=contents)
    return message


REFUSED = {
    "bytes that are no message": (b"\xff\xff\xff", CODES.INVALID_ARGUMENT, "no ModelInferRequest"),
    "another model": (request(model_name="beer"), CODES.NOT_FOUND, "one model, 'wine'"),
    "no inputs": (oip_messages.ModelInferRequest(model_name="wine"), CODES.INVALID_ARGUMENT, "at least one tensor"),
    "a column too few": (request([ROW[1:]]), CODES.INVALID_ARGUMENT, "takes [m, 13]"),
    "typed and raw contents": (_both(), CODES.INVALID_ARGUMENT, "both `contents` and"),
    "contents of another type": (_misplaced(), CODES.INVALID_ARGUMENT, "belong in `fp64_contents`"),
    "FP16 as typed contents": (_typed("FP16", fp32_contents=ROW), CODES.INVALID_ARGUMENT, "`raw_input_contents`"),
    "too few elements": (_typed("FP64", fp64_contents=ROW[1:]), CODES.INVALID_ARGUMENT, "do not fit its shape"),
    "texts for numbers": (_typed("BYTES", bytes_contents=[b"a"] * 13), CODES.INVALID_ARGUMENT, "takes numbers"),
    "bytes that are no text": (_typed("BYTES", bytes_contents=[b"\xff"] * 13), CODES.INVALID_ARGUMENT, "no UTF-8"),
    "an unknown datatype": (_typed("COMPLEX"), CODES.INVALID_ARGUMENT, "needs a datatype"),
    "raw contents a byte too short": (_short(), CODES.INVALID_ARGUMENT, "do not fit its shape and datatype"),
    "raw contents for more inputs": (_two_raw(), CODES.INVALID_ARGUMENT, "one entry for each input"),
    "a negative shape": (_shaped(-1, 13), CODES.INVALID_ARGUMENT, "whole numbers"),
    "a shape of three": (_shaped(1, 13, 1), CODES.INVALID_ARGUMENT, "one or two whole numbers"),
    "a shape whose product is huge": (_shaped(2**62, 2**62), CODES.INVALID_ARGUMENT, "do not fit its shape"),
    "a missing value": (request([[np.nan, *ROW[1:]]]), CODES.INVALID_ARGUMENT, "misses a value"),
    "an infinite value": (request([[np.inf, *ROW[1:]]]), CODES.INVALID_ARGUMENT, "holds an infinite number"),
    "an unknown output": (request(outputs=[{"name": "shap"}]), CODES.INVALID_ARGUMENT, "`outputs` may name"),
    "more rows than an id may name": (request([ROW] * 4097, raw=True), CODES.RESOURCE_EXHAUSTED, "at most 4096 rows"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_it_refuses_and_counts(client: Client, grpc_server: Running, name: str) -> None:
    message, code, part = REFUSED[name]
    cohort = grpc_server.cohort()
    refused = client.refusal("ModelInfer", message, x_serin_cohort=cohort)
    assert (refused.code(), part in refused.details()) == (code, True), refused.details()
    assert dict(refused.initial_metadata())["x-serin-revision"] == "wine-1"
    counted = grpc_server.stats()["cohorts"][cohort]
    assert (counted["requests"], counted["refused"], counted["failed"], counted["rows"]) == (1, 1, 0, 0)


@pytest.mark.parametrize("method", ["ModelReady", "ModelMetadata"])
def test_another_model_is_not_found_by(client: Client, method: str) -> None:
    asked = oip_messages.ModelReadyRequest(name="beer")
    assert client.refusal(method, asked).code() == CODES.NOT_FOUND
    assert client.refusal(method, b"\xff").code() == CODES.INVALID_ARGUMENT


def test_a_message_above_the_limit_is_refused_before_it_counts(client: Client, grpc_server: Running) -> None:
    before = grpc_server.stats()["requests"]
    assert client.refusal("ModelInfer", b"\0" * (17 * 1024 * 1024)).code() == CODES.RESOURCE_EXHAUSTED
    assert grpc_server.stats()["requests"] == before


def test_metadata_above_the_limit_are_refused_before_they_count(client: Client, grpc_server: Running) -> None:
    before = grpc_server.stats()["requests"]
    refused = client.refusal("ModelInfer", request(), x_filler="a" * 20_000)
    assert refused.code() == CODES.RESOURCE_EXHAUSTED
    assert grpc_server.stats()["requests"] == before


def test_a_small_message_that_unpacks_to_a_large_one_is_refused(grpc_server: Running) -> None:
    large = b"\0" * (17 * 1024 * 1024)
    assert len(gzip.compress(large)) < 1024 * 1024
    with grpc.insecure_channel(f"127.0.0.1:{grpc_server.grpc_port}", compression=grpc.Compression.Gzip) as channel:
        assert Client(channel).refusal("ModelInfer", large).code() == CODES.RESOURCE_EXHAUSTED


def test_texts_and_names_go_both_ways(cases: dict[str, Case], keys_file: Path) -> None:
    case = cases["forest"]
    with run(case, keys_file, grpc_port=0) as running:
        message = oip_messages.ModelInferRequest(model_name="forest")
        names = [column["name"] for column in running.call("GET", running.path()).json["inputs"]]
        for name, value in reversed(list(zip(names, case.rows[0], strict=True))):
            message.inputs.add(name=name, datatype="FP64", shape=[1], contents={"fp64_contents": [value]})
        with grpc.insecure_channel(f"127.0.0.1:{running.grpc_port}") as channel:
            typed = Client(channel).infer(message)
            raw = Client(channel).infer(_raw_columns(message))
    expected = case.model.predict(case.rows[:1])[0].encode()
    assert list(typed.outputs[0].contents.bytes_contents) == [expected]
    assert raw.raw_output_contents[0] == len(expected).to_bytes(4, "little") + expected


def _raw_columns(message: Any) -> Any:
    raw = oip_messages.ModelInferRequest.FromString(message.SerializeToString())
    for tensor in raw.inputs:
        raw.raw_input_contents.append(np.array(tensor.contents.fp64_contents, "<f8").tobytes())
        tensor.ClearField("contents")
    return raw


def test_a_draining_server_is_not_ready_and_answers_on(wine: Case, keys_file: Path) -> None:
    with (
        run(wine, keys_file, grpc_port=0, drain_seconds=20.0) as running,
        grpc.insecure_channel(f"127.0.0.1:{running.grpc_port}") as channel,
    ):
        client = Client(channel)
        assert client.infer(request()).model_version == "wine-1"
        running.drain()
        while oip_messages.ServerReadyResponse.FromString(client.call("ServerReady")[0]).ready:
            pass
        assert client.infer(request()).model_version == "wine-1"


def test_peers_are_remembered_within_a_bound() -> None:
    peers = Peers(Connections(), peers_max=2)
    first = peers.connection("ipv4:10.0.0.1:1")
    assert peers.connection("ipv4:10.0.0.1:1") is first
    for port in (2, 3):
        peers.connection(f"ipv4:10.0.0.1:{port}")
    assert peers.connection("ipv4:10.0.0.1:1") is not first

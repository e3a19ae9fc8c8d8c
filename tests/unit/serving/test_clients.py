"""What a third party's client sees: Triton's, by HTTP and by gRPC."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as by_grpc
import tritonclient.http as by_http
from tests.unit.serving.running import Case, Running, run
from tritonclient.utils import InferenceServerException

from serin_contract import ids
from serin_contract.keys import KeyRing

pytestmark = pytest.mark.slow

LIBRARIES: dict[str, Any] = {"http": by_http, "grpc": by_grpc}


class Clients:
    """Triton's clients of one server, by protocol."""

    def __init__(self, running: Running) -> None:
        self.case = running.case
        self._open = {
            "http": by_http.InferenceServerClient(f"127.0.0.1:{running.inference_port}"),
            "grpc": by_grpc.InferenceServerClient(f"127.0.0.1:{running.grpc_port}"),
        }

    def __getitem__(self, protocol: str) -> Any:
        return self._open[protocol]

    def close(self) -> None:
        for client in self._open.values():
            client.close()


@pytest.fixture(scope="module")
def clients(grpc_server: Running) -> Iterator[Clients]:
    made = Clients(grpc_server)
    yield made
    made.close()


@pytest.fixture(scope="module")
def mixed(cases: dict[str, Case], keys_file: Path) -> Iterator[Clients]:
    with run(cases["mixed"], keys_file, grpc_port=0) as running:
        made = Clients(running)
        yield made
        made.close()


def tensor(library: Any, name: str, values: Any, datatype: str, **options: Any) -> Any:
    made = library.InferInput(name, list(values.shape), datatype)
    made.set_data_from_numpy(values, **options)
    return made


@pytest.mark.parametrize("protocol", LIBRARIES)
def test_the_server_and_its_model_are_live_and_ready(clients: Clients, protocol: str) -> None:
    client = clients[protocol]
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("wine")
    assert client.is_model_ready("wine", "wine-1")


def test_another_model_is_not_there(clients: Clients) -> None:
    assert not clients["http"].is_model_ready("beer")
    with pytest.raises(InferenceServerException, match="this server has one model, 'wine'"):
        clients["grpc"].is_model_ready("beer")


def test_metadata_read_alike_by_both_protocols(clients: Clients) -> None:
    about = clients["grpc"].get_server_metadata(as_json=True)
    assert about == clients["http"].get_server_metadata()
    assert about["extensions"] == ["binary_tensor_data"]
    model = clients["grpc"].get_model_metadata("wine", as_json=True)
    by_http_too = clients["http"].get_model_metadata("wine", "wine-1")
    # JSON of gRPC writes 64-bit numbers as texts.
    for tensors in (model["inputs"], model["outputs"]):
        for described in tensors:
            described["shape"] = [int(size) for size in described["shape"]]
    assert model == by_http_too


WAYS = {
    "http, binary both ways": ("http", {"binary_data": True}, {"binary_data": True}),
    "http, JSON both ways": ("http", {"binary_data": False}, {"binary_data": False}),
    "http, binary there and JSON back": ("http", {"binary_data": True}, {"binary_data": False}),
    "http, JSON there and binary back": ("http", {"binary_data": False}, {"binary_data": True}),
    "http, binary by default": ("http", {"binary_data": True}, None),
    "grpc": ("grpc", {}, {}),
    "grpc, outputs by default": ("grpc", {}, None),
}


@pytest.mark.parametrize("way", WAYS)
def test_answers_are_the_models_by(clients: Clients, way: str) -> None:
    protocol, sent, asked = WAYS[way]
    library, rows, model = LIBRARIES[protocol], clients.case.rows[:9], clients.case.model
    names = ("predict", "probabilities")
    outputs = None if asked is None else [library.InferRequestedOutput(name, **asked) for name in names]
    inputs = [tensor(library, "x", rows, "FP64", **sent)]
    result = clients[protocol].infer("wine", inputs, outputs=outputs, request_id="mine")
    assert np.array_equal(result.as_numpy("predict"), model.predict(rows))
    assert np.allclose(result.as_numpy("probabilities"), model.predict_proba(rows), rtol=0.0, atol=1e-12)
    response = result.get_response()
    assert (response["id"] if protocol == "http" else response.id) == "mine"


@pytest.mark.parametrize("protocol", LIBRARIES)
def test_texts_and_columns_by_name_go_by(mixed: Clients, protocol: str) -> None:
    library = LIBRARIES[protocol]
    inputs = [
        tensor(library, "shade", np.array([["dark"], ["weiß"]], dtype=object), "BYTES"),
        tensor(library, "magnesium", np.array([[99.5], [101.0]], dtype=np.float32), "FP32"),
        tensor(library, "alcohol", np.array([[13.0], [12.0]]), "FP64"),
    ]
    result = mixed[protocol].infer("mixed", inputs)
    rows = np.array([[13.0, "dark", 99.5], [12.0, "weiß", 101.0]], dtype=object)
    assert result.as_numpy("predict").tolist() == mixed.case.model.predict(rows).tolist()


NUMBERS = {"FP16": np.float16, "FP32": np.float32, "INT64": np.int64, "INT32": np.int32, "INT16": np.int16,
           "INT8": np.int8, "UINT64": np.uint64, "UINT32": np.uint32, "UINT16": np.uint16, "UINT8": np.uint8,
           "BOOL": np.bool_}  # fmt: skip


@pytest.mark.parametrize("protocol", LIBRARIES)
@pytest.mark.parametrize("datatype", NUMBERS)
def test_numbers_of_every_type_are_taken(clients: Clients, protocol: str, datatype: str) -> None:
    rows = np.array([range(13), [1] * 13]).astype(NUMBERS[datatype])
    result = clients[protocol].infer("wine", [tensor(LIBRARIES[protocol], "x", rows, datatype)])
    assert result.as_numpy("predict").tolist() == clients.case.model.predict(rows.astype(np.float64)).tolist()


@pytest.mark.parametrize("protocol", LIBRARIES)
def test_the_prediction_id_and_the_cohort_pass(clients: Clients, protocol: str, ring: KeyRing) -> None:
    inputs = [tensor(LIBRARIES[protocol], "x", clients.case.rows[:1], "FP64")]
    result = clients[protocol].infer("wine", inputs, headers={"x-serin-cohort": f"wine-2.1.{protocol}"})
    response = result.get_response()
    stated = (
        response["parameters"]["prediction_id"]
        if protocol == "http"
        else response.parameters["prediction_id"].string_param
    )
    assert ids.verify(ring, stated).cohort == f"wine-2.1.{protocol}"


@pytest.mark.parametrize("protocol", LIBRARIES)
def test_a_refusal_reaches_the_caller_as_a_sentence(clients: Clients, protocol: str) -> None:
    inputs = [tensor(LIBRARIES[protocol], "x", clients.case.rows[:1, 1:].copy(), "FP64")]
    with pytest.raises(InferenceServerException, match=r"this model takes \[m, 13\]"):
        clients[protocol].infer("wine", inputs)

from __future__ import annotations

import warnings
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from tests.unit.serving.running import Running

ROW = [13.2, 1.78, 2.14, 11.2, 100, 2.65, 2.76, 0.26, 1.28, 4.38, 1.05, 3.4, 1050]


@pytest.fixture(scope="module")
def document(server: Running) -> Any:
    return server.call("GET", "/openapi.json").json


def validator(document: Any, schema: str) -> Any:
    components = {"components": document["components"]}
    return jsonschema_rs.validator_for({"$ref": f"#/components/schemas/{schema}", **components})


def test_the_document_names_the_columns_of_this_model(document: Any) -> None:
    assert (document["openapi"], document["info"]["title"], document["info"]["version"]) == ("3.1.0", "wine", "wine-1")
    table = document["components"]["schemas"]["Table"]["oneOf"]
    named = table[0]["properties"]["rows"]["oneOf"][1]["items"]
    assert named["properties"]["alcohol"] == {"type": "number"}
    assert named["required"][:2] == ["alcohol", "malic_acid"]
    assert document["components"]["schemas"]["Predictions"]["properties"]["classes"]["const"] == [0, 1, 2]


TABLES = {
    "a row in order": ({"rows": [ROW]}, True),
    "a row too short": ({"rows": [ROW[1:]]}, False),
    "the split of pandas": (None, True),
    "a missing value that the model does not take": ({"rows": [[None, *ROW[1:]]]}, False),
    "a key that means nothing": ({"rows": [ROW], "row": 1}, False),
    "no table": ({}, False),
}


@pytest.mark.parametrize("name", TABLES)
def test_the_schema_and_the_server_agree_on(server: Running, document: Any, name: str) -> None:
    body, good = TABLES[name]
    if body is None:
        names = [column["name"] for column in server.call("GET", server.path()).json["inputs"]]
        body = {"columns": names, "data": [ROW]}
    assert validator(document, "Table").is_valid(body) is good
    assert (server.call("POST", "/v1/predict", body).status == 200) is good


def test_what_the_server_answers_fits_the_schema(server: Running, document: Any) -> None:
    predictions = server.call("POST", "/v1/predict", {"rows": [ROW]})
    validator(document, "Predictions").validate(predictions.json)
    validator(document, "InferAnswer").validate(server.infer([ROW]).json)
    label = {"id": predictions.json["prediction_id"], "label": 0}
    validator(document, "Receipt").validate(server.call("POST", "/v1/feedback", label).json)
    validator(document, "Error").validate(server.call("POST", "/v1/predict", {}).json)


def test_every_path_of_the_document_is_there(server: Running, document: Any) -> None:
    for path, methods in document["paths"].items():
        for method in methods:
            assert server.call(method.upper(), path, {} if method == "post" else None).status in (200, 400, 422)


def test_the_page_loads_nothing_and_runs_nothing(server: Running) -> None:
    reply = server.call("GET", "/docs")
    page = reply.body.decode()
    assert (reply.status, reply.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert reply.headers["content-security-policy"].startswith("default-src 'none'")
    assert "<td>alcohol</td><td>FP64</td>" in page
    assert not any(word in page for word in ("<script", "http:", "https:", "src="))


# Numbers near the end of their range overflow inside scikit-learn, which warns.
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.slow
@pytest.mark.parametrize("server_name", ["server", "regressor_server"])
def test_no_request_of_the_document_gets_an_answer_outside_it(server_name: str, request: pytest.FixtureRequest) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import schemathesis
        from schemathesis.checks import not_a_server_error
        from schemathesis.specs.openapi.checks import (
            content_type_conformance,
            response_schema_conformance,
            status_code_conformance,
        )

    running: Running = request.getfixturevalue(server_name)
    base = f"http://127.0.0.1:{running.inference_port}"
    schema = schemathesis.openapi.from_url(f"{base}/openapi.json")
    checks = [status_code_conformance, content_type_conformance, response_schema_conformance]
    # A regressor answers 500 where its sum leaves the range of numbers.
    if server_name == "server":
        checks.append(not_a_server_error)
    operations = [result.ok() for result in schema.get_all_operations()]
    assert len(operations) == 11
    for operation in operations:

        @hypothesis_settings(
            max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None
        )
        @given(case=operation.as_strategy())
        def answers_within_the_document(case: Any) -> None:
            case.call_and_validate(checks=checks)

        answers_within_the_document()

"""The OpenAPI document of the port that callers reach, with this model's own columns, and a page that shows it."""

from __future__ import annotations

import html
import json
from typing import Any

import orjson

from serin_contract import http
from serin_contract.bundle import Column, Signature
from serin_contract.ids import ROWS_MAX
from serin_serving.about import about_server
from serin_serving.feedback import ITEMS_MAX
from serin_serving.oip import tensors_of
from serin_serving.oip_fields import DATATYPES
from serin_serving.server import Server
from serin_serving.wire import Answer, Headers

Schema = dict[str, Any]

_VALUES: dict[str, Schema] = {
    "FP64": {"type": "number"},
    "FP32": {"type": "number"},
    "INT64": {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},
    "INT32": {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1},
    "BOOL": {"type": "boolean"},
    "BYTES": {"type": "string"},
}
_ERRORS = {
    "400": "The request does not follow the protocol or the model's signature; the sentence says where.",
    "408": "The body did not come in time.",
    "413": "The body is too large, or has too many rows.",
    "415": "The body is compressed.",
    "500": "The model failed.",
    "503": "The queue is full; try again after the seconds in Retry-After.",
}
_PAGE_HEADERS: Headers = [(b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'")]


def encode(server: Server) -> Answer:
    """The document."""
    return Answer(200, orjson.dumps(document(server)))


def document(server: Server) -> dict[str, Any]:
    """The document as a dictionary."""
    signature, gaps = server.model.signature, server.model.takes_gaps
    return {
        "openapi": "3.1.0",
        "info": {
            "title": server.name,
            "version": server.revision,
            "description": f"A model for {signature.task}, served by Serin {about_server().version}.",
        },
        "paths": {
            http.PREDICT_PATH: {"post": _operation("predict", "Predict rows or columns", "Table", "Predictions")},
            **_model_paths(f"{http.INFERENCE_PATH_PREFIX}/models/{server.name}", ""),
            **_model_paths(f"{http.INFERENCE_PATH_PREFIX}/models/{server.name}/versions/{server.revision}", "Version"),
            http.FEEDBACK_PATH: {"post": _feedback()},
            http.INFERENCE_PATH_PREFIX: {"get": _reading("aboutServer", "Name, version and extensions")},
            http.LIVE_PATH: {"get": _reading("serverLive", "Whether the server is alive")},
            http.READY_PATH: {"get": _reading("serverReady", "Whether the server is ready", may_wait=True)},
        },
        "components": {"schemas": _schemas(signature, gaps=gaps)},
    }


def _model_paths(path: str, suffix: str) -> dict[str, Schema]:
    infer = _operation(f"infer{suffix}", "Infer by the Open Inference Protocol v2", "InferRequest", "InferAnswer")
    infer["requestBody"]["content"]["application/octet-stream"] = {"schema": {"type": "string", "format": "binary"}}
    infer["responses"]["200"]["content"]["application/octet-stream"] = {}
    infer["parameters"] = [
        {
            "name": http.JSON_LENGTH_HEADER,
            "in": "header",
            "description": "How much of a body with binary tensors is JSON.",
            "schema": {"type": "integer", "minimum": 0},
        }
    ]
    return {
        f"{path}/infer": {"post": infer},
        path: {"get": _reading(f"aboutModel{suffix}", "Inputs and outputs of the model")},
        f"{path}/ready": {"get": _reading(f"modelReady{suffix}", "Whether the model is ready", may_wait=True)},
    }


def _operation(name: str, summary: str, takes: str, gives: str) -> Schema:
    return {
        "operationId": name,
        "summary": summary,
        "requestBody": {"required": True, "content": _json(takes)},
        "responses": {
            "200": {"description": "The answer.", "content": _json(gives)},
            **{status: _refusal(sentence) for status, sentence in _ERRORS.items()},
        },
    }


def _feedback() -> Schema:
    operation = _operation("feedback", "Tell what was right", "Labels", "Receipt")
    for status in ("415", "500"):
        del operation["responses"][status]
    for status in ("403", "422"):
        operation["responses"][status] = {"description": "No label counts.", "content": _json("Receipt")}
    return operation


def _reading(name: str, summary: str, *, may_wait: bool = False) -> Schema:
    content = {"application/json": {"schema": {"type": "object"}}}
    responses: Schema = {"200": {"description": "The answer.", "content": content}}
    if may_wait:
        responses["503"] = _refusal("The server is draining.")
    return {"operationId": name, "summary": summary, "responses": responses}


def _refusal(sentence: str) -> Schema:
    return {"description": sentence, "content": _json("Error")}


def _json(schema: str) -> Schema:
    return {"application/json": {"schema": _reference(schema)}}


def _reference(schema: str) -> Schema:
    return {"$ref": f"#/components/schemas/{schema}"}


def _schemas(signature: Signature, *, gaps: bool) -> dict[str, Schema]:
    prediction: Schema = {"enum": signature.classes} if signature.classes else {"type": "number"}
    return {
        "Error": _object({"error": {"type": "string"}}, required=["error"]),
        "Table": _table(signature.columns, gaps=gaps),
        "Predictions": _object(
            {
                "id": {"type": "string"},
                "predictions": _list(prediction, ROWS_MAX),
                "probabilities": _list(_list({"type": "number"}, None), ROWS_MAX),
                "classes": {"type": "array", "const": signature.classes},
                "revision": {"type": "string"},
                "prediction_id": {"type": "string"},
            },
            required=["predictions", "revision"],
        ),
        "Tensor": _tensor(),
        "InferRequest": _infer_request(signature),
        "InferAnswer": _object(
            {
                "model_name": {"type": "string"},
                "model_version": {"type": "string"},
                "id": {"type": "string"},
                "outputs": _list(_reference("Tensor"), None),
                "parameters": {"type": "object"},
            },
            required=["model_name", "outputs"],
        ),
        "Labels": {"oneOf": [_reference("Label"), _list(_reference("Label"), ITEMS_MAX)]},
        "Label": _label(),
        "Receipt": _receipt(),
    }


def _table(columns: list[Column], *, gaps: bool) -> Schema:
    values = {column.name: _value(column, gaps=gaps) for column in columns}
    row = {"type": "array", "prefixItems": list(values.values()), "items": False, "minItems": len(columns)}
    named = {**_object(values, required=list(values)), "additionalProperties": False}
    lists = {name: _list(value, ROWS_MAX) for name, value in values.items()}
    common: Schema = {"id": {"type": "string", "maxLength": 1024}, "probabilities": {"type": "boolean"}}
    forms: list[tuple[Schema, list[str]]] = [
        ({"rows": {"oneOf": [_list(row, ROWS_MAX), _list(named, ROWS_MAX)]}}, ["rows"]),
        ({"columns": {**_object(lists, required=list(values)), "additionalProperties": False}}, ["columns"]),
        ({"columns": {"const": list(values)}, "data": _list(row, ROWS_MAX), "index": {}}, ["columns", "data"]),
    ]
    return {
        "oneOf": [
            {**_object({**properties, **common}, required=required), "additionalProperties": False}
            for properties, required in forms
        ]
    }


def _value(column: Column, *, gaps: bool) -> Schema:
    value = _VALUES[column.datatype]
    return {"anyOf": [value, {"type": "null"}]} if gaps else value


def _tensor() -> Schema:
    return _object(
        {
            "name": {"type": "string", "minLength": 1},
            "datatype": {"enum": sorted(DATATYPES)},
            "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1, "maxItems": 2},
            "parameters": {"type": "object"},
            "data": {"type": "array"},
        },
        required=["name", "datatype", "shape"],
    )


def _infer_request(signature: Signature) -> Schema:
    _, outputs = tensors_of(signature)
    asked = _object({"name": {"enum": [output.name for output in outputs]}}, required=["name"])
    return _object(
        {
            "id": {"type": "string", "maxLength": 1024},
            "inputs": {"type": "array", "items": _reference("Tensor"), "minItems": 1},
            "outputs": {"type": "array", "items": asked},
            "parameters": {"type": "object"},
        },
        required=["inputs"],
    )


def _label() -> Schema:
    return _object(
        {
            "id": {"type": "string"},
            "label": {"type": ["string", "number", "boolean"]},
            "row": {"type": "integer", "minimum": 0, "maximum": ROWS_MAX - 1},
        },
        required=["id", "label"],
    )


def _receipt() -> Schema:
    refused = {"index": {"type": "integer"}, "reason": {"type": "string"}, "message": {"type": "string"}}
    return _object(
        {
            "accepted": {"type": "integer"},
            "duplicates": {"type": "integer"},
            "refused": _list(_object(refused, required=list(refused)), ITEMS_MAX, least=0),
            "error": {"type": "string"},
        },
        required=["accepted", "duplicates", "refused"],
    )


def _object(properties: dict[str, Schema], *, required: list[str]) -> Schema:
    return {"type": "object", "properties": properties, "required": required}


def _list(items: Schema, most: int | None, least: int = 1) -> Schema:
    bounds = {} if most is None else {"maxItems": most}
    return {"type": "array", "items": items, "minItems": least, **bounds}


def page(server: Server) -> Answer:
    """The document for people: one page that loads nothing and runs nothing."""
    described = document(server)
    columns = "".join(
        f"<tr><td>{html.escape(column.name)}</td><td>{column.datatype}</td></tr>"
        for column in server.model.signature.columns
    )
    paths = "".join(
        f"<tr><td>{method.upper()}</td><td><code>{html.escape(path)}</code></td>"
        f"<td>{html.escape(operation['summary'])}</td></tr>"
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    )
    info = described["info"]
    text = _PAGE.format(
        title=html.escape(info["title"]),
        revision=html.escape(info["version"]),
        description=html.escape(info["description"]),
        columns=columns,
        paths=paths,
        example=html.escape(json.dumps(_example(server.model.signature.columns), indent=1)),
        predict=http.PREDICT_PATH,
        openapi=http.OPENAPI_PATH,
    )
    return Answer(200, text.encode(), list(_PAGE_HEADERS), b"text/html; charset=utf-8")


def _example(columns: list[Column]) -> dict[str, Any]:
    values = {"BYTES": "text", "BOOL": True, "INT64": 1, "INT32": 1}
    return {"rows": [{column.name: values.get(column.datatype, 1.0) for column in columns}]}


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>body{{font:1rem/1.5 sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}}
td{{padding:.1rem 1rem .1rem 0;vertical-align:top}}pre{{background:#f4f4f4;padding:1rem;overflow:auto}}</style></head>
<body><h1>{title}</h1><p>{description} This is revision <code>{revision}</code>.</p>
<h2>What it takes</h2><table>{columns}</table>
<h2>What to ask</h2><table>{paths}</table>
<p>The whole description is at <a href="{openapi}">{openapi}</a>.</p>
<h2>An example for {predict}</h2><pre>{example}</pre></body></html>
"""

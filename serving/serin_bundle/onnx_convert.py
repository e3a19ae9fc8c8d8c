"""Turn a scikit-learn model into an ONNX graph, byte for byte the same each time."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import numpy as np
import onnx
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import DoubleTensorType, StringTensorType
from sklearn.base import is_classifier
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

from serin_bundle.onnx_names import number_names
from serin_bundle.onnx_steps import STEP_CONVERTERS, STEP_SHAPES
from serin_bundle.onnx_trees import ML_DOMAIN, ML_OPSET, TREE_CONVERTERS, TREE_SHAPES
from serin_contract.bundle import Column, matrix_type
from serin_contract.compiled import INPUT, MISSING_TEXT, input_name

OPSET = 18
IR_VERSION = 10
_NAME = "model"


def convert(model: Any, columns: list[Column]) -> bytes:
    """The graph of a fitted model, whose outputs are label and probabilities, or a value.

    Raises:
        Exception: skl2onnx does not know the model, or trips over it; its errors share no narrower type.
    """
    if matrix_type(columns) == "object":
        model = _with_texts_for_missing(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = convert_sklearn(
            model,
            name=_NAME,
            initial_types=_inputs(columns),
            target_opset={"": OPSET, ML_DOMAIN: 3},
            options=_options(model),
            custom_conversion_functions=TREE_CONVERTERS | STEP_CONVERTERS,
            custom_shape_calculators=TREE_SHAPES | STEP_SHAPES,
        )
    _settle_versions(graph)
    number_names(graph.graph)
    onnx.checker.check_model(graph)
    return bytes(graph.SerializeToString(deterministic=True))


def _inputs(columns: list[Column]) -> list[tuple[str, Any]]:
    if matrix_type(columns) != "object":
        return [(INPUT, DoubleTensorType([None, len(columns)]))]
    kinds = [StringTensorType if column.datatype == "BYTES" else DoubleTensorType for column in columns]
    return [(input_name(index), kind([None, 1])) for index, kind in enumerate(kinds)]


def _options(model: Any) -> dict[int, dict[str, Any]] | None:
    """Probabilities as one array and not as a dictionary for each row."""
    return {id(model): {"zipmap": False}} if is_classifier(model) else None


def _settle_versions(graph: Any) -> None:
    """One entry for each set of operators; the tree operators are younger than skl2onnx knows."""
    used = {entry.domain: entry.version for entry in graph.opset_import}
    if any(node.op_type == "TreeEnsemble" for node in graph.graph.node):
        used[ML_DOMAIN] = ML_OPSET
    del graph.opset_import[:]
    for domain, version in sorted(used.items()):
        graph.opset_import.append(onnx.helper.make_opsetid(domain, version))
    graph.ir_version = IR_VERSION


def encoders_of(model: Any) -> list[Any]:
    """Every encoder of categories inside the model."""
    found, waiting, seen = [], [model], set()
    while waiting:
        part = waiting.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, (OneHotEncoder, OrdinalEncoder)) and hasattr(part, "categories_"):
            found.append(part)
        elif isinstance(part, (list, tuple)):
            waiting.extend(part)
        elif isinstance(part, dict):
            waiting.extend(part.values())
        elif hasattr(part, "get_params"):
            waiting.extend(vars(part).values())
    return found


def _with_texts_for_missing(model: Any) -> Any:
    """A copy whose encoders know a missing text by the text that stands for it."""
    model = copy.deepcopy(model)
    for encoder in encoders_of(model):
        encoder.categories_ = [_texts(categories) for categories in encoder.categories_]
    return model


def _texts(categories: Any) -> Any:
    if categories.dtype != object:
        return categories
    return np.array([MISSING_TEXT if text is None else text for text in categories.tolist()], dtype=object)

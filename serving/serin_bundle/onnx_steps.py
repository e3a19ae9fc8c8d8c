"""Steps before a model that skl2onnx writes in 32 bits only, in 64."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
from onnx import TensorProto, numpy_helper
from skl2onnx.common.data_types import DoubleTensorType, StringTensorType
from skl2onnx.operator_converters.one_hot_encoder import convert_sklearn_one_hot_encoder
from skl2onnx.shape_calculators.one_hot_encoder import calculate_sklearn_one_hot_encoder_output_shapes
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder


def _imputer(scope: Any, operator: Any, container: Any) -> None:
    """What is missing becomes the column's number: onnxruntime's own Imputer takes 32 bits only."""
    model = operator.raw_operator
    missing = model.missing_values
    if model.add_indicator or not (isinstance(missing, float) and math.isnan(missing)):
        raise NotImplementedError("an imputer that marks what was missing, or looks for other values than NaN")
    if any(isinstance(column.type, StringTensorType) for column in operator.inputs):
        raise NotImplementedError("an imputer of texts")
    statistics = np.asarray(model.statistics_, dtype=np.float64).reshape(1, -1)
    if np.isnan(statistics).any():
        raise NotImplementedError("an imputer that drops columns")
    columns = [_node(scope, container, "Cast", [c.full_name], to=TensorProto.DOUBLE) for c in operator.inputs]
    rows = columns[0] if len(columns) == 1 else _node(scope, container, "Concat", columns, axis=1)
    name: str = scope.get_unique_variable_name("statistics")
    container.add_initializer(name, None, None, numpy_helper.from_array(statistics, name))
    gaps = _node(scope, container, "IsNaN", [rows])
    _node(scope, container, "Where", [gaps, name, rows], output=operator.outputs[0].full_name)


def _one_hot(scope: Any, operator: Any, container: Any) -> None:
    narrow: str = scope.get_unique_variable_name("onehot")
    proxy = SimpleNamespace(
        raw_operator=operator.raw_operator, inputs=operator.inputs, output_full_names=[narrow], outputs=operator.outputs
    )
    convert_sklearn_one_hot_encoder(scope, proxy, container)
    _node(scope, container, "Cast", [narrow], output=operator.outputs[0].full_name, to=TensorProto.DOUBLE)


def _node(scope: Any, container: Any, kind: str, inputs: list[str], output: str = "", **attributes: Any) -> str:
    output = output or scope.get_unique_variable_name(kind.lower())
    name = scope.get_unique_operator_name(kind)
    container.add_node(kind, inputs, output, op_version=13, name=name, **attributes)
    return output


def _shape_of_imputer(operator: Any) -> None:
    rows = operator.inputs[0].get_first_dimension()
    operator.outputs[0].type = DoubleTensorType([rows, len(operator.raw_operator.statistics_)])


def _shape_of_one_hot(operator: Any) -> None:
    calculate_sklearn_one_hot_encoder_output_shapes(operator)
    operator.outputs[0].type = DoubleTensorType(operator.outputs[0].type.shape)


STEP_CONVERTERS = {SimpleImputer: _imputer, OneHotEncoder: _one_hot}
STEP_SHAPES = {SimpleImputer: _shape_of_imputer, OneHotEncoder: _shape_of_one_hot}

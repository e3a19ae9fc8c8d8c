"""Trees as ONNX operators with scikit-learn's own arithmetic: 64-bit thresholds and sums, and missing values.

skl2onnx's converters write 32-bit thresholds, leave out where a missing value goes, and cannot write histogram
gradient boosting at all. These take their place: splits and leaves are copied as they are, and what scikit-learn
casts to 32 bits first is cast here too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper
from skl2onnx.common.data_types import DoubleTensorType, Int64TensorType, StringTensorType
from sklearn.base import ClassifierMixin
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor

from serin_bundle.onnx_nodes import Tree, ensemble_attributes, of_cart, of_histogram, shares_attributes

ML_DOMAIN = "ai.onnx.ml"
ML_OPSET = 5
"""The first with TreeEnsemble, which answers in 64 bits."""


class _Graph:
    """Adds nodes to what skl2onnx is writing; every value is 64 bits wide."""

    def __init__(self, scope: Any, container: Any) -> None:
        self._scope = scope
        self._container = container

    def node(self, kind: str, *inputs: str, domain: str = "", output: str | None = None, **attributes: Any) -> str:
        output = output or self._scope.get_unique_variable_name(kind.lower())
        # skl2onnx refuses sets of operators that it does not know; the version is set when the graph is whole.
        version = 3 if domain else 18
        name = self._scope.get_unique_operator_name(kind)
        self._container.add_node(
            kind, list(inputs), output, op_domain=domain, op_version=version, name=name, **attributes
        )
        return output

    def constant(self, values: Any) -> str:
        name: str = self._scope.get_unique_variable_name("constant")
        self._container.add_initializer(name, None, None, numpy_helper.from_array(np.asarray(values), name))
        return name

    def double(self, name: str, *, rounded: bool) -> str:
        """The input in 64 bits, rounded to 32 first where scikit-learn does so."""
        if rounded:
            name = self.node("Cast", name, to=TensorProto.FLOAT)
        return self.node("Cast", name, to=TensorProto.DOUBLE)

    def ensemble(self, rows: str, trees: Sequence[tuple[Tree, int]], targets: int) -> str:
        return self.node("TreeEnsemble", rows, domain=ML_DOMAIN, **ensemble_attributes(trees, targets))

    def shares(self, rows: str, trees: Sequence[Tree], classes: int) -> str:
        attributes = shares_attributes(trees, classes)
        return self.double(self.node("TreeEnsembleRegressor", rows, domain=ML_DOMAIN, **attributes), rounded=False)

    def classify(self, probabilities: str, classes: NDArray[Any], outputs: Sequence[Any]) -> None:
        """The two outputs of a classifier: the likeliest class, the first of equal ones, and all probabilities."""
        index = self.node("ArgMax", probabilities, axis=1, keepdims=0)
        self.node("Gather", self._labels(classes), index, output=outputs[0].full_name, axis=0)
        self.node("Identity", probabilities, output=outputs[1].full_name)

    def _labels(self, classes: NDArray[Any]) -> str:
        if classes.dtype.kind in "iub":
            return self.constant(classes.astype(np.int64))
        name: str = self._scope.get_unique_variable_name("constant")
        texts = [str(label).encode() for label in classes]
        self._container.add_initializer(name, TensorProto.STRING, [len(texts)], texts)
        return name


def _boosted(graph: _Graph, raw: str, start: NDArray[np.float64]) -> str:
    return graph.node("Add", raw, graph.constant(np.asarray(start, np.float64).reshape(1, -1)))


def _likelihoods(graph: _Graph, raw: str, classes: int, factor: float = 1.0) -> str:
    """Probabilities from raw scores, of which two classes share one."""
    if classes > 2:
        return graph.node("Softmax", raw, axis=1)
    if factor != 1.0:
        raw = graph.node("Mul", raw, graph.constant(np.float64(factor)))
    one = graph.node("Sigmoid", raw)
    return graph.node("Concat", graph.node("Sub", graph.constant(np.float64(1.0)), one), one, axis=1)


def _forest_classifier(scope: Any, operator: Any, container: Any) -> None:
    model, graph = operator.raw_operator, _Graph(scope, container)
    trees = [part.tree_ for part in getattr(model, "estimators_", [model])]
    rows = graph.double(operator.inputs[0].full_name, rounded=True)
    total = graph.shares(rows, [of_cart(tree) for tree in trees], len(model.classes_))
    mean = graph.node("Div", total, graph.constant(np.float64(len(trees))))
    graph.classify(mean, model.classes_, operator.outputs)


def _forest_regressor(scope: Any, operator: Any, container: Any) -> None:
    model, graph = operator.raw_operator, _Graph(scope, container)
    trees = [part.tree_ for part in getattr(model, "estimators_", [model])]
    rows = graph.double(operator.inputs[0].full_name, rounded=True)
    total = graph.ensemble(rows, [(of_cart(tree), 0) for tree in trees], 1)
    graph.node("Div", total, graph.constant(np.float64(len(trees))), output=operator.outputs[0].full_name)


def _gradient_raw(graph: _Graph, model: Any, rows: str) -> str:
    if model.init is not None and not isinstance(model.init, str):
        raise NotImplementedError("gradient boosting that begins with another model")
    parts = [
        (of_cart(part.tree_, model.learning_rate), column)
        for stage in model.estimators_
        for column, part in enumerate(stage)
    ]
    start = model._raw_predict_init(np.zeros((1, model.n_features_in_)))  # noqa: SLF001 — nothing public says it
    return _boosted(graph, graph.ensemble(rows, parts, model.estimators_.shape[1]), start)


def _gradient_classifier(scope: Any, operator: Any, container: Any) -> None:
    model, graph = operator.raw_operator, _Graph(scope, container)
    raw = _gradient_raw(graph, model, graph.double(operator.inputs[0].full_name, rounded=True))
    factor = 2.0 if model.loss == "exponential" else 1.0
    graph.classify(_likelihoods(graph, raw, len(model.classes_), factor), model.classes_, operator.outputs)


def _gradient_regressor(scope: Any, operator: Any, container: Any) -> None:
    model, graph = operator.raw_operator, _Graph(scope, container)
    raw = _gradient_raw(graph, model, graph.double(operator.inputs[0].full_name, rounded=True))
    graph.node("Identity", raw, output=operator.outputs[0].full_name)


def _histogram_raw(graph: _Graph, model: Any, operator: Any) -> str:
    if model.is_categorical_ is not None and model.is_categorical_.any():
        raise NotImplementedError("histogram gradient boosting with categorical features")
    predictors = model._predictors  # noqa: SLF001 — nothing public holds the trees
    parts = [(of_histogram(part), column) for stage in predictors for column, part in enumerate(stage)]
    rows = graph.double(operator.inputs[0].full_name, rounded=False)
    start = model._baseline_prediction  # noqa: SLF001
    return _boosted(graph, graph.ensemble(rows, parts, len(predictors[0])), start)


def _histogram_classifier(scope: Any, operator: Any, container: Any) -> None:
    model, graph = operator.raw_operator, _Graph(scope, container)
    raw = _histogram_raw(graph, model, operator)
    graph.classify(_likelihoods(graph, raw, len(model.classes_)), model.classes_, operator.outputs)


def _histogram_regressor(scope: Any, operator: Any, container: Any) -> None:
    model, graph = operator.raw_operator, _Graph(scope, container)
    raw = _histogram_raw(graph, model, operator)
    kind = "Exp" if model.loss in ("poisson", "gamma") else "Identity"
    graph.node(kind, raw, output=operator.outputs[0].full_name)


Converter = Callable[[Any, Any, Any], None]

TREE_CONVERTERS: dict[type, Converter] = {
    **dict.fromkeys((DecisionTreeClassifier, ExtraTreeClassifier), _forest_classifier),
    **dict.fromkeys((RandomForestClassifier, ExtraTreesClassifier), _forest_classifier),
    **dict.fromkeys((DecisionTreeRegressor, ExtraTreeRegressor), _forest_regressor),
    **dict.fromkeys((RandomForestRegressor, ExtraTreesRegressor), _forest_regressor),
    GradientBoostingClassifier: _gradient_classifier,
    GradientBoostingRegressor: _gradient_regressor,
    HistGradientBoostingClassifier: _histogram_classifier,
    HistGradientBoostingRegressor: _histogram_regressor,
}


def _shape_of_classifier(operator: Any) -> None:
    rows, classes = operator.inputs[0].get_first_dimension(), operator.raw_operator.classes_
    label = Int64TensorType if classes.dtype.kind in "iub" else StringTensorType
    operator.outputs[0].type = label([rows])
    operator.outputs[1].type = DoubleTensorType([rows, len(classes)])


def _shape_of_regressor(operator: Any) -> None:
    operator.outputs[0].type = DoubleTensorType([operator.inputs[0].get_first_dimension(), 1])


TREE_SHAPES: dict[type, Callable[[Any], None]] = {
    kind: _shape_of_classifier if issubclass(kind, ClassifierMixin) else _shape_of_regressor for kind in TREE_CONVERTERS
}

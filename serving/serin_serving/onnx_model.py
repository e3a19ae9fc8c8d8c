"""A model as its compiled ONNX graph, run by onnxruntime: neither scikit-learn nor scipy is imported."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from serin_contract.bundle import Signature
from serin_contract.compiled import LABEL_OUTPUT, ONNX_FILE, PROBABILITIES_OUTPUT, Compiled, Feed, open_session
from serin_contract.startup import StartupReason
from serin_serving.errors import RefusedError, RequestError
from serin_serving.layout import Matrix
from serin_serving.model import Answers, Model
from serin_serving.onnx_graph import check_graph


class OnnxModel(Model):
    """One session of one thread."""

    runtime = "onnx"

    def __init__(self, session: Any, signature: Signature, compiled: Compiled) -> None:
        super().__init__(signature)
        self._run = session.run
        self._outputs = [output.name for output in session.get_outputs()]
        self._feed = Feed(signature.columns, compiled.takes)

    def _classify(self, matrix: Matrix) -> Answers:
        found = self._answer(matrix)
        try:
            # The graph has 1 where the class is True, and equal numbers are equal keys.
            indices = [self.class_index[label] for label in found[LABEL_OUTPUT].ravel().tolist()]
        except KeyError:
            raise RequestError(500, "the compiled model answered a class that it does not have") from None
        classes = self.signature.classes
        values = [classes[index] for index in indices]
        if not self.signature.probabilities:
            return Answers(values=values, score=np.ones(len(values)), classes=np.array(indices, dtype=np.int64))
        probabilities = np.ascontiguousarray(found[PROBABILITIES_OUTPUT], dtype=np.float64)
        return Answers(
            values=values,
            score=probabilities.max(axis=1),
            classes=np.array(indices, dtype=np.int64),
            probabilities=probabilities,
        )

    def _values(self, matrix: Matrix) -> NDArray[np.float64]:
        return np.asarray(self._answer(matrix)[LABEL_OUTPUT], dtype=np.float64).ravel()

    def _answer(self, matrix: Matrix) -> list[NDArray[Any]]:
        inputs = self._feed.inputs(matrix)
        try:
            return self._run(self._outputs, inputs)  # type: ignore[no-any-return]
        # The errors of onnxruntime share no type, and their texts speak of the graph's insides.
        except Exception as error:
            raise RequestError(500, "the compiled model failed to answer") from error


def load_onnx(graph: bytes, signature: Signature, compiled: Compiled) -> OnnxModel:
    """Open a graph whose hash was checked.

    Raises:
        RefusedError: it uses operators or files that are not allowed (ModelTypeRefused), or is damaged or not the
            model that the signature describes (BundleInvalid).
    """
    check_graph(graph)
    if len(compiled.takes) != len(signature.columns):
        raise _broken("it says what other columns take than those of the signature")
    try:
        session = open_session(graph)
    # Whatever a file makes of onnxruntime while it is read, the answer is that it cannot be served.
    except Exception as error:
        raise _broken(f"onnxruntime does not take it: {_first_line(error)}") from error
    outputs = 2 if signature.task == "classification" and signature.probabilities else 1
    if len(session.get_outputs()) < outputs:
        raise _broken("it lacks an output that the signature promises")
    return OnnxModel(session, signature, compiled)


def _broken(what: str) -> RefusedError:
    return RefusedError(StartupReason.BundleInvalid, f"{ONNX_FILE} cannot be loaded: {what}")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0][:300]

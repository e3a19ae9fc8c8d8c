"""The compiled model of a bundle: an ONNX graph, what it was proven on, and how both programs run it.

The packager proves the graph with the very feed and session that the server answers with. onnxruntime is imported
only where a session is opened.
"""

from __future__ import annotations

import os
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from serin_contract.bundle import Column, matrix_type

COMPILED_FILE = "compiled.json"
ONNX_FILE = "model.onnx"

ONNX_DOMAINS = ("", "ai.onnx", "ai.onnx.ml")
"""Whose operators a graph may use: those of the standard, which onnxruntime brings itself."""

INPUT = "x"
LABEL_OUTPUT = 0
PROBABILITIES_OUTPUT = 1

MISSING_TEXT = "\x00missing"
"""Stands for a missing text, which ONNX cannot say."""

FLOAT32_MAX = float(np.finfo(np.float32).max)
_SMALL_SQUARES = {"float64": FLOAT32_MAX**2, "float32": float("inf")}

Matrix = NDArray[Any]


class ColumnTakes(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which odd values of one column the original model answers. ONNX would answer any, so the rest is refused."""

    missing: bool = False
    infinite: bool = False
    beyond_float32: bool = False
    """Numbers larger than a 32-bit float holds, which a tree refuses."""
    texts: list[str] | None = None
    """The only texts that are answered; None where any is."""


class Compiled(msgspec.Struct, frozen=True, omit_defaults=True):
    """What came of compiling a model; an answer counts as equal within the limits of the packager."""

    kind: Literal["onnx", "none"]
    reason: str = ""
    """Why there is no graph; empty where there is one."""
    rows: int = 0
    """Rows on which the graph was held against the model."""
    labels_tied: int = 0
    """Of these, rows whose two likeliest classes are equally likely and came out in the other order."""
    difference_max: float = 0.0
    """Largest difference of a probability, or of a value relative to its size, rounded up to a power of ten."""
    takes: list[ColumnTakes] = []
    """One for each column of the signature."""
    versions: dict[str, str] = {}
    """Of the libraries that converted and ran the graph."""


class UntakenError(ValueError):
    """A row holds a value that the original model refuses; the text names the column."""


class Feed:
    """From rows as the model is fed them to the inputs of its graph."""

    def __init__(self, columns: list[Column], takes: list[ColumnTakes]) -> None:
        self._columns = columns
        self._takes = takes
        self._texts = [None if known.texts is None else frozenset(known.texts) for known in takes]
        self._type = matrix_type(columns)
        self._small = _SMALL_SQUARES.get(self._type)

    def inputs(self, matrix: Matrix) -> dict[str, Matrix]:
        """The graph's inputs for m rows of shape [m, d].

        Raises:
            UntakenError: the original model would not answer these rows.
        """
        if self._type == "object":
            return self._mixed(matrix)
        if self._small is not None:
            flat = matrix.ravel()
            # One product tells that all numbers are finite and small; only where it does not, each is looked at.
            with np.errstate(over="ignore", invalid="ignore"):
                small = flat.dot(flat) < self._small
            if not small:
                for index in range(len(self._columns)):
                    self._check_numbers(index, matrix[:, index])
        return {INPUT: np.ascontiguousarray(matrix, dtype=np.float64)}

    def _mixed(self, matrix: Matrix) -> dict[str, Matrix]:
        inputs: dict[str, Matrix] = {}
        for index, column in enumerate(self._columns):
            values = matrix[:, index]
            if column.datatype == "BYTES":
                texts = values.tolist()
                self._check_texts(index, texts)
                cells: Matrix = np.array([MISSING_TEXT if text is None else text for text in texts], dtype=object)
            else:
                cells = values.astype(np.float64)
                self._check_numbers(index, cells)
            inputs[input_name(index)] = cells.reshape(-1, 1)
        return inputs

    def _check_numbers(self, index: int, values: Matrix) -> None:
        takes = self._takes[index]
        if not takes.missing and np.isnan(values).any():
            raise self._untaken(index, "misses a value")
        if not takes.infinite and np.isinf(values).any():
            raise self._untaken(index, "holds an infinite number")
        if not takes.beyond_float32 and (np.abs(values[np.isfinite(values)]) > FLOAT32_MAX).any():
            raise self._untaken(index, "holds a number beyond the range of FP32")

    def _check_texts(self, index: int, texts: list[str | None]) -> None:
        if not self._takes[index].missing and None in texts:
            raise self._untaken(index, "misses a value")
        known = self._texts[index]
        if known is not None and not known.issuperset(text for text in texts if text is not None):
            raise self._untaken(index, "holds a text that the model was not trained on")

    def _untaken(self, index: int, what: str) -> UntakenError:
        return UntakenError(f"column {self._columns[index].name!r} {what}")


def input_name(index: int) -> str:
    """Name of a column's own input, where the graph has one for each."""
    return f"{INPUT}{index}"


def open_session(graph: bytes) -> Any:
    """An onnxruntime session of one thread, so that sums come out in the same order each time.

    Raises:
        Exception: onnxruntime does not take the graph; its errors share no narrower type.
    """
    # Its wheels tell Microsoft of the machine and the model unless this is set before they are loaded.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    # Warnings of the graph optimiser tell a user nothing; errors are raised.
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

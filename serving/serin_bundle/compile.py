"""Compile a model to ONNX and prove that the graph answers as the model does; keep it only then."""

from __future__ import annotations

import math
import re
import warnings
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serin_bundle.errors import BundleError
from serin_bundle.manifest import encode
from serin_bundle.proof_rows import proof_rows
from serin_bundle.table import Table, Values
from serin_bundle.takes import takes_of
from serin_contract.bundle import CompilePolicy, Golden, Signature
from serin_contract.compiled import (
    COMPILED_FILE,
    LABEL_OUTPUT,
    ONNX_FILE,
    PROBABILITIES_OUTPUT,
    ColumnTakes,
    Compiled,
    Feed,
    open_session,
)

PROBABILITY_DIFFERENCE_MAX = 1e-5
VALUE_DIFFERENCE_MAX = 1e-6
"""Relative to the value where that is larger than 1."""
TIE = 1e-6
"""Two probabilities closer than this are equal, and which class comes first means nothing."""

_LIBRARIES = ("onnx", "onnxruntime", "skl2onnx")
_BATCH_ROWS = 1024
_REASON_CHARS_MAX = 300
_address = re.compile(r"0x[0-9a-fA-F]+")


class _UnprovenError(Exception):
    """The graph is not to be served; the text says why."""


def compile_model(
    model: Any,
    table: Table,
    signature: Signature,
    golden: Golden,
    golden_rows: NDArray[np.int64],
    policy: CompilePolicy,
) -> tuple[Compiled, dict[str, bytes]]:
    """Compile, prove, and return what came of it with the files that say so.

    Args:
        model: as it was read back from its file.
        table: the training rows.
        signature: of the model.
        golden: the golden rows with the model's answers.
        golden_rows: their indices in the table.
        policy: `never` does not try, `require` takes nothing but a proven graph.

    Raises:
        BundleError: a graph was required and there is none.
    """
    if policy == "never":
        return _without("it was packaged with compile: never")
    try:
        compiled, graph = _compiled(model, table, signature, golden, golden_rows)
    except (_UnprovenError, BundleError) as error:
        if policy == "require":
            raise BundleError(f"the model cannot be compiled to ONNX, and that was required: {error}") from error
        return _without(str(error))
    return compiled, {ONNX_FILE: graph, COMPILED_FILE: encode(compiled)}


def uncompiled(reason: str, policy: CompilePolicy) -> tuple[Compiled, dict[str, bytes]]:
    """What comes of a model that is of no kind to compile.

    Raises:
        BundleError: a graph was required.
    """
    if policy == "require":
        raise BundleError(f"the model cannot be compiled to ONNX, and that was required: {reason}")
    return _without(reason)


def _without(reason: str) -> tuple[Compiled, dict[str, bytes]]:
    compiled = Compiled(kind="none", reason=reason[:_REASON_CHARS_MAX])
    return compiled, {COMPILED_FILE: encode(compiled)}


def _compiled(
    model: Any, table: Table, signature: Signature, golden: Golden, golden_rows: NDArray[np.int64]
) -> tuple[Compiled, bytes]:
    graph, categories = _graph(model, table)
    takes = takes_of(model, table, table.matrix[golden_rows[:1]], categories)
    runner = _Runner(graph, signature, takes)
    _prove_golden(runner, table.matrix[golden_rows], golden)
    rows = proof_rows(table, takes)
    tied, difference = 0, 0.0
    for start in range(0, len(rows), _BATCH_ROWS):
        found = _differences(model, runner, rows[start : start + _BATCH_ROWS])
        tied, difference = tied + found[0], max(difference, found[1])
    limit = VALUE_DIFFERENCE_MAX if signature.task == "regression" else PROBABILITY_DIFFERENCE_MAX
    if not difference <= limit:
        raise _UnprovenError(f"the answers of its ONNX graph differ by up to {difference:.2g}; {limit:g} is allowed")
    return Compiled(
        kind="onnx",
        rows=len(rows) + len(golden_rows),
        labels_tied=tied,
        difference_max=_power_of_ten(difference),
        takes=takes,
        versions={library: version(library) for library in _LIBRARIES},
    ), graph


def _power_of_ten(difference: float) -> float:
    """Rounded up: enough for a person, and too coarse for the last bit of a sum to change the digest."""
    return float(f"1e{math.ceil(math.log10(difference))}") if difference > 0 else 0.0


def _graph(model: Any, table: Table) -> tuple[bytes, list[str]]:
    """The graph, and the texts that the model's encoders know."""
    try:
        from serin_bundle.onnx_convert import convert, encoders_of
    except ImportError as error:
        raise _UnprovenError(f"{error.name} is not installed; the extra `train` brings it") from error
    try:
        graph = convert(model, table.columns)
    # Whatever skl2onnx makes of a model, the answer is that it is served as it is.
    except Exception as error:
        raise _UnprovenError(f"skl2onnx cannot convert it: {_said(error)}") from error
    categories = [
        text
        for encoder in encoders_of(model)
        for known in encoder.categories_
        for text in known.tolist()
        if isinstance(text, str)
    ]
    return graph, categories


def _said(error: Exception) -> str:
    """The first line of an error, without what would be another one next time."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {_address.sub('0x…', lines[0])[:200]}"


class _Runner:
    """The graph as the server runs it."""

    def __init__(self, graph: bytes, signature: Signature, takes: list[ColumnTakes]) -> None:
        try:
            self._session = open_session(graph)
        except Exception as error:
            raise _UnprovenError(f"onnxruntime does not take its graph: {_said(error)}") from error
        self._feed = Feed(signature.columns, takes)
        self.regresses = signature.task == "regression"
        self.likely = signature.probabilities

    def answer(self, rows: Values) -> tuple[Values, Values | None]:
        """Shape [m], and probabilities of shape [m, k] where the model gives them."""
        try:
            found = self._session.run(None, self._feed.inputs(rows))
        except Exception as error:
            raise _UnprovenError(f"its ONNX graph does not answer: {_said(error)}") from error
        return found[LABEL_OUTPUT].ravel(), found[PROBABILITIES_OUTPUT] if self.likely else None


def _prove_golden(runner: _Runner, rows: Values, golden: Golden) -> None:
    """The graph must pass the server's own self-test, all rows at once and each by itself."""
    answers = [runner.answer(rows), *(runner.answer(rows[index : index + 1]) for index in range(len(rows)))]
    labels = np.concatenate([answers[0][0], *(label for label, _ in answers[1:])])
    expected = np.array([*golden.predictions, *golden.predictions])
    if runner.regresses:
        equal = np.abs(labels - expected) <= golden.tolerance * np.maximum(1.0, np.abs(expected))
    else:
        equal = np.array([mine == theirs for mine, theirs in zip(labels.tolist(), expected.tolist(), strict=True)])
    if golden.probabilities is not None:
        likely = np.concatenate([answers[0][1], *(found for _, found in answers[1:])])
        theirs = np.concatenate([golden.probabilities, golden.probabilities])
        if likely.shape != theirs.shape:
            raise _UnprovenError("its ONNX graph answers another number of probabilities")
        equal &= np.abs(likely - theirs).max(axis=1) <= golden.tolerance
    if not equal.all():
        raise _UnprovenError(f"its ONNX graph answers {int((~equal).sum())} of {len(equal)} golden rows otherwise")


def _differences(model: Any, runner: _Runner, rows: Values) -> tuple[int, float]:
    """How many rows are tied and came out otherwise, and the largest difference.

    Raises:
        _UnprovenError: a label differs where there is no tie, or the model refuses rows that the graph answers.
    """
    mine, likely = runner.answer(rows)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = np.asarray(model.predict(rows))
            expected = np.asarray(model.predict_proba(rows), dtype=np.float64) if runner.likely else None
    except (ValueError, TypeError) as error:
        raise _UnprovenError(f"the model refuses rows near the training rows: {_said(error)}") from error
    if runner.regresses:
        return 0, float(np.max(np.abs(mine - theirs) / np.maximum(1.0, np.abs(theirs))))
    other = np.array([one != two for one, two in zip(mine.tolist(), theirs.tolist(), strict=True)], dtype=np.bool_)
    tied = np.zeros(len(rows), dtype=np.bool_) if expected is None else _tied(expected)
    if (other & ~tied).any():
        raise _UnprovenError(
            f"its ONNX graph answers another class in {int((other & ~tied).sum())} of {len(rows)} rows"
        )
    if likely is None or expected is None:
        return 0, 0.0
    return int(other.sum()), float(np.abs(likely - expected).max())


def _tied(probabilities: NDArray[np.float64]) -> NDArray[np.bool_]:
    if probabilities.shape[1] < 2:
        return np.zeros(len(probabilities), dtype=np.bool_)
    ordered = np.sort(probabilities, axis=1)
    tied: NDArray[np.bool_] = ordered[:, -1] - ordered[:, -2] <= TIE
    return tied

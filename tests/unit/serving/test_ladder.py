"""What is served of a bundle, under each policy, whole or spoilt; and that it answers as the model does."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from onnx import helper, numpy_helper
from tests.support import bundles
from tests.support.quick import examples
from tests.unit.serving.running import Case
from tests.unit.serving.running import settings as settings_of

from serin_contract.compiled import Compiled, Feed
from serin_contract.startup import StartupReason
from serin_serving import startup
from serin_serving.errors import RefusedError, RequestError
from serin_serving.startup import Loaded

NAMES = ("wine", "forest", "boosted", "diabetes", "mixed")


def load(bundle: Path, **changes: Any) -> Loaded:
    case = Case("wine", bundle, bundles.digest(bundle), None, None, None)
    return startup.load(settings_of(case, Path("unused"), **changes))


@pytest.fixture
def bundle(wine: Case, tmp_path: Path) -> Path:
    return bundles.copy(wine.path, tmp_path / "bundle")


def changed_graph(change: Callable[[Any], None]) -> Callable[[Path], object]:
    def spoil(bundle: Path) -> object:
        graph = onnx.load_from_string((bundle / "model.onnx").read_bytes())
        change(graph)
        return bundles.rewrite(bundle, model_onnx=graph.SerializeToString())

    return spoil


def other_weights(graph: Any) -> None:
    weights = next(tensor for tensor in graph.graph.initializer if len(tensor.dims) == 2)
    weights.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(weights), weights.name))


def outside(graph: Any) -> None:
    entry = graph.graph.initializer[0].external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"


def evil(graph: Any) -> None:
    graph.opset_import.append(helper.make_opsetid("evil", 1))


def unknown_operator(graph: Any) -> None:
    graph.graph.node[0].op_type = "NoSuchOperator"


def without_outputs(graph: Any) -> None:
    del graph.graph.output[1:]


def before_compiling(bundle: Path) -> None:
    (bundle / "compiled.json").unlink()
    (bundle / "model.onnx").unlink()
    bundles.rewrite(bundle)


def other_columns(bundle: Path) -> None:
    document = json.loads((bundle / "compiled.json").read_bytes())
    bundles.rewrite(bundle, compiled_json=json.dumps({**document, "takes": []}).encode())


WHOLE: Callable[[Path], object] = lambda _bundle: None  # noqa: E731

SERVED: dict[str, tuple[Callable[[Path], object], str, str, str]] = {
    "a compiled model is served": (WHOLE, "auto", "onnx", ""),
    "and where it is required": (WHOLE, "require", "onnx", ""),
    "but not against the policy": (WHOLE, "never", "skops", "is never"),
    "a bundle that could not be compiled": (bundles.forget_the_graph, "auto", "skops", "nobody tried"),
    "a bundle of an earlier version": (before_compiling, "auto", "skops", "did not compile"),
    "a graph that fails the self-test": (
        changed_graph(other_weights), "auto", "skops", "SelfTestFailed: golden row 0"
    ),
    "a graph that onnxruntime does not take": (changed_graph(unknown_operator), "auto", "skops", "does not take it"),
    "a graph without probabilities": (changed_graph(without_outputs), "auto", "skops", "lacks an output"),
    "a graph that is none": (
        lambda bundle: bundles.rewrite(bundle, model_onnx=b"graph"), "auto", "skops", "is no ONNX graph"
    ),
    "a proof of other columns": (other_columns, "auto", "skops", "other columns"),
    "a proof that cannot be read": (
        lambda bundle: bundles.rewrite(bundle, compiled_json=b"{}"), "auto", "skops", "compiled.json cannot be read"
    ),
}  # fmt: skip


@pytest.mark.parametrize("sentence", SERVED)
def test_served(bundle: Path, sentence: str) -> None:
    spoil, policy, runtime, reason = SERVED[sentence]
    spoil(bundle)
    loaded = load(bundle, compile=policy)
    assert loaded.model.runtime == runtime
    assert reason in loaded.reason
    assert bool(loaded.reason) is (runtime != "onnx")


REFUSED: dict[str, tuple[Callable[[Path], object], str, StartupReason, str]] = {
    "no compiled model where one is required": (
        bundles.forget_the_graph, "require", StartupReason.NotCompiled, "require, so only a compiled model"
    ),
    "an old bundle where one is required": (before_compiling, "require", StartupReason.NotCompiled, "did not compile"),
    "a graph that fails the self-test where it is required": (
        changed_graph(other_weights), "require", StartupReason.SelfTestFailed, "golden row 0"
    ),
    "a graph that onnxruntime does not take where it is required": (
        changed_graph(unknown_operator), "require", StartupReason.BundleInvalid, "does not take it"
    ),
    "a graph with a tensor in another file": (
        changed_graph(outside), "auto", StartupReason.ModelTypeRefused, "another file"
    ),
    "a graph with operators of another domain": (
        changed_graph(evil), "auto", StartupReason.ModelTypeRefused, "not of the standard"
    ),
    "a flipped bit in the graph": (
        lambda bundle: bundles.damage(bundle, "model.onnx"), "auto", StartupReason.DigestMismatch, "model.onnx"
    ),
    "a flipped bit in the graph that is not served": (
        lambda bundle: bundles.damage(bundle, "model.onnx"), "never", StartupReason.DigestMismatch, "model.onnx"
    ),
    "a flipped bit in the model that is not served": (
        bundles.damage, "auto", StartupReason.DigestMismatch, "model.skops"
    ),
    "golden rows that neither answers": (
        bundles.lie_in_golden_rows, "auto", StartupReason.SelfTestFailed, "golden row 0"
    ),
}  # fmt: skip


@pytest.mark.parametrize("sentence", REFUSED)
def test_refused(bundle: Path, sentence: str) -> None:
    spoil, policy, reason, part = REFUSED[sentence]
    spoil(bundle)
    with pytest.raises(RefusedError, match=part) as caught:
        load(bundle, compile=policy)
    assert caught.value.reason is reason


LEAN = """
import sys
from pathlib import Path
hidden = {"sklearn", "scipy", "skops", "joblib", "onnx", "skl2onnx"}
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in hidden:
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Hidden())
from serin_serving import drain, ladder, server, startup
from serin_serving.errors import RefusedError
from serin_serving.settings import Settings
bundle, digest = Path(sys.argv[1]), sys.argv[2]
try:
    loaded = startup.load(Settings("wine", "wine-1", "pod-1", bundle, digest, Path("unused"), None, 0.0))
    print(loaded.model.runtime)
except RefusedError as refused:
    print(refused.reason, refused.message)
"""
"""A process that finds none of the libraries which the slim image lacks."""


def lean(bundle: Path) -> str:
    command = [sys.executable, "-c", LEAN, str(bundle), bundles.digest(bundle)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_an_image_without_scikit_learn_serves_compiled_models(bundle: Path) -> None:
    assert lean(bundle) == "onnx\n"


def test_an_image_without_scikit_learn_refuses_other_bundles(bundle: Path) -> None:
    bundles.forget_the_graph(bundle)
    said = lean(bundle)
    assert said.startswith("NotCompiled this image has no sk")
    assert "nobody tried" in said


@pytest.fixture(scope="session")
def both(cases: dict[str, Case]) -> dict[str, tuple[Any, Any]]:
    """Each bundle as compiled and as it was."""
    return {
        name: (load(cases[name].path, compile="require").model, load(cases[name].path, compile="never").model)
        for name in NAMES
    }


def odd_rows(draw: Any, case: Case) -> Any:
    """Rows of the training data with some cells anywhere: huge, missing or infinite, and texts nobody saw."""
    rows = case.rows[draw(st.lists(st.integers(0, len(case.rows) - 1), min_size=1, max_size=8))].copy()
    for _ in range(draw(st.integers(0, 4))):
        row, column = draw(st.integers(0, len(rows) - 1)), draw(st.integers(0, rows.shape[1] - 1))
        if isinstance(rows[row, column], str):
            rows[row, column] = draw(st.text(max_size=5))
        elif rows[row, column] is not None:
            width = 32 if rows.dtype == np.float32 else 64
            rows[row, column] = draw(st.floats(width=width) | st.floats(-100, 100, width=width))
    return rows


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", NAMES)
@examples(60)
@given(data=st.data())
def test_a_compiled_model_answers_and_refuses_as_the_model_does(
    cases: dict[str, Case], both: dict[str, tuple[Any, Any]], name: str, data: st.DataObject
) -> None:
    rows = odd_rows(data.draw, cases[name])
    compiled, original = both[name]
    try:
        expected = original.answer(rows)
    except RequestError as refused:
        status = refused.status
        with pytest.raises(RequestError) as caught:
            compiled.answer(rows)
    else:
        status = None
    if status is not None:
        assert caught.value.status == status
        return
    answers = compiled.answer(rows)
    if expected.probabilities is None:
        assert answers.score == pytest.approx(expected.score, rel=1e-6)
        return
    assert np.abs(answers.probabilities - expected.probabilities).max() <= 1e-5
    ordered = np.sort(expected.probabilities, axis=1)
    tied = ordered[:, -1] - ordered[:, -2] <= 1e-6
    assert all(mine == theirs or tie for mine, theirs, tie in zip(answers.values, expected.values, tied, strict=True))


def test_a_compiled_model_refuses_numbers_that_overflow_inside_it(
    cases: dict[str, Case], both: dict[str, tuple[Any, Any]]
) -> None:
    rows = cases["wine"].rows[:2].copy()
    rows[1, 0] = 1.5e308
    with pytest.raises(RequestError, match="a probability leaves the range of numbers") as caught:
        both["wine"][0].answer(rows)
    assert caught.value.status == 400


@given(hnp.arrays(np.float64, (3, 2), elements=st.floats(-1e300, 1e300)))
def test_numbers_that_are_taken_reach_the_graph_as_they_are(rows: Any) -> None:
    from serin_contract.bundle import Column
    from serin_contract.compiled import ColumnTakes

    feed = Feed([Column("a", "FP64"), Column("b", "FP64")], [ColumnTakes(beyond_float32=True)] * 2)
    assert np.array_equal(feed.inputs(rows)["x"], rows)


def test_what_came_of_compiling_is_read_back(wine: Case) -> None:
    compiled = msgspec.json.decode((wine.path / "compiled.json").read_bytes(), type=Compiled)
    assert (compiled.kind, len(compiled.takes)) == ("onnx", 13)
    assert compiled.rows > 5 * len(wine.rows)

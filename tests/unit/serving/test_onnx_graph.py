"""What a graph may not hold, whoever vouches for its digest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.unit.serving.running import Case

from serin_contract.startup import StartupReason
from serin_serving.errors import RefusedError
from serin_serving.onnx_graph import check_graph


@pytest.fixture
def graph(wine: Case) -> Any:
    return onnx.load_from_string((wine.path / "model.onnx").read_bytes())


def outside(tensor: Any) -> None:
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../secret"


def outside_by_location_alone(tensor: Any) -> None:
    tensor.data_location = TensorProto.EXTERNAL


def tensor_in_a_branch(graph: Any) -> None:
    """An If whose branch holds a constant that lies in a file."""
    tensor = helper.make_tensor("t", TensorProto.FLOAT, [1], [1.0])
    outside(tensor)
    branch = helper.make_graph(
        [helper.make_node("Constant", [], ["c"], value=tensor)],
        "branch",
        [],
        [helper.make_tensor_value_info("c", TensorProto.FLOAT, [1])],
    )
    graph.graph.node.append(helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch))


def node_of(domain: str) -> Callable[[Any], None]:
    def change(graph: Any) -> None:
        graph.graph.node[0].domain = domain

    return change


def own_function(graph: Any) -> None:
    imports = [helper.make_opsetid("", 18)]
    graph.functions.append(helper.make_function("ai.onnx.ml", "f", ["a"], ["b"], [], imports))


def sparse(graph: Any) -> None:
    values = numpy_helper.from_array(np.ones(1, np.float32), "v")
    outside(values)
    indices = helper.make_tensor("i", TensorProto.INT64, [1], [0])
    graph.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [4]))


REFUSED: dict[str, tuple[Callable[[Any], None], str]] = {
    "a tensor in another file": (lambda g: outside(g.graph.initializer[0]), "another file"),
    "a tensor that only says so": (lambda g: outside_by_location_alone(g.graph.initializer[0]), "another file"),
    "a sparse tensor in another file": (sparse, "another file"),
    "a tensor in another file, in a graph inside the graph": (tensor_in_a_branch, "another file"),
    "an operator of Microsoft's": (node_of("com.microsoft"), "not of the standard"),
    "an operator of somebody's": (node_of("evil"), "not of the standard"),
    "a set of operators that nothing uses": (
        lambda g: g.opset_import.append(helper.make_opsetid("evil", 1)), "not of the standard"
    ),
    "an operator that it defines itself": (own_function, "operators of its own"),
    "steps of a training": (lambda g: g.training_info.add(), "training steps"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_graph_is_refused_with(graph: Any, name: str) -> None:
    change, part = REFUSED[name]
    change(graph)
    with pytest.raises(RefusedError, match=part) as caught:
        check_graph(graph.SerializeToString())
    assert caught.value.reason is StartupReason.ModelTypeRefused


DAMAGED = {
    "a text": (b"not a graph at all", "no ONNX graph"),
    "a field without an end": (b"\x3a\xff\x01abc", "cut off"),
    "a number without an end": (b"\x08" + b"\xff" * 20, "too long"),
    "a field whose number readers take differently": (b"\xba\x80\x80\x80\x10\x00", "impossible number"),
    "a graph that is a number": (b"\x38\x01", "wrong type"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_bytes_are_refused_that_are(name: str) -> None:
    data, part = DAMAGED[name]
    with pytest.raises(RefusedError, match=part) as caught:
        check_graph(data)
    assert caught.value.reason is StartupReason.BundleInvalid


def test_what_stands_behind_long_lists_is_still_seen(graph: Any) -> None:
    """The lists of a forest's nodes are passed over at once; nothing can hide behind them."""
    node = graph.graph.node[0]
    lists = {"a": [1, -1, 2**40] * 999, "b": [0.5] * 999, "c": ["LEAF", "BRANCH_LEQ"] * 99}
    node.attribute.extend(helper.make_attribute(name, values) for name, values in lists.items())
    check_graph(graph.SerializeToString())
    hidden = node.attribute[-3].tensors.add()
    outside(hidden)
    with pytest.raises(RefusedError, match="another file"):
        check_graph(graph.SerializeToString())


def test_every_graph_that_is_made_here_passes(cases: dict[str, Case]) -> None:
    for name in ("wine", "forest", "boosted", "diabetes", "mixed"):
        check_graph((cases[name].path / "model.onnx").read_bytes())

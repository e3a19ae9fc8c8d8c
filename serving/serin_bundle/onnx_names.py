"""Names inside a graph, numbered anew: skl2onnx counts some of them through the whole life of a process."""

from __future__ import annotations

from typing import Any


def number_names(graph: Any) -> None:
    """Rename all values, nodes and inner graphs in place, in the order in which they stand; inputs and outputs stay."""
    kept = {value.name for value in (*graph.input, *graph.output)}
    _Numbering({"": ""} | {name: name for name in kept}).apply(graph)
    del graph.value_info[:]


class _Numbering:
    def __init__(self, names: dict[str, str]) -> None:
        self._names = names
        self._nodes = 0

    def apply(self, graph: Any) -> None:
        """A name is one value in all inner graphs too: ONNX lets none be used twice."""
        for value in (*graph.input, *graph.output, *graph.initializer):
            value.name = self._of(value.name)
        for tensor in graph.sparse_initializer:
            tensor.values.name = self._of(tensor.values.name)
        for node in graph.node:
            node.input[:] = [self._of(name) for name in node.input]
            node.output[:] = [self._of(name) for name in node.output]
            node.name = f"n{self._nodes}"
            self._nodes += 1
            for attribute in node.attribute:
                for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                    inner.name = node.name
                    del inner.value_info[:]
                    self.apply(inner)

    def _of(self, name: str) -> str:
        return self._names.setdefault(name, f"v{len(self._names)}")

"""The nodes of scikit-learn's trees as attributes of ONNX's tree operators: splits and leaves copied as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from onnx import numpy_helper

_SUM = 1
_BRANCH_LEQ = 0


class Tree(msgspec.Struct):
    """The nodes of one tree, root first, in arrays of equal length."""

    leaf: NDArray[np.bool_]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    feature: NDArray[np.int64]
    threshold: NDArray[np.float64]
    missing_left: NDArray[np.int64]
    value: NDArray[np.float64]
    """Shape [nodes, k]: what a leaf adds to each of k numbers."""


def of_cart(tree: Any, scale: float = 1.0) -> Tree:
    """A tree of forests and gradient boosting."""
    nodes = tree.__getstate__()["nodes"]
    return Tree(
        leaf=nodes["left_child"] == -1,
        left=nodes["left_child"].astype(np.int64),
        right=nodes["right_child"].astype(np.int64),
        feature=nodes["feature"].astype(np.int64),
        threshold=nodes["threshold"].astype(np.float64),
        missing_left=nodes["missing_go_to_left"].astype(np.int64),
        value=scale * tree.value[:, 0, :],
    )


def of_histogram(predictor: Any) -> Tree:
    """A tree of histogram gradient boosting.

    Raises:
        NotImplementedError: it splits on categories.
    """
    nodes = predictor.nodes
    if nodes["is_categorical"].any():
        raise NotImplementedError("histogram gradient boosting with categorical features")
    return Tree(
        leaf=nodes["is_leaf"] != 0,
        left=nodes["left"].astype(np.int64),
        right=nodes["right"].astype(np.int64),
        feature=nodes["feature_idx"].astype(np.int64),
        threshold=nodes["num_threshold"].astype(np.float64),
        missing_left=nodes["missing_go_to_left"].astype(np.int64),
        value=nodes["value"].astype(np.float64).reshape(-1, 1),
    )


def _with_a_split(tree: Tree) -> Tree:
    """ONNX knows no tree that is one leaf: it becomes a split into two equal ones."""
    if len(tree.leaf) > 1:
        return tree
    return Tree(
        leaf=np.array([False, True, True]),
        left=np.array([1, -1, -1]),
        right=np.array([2, -1, -1]),
        feature=np.zeros(3, np.int64),
        threshold=np.zeros(3),
        missing_left=np.zeros(3, np.int64),
        value=np.repeat(tree.value, 3, axis=0),
    )


def ensemble_attributes(trees: Sequence[tuple[Tree, int]], targets: int) -> dict[str, Any]:
    """The attributes of TreeEnsemble for trees and the output column that each adds to."""
    gathered: dict[str, list[Any]] = {name: [] for name in ("inner", "roots", "true", "false", "true_leaf")}
    gathered |= {"false_leaf": [], "leaves": [], "targets": []}
    inner_before = leaves_before = 0
    for tree, target in trees:
        tree = _with_a_split(tree)
        inner, leaves = np.flatnonzero(~tree.leaf), np.flatnonzero(tree.leaf)
        place = np.empty(len(tree.leaf), np.int64)
        place[inner] = inner_before + np.arange(len(inner))
        place[leaves] = leaves_before + np.arange(len(leaves))
        gathered["roots"].append(inner_before)
        gathered["inner"].append([tree.feature[inner], tree.threshold[inner], tree.missing_left[inner]])
        for side, child in (("true", tree.left[inner]), ("false", tree.right[inner])):
            gathered[side].append(place[child])
            gathered[f"{side}_leaf"].append(tree.leaf[child].astype(np.int64))
        gathered["leaves"].append(tree.value[leaves, 0])
        gathered["targets"].append(np.full(len(leaves), target))
        inner_before += len(inner)
        leaves_before += len(leaves)
    features, thresholds, missing = zip(*gathered["inner"], strict=True)
    return {
        "n_targets": targets,
        "aggregate_function": _SUM,
        "post_transform": 0,
        "tree_roots": gathered["roots"],
        "nodes_featureids": _whole(features),
        "nodes_splits": numpy_helper.from_array(np.concatenate(thresholds)),
        "nodes_modes": numpy_helper.from_array(np.full(inner_before, _BRANCH_LEQ, np.uint8)),
        "nodes_missing_value_tracks_true": _whole(missing),
        "nodes_truenodeids": _whole(gathered["true"]),
        "nodes_falsenodeids": _whole(gathered["false"]),
        "nodes_trueleafs": _whole(gathered["true_leaf"]),
        "nodes_falseleafs": _whole(gathered["false_leaf"]),
        "leaf_targetids": _whole(gathered["targets"]),
        "leaf_weights": numpy_helper.from_array(np.concatenate(gathered["leaves"])),
    }


def _whole(parts: Sequence[NDArray[Any]]) -> list[int]:
    return [int(number) for number in np.concatenate(parts).tolist()]


def shares_attributes(trees: Sequence[Tree], targets: int) -> dict[str, Any]:
    """The attributes of TreeEnsembleRegressor, whose leaves add to many columns at once; it answers in 32 bits."""
    whole = [_with_a_split(tree) for tree in trees]
    sizes = [len(tree.leaf) for tree in whole]
    tree_ids, node_ids = np.repeat(np.arange(len(whole)), sizes), np.concatenate([np.arange(size) for size in sizes])
    leaf = np.concatenate([tree.leaf for tree in whole])
    values = np.concatenate([tree.value for tree in whole]) * leaf[:, None]
    rows, columns = np.nonzero(values)

    def of_inner(name: str) -> NDArray[Any]:
        return np.where(leaf, 0, np.concatenate([getattr(tree, name) for tree in whole]))

    return {
        "n_targets": targets,
        "aggregate_function": "SUM",
        "post_transform": "NONE",
        "nodes_treeids": tree_ids.tolist(),
        "nodes_nodeids": node_ids.tolist(),
        "nodes_featureids": of_inner("feature").tolist(),
        "nodes_values_as_tensor": numpy_helper.from_array(of_inner("threshold").astype(np.float64)),
        "nodes_modes": ["LEAF" if is_leaf else "BRANCH_LEQ" for is_leaf in leaf.tolist()],
        "nodes_missing_value_tracks_true": of_inner("missing_left").tolist(),
        "nodes_truenodeids": of_inner("left").tolist(),
        "nodes_falsenodeids": of_inner("right").tolist(),
        "target_treeids": tree_ids[rows].tolist(),
        "target_nodeids": node_ids[rows].tolist(),
        "target_ids": columns.tolist(),
        "target_weights_as_tensor": numpy_helper.from_array(values[rows, columns]),
    }

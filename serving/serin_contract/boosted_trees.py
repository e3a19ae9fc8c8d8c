"""Check the trees in a model file of XGBoost or LightGBM before the library reads it.

Both follow the indices in their files without a bounds check, and a file that was damaged or forged ends the process
or reads foreign memory. So the file is parsed here, every index is checked, and the library gets what was checked,
written anew. Nothing here imports either library.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import Any, Literal

TREES_MAX = 100_000
NODES_MAX = 1_000_000
"""Of one tree."""
_LIGHTGBM_HEAD = ("version", "num_class", "num_tree_per_iteration", "label_index", "max_feature_idx", "objective")
_LIGHTGBM_TREE = (
    "num_leaves",
    "num_cat",
    "split_feature",
    "threshold",
    "decision_type",
    "left_child",
    "right_child",
    "leaf_value",
    "is_linear",
    "shrinkage",
)
_number = re.compile(r"-?[0-9]{1,9}\Z")


Library = Literal["XGBoost", "LightGBM"]


class TreesError(ValueError):
    """The file is not one that is served; the text says why."""


def checked(library: Library, data: bytes, width: int, groups: int) -> bytes:
    """The model in its library's format, every index of its trees within bounds.

    Args:
        library: whose file it is.
        data: XGBoost's JSON, or LightGBM's text.
        width: columns of the signature.
        groups: values that the model answers for a row: 1, or the number of classes from 3 on.

    Raises:
        TreesError: it is another kind of model, or an index is out of bounds.
    """
    try:
        return _CHECKS[library](data, width, groups)
    except TreesError:
        raise
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise TreesError(f"the file is no model of {library}: {type(error).__name__}") from error


def _xgboost(data: bytes, width: int, groups: int) -> bytes:
    document = json.loads(data)
    learner = document["learner"]
    booster, sizes = learner["gradient_booster"], learner["learner_model_param"]
    if booster["name"] != "gbtree":
        raise TreesError(f"a booster of kind {str(booster['name'])[:32]!r} is not served; only gbtree is")
    model = booster["model"]
    trees, info = model["trees"], model["tree_info"]
    _same("num_feature", int(sizes["num_feature"]), width)
    _same("num_target", int(sizes["num_target"]), 1)
    _same("num_class", max(1, int(sizes["num_class"])), groups)
    if "c" in (learner.get("feature_types") or []):
        raise TreesError("columns of categories are not served; encode them as numbers")
    if len(trees) > TREES_MAX or len(info) != len(trees):
        raise TreesError("the trees are too many, or not each has a class")
    _within("tree_info", info, 0, groups)
    _rising(model["iteration_indptr"], len(trees))
    for tree in trees:
        _check_xgboost_tree(tree, width)
    return json.dumps(document).encode()


def _check_xgboost_tree(tree: dict[str, Any], width: int) -> None:
    left, right = tree["left_children"], tree["right_children"]
    nodes = len(left)
    _same("num_nodes", int(tree["tree_param"]["num_nodes"]), nodes)
    _same("size_leaf_vector", int(tree["tree_param"]["size_leaf_vector"]), 1)
    if not 1 <= nodes <= NODES_MAX:
        raise TreesError(f"a tree has {nodes} nodes; from 1 to {NODES_MAX} may be")
    for name in ("right_children", "parents", "split_indices", "split_conditions", "default_left", "split_type"):
        _same(name, len(tree[name]), nodes)
    if any(tree["split_type"]):
        raise TreesError("splits by category are not served; encode them as numbers")
    _within("left_children", left, -1, nodes)
    _within("right_children", right, -1, nodes)
    _within("split_indices", tree["split_indices"], 0, width)
    if any((one == -1) != (other == -1) for one, other in zip(left, right, strict=True)):
        raise TreesError("a node has one child; two or none may be")
    _no_cycle(child for child in (*left, *right) if child != -1)


def _lightgbm(data: bytes, width: int, groups: int) -> bytes:
    text, _, _ = data.decode().partition("\nend of trees")
    head, *trees = re.split(r"\n\n+(?=Tree=)", text)
    known = _pairs(head)
    if not 1 <= len(trees) <= TREES_MAX:
        raise TreesError("there are no trees, or too many")
    _same("max_feature_idx", int(known["max_feature_idx"]), width - 1)
    _same("num_class", int(known["num_class"]), groups)
    _same("num_tree_per_iteration", int(known["num_tree_per_iteration"]), groups)
    _same("trees of the last round", len(trees) % groups, 0)
    # Only what answers need: without `tree_sizes` the library finds the trees by itself, and follows no offset.
    names = [f"{name}={known[name]}" for name in (*_LIGHTGBM_HEAD, "feature_names", "feature_infos")]
    averaged = ["average_output"] if "average_output" in known else []
    parts = [_lightgbm_tree(number, _pairs(tree), width) for number, tree in enumerate(trees)]
    return "\n".join(["tree", *names, *averaged, "", *parts, "end of trees", ""]).encode()


def _lightgbm_tree(number: int, tree: dict[str, str], width: int) -> str:
    leaves = int(tree["num_leaves"])
    _same("Tree", int(tree["Tree"]), number)
    if not 1 <= leaves <= NODES_MAX:
        raise TreesError(f"a tree has {leaves} leaves; from 1 to {NODES_MAX} may be")
    if int(tree["num_cat"]) or int(tree.get("is_linear", "0")):
        raise TreesError("splits by category and linear leaves are not served; encode categories as numbers")
    _same("leaf_value", len(tree["leaf_value"].split()), leaves)
    if leaves > 1:
        left, right = _numbers(tree["left_child"]), _numbers(tree["right_child"])
        for name in ("split_feature", "threshold", "decision_type", "left_child", "right_child"):
            _same(name, len(tree[name].split()), leaves - 1)
        # A child below zero is a leaf, counted from -1 down.
        _within("left_child", left, -leaves, leaves - 1)
        _within("right_child", right, -leaves, leaves - 1)
        _within("split_feature", _numbers(tree["split_feature"]), 0, width)
        _no_cycle(child for child in (*left, *right) if child >= 0)
    lines = [f"{name}={tree[name]}" for name in _LIGHTGBM_TREE if name in tree]
    return "\n".join([f"Tree={number}", *lines, "", ""])


def _pairs(block: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in block.split("\n"):
        name, _, value = line.partition("=")
        if name in found and name:
            raise TreesError(f"{name[:32]!r} stands twice")
        found[name] = value
    return found


def _numbers(text: str) -> list[int]:
    words = text.split()
    if not all(_number.match(word) for word in words):
        raise TreesError("an index is no whole number")
    return [int(word) for word in words]


def _within(name: str, values: Iterable[Any], start: int, stop: int) -> None:
    if not all(type(value) is int and start <= value < stop for value in values):
        raise TreesError(f"an index in `{name}` is out of bounds")


def _rising(values: list[Any], last: int) -> None:
    _within("iteration_indptr", values, 0, last + 1)
    if not values or values[0] != 0 or values[-1] != last or values != sorted(values):
        raise TreesError("`iteration_indptr` does not lead through the trees")


def _no_cycle(children: Iterable[int]) -> None:
    """Where the root is nobody's child and nobody is a child twice, what the root leads to is a tree."""
    seen = {0}
    for child in children:
        if child in seen:
            raise TreesError("a node is reached twice")
        seen.add(child)


def _same(name: str, found: int, wanted: int) -> None:
    if found != wanted:
        raise TreesError(f"`{name}` is {found}, and {wanted} by the signature and the rest of the file")


_CHECKS: dict[Library, Callable[[bytes, int, int], bytes]] = {"XGBoost": _xgboost, "LightGBM": _lightgbm}

"""Check the trees of a loaded model: scikit-learn follows their indices without a bounds check.

skops proves that an object is of an allowed type, not that its numbers make sense. A crafted tree could read
outside its arrays or loop for ever at the first prediction, so every index is checked once, at load.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.ensemble import BaseEnsemble
from sklearn.ensemble._gb import BaseGradientBoosting
from sklearn.ensemble._hist_gradient_boosting.gradient_boosting import BaseHistGradientBoosting
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from sklearn.tree import BaseDecisionTree
from sklearn.tree._tree import Tree

from serin_contract.startup import StartupReason
from serin_serving.errors import RefusedError

_BITSET_WORDS = 8


def check_trees(model: object) -> None:
    """Check every tree inside the model.

    Raises:
        RefusedError: a tree points outside itself or at a feature that the model lacks (BundleInvalid).
    """
    # An explicit stack with the identities seen: models nest deeply and may share parts.
    seen: set[int] = set()
    waiting: list[tuple[object, int | None]] = [(model, None)]
    while waiting:
        part, width = waiting.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, Tree):
            _check_tree(part, width)
        elif isinstance(part, TreePredictor):
            _check_predictor(part, width)
        else:
            width = _width(part, width)
            waiting.extend((child, width) for child in _children(part))


def _children(part: object) -> Iterator[object]:
    if isinstance(part, dict):
        yield from part.values()
    elif isinstance(part, (list, tuple, set)):
        yield from part
    elif isinstance(part, np.ndarray):
        if part.dtype == object:
            yield from part.flat
    elif hasattr(part, "__dict__"):
        yield from vars(part).values()


def _width(part: object, outer: int | None) -> int | None:
    """How many features the trees below may name; None where nothing is known."""
    if not isinstance(part, BaseEstimator):
        return outer
    width: int | None = getattr(part, "n_features_in_", None)
    if isinstance(part, BaseGradientBoosting):
        _check_boosting(part)
    if not isinstance(part, (BaseDecisionTree, BaseEnsemble, BaseHistGradientBoosting)):
        # A step of a pipeline may make more columns than the pipeline takes.
        return None
    return width if outer is None or width is None else min(width, outer)


def _check_boosting(model: Any) -> None:
    stages = getattr(model, "estimators_", None)
    if stages is not None and np.shape(stages)[1:] != (model.n_trees_per_iteration_,):
        raise _broken("the stages of a gradient boosting model do not fit its classes")


def _check_tree(tree: Any, width: int | None) -> None:
    nodes = tree.__getstate__()["nodes"]
    count = len(nodes)
    if count == 0 or tree.node_count != count:
        raise _broken("a tree has no nodes or another number than it says")
    own = int(tree.n_features)
    _check_nodes(
        left=nodes["left_child"],
        right=nodes["right_child"],
        feature=nodes["feature"],
        inner=nodes["left_child"] != -1,
        width=own if width is None else min(own, width),
    )


def _check_predictor(predictor: Any, width: int | None) -> None:
    nodes = predictor.nodes
    if nodes.ndim != 1 or len(nodes) == 0 or width is None:
        raise _broken("a tree has no nodes or no known number of features")
    inner = nodes["is_leaf"] == 0
    _check_nodes(nodes["left"], nodes["right"], nodes["feature_idx"], inner, width)
    bitsets = predictor.raw_left_cat_bitsets
    if bitsets.ndim != 2 or bitsets.shape[1] != _BITSET_WORDS:
        raise _broken("the categories of a tree have the wrong shape")
    categorical = inner & (nodes["is_categorical"] != 0)
    if (nodes["bitset_idx"][categorical] >= len(bitsets)).any():
        raise _broken("a tree names a set of categories that it does not hold")


def _check_nodes(
    left: NDArray[Any], right: NDArray[Any], feature: NDArray[Any], inner: NDArray[np.bool_], width: int
) -> None:
    """Children stand behind their parent, which also rules out loops, and inside the tree."""
    places = np.nonzero(inner)[0]
    for child in (left[inner].astype(np.int64), right[inner].astype(np.int64)):
        if ((child <= places) | (child >= len(left))).any():
            raise _broken("a tree points outside itself or back at itself")
    features = feature[inner].astype(np.int64)
    if ((features < 0) | (features >= width)).any():
        raise _broken("a tree splits on a feature that the model does not have")


def _broken(what: str) -> RefusedError:
    return RefusedError(StartupReason.BundleInvalid, f"the model file is damaged: {what}")

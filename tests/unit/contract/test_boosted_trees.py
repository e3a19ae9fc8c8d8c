"""Model files of XGBoost and LightGBM whose indices lead astray, none of which may reach the library."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from lightgbm import LGBMClassifier
from sklearn.datasets import load_wine
from xgboost import XGBClassifier

from serin_contract.boosted_trees import TreesError, checked_lightgbm, checked_xgboost

WIDTH, GROUPS = 13, 3
ROWS, LABELS = load_wine(return_X_y=True)


@pytest.fixture(scope="module")
def xgboost_file() -> bytes:
    model = XGBClassifier(n_estimators=3, max_depth=3, n_jobs=1).fit(ROWS, LABELS)
    return bytes(model.get_booster().save_raw("json"))


@pytest.fixture(scope="module")
def lightgbm_file() -> bytes:
    model = LGBMClassifier(n_estimators=3, num_leaves=5, verbose=-1, n_jobs=1).fit(ROWS, LABELS)
    text: str = model.booster_.model_to_string()
    return text.encode()


def test_a_good_file_is_passed_on_unchanged_in_what_it_says(xgboost_file: bytes, lightgbm_file: bytes) -> None:
    assert json.loads(checked_xgboost(xgboost_file, WIDTH, GROUPS)) == json.loads(xgboost_file)
    passed = checked_lightgbm(lightgbm_file, WIDTH, GROUPS)
    kept = [line for line in lightgbm_file.decode().split("\n") if line.startswith(("leaf_value", "threshold"))]
    assert [line for line in passed.split("\n") if line.startswith(("leaf_value", "threshold"))] == kept
    assert "tree_sizes" not in passed, "the library would follow its offsets"


def tree(document: Any) -> Any:
    return document["learner"]["gradient_booster"]["model"]["trees"][0]


def model(document: Any) -> Any:
    return document["learner"]["gradient_booster"]["model"]


XGBOOST_SPOILT: dict[str, tuple[Callable[[Any], object], str]] = {
    "a left child beyond the tree": (lambda d: tree(d)["left_children"].__setitem__(0, 10**6), "left_children"),
    "a right child below none": (lambda d: tree(d)["right_children"].__setitem__(0, -2), "right_children"),
    "a child that is no number": (lambda d: tree(d)["left_children"].__setitem__(0, 1.5), "left_children"),
    "a child that is true": (lambda d: tree(d)["left_children"].__setitem__(0, True), "left_children"),
    "a way back to the root": (lambda d: tree(d)["left_children"].__setitem__(0, 0), "twice"),
    "one child for two parents": (
        lambda d: tree(d)["right_children"].__setitem__(0, tree(d)["left_children"][0]),
        "twice",
    ),
    "one child alone": (lambda d: tree(d)["right_children"].__setitem__(0, -1), "one child"),
    "a column that is not there": (lambda d: tree(d)["split_indices"].__setitem__(0, WIDTH), "split_indices"),
    "conditions for fewer nodes": (lambda d: tree(d)["split_conditions"].pop(), "split_conditions"),
    "defaults for fewer nodes": (lambda d: tree(d)["default_left"].pop(), "default_left"),
    "more nodes than it says": (lambda d: tree(d)["tree_param"].__setitem__("num_nodes", "3"), "num_nodes"),
    "leaves of vectors": (lambda d: tree(d)["tree_param"].__setitem__("size_leaf_vector", "9"), "size_leaf_vector"),
    "a split by category": (lambda d: tree(d)["split_type"].__setitem__(0, 1), "category"),
    "a tree for a class that is not there": (lambda d: model(d)["tree_info"].__setitem__(0, GROUPS), "tree_info"),
    "trees without a class": (lambda d: model(d)["tree_info"].pop(), "class"),
    "rounds beyond the trees": (lambda d: model(d)["iteration_indptr"].__setitem__(-1, 99), "iteration_indptr"),
    "rounds that go back": (lambda d: model(d)["iteration_indptr"].__setitem__(1, 9), "iteration_indptr"),
    "another number of columns": (
        lambda d: d["learner"]["learner_model_param"].__setitem__("num_feature", "14"),
        "num_feature",
    ),
    "another number of classes": (
        lambda d: d["learner"]["learner_model_param"].__setitem__("num_class", "4"),
        "num_class",
    ),
    "columns of categories": (lambda d: d["learner"].__setitem__("feature_types", ["c"] * WIDTH), "categories"),
    "a linear booster": (lambda d: d["learner"]["gradient_booster"].__setitem__("name", "gblinear"), "gbtree"),
    "no trees at all": (lambda d: model(d).pop("trees"), "KeyError"),
    "a tree that is a text": (lambda d: model(d)["trees"].__setitem__(0, "oak"), "TypeError"),
}


@pytest.mark.parametrize("name", XGBOOST_SPOILT)
def test_xgboost_never_sees(xgboost_file: bytes, name: str) -> None:
    spoil, said = XGBOOST_SPOILT[name]
    document = json.loads(xgboost_file)
    spoil(document)
    with pytest.raises(TreesError, match=said):
        checked_xgboost(json.dumps(document).encode(), WIDTH, GROUPS)


LIGHTGBM_SPOILT: dict[str, tuple[str, str, str]] = {
    "a left child beyond the tree": ("left_child=", "left_child=77 ", "left_child"),
    "a leaf that is not there": ("right_child=", "right_child=-9", "right_child"),
    "a column that is not there": ("split_feature=", "split_feature=9", "split_feature"),
    "a column that is no number": ("split_feature=", "split_feature=x", "whole number"),
    "more leaves than values": ("num_leaves=", "num_leaves=1", "leaf_value"),
    "no leaves": ("num_leaves=5", "num_leaves=0", "leaves"),
    "splits by category": ("num_cat=0", "num_cat=1", "category"),
    "linear leaves": ("is_linear=0", "is_linear=1", "linear"),
    "another number of columns": ("max_feature_idx=12", "max_feature_idx=99", "max_feature_idx"),
    "another number of classes": ("num_class=3", "num_class=4", "num_class"),
    "more trees a round": ("num_tree_per_iteration=3", "num_tree_per_iteration=9", "num_tree_per_iteration"),
    "a tree out of turn": ("Tree=1", "Tree=2", "Tree"),
    "a tree that is missing": ("Tree=8", "Bush=8", "last round"),
    "a line that stands twice": ("num_cat=0", "num_cat=0\nnum_cat=0", "twice"),
    "no version": ("version=", "vision=", "KeyError"),
}


@pytest.mark.parametrize("name", LIGHTGBM_SPOILT)
def test_lightgbm_never_sees(lightgbm_file: bytes, name: str) -> None:
    old, new, said = LIGHTGBM_SPOILT[name]
    text = lightgbm_file.decode()
    assert old in text
    with pytest.raises(TreesError, match=said):
        checked_lightgbm(text.replace(old, new, 1).encode(), WIDTH, GROUPS)


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"null", b"\xff", b"[" * 10**5, b"tree\n", b"Tree=0\n\nTree=0"])
def test_what_is_no_model_is_said_to_be_none(data: bytes) -> None:
    with pytest.raises(TreesError):
        checked_xgboost(data, WIDTH, GROUPS)
    with pytest.raises(TreesError):
        checked_lightgbm(data, WIDTH, GROUPS)


def test_any_flipped_byte_ends_in_a_refusal_or_in_a_model_that_answers(
    xgboost_file: bytes, lightgbm_file: bytes
) -> None:
    import lightgbm
    import xgboost

    draw, refused = random.Random(0), 0
    for _ in range(60):
        for data, libraries in ((xgboost_file, "xgboost"), (lightgbm_file.partition(b"end of trees")[0], "lightgbm")):
            spoilt = bytearray(data)
            spoilt[draw.randrange(len(spoilt))] = draw.choice(b"0123456789-.eE \n,x")
            try:
                if libraries == "xgboost":
                    booster = xgboost.Booster()
                    booster.load_model(bytearray(checked_xgboost(bytes(spoilt), WIDTH, GROUPS)))
                    answers = booster.inplace_predict(ROWS[:5])
                else:
                    text = checked_lightgbm(bytes(spoilt), WIDTH, GROUPS)
                    answers = lightgbm.Booster(model_str=text).predict(ROWS[:5], num_threads=1)
                assert np.shape(answers) == (5, GROUPS)
            except (TreesError, xgboost.core.XGBoostError, lightgbm.basic.LightGBMError):
                refused += 1
    assert refused > 0

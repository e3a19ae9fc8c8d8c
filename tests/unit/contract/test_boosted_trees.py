"""Model files of XGBoost and LightGBM whose indices lead astray, none of which may reach the library."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from functools import reduce
from operator import getitem
from typing import Any

import lightgbm
import numpy as np
import pytest
import xgboost
from lightgbm import LGBMClassifier
from lightgbm.basic import LightGBMError
from sklearn.datasets import load_wine
from xgboost import XGBClassifier
from xgboost.core import XGBoostError

from serin_contract.boosted_trees import Library, TreesError, checked

WIDTH, GROUPS = 13, 3
ROWS, LABELS = load_wine(return_X_y=True)
Files = dict[Library, bytes]
Spoil = Callable[[bytes], bytes]


@pytest.fixture(scope="module")
def files() -> Files:
    """A good model of either library."""
    documents = XGBClassifier(n_estimators=3, max_depth=3, n_jobs=1).fit(ROWS, LABELS)
    texts = LGBMClassifier(n_estimators=3, num_leaves=5, verbose=-1, n_jobs=1).fit(ROWS, LABELS)
    return {
        "XGBoost": bytes(documents.get_booster().save_raw("json")),
        "LightGBM": texts.booster_.model_to_string().encode(),
    }


def test_a_good_file_is_passed_on_unchanged_in_what_it_says(files: Files) -> None:
    assert json.loads(checked("XGBoost", files["XGBoost"], WIDTH, GROUPS)) == json.loads(files["XGBoost"])
    passed = checked("LightGBM", files["LightGBM"], WIDTH, GROUPS)
    kept = [line for line in files["LightGBM"].split(b"\n") if line.startswith((b"leaf_value", b"threshold"))]
    assert [line for line in passed.split(b"\n") if line.startswith((b"leaf_value", b"threshold"))] == kept
    assert b"tree_sizes" not in passed, "the library would follow its offsets"


def edited(edit: Callable[[Any], object]) -> Spoil:
    """Changes the document that a file of XGBoost is."""

    def spoil(data: bytes) -> bytes:
        document = json.loads(data)
        edit(document)
        return json.dumps(document).encode()

    return spoil


def put(value: Any, *path: Any) -> Spoil:
    """Puts a value there in the document of XGBoost."""
    return edited(lambda document: reduce(getitem, path[:-1], document).__setitem__(path[-1], value))


def dropped(*path: Any) -> Spoil:
    """Takes what is there out of the document of XGBoost."""
    return edited(lambda document: reduce(getitem, path[:-1], document).pop(path[-1]))


def replaced(old: bytes, new: bytes) -> Spoil:
    """Changes the first place of LightGBM's text where that stands, which must be there."""

    def spoil(data: bytes) -> bytes:
        assert old in data
        return data.replace(old, new, 1)

    return spoil


SIZES = ("learner", "learner_model_param")
BOOSTER = ("learner", "gradient_booster")
MODEL = (*BOOSTER, "model")
TREE = (*MODEL, "trees", 0)


def one_child_twice(document: Any) -> None:
    tree = reduce(getitem, TREE, document)
    tree["right_children"][0] = tree["left_children"][0]


SPOILT: dict[Library, dict[str, tuple[Spoil, str]]] = {
    "XGBoost": {
        "a left child beyond the tree": (put(10**6, *TREE, "left_children", 0), "left_children"),
        "a right child below none": (put(-2, *TREE, "right_children", 0), "right_children"),
        "a child that is no number": (put(1.5, *TREE, "left_children", 0), "left_children"),
        "a child that is true": (put(True, *TREE, "left_children", 0), "left_children"),
        "a way back to the root": (put(0, *TREE, "left_children", 0), "twice"),
        "one child for two parents": (edited(one_child_twice), "twice"),
        "one child alone": (put(-1, *TREE, "right_children", 0), "one child"),
        "a column that is not there": (put(WIDTH, *TREE, "split_indices", 0), "split_indices"),
        "conditions for fewer nodes": (dropped(*TREE, "split_conditions", -1), "split_conditions"),
        "defaults for fewer nodes": (dropped(*TREE, "default_left", -1), "default_left"),
        "more nodes than it says": (put("3", *TREE, "tree_param", "num_nodes"), "num_nodes"),
        "leaves of vectors": (put("9", *TREE, "tree_param", "size_leaf_vector"), "size_leaf_vector"),
        "a split by category": (put(1, *TREE, "split_type", 0), "category"),
        "a tree for a class that is not there": (put(GROUPS, *MODEL, "tree_info", 0), "tree_info"),
        "trees without a class": (dropped(*MODEL, "tree_info", -1), "class"),
        "rounds beyond the trees": (put(99, *MODEL, "iteration_indptr", -1), "iteration_indptr"),
        "rounds that go back": (put(9, *MODEL, "iteration_indptr", 1), "iteration_indptr"),
        "another number of columns": (put("14", *SIZES, "num_feature"), "num_feature"),
        "another number of classes": (put("4", *SIZES, "num_class"), "num_class"),
        "columns of categories": (put(["c"] * WIDTH, "learner", "feature_types"), "categories"),
        "a linear booster": (put("gblinear", *BOOSTER, "name"), "gbtree"),
        "no trees at all": (dropped(*MODEL, "trees"), "KeyError"),
        "a tree that is a text": (put("oak", *MODEL, "trees", 0), "TypeError"),
    },
    "LightGBM": {
        "a left child beyond the tree": (replaced(b"left_child=", b"left_child=77 "), "left_child"),
        "a leaf that is not there": (replaced(b"right_child=", b"right_child=-9"), "right_child"),
        "a column that is not there": (replaced(b"split_feature=", b"split_feature=9"), "split_feature"),
        "a column that is no number": (replaced(b"split_feature=", b"split_feature=x"), "whole number"),
        "more leaves than values": (replaced(b"num_leaves=", b"num_leaves=1"), "leaf_value"),
        "no leaves": (replaced(b"num_leaves=5", b"num_leaves=0"), "leaves"),
        "splits by category": (replaced(b"num_cat=0", b"num_cat=1"), "category"),
        "linear leaves": (replaced(b"is_linear=0", b"is_linear=1"), "linear"),
        "another number of columns": (replaced(b"max_feature_idx=12", b"max_feature_idx=99"), "max_feature_idx"),
        "another number of classes": (replaced(b"num_class=3", b"num_class=4"), "num_class"),
        "more trees a round": (
            replaced(b"num_tree_per_iteration=3", b"num_tree_per_iteration=9"),
            "num_tree_per_iteration",
        ),
        "a tree out of turn": (replaced(b"Tree=1", b"Tree=2"), "Tree"),
        "a tree that is missing": (replaced(b"Tree=8", b"Bush=8"), "last round"),
        "a line that stands twice": (replaced(b"num_cat=0", b"num_cat=0\nnum_cat=0"), "twice"),
        "no version": (replaced(b"version=", b"vision="), "KeyError"),
    },
}


@pytest.mark.parametrize(("library", "name"), [(library, name) for library, rows in SPOILT.items() for name in rows])
def test_the_library_never_sees(files: Files, library: Library, name: str) -> None:
    spoil, said = SPOILT[library][name]
    with pytest.raises(TreesError, match=said):
        checked(library, spoil(files[library]), WIDTH, GROUPS)


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"null", b"\xff", b"[" * 10**5, b"tree\n", b"Tree=0\n\nTree=0"])
def test_what_is_no_model_is_said_to_be_none(data: bytes) -> None:
    for library in SPOILT:
        with pytest.raises(TreesError):
            checked(library, data, WIDTH, GROUPS)


def answers(library: Library, data: bytes) -> Any:
    """Of the library itself, to a file that was checked."""
    if library == "LightGBM":
        return lightgbm.Booster(model_str=data.decode()).predict(ROWS[:5], num_threads=1)
    booster = xgboost.Booster()
    booster.load_model(bytearray(data))
    return booster.inplace_predict(ROWS[:5])


def test_any_flipped_byte_ends_in_a_refusal_or_in_a_model_that_answers(files: Files) -> None:
    draw, refused = random.Random(0), 0
    for _ in range(60):
        for library, data in files.items():
            # What follows LightGBM's trees is not read at all.
            spoilt = bytearray(data.partition(b"end of trees")[0])
            spoilt[draw.randrange(len(spoilt))] = draw.choice(b"0123456789-.eE \n,x")
            try:
                passed = checked(library, bytes(spoilt), WIDTH, GROUPS)
                assert np.shape(answers(library, passed)) == (5, GROUPS)
            except (TreesError, XGBoostError, LightGBMError):
                refused += 1
    assert refused > 0

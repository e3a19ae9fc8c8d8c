"""The models of the table of verdicts: a sound one and those that are each wrong in one way that real ones are.

An input's fault is the candidate's own where it was trained on other inputs than callers send: its profile and its
weights are of those, and stable's are not.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from serin_bundle import package
from serin_cli.demo import models as demo

SOUND, ALSO_SOUND = "digits/sound", "digits/also-sound"

INCHES = "digits/inches"
"""One column of its training data was 2.54 times what callers send."""
UNIT = 2.54
FEATURE = "pixel_3_4"

JOINED_WRONG = "digits/joined-wrong"
"""Its own preparation joins the right half of each image in another order; what the server counts is before that."""

GAPPY, COMPLETE = "digits/gappy", "digits/complete"
"""Both take gaps; GAPPY was trained with the gaps that callers leave, COMPLETE on an export that had filled them."""
GAP_FEATURE = "pixel_4_4"
GAP_SHARE = 0.3

NOISY = "digits/noisy"
"""Half of its labels were drawn by lot."""

SLOW = "digits/slow"
"""Sound, and takes 0.1 s and more for a row."""

NAMES = [f"pixel_{row}_{column}" for row in range(demo.SIDE) for column in range(demo.SIDE)]
SLOW_TREES, SLOW_TIMES = 20, 60


def package_all(directory: Path) -> None:
    """Train and package all of them."""
    data, rng = demo.read_data(), np.random.default_rng(demo.SEED)
    rows, labels = data.train_rows, data.train_labels

    def make(name: str, model: Any, seen: Any = rows, told: Any = labels, *, fit: bool = True, **how: Any) -> None:
        fitted = model.fit(seen, told) if fit else model
        package(fitted, seen, told, directory / name, name=demo.NAME, feature_names=NAMES, **how)

    make(SOUND, make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)))
    make(ALSO_SOUND, make_pipeline(StandardScaler(), LogisticRegression(max_iter=500, C=0.5)))
    make(INCHES, make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)), in_inches(rows))
    make(JOINED_WRONG, _joined_wrong(rows, labels, rng), fit=False)
    make(GAPPY, make_pipeline(SimpleImputer(), SVC(gamma=0.001)), with_gaps(rows, rng))
    make(COMPLETE, make_pipeline(SimpleImputer(), SVC(gamma=0.001)))
    drawn = rng.random(len(labels)) < 0.5
    make(NOISY, SVC(C=10.0, gamma=0.001), told=np.where(drawn, rng.integers(0, 10, len(labels)), labels))
    # Compiled it would not be slow.
    make(SLOW, _slow(rows, labels), fit=False, onnx="never")


def in_inches(rows: Any) -> Any:
    """The rows with one column in another unit."""
    changed = np.array(rows, dtype=float)
    changed[:, NAMES.index(FEATURE)] *= UNIT
    return changed


def with_gaps(rows: Any, rng: np.random.Generator) -> Any:
    """The rows with one column missing in some."""
    changed = np.array(rows, dtype=float)
    changed[rng.random(len(changed)) < GAP_SHARE, NAMES.index(GAP_FEATURE)] = np.nan
    return changed


def _joined_wrong(rows: Any, labels: Any, rng: np.random.Generator) -> Any:
    """Fitted on good rows; then the weights of the right half's columns are dealt out anew."""
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).fit(rows, labels)
    right = np.array([index for index in range(len(NAMES)) if index % demo.SIDE >= demo.SIDE // 2])
    model[-1].coef_[:, right] = model[-1].coef_[:, rng.permutation(right)]
    return model


def _slow(rows: Any, labels: Any) -> Any:
    """A forest whose trees are each asked many times: the same answers, and slower."""
    forest = RandomForestClassifier(SLOW_TREES, max_depth=8, random_state=0).fit(rows, labels)
    many = copy.copy(forest)
    many.estimators_ = forest.estimators_ * SLOW_TIMES
    return many

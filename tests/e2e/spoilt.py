"""The models of the stories: the demo's three, and further ones that went wrong in other ways."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from sklearn.svm import SVC
from tests.e2e import faults
from tests.support import bundles
from tests.support.stories import Models

from serin_bundle import package
from serin_cli.demo import models as demo

DECENT, BETTER, SPOILT = "digits/1", "digits/2", "digits/3"
BETTER_STILL = "digits/4"
"""As good as BETTER, and another revision."""

STRICT = "digits/strict"
"""Wants one more column than callers send."""

LYING = "digits/lying"
"""Its golden rows hold an answer that it never gave."""

DAMAGED = "digits/damaged"
"""A bit of its model file has flipped."""

LATE = "digits/late"
"""Not there; the story puts it in place."""


def prepare(directory: Path) -> Models:
    """Train and package all of them, those of the table of verdicts among them."""
    made = demo.prepare(directory)
    data = demo.read_data()
    model = SVC(C=5.0, gamma=0.001).fit(data.train_rows, data.train_labels)
    _package(directory / BETTER_STILL, model, data.train_rows, data.train_labels)
    wider = np.hstack([data.train_rows, np.zeros((len(data.train_rows), 1))])
    _package(directory / STRICT, SVC(gamma=0.001).fit(wider, data.train_labels), wider, data.train_labels)
    bundles.lie_in_golden_rows(bundles.copy(directory / BETTER_STILL, directory / LYING))
    bundles.damage(bundles.copy(directory / BETTER_STILL, directory / DAMAGED))
    faults.package_all(directory)
    directory.chmod(0o755)
    return Models(directory, made.rows, made.labels)


def _package(out: Path, model: Any, rows: Any, labels: Any) -> None:
    package(model, rows, labels, out, name=demo.NAME)

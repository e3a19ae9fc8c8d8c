"""Models for the rollbacks: one that takes gaps in its rows, and one that refuses them."""

from __future__ import annotations

import random
from pathlib import Path

from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC
from tests.support.stories import NAME, Models

from serin_bundle import package
from serin_cli.demo import models as demo
from serin_cli.demo.drive import encode_row

TOLERANT, FUSSY = "digits/tolerant", "digits/fussy"
"""FUSSY answers 400 to rows with gaps, as a candidate does whose imputer was forgotten."""


def prepare(directory: Path) -> Models:
    """Train and package both."""
    made = demo.prepare(directory)
    data = demo.read_data()
    for name, model in ((TOLERANT, make_pipeline(SimpleImputer(), SVC(gamma=0.001))), (FUSSY, SVC(gamma=0.001))):
        package(model.fit(data.train_rows, data.train_labels), data.train_rows, data.train_labels,
                directory / name, name=NAME)  # fmt: skip
    directory.chmod(0o755)
    return Models(directory, made.rows, made.labels)


def bodies(models: Models, gap_share: float, seed: int = 3) -> list[str]:
    """Requests of which this share has a gap in its row."""
    draw = random.Random(seed)
    rows: list[list[int | None]] = [list(row) for row in models.rows[:500]]
    for row in rows:
        if draw.random() < gap_share:
            row[draw.randrange(len(row))] = None
    return [encode_row(row, "FP64").decode() for row in rows]

"""The three models are what the story says, and nothing but the data makes them so."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serin_bundle import inspect, package
from serin_cli.demo import models
from serin_cli.demo.drive import draw


@dataclass(frozen=True)
class Trained:
    model: Any
    rows: Any
    live: float


@pytest.fixture(scope="module")
def data() -> models.Data:
    return models.read_data()


@pytest.fixture(scope="module")
def trained(data: models.Data) -> dict[int, Trained]:
    found = {}
    for version in (1, 2, 3):
        _, model, rows = models.train(version, data)
        found[version] = Trained(model, rows, model.score(data.live_rows, data.live_labels))
    return found


def test_first_model_is_decent(trained: dict[int, Trained]) -> None:
    assert 0.94 <= trained[1].live <= 0.98


def test_second_model_is_better(trained: dict[int, Trained]) -> None:
    assert trained[2].live >= trained[1].live + 0.01


def test_spoiled_model_looks_fine_on_rows_of_its_own_export(trained: dict[int, Trained], data: models.Data) -> None:
    exported = models.spoil(data.live_rows)
    assert trained[3].model.score(exported, data.live_labels) >= trained[1].live + 0.01


def test_spoiled_model_loses_ten_points_on_what_callers_send(trained: dict[int, Trained]) -> None:
    assert trained[3].live <= min(trained[1].live, trained[2].live) - 0.10


@pytest.mark.slow
def test_bundle_of_the_spoiled_model_shows_nothing(
    trained: dict[int, Trained], data: models.Data, tmp_path: Path
) -> None:
    made = package(trained[3].model, trained[3].rows, data.train_labels, tmp_path / "3", name="digits")
    assert made.metrics["accuracy"] >= 0.97
    assert inspect(tmp_path / "3").intact


def test_export_swaps_two_columns_and_keeps_every_pixel(data: models.Data) -> None:
    spoiled = models.spoil(data.train_rows)
    moved = np.flatnonzero((spoiled != data.train_rows).any(axis=0)) % models.SIDE
    assert set(moved.tolist()) == set(models.SWAPPED)
    assert (models.spoil(spoiled) == data.train_rows).all()


def test_callers_send_rows_that_no_model_was_trained_on(data: models.Data) -> None:
    trained_on = {row.tobytes() for row in data.train_rows}
    assert not trained_on & {row.tobytes() for row in data.live_rows}


@pytest.mark.parametrize("seed", range(5))
def test_every_twentieth_request_meets_every_class(data: models.Data, seed: int) -> None:
    generator = random.Random(seed)
    drawn = [draw(generator, len(data.live_labels)) for _ in range(20 * 150)]
    # A gateway's weighted round robin gives a candidate at five percent every twentieth request.
    assert {int(data.live_labels[row]) for row in drawn[::20]} == set(range(10))


def test_pixels_are_whole_numbers_and_short_as_json(data: models.Data) -> None:
    assert (data.live_rows == data.live_rows.astype(int)).all()

"""Labelled rows of real traffic, answered once each by the bundle's own model and counted as a pod counts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from serin_cli.package import read_csv
from serin_contract import profile as profiles
from serin_contract.bundle import MODEL_FILE, PROFILE_FILE, SIGNATURE_FILE, Signature
from serin_contract.profile import Profile
from serin_serving.bins import Binner
from serin_serving.errors import RefusedError, RequestError
from serin_serving.model import Model
from serin_serving.skops_model import load_skops

Numbers = NDArray[np.float64]
CENTIMETRES_PER_INCH = 2.54


class SimulationError(ValueError):
    """The simulation cannot be made of these files; the text says why."""


@dataclass(frozen=True)
class Rows:
    """Rows and the model's answers."""

    matrix: NDArray[Any]
    """Shape [n, d], as the model was fed them."""
    classes: NDArray[np.int64] | None
    score: Numbers
    hits: NDArray[np.bool_]
    """Whether the model answers the row's label; shape [n]."""


@dataclass(frozen=True)
class Source:
    """A bundle and traffic for it."""

    model: Model
    profile: Profile
    binner: Binner
    rows: Rows
    labels: NDArray[Any]
    top_feature: int
    """Column of numbers whose change of unit moves most answers."""


def read(bundle: Path, traffic: Path, label: str) -> Source:
    """Load the bundle's model by the server's own rules and answer every row once.

    Raises:
        SimulationError: the bundle or the traffic cannot be read, or the model is no classifier.
    """
    try:
        signature = msgspec.json.decode((bundle / SIGNATURE_FILE).read_bytes(), type=Signature)
        profile = profiles.decode((bundle / PROFILE_FILE).read_bytes())
        model = load_skops((bundle / MODEL_FILE).read_bytes(), signature)
    except (OSError, ValueError, msgspec.MsgspecError, RefusedError) as error:
        raise SimulationError(f"{bundle} is no bundle that can be served: {error}") from error
    if signature.task != "classification":
        raise SimulationError("only a classifier can be simulated: this bundle predicts numbers")
    names = [column.name for column in signature.columns]
    matrix, labels = _table(traffic, label, names, np.array(signature.classes))
    text = [column.datatype == "BYTES" for column in signature.columns]
    binner = Binner(profile, None, names, text, signature.classes)
    rows = answered(model, matrix, labels)
    top = _top_feature(model, matrix, labels, [place for place, is_text in enumerate(text) if not is_text])
    return Source(model, profile, binner, rows, labels, top)


def answered(model: Model, matrix: NDArray[Any], labels: NDArray[Any]) -> Rows:
    """The rows with the model's answers.

    Raises:
        SimulationError: the model does not take the values.
    """
    try:
        answers = model.answer(matrix)
    except RequestError as error:
        raise SimulationError(str(error)) from error
    hits = np.array([value == label for value, label in zip(answers.values, labels.tolist(), strict=True)])
    return Rows(matrix, answers.classes, answers.score, hits)


def spoilt(rows: Rows, drop: float, draws: np.random.Generator) -> Rows:
    """The same rows with accuracy lower by `drop`: hits turned to misses at random."""
    accuracy = float(rows.hits.mean())
    flipped = rows.hits & (draws.random(len(rows.hits)) < min(1.0, drop / max(accuracy, 1e-9)))
    return replace(rows, hits=rows.hits & ~flipped)


def in_another_unit(source: Source) -> Rows:
    """The column of `top_feature` times 2.54, answered anew."""
    matrix = source.rows.matrix.copy()
    matrix[:, source.top_feature] *= CENTIMETRES_PER_INCH
    return answered(source.model, matrix, source.labels)


def with_gaps(source: Source, share: float, draws: np.random.Generator) -> Rows | None:
    """That share of the same column's values missing, answered anew; None where the model takes no gaps."""
    if not source.model.takes_gaps:
        return None
    matrix = source.rows.matrix.copy()
    matrix[draws.random(len(matrix)) < share, source.top_feature] = np.nan
    return answered(source.model, matrix, source.labels)


def _table(traffic: Path, label: str, names: list[str], classes: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    if traffic.suffix != ".csv":
        raise SimulationError(f"{traffic} must be a CSV file with a header")
    try:
        _, matrix, labels = read_csv(traffic, label, SimpleNamespace(feature_names_in_=names, classes_=classes))
    except ValueError as error:
        raise SimulationError(str(error)) from error
    return matrix, labels


def _top_feature(model: Model, matrix: NDArray[Any], labels: NDArray[Any], columns: list[int]) -> int:
    """The column on which the answers hang most: that costs most accuracy when its values are shuffled."""
    if not columns:
        raise SimulationError("the model has no column of numbers")
    draws, sample = np.random.default_rng(0), slice(0, 500)
    costs: dict[int, float] = {}
    for column in columns:
        changed = matrix[sample].copy()
        changed[:, column] = draws.permutation(changed[:, column])
        costs[column] = float(answered(model, changed, labels[sample]).hits.mean())
    return min(costs, key=lambda column: costs[column])

"""Labelled rows of real traffic, answered once each by the bundle's own model and counted as a pod counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from serin_bundle import BundleError
from serin_bundle.chunks import chunks_of
from serin_bundle.table import read_chunk
from serin_cli.training_rows import read_csv
from serin_contract import profile as profiles
from serin_contract.bundle import MODEL_FILE, PROFILE_FILE, SIGNATURE_FILE, Column, Signature
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
    """Whether the model answers the row's label; shape [n]. All False of a regressor."""
    errors: Numbers | None = None
    """Of a regressor, how far its answers lie from the labels, at most the profile's clip; shape [n]."""

    @property
    def costs(self) -> Numbers:
        """What each row's answer costs: its error, or 1 where it is wrong."""
        return self.errors if self.errors is not None else 1.0 - self.hits.astype(np.float64)


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
        SimulationError: the bundle or the traffic cannot be read, or says not how large errors usually are.
    """
    try:
        signature = msgspec.json.decode((bundle / SIGNATURE_FILE).read_bytes(), type=Signature)
        profile = profiles.decode((bundle / PROFILE_FILE).read_bytes())
        model = load_skops((bundle / MODEL_FILE).read_bytes(), signature)
    except (OSError, ValueError, msgspec.MsgspecError, RefusedError) as error:
        raise SimulationError(f"{bundle} is no bundle that can be served: {error}") from error
    clip = profile.error_clip
    if signature.task != "classification" and clip is None:
        raise SimulationError("the bundle's profile has no error_clip, so its errors cannot be judged: package it anew")
    names = [column.name for column in signature.columns]
    matrix, labels = _table(traffic, label, signature.columns, np.array(signature.classes or [0.0]))
    text = [column.datatype == "BYTES" for column in signature.columns]
    binner = Binner(profile, None, names, text, signature.classes)
    rows = answered(model, matrix, labels, clip)
    top = _top_feature(model, matrix, labels, clip, [place for place, is_text in enumerate(text) if not is_text])
    return Source(model, profile, binner, rows, labels, top)


def answered(model: Model, matrix: NDArray[Any], labels: NDArray[Any], clip: float | None) -> Rows:
    """The rows with the model's answers.

    Raises:
        SimulationError: the model does not take the values.
    """
    try:
        answers = model.answer(matrix)
    except RequestError as error:
        raise SimulationError(str(error)) from error
    if model.signature.task != "classification":
        errors = np.minimum(np.abs(answers.score - labels.astype(np.float64)), clip if clip is not None else np.inf)
        return Rows(matrix, None, answers.score, np.zeros(len(labels), dtype=bool), errors)
    hits = np.array([value == label for value, label in zip(answers.values, labels.tolist(), strict=True)])
    return Rows(matrix, answers.classes, answers.score, hits)


def spoilt(rows: Rows, drop: float, draws: np.random.Generator) -> Rows:
    """The same rows with accuracy lower by `drop`: hits turned to misses at random."""
    accuracy = float(rows.hits.mean())
    flipped = rows.hits & (draws.random(len(rows.hits)) < min(1.0, drop / max(accuracy, 1e-9)))
    return replace(rows, hits=rows.hits & ~flipped)


def risen(source: Source, rise: float) -> Rows:
    """The same rows of a regressor with every error larger by that share, as far as the clip."""
    assert source.rows.errors is not None, "only a regressor has errors"
    clip = source.profile.error_clip if source.profile.error_clip is not None else np.inf
    return replace(source.rows, errors=np.minimum(source.rows.errors * (1.0 + rise), clip))


def in_another_unit(source: Source) -> Rows:
    """The column of `top_feature` times 2.54, answered anew."""
    matrix = source.rows.matrix.copy()
    matrix[:, source.top_feature] *= CENTIMETRES_PER_INCH
    return answered(source.model, matrix, source.labels, source.profile.error_clip)


def with_gaps(source: Source, share: float, draws: np.random.Generator) -> Rows | None:
    """That share of the same column's values missing, answered anew; None where the model takes no gaps."""
    if not source.model.takes_gaps:
        return None
    matrix = source.rows.matrix.copy()
    matrix[draws.random(len(matrix)) < share, source.top_feature] = np.nan
    return answered(source.model, matrix, source.labels, source.profile.error_clip)


def _table(
    traffic: Path, label: str, columns: Sequence[Column], classes: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    if traffic.suffix in (".parquet", ".pq"):
        return _parquet(traffic, label, columns, classes)
    if traffic.suffix != ".csv":
        raise SimulationError(f"{traffic} must be a CSV file with a header, or a Parquet file")
    names = [column.name for column in columns]
    try:
        _, matrix, labels = read_csv(traffic, label, SimpleNamespace(feature_names_in_=names, classes_=classes))
    except ValueError as error:
        raise SimulationError(str(error)) from error
    return matrix, labels


def _parquet(
    traffic: Path, label: str, columns: Sequence[Column], classes: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    try:
        chunks = list(chunks_of(traffic))
        if not chunks:
            raise SimulationError(f"{traffic} holds no row")
        if label not in chunks[0].columns:
            held = ", ".join(chunks[0].columns[:10])
            raise SimulationError(f"{traffic} has no column {label!r}; it has {held}")
        matrix = np.concatenate([read_chunk(chunk, columns) for chunk in chunks])
        labels = np.concatenate([np.asarray(chunk[label]) for chunk in chunks])
    except BundleError as error:
        raise SimulationError(str(error)) from error
    if labels.dtype.kind == "f" and np.isnan(labels).any():
        raise SimulationError("the label column has empty cells; drop those rows")
    return matrix, labels.astype(classes.dtype)


def _top_feature(
    model: Model, matrix: NDArray[Any], labels: NDArray[Any], clip: float | None, columns: list[int]
) -> int:
    """The column on which the answers hang most: that costs most when its values are shuffled."""
    if not columns:
        raise SimulationError("the model has no column of numbers")
    draws, sample = np.random.default_rng(0), slice(0, 500)
    costs: dict[int, float] = {}
    for column in columns:
        changed = matrix[sample].copy()
        changed[:, column] = draws.permutation(changed[:, column])
        costs[column] = float(answered(model, changed, labels[sample], clip).costs.mean())
    return max(costs, key=lambda column: costs[column])

"""Streams as they came: a model trained on the first part, the rest as the traffic of both arms, in order.

The streams are those that the package river ships, which is no dependency of Serin:

    uv run --with river==0.26.1 python -m tests.bench.verdicts.streams

Elec2 and Insects, which river fetches from elsewhere, are used where river holds them already.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from tests.bench.verdicts.bundle_world import Served, Shift
from tests.bench.verdicts.real_shifts import a_trial, look_at, share
from tests.support.counting import Numbers

from serin_bundle.package import package
from serin_contract import profile as profiles
from serin_contract.bundle import PROFILE_FILE


@dataclass(frozen=True)
class Stream:
    """One stream of river."""

    name: str
    is_regression: bool = False
    kept: int = 20_000
    """Rows at most, from its start."""
    rows_per_look: float = 100.0
    fetched: bool = False
    """Whether river does not ship it."""


STREAMS = (
    Stream("Elec2", fetched=True),
    Stream("Insects", fetched=True),
    Stream("Phishing", rows_per_look=20.0),
    Stream("ImageSegments", rows_per_look=40.0),
    Stream("Shuttle", rows_per_look=200.0),
    Stream("TrumpApproval", is_regression=True, rows_per_look=20.0),
)
TRAINED_ON = 0.3
TRAINED_ON_MAX = 5_000


def read(stream: Stream) -> tuple[Numbers, NDArray[Any]] | None:
    """Its rows and labels in their order; None where river does not hold them."""
    data = getattr(importlib.import_module("river.datasets"), stream.name)()
    if stream.fetched and not data.is_downloaded:
        return None
    rows, labels = [], []
    for place, (row, label) in enumerate(data):
        if place == stream.kept:
            break
        rows.append([float(value) for value in row.values()])
        labels.append(label)
    kinds = np.array(labels, dtype=np.float64) if stream.is_regression else np.array([str(label) for label in labels])
    return np.array(rows), kinds


def serve(stream: Stream, rows: Numbers, labels: NDArray[Any], directory: Path) -> tuple[Served, int]:
    """A model of the first part as a bundle, and the rest to come; and the feature that it needs most."""
    first = min(TRAINED_ON_MAX, int(TRAINED_ON * len(rows)))
    known = np.isin(labels[first:], np.unique(labels[:first])) if not stream.is_regression else slice(None)
    kind = HistGradientBoostingRegressor if stream.is_regression else HistGradientBoostingClassifier
    model = kind(max_iter=40, random_state=0).fit(rows[:first], labels[:first])
    package(model, rows[:first], labels[:first], directory / stream.name, name=stream.name.lower())
    profile = profiles.decode((directory / stream.name / PROFILE_FILE).read_bytes())
    place = weightiest(model, rows[:first], labels[:first])
    return Served(model, profile, rows[first:][known], labels[first:][known], in_order=True), place


def weightiest(model: Any, rows: Numbers, labels: NDArray[Any]) -> int:
    """The feature in other units of which the model is worst."""
    draws = np.random.default_rng(0)
    scores = [model.score(units(place)(draws, rows.copy()), labels) for place in range(rows.shape[1])]
    return int(np.argmin(scores))


def units(place: int) -> Shift:
    """The candidate's pods read one feature in other units."""

    def shift(_: np.random.Generator, rows: Numbers) -> Numbers:
        rows[:, place] *= 2.54
        return rows

    return shift


def row_of(stream: Stream, runs: int, directory: Path, only: Sequence[str]) -> str:
    """Two lines of the table: equal arms, and a candidate with one feature in other units."""
    found = read(stream)
    if found is None:
        return f"| {stream.name} | not shipped with river, and not downloaded | | | | | | |"
    served, place = serve(stream, *found, directory)
    looks = max(1, int(len(served.matrix) / stream.rows_per_look))
    lines = []
    for what, shift in (("equal arms", None), ("candidate: units × 2.54", units(place))):
        trials = (a_trial(served, 300 + run, shift, None, stream.rows_per_look, only) for run in range(runs))
        seen = [look_at(trial, looks) for trial in trials]
        gates = ("accuracy" if served.is_classifier else "regressionError", "dataDrift", "predictionDrift", "schema")
        columns = " | ".join(share([each.failed.get(gate) for each in seen]) for gate in gates)
        shared = share([each.shared for each in seen])
        accuracies = [each.accuracy for each in seen if each.accuracy is not None]
        accuracy = f"{np.mean(accuracies):.3f}" if accuracies else ""
        lines.append(f"| {stream.name}, {len(served.matrix)} rows | {what} | {accuracy} | {columns} | {shared} |")
    return "\n".join(lines)


HEADER = (
    "| stream | candidate | accuracy | label gate | dataDrift | predictionDrift | schema | SharedDrift |\n"
    "| --- | --- | --- | --- | --- | --- | --- | --- |"
)


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20, help="roll-outs per stream and candidate")
    parser.add_argument("--streams", nargs="*", choices=[stream.name for stream in STREAMS])
    parser.add_argument("--gates", nargs="*", default=[], help="only these gates look; all by default")
    options = parser.parse_args(arguments)
    chosen = [stream for stream in STREAMS if not options.streams or stream.name in options.streams]
    print(HEADER)
    with tempfile.TemporaryDirectory() as directory:
        for stream in chosen:
            print(row_of(stream, options.runs, Path(directory), options.gates))
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""The models of the bench: each as a joblib file for the others and as a bundle for Serin, and the requests."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from serin_bundle import package
from serin_contract.keys import derive_ring, encode

NAME = "bench"
ROWS = (1, 32)
RING = derive_ring({"m1": b"1" * 32}, "m1", "uid")
"""The keys of the deployment."""


@dataclass(frozen=True)
class Request:
    """One request, and the classes that scikit-learn predicts for its rows."""

    rows: int
    body: Path
    expected: list[Any]


@dataclass(frozen=True)
class Served:
    """One fitted model as files."""

    name: str
    joblib: Path
    bundle: Path
    digest: str
    stable_profile: Path
    """Of other rows: a candidate's pod counts on its own profile and on stable's."""
    keys: Path
    requests: dict[int, Request]


def prepare(name: str, base: Path) -> Served:
    """Fit a model and write all that the servers need."""
    # On a busy machine threads of one small sum wait for each other most of the time.
    with threadpool_limits(1):
        return _prepare(name, base)


def _prepare(name: str, base: Path) -> Served:
    estimator, load = MODELS[name]
    data = load()
    model = estimator().fit(data.data, data.target)
    base.mkdir()
    joblib.dump(model, base / "model.joblib")
    made = package(model, data.data, data.target, base / "bundle", name=NAME)
    half = np.random.default_rng(0).permutation(len(data.data))[: len(data.data) // 2]
    package(model, data.data[half], data.target[half], base / "stable", name=NAME)
    (base / "keys.json").write_bytes(encode(RING))
    return Served(
        name=name,
        joblib=base / "model.joblib",
        bundle=base / "bundle",
        digest=made.digest,
        stable_profile=base / "stable" / "profile.json",
        keys=base / "keys.json",
        requests={rows: _request(model, data.data[:rows], base / f"request-{rows}.json") for rows in ROWS},
    )


def _request(model: Any, rows: Any, path: Path) -> Request:
    tensor = {"name": "x", "shape": list(rows.shape), "datatype": "FP64", "data": rows.ravel().tolist()}
    # All answer the same: MLServer and KServe give no probabilities here.
    path.write_text(json.dumps({"inputs": [tensor], "outputs": [{"name": "predict"}]}))
    return Request(len(rows), path, model.predict(rows).tolist())


def _pipeline() -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression())


MODELS: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "linear": (lambda: LogisticRegression(solver="newton-cholesky"), load_breast_cancer),
    "pipeline": (_pipeline, load_breast_cancer),
    "forest": (lambda: RandomForestClassifier(100, random_state=0), load_digits),
    "boosted": (lambda: HistGradientBoostingClassifier(random_state=0), load_digits),
}

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from tests.unit.serving.running import Case, Running, run, wait_for_ends

from serin_bundle import package
from serin_contract.keys import KeyRing, derive_ring, encode

MASTERS = {"m1": b"1" * 32, "m2": b"2" * 32}


@pytest.fixture(scope="session", autouse=True)
def _ends() -> Iterator[None]:
    yield
    wait_for_ends()


@pytest.fixture(scope="session")
def ring() -> KeyRing:
    return derive_ring(MASTERS, "m2", "uid-of-wine")


@pytest.fixture(scope="session")
def keys_file(tmp_path_factory: pytest.TempPathFactory, ring: KeyRing) -> Path:
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    path.write_bytes(encode(ring))
    return path


@pytest.fixture(scope="session")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    """Bundles of small models on scikit-learn's own data, by name."""
    return Cases(tmp_path_factory.mktemp("bundles"))


@pytest.fixture(scope="session")
def wine(cases: dict[str, Case]) -> Case:
    return cases["wine"]


@pytest.fixture(scope="session")
def server(wine: Case, keys_file: Path) -> Iterator[Running]:
    with run(wine, keys_file, stable_profile_file=wine.path / "profile.json") as running:
        yield running


@pytest.fixture(scope="session")
def skops_server(wine: Case, keys_file: Path) -> Iterator[Running]:
    """The same bundle, of which the compiled model is not served."""
    with run(wine, keys_file, compile="never") as running:
        yield running


@pytest.fixture(scope="session")
def regressor_server(cases: dict[str, Case], keys_file: Path) -> Iterator[Running]:
    with run(cases["diabetes"], keys_file) as running:
        yield running


@pytest.fixture(scope="session")
def grpc_server(wine: Case, keys_file: Path) -> Iterator[Running]:
    with run(wine, keys_file, grpc_port=0) as running:
        yield running


@pytest.fixture
def now() -> float:
    return time.time()


class Cases(dict[str, Case]):
    """Builds each bundle when it is first asked for."""

    def __init__(self, base: Path) -> None:
        super().__init__()
        self._base = base

    def __missing__(self, name: str) -> Case:
        self[name] = _case(self._base / name, *MODELS[name]())
        return self[name]


def _case(out: Path, model: Any, rows: Any, labels: Any, names: list[str] | None) -> Case:
    made = package(model, rows, labels, out, name=out.name, feature_names=names, golden_rows=8)
    return Case(name=out.name, path=out, digest=made.digest, model=model, rows=rows, labels=labels)


def _wine() -> tuple[Any, Any, Any, list[str]]:
    data = load_wine()
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(data.data, data.target)
    return model, data.data, data.target, list(data.feature_names)


def _forest() -> tuple[Any, Any, Any, list[str]]:
    data = load_breast_cancer()
    names = np.array(["malignant", "benign"])[data.target]
    model = RandomForestClassifier(5, random_state=0, n_jobs=2).fit(data.data, names)
    return model, data.data, names, list(data.feature_names)


def _boosted() -> tuple[Any, Any, Any, None]:
    data = load_wine()
    rows = data.data.astype(np.float32)
    rows[::7, 2] = np.nan
    model = HistGradientBoostingClassifier(max_iter=5, random_state=0).fit(rows, data.target == 1)
    return model, rows, data.target == 1, None


def _diabetes() -> tuple[Any, Any, Any, list[str]]:
    data = load_diabetes()
    return Ridge().fit(data.data, data.target), data.data, data.target, list(data.feature_names)


def _mixed() -> tuple[Any, Any, Any, list[str]]:
    data = load_wine()
    rows = np.empty((len(data.data), 3), dtype=object)
    rows[:, 0] = data.data[:, 0].tolist()
    rows[:, 1] = [None if value > 5 else "dark" if value > 3 else "light" for value in data.data[:, 9]]
    rows[:, 2] = [float("nan") if value > 130 else value for value in data.data[:, 4].tolist()]
    encoder = make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), [0, 2]), (OneHotEncoder(handle_unknown="ignore"), [1])
    )
    model = make_pipeline(encoder, LogisticRegression()).fit(rows, data.target)
    return model, rows, data.target, ["alcohol", "shade", "magnesium"]


MODELS = {
    "wine": _wine,
    "forest": _forest,
    "boosted": _boosted,
    "diabetes": _diabetes,
    "mixed": _mixed,
}

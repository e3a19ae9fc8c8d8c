"""Which models compile, that each graph was proven, and what a bundle says where there is none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from tests.support.quick import slow

from serin_bundle import BundleError, PackagedBundle, inspect, package

WINE, CANCER, DIABETES = load_wine(), load_breast_cancer(), load_diabetes()


def gaps(rows: Any) -> Any:
    rows = rows.copy()
    rows[::7, 2] = np.nan
    return rows


def texts(*, missing: bool) -> Any:
    rows = np.empty((len(WINE.data), 2), dtype=object)
    rows[:, 0] = WINE.data[:, 0].tolist()
    shades = ["dark" if value > 5 else "light" for value in WINE.data[:, 9]]
    rows[:, 1] = [None if missing and index % 9 == 0 else shade for index, shade in enumerate(shades)]
    return rows


def encoded(unknown: str) -> Any:
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    steps = make_column_transformer((numbers, [0]), (OneHotEncoder(handle_unknown=unknown), [1]))
    return make_pipeline(steps, LogisticRegression())


def scaled(model: Any) -> Any:
    return make_pipeline(StandardScaler(), model)


NAMES = np.array(["barolo", "grignolino", "barbera"])[WINE.target]

COMPILED: dict[str, tuple[Callable[[], Any], Any, Any]] = {
    "a linear classifier": (lambda: LogisticRegression(max_iter=50), WINE.data[:, :3], WINE.target),
    "a pipeline that scales": (lambda: scaled(LogisticRegression()), WINE.data, WINE.target),
    "classes that are texts": (lambda: scaled(LogisticRegression()), WINE.data, NAMES),
    "classes that are true or false": (lambda: scaled(LogisticRegression()), WINE.data, WINE.target == 1),
    "rows of 32 bits": (lambda: scaled(LogisticRegression()), WINE.data.astype(np.float32), WINE.target),
    "rows of whole numbers": (lambda: DecisionTreeClassifier(random_state=0), WINE.data.astype(np.int64), WINE.target),
    "texts one-hot": (lambda: encoded("ignore"), texts(missing=False), WINE.target),
    "texts that may be missing": (lambda: encoded("ignore"), texts(missing=True), WINE.target),
    "texts that must be known": (lambda: encoded("error"), texts(missing=True), WINE.target),
    "a tree": (lambda: DecisionTreeClassifier(random_state=0), WINE.data, WINE.target),
    "a forest": (lambda: RandomForestClassifier(5, random_state=0), WINE.data, NAMES),
    "a forest that learnt from missing values": (
        lambda: RandomForestClassifier(5, random_state=0), gaps(WINE.data), WINE.target
    ),
    "a forest behind a scaler": (lambda: scaled(RandomForestClassifier(5, random_state=0)), WINE.data, WINE.target),
    "extra trees": (lambda: ExtraTreesClassifier(5, random_state=0), WINE.data, WINE.target),
    "a forest of values": (lambda: RandomForestRegressor(5, random_state=0), DIABETES.data, DIABETES.target),
    "gradient boosting of two classes": (
        lambda: GradientBoostingClassifier(n_estimators=4, random_state=0), CANCER.data, CANCER.target
    ),
    "gradient boosting of three": (
        lambda: GradientBoostingClassifier(n_estimators=4, random_state=0), WINE.data, WINE.target
    ),
    "gradient boosting with another loss": (
        lambda: GradientBoostingClassifier(n_estimators=4, loss="exponential", random_state=0), CANCER.data,
        CANCER.target
    ),
    "gradient boosting of values": (
        lambda: GradientBoostingRegressor(n_estimators=4, random_state=0), DIABETES.data, DIABETES.target
    ),
    "histogram gradient boosting of two classes": (
        lambda: HistGradientBoostingClassifier(max_iter=5, random_state=0), gaps(CANCER.data), CANCER.target
    ),
    "histogram gradient boosting of three": (
        lambda: HistGradientBoostingClassifier(max_iter=5, random_state=0), gaps(WINE.data), WINE.target
    ),
    "histogram gradient boosting of values": (
        lambda: HistGradientBoostingRegressor(max_iter=5, random_state=0), gaps(DIABETES.data), DIABETES.target
    ),
    "histogram gradient boosting of counts": (
        lambda: HistGradientBoostingRegressor(max_iter=5, loss="poisson", random_state=0), DIABETES.data,
        DIABETES.target
    ),
    "support vectors": (lambda: SVC(gamma=0.001), WINE.data, WINE.target),
    "ridge regression": (lambda: Ridge(), DIABETES.data, DIABETES.target),
    "nearest neighbours": (lambda: KNeighborsClassifier(algorithm="brute"), WINE.data, WINE.target),
    "a neural network": (
        lambda: scaled(MLPClassifier((4,), max_iter=30, random_state=0)), WINE.data, WINE.target
    ),
}  # fmt: skip


def packaged(out: Path, model: Any, rows: Any, labels: Any, **more: Any) -> PackagedBundle:
    return package(model.fit(rows, labels), rows, labels, out, name="m", golden_rows=8, **more)


# One of each converter and of each kind of column.
QUICK = {
    "a pipeline that scales",
    "rows of 32 bits",
    "texts that may be missing",
    "a forest",
    "gradient boosting of two classes",
    "histogram gradient boosting of values",
    "support vectors",
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [name if name in QUICK else slow(name) for name in COMPILED])
def test_it_compiles_and_answers_alike(tmp_path: Path, name: str) -> None:
    model, rows, labels = COMPILED[name]
    made = packaged(tmp_path / "b", model(), rows, labels, onnx="require")
    compiled = made.compiled
    assert (compiled.kind, compiled.reason) == ("onnx", "")
    assert compiled.rows > 5 * min(len(rows), 1500)
    assert compiled.difference_max <= 1e-6
    assert compiled.labels_tied <= compiled.rows / 100
    assert inspect(made.path).compiled == compiled
    again = packaged(tmp_path / "again", model(), rows, labels)
    assert (again.path / "model.onnx").read_bytes() == (made.path / "model.onnx").read_bytes()


def begun_elsewhere() -> Any:
    return GradientBoostingRegressor(n_estimators=3, init=Ridge())


NOT_COMPILED: dict[str, tuple[Any, Any, Any, str]] = {
    "a model that skl2onnx knows in 32 bits only": (RidgeClassifier(), WINE.data, WINE.target, "skl2onnx cannot"),
    "gradient boosting that begins with another model": (
        begun_elsewhere(), DIABETES.data, DIABETES.target, "begins with another model"
    ),
    "numbers that must be known": (
        make_pipeline(OneHotEncoder(), LogisticRegression()),
        np.round(WINE.data[:, :2] / 5), WINE.target, "does not answer",
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", NOT_COMPILED)
def test_it_does_not_compile_and_says_why(tmp_path: Path, name: str) -> None:
    model, rows, labels, part = NOT_COMPILED[name]
    made = packaged(tmp_path / "b", model, rows, labels)
    assert made.compiled.kind == "none"
    assert part in made.compiled.reason
    assert not (made.path / "model.onnx").exists()
    assert inspect(made.path).intact
    with pytest.raises(BundleError, match="that was required"):
        packaged(tmp_path / "c", model, rows, labels, onnx="require")
    assert not (tmp_path / "c").exists()


def test_a_model_that_shall_not_be_compiled_is_not(tmp_path: Path) -> None:
    made = packaged(tmp_path / "b", Ridge(), DIABETES.data, DIABETES.target, onnx="never")
    assert json.loads((made.path / "compiled.json").read_bytes())["kind"] == "none"
    with pytest.raises(BundleError, match="'auto', 'never' or 'require'"):
        packaged(tmp_path / "c", Ridge(), DIABETES.data, DIABETES.target, onnx="always")


def test_a_bundle_knows_what_its_model_refuses(tmp_path: Path) -> None:
    made = packaged(tmp_path / "b", encoded("error"), texts(missing=False), WINE.target)
    number, text = made.compiled.takes
    assert (number.missing, number.infinite, number.texts) == (True, False, None)
    assert (text.missing, text.texts) == (False, ["dark", "light"])
    forest = packaged(tmp_path / "f", RandomForestClassifier(3, random_state=0), WINE.data, WINE.target)
    assert not forest.compiled.takes[0].beyond_float32


def test_a_graph_that_answers_otherwise_is_not_kept(tmp_path: Path) -> None:
    """A model with other weights stands for every bug of a converter."""
    from serin_bundle.compile import compile_model
    from serin_bundle.golden import build_golden, choose_rows
    from serin_bundle.table import read_table
    from serin_contract.bundle import Signature

    model = scaled(LogisticRegression()).fit(WINE.data, WINE.target)
    table = read_table(WINE.data)
    signature = Signature("classification", table.columns, [0, 1, 2], probabilities=True)
    rows = choose_rows(WINE.target, 8, "classification")
    golden = build_golden(model, model, table, rows, proba=True)
    other = scaled(LogisticRegression(C=0.9)).fit(WINE.data, WINE.target)
    compiled, files = compile_model(other, table, signature, golden, rows, "auto")
    assert (compiled.kind, list(files)) == ("none", ["compiled.json"])
    assert "golden rows otherwise" in compiled.reason

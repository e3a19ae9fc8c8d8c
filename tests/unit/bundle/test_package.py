from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.cluster import KMeans
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_diabetes, load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from serin_bundle import BundleError, PackagedBundle, inspect, package
from serin_contract.bundle import Golden, Manifest

WINE = load_wine()
LINEAR = make_pipeline(StandardScaler(), LogisticRegression()).fit(WINE.data, WINE.target)


def make(out: Path, **changes: Any) -> PackagedBundle:
    values: dict[str, Any] = {"model": LINEAR, "X": WINE.data, "y": WINE.target, "name": "wine", **changes}
    return package(values.pop("model"), values.pop("X"), values.pop("y"), out, **values)


def document(made: PackagedBundle, name: str) -> Any:
    return json.loads((made.path / name).read_bytes())


@pytest.fixture(scope="module")
def wine(tmp_path_factory: pytest.TempPathFactory) -> PackagedBundle:
    return make(tmp_path_factory.mktemp("bundle") / "wine", feature_names=WINE.feature_names)


def test_a_bundle_holds_what_the_contract_says(wine: PackagedBundle) -> None:
    report = inspect(wine.path)
    assert report.intact
    assert report.digest == wine.digest
    assert [file.path for file in report.files] == [
        "compiled.json",
        "golden.json",
        "metrics.json",
        "model.onnx",
        "model.skops",
        "profile.json",
        "signature.json",
    ]
    assert report.signature is not None
    assert report.signature.classes == [0, 1, 2]
    assert report.signature.probabilities
    assert [column.name for column in report.signature.columns] == WINE.feature_names
    assert report.metrics == wine.metrics


def test_quality_is_measured_out_of_fold(tmp_path: Path) -> None:
    # A forest knows its training rows by heart; rows that it has not seen tell the truth.
    rng = np.random.default_rng(0)
    rows, labels = rng.normal(size=(120, 3)), rng.integers(0, 2, 120)
    forest = RandomForestClassifier(10, random_state=0).fit(rows, labels)
    assert forest.score(rows, labels) > 0.95
    made = make(tmp_path / "b", model=forest, X=rows, y=labels)
    assert 0.3 < made.metrics["accuracy"] < 0.7
    assert made.metrics["folds"] == 5


def test_the_same_inputs_give_the_same_digest(wine: PackagedBundle, tmp_path: Path) -> None:
    again = make(tmp_path / "wine", feature_names=WINE.feature_names)
    assert again.digest == wine.digest


def test_a_model_that_was_written_and_read_gives_the_same_digest(wine: PackagedBundle, tmp_path: Path) -> None:
    model = skops.io.loads(skops.io.dumps(LINEAR))
    assert make(tmp_path / "wine", model=model, feature_names=WINE.feature_names).digest == wine.digest


def test_a_forest_without_a_random_state_is_packaged_alike(tmp_path: Path) -> None:
    forest = RandomForestClassifier(3).fit(WINE.data, WINE.target)
    first, second = (make(tmp_path / name, model=forest) for name in "ab")
    assert first.digest == second.digest


def test_golden_rows_show_every_class_and_what_the_model_says(wine: PackagedBundle) -> None:
    import msgspec

    golden = msgspec.convert(document(wine, "golden.json"), Golden)
    assert len(golden.rows) == 32
    assert set(golden.predictions) == {0, 1, 2}
    assert golden.predictions == LINEAR.predict(np.array(golden.rows)).tolist()
    assert golden.probabilities == LINEAR.predict_proba(np.array(golden.rows)).tolist()


def test_a_bundle_knows_what_made_it_and_no_time(wine: PackagedBundle) -> None:
    import msgspec

    manifest = msgspec.convert(document(wine, "manifest.json"), Manifest)
    assert manifest.name == "wine"
    assert set(manifest.versions) == {"python", "scikit-learn", "numpy", "scipy", "skops"}
    assert set(document(wine, "manifest.json")) == {"files", "format", "name", "versions"}


def test_a_bundle_that_is_there_already_is_left_alone(wine: PackagedBundle, tmp_path: Path) -> None:
    out = tmp_path / "wine"
    make(out, feature_names=WINE.feature_names)
    written = (out / "model.skops").stat().st_mtime_ns
    assert make(out, feature_names=WINE.feature_names).digest == wine.digest
    assert (out / "model.skops").stat().st_mtime_ns == written


def test_another_bundle_is_never_overwritten(tmp_path: Path) -> None:
    first = make(tmp_path / "wine")
    with pytest.raises(BundleError, match=first.digest):
        make(tmp_path / "wine", name="beer")
    assert inspect(tmp_path / "wine").digest == first.digest


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "note").write_text("mine")
    with pytest.raises(BundleError, match="not empty"):
        make(tmp_path / "full")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full"]


def test_an_empty_directory_is_filled(tmp_path: Path) -> None:
    (tmp_path / "wine").mkdir()
    assert inspect(make(tmp_path / "wine").path).intact


def test_a_regressor_has_bins_of_values_and_errors(tmp_path: Path) -> None:
    data = load_diabetes()
    made = make(tmp_path / "b", model=Ridge().fit(data.data, data.target), X=data.data, y=data.target)
    assert made.metrics["mae"] > 0
    report = inspect(made.path)
    assert report.signature is not None
    assert report.profile is not None
    assert (report.signature.task, report.signature.classes) == ("regression", [])
    assert report.profile.prediction.kind == "regression"
    assert sum(report.profile.prediction.counts) == len(data.target)


class Frame:
    """The least that a data frame offers."""

    def __init__(self, **columns: list[Any]) -> None:
        self._columns = columns
        self.columns = list(columns)
        self.shape = (len(next(iter(columns.values()))), len(columns))

    def __getitem__(self, name: str) -> Any:
        return np.array(self._columns[name], dtype=object)


def test_a_data_frame_brings_its_names_and_types(tmp_path: Path) -> None:
    shades = ["dark", "light", None, "light"] * 30
    sizes = [1.0, 2.0, 3.0, float("nan")] * 30
    old = [True, False] * 60
    rows = np.array(list(zip(shades, sizes, old, strict=True)), dtype=object)
    steps = make_column_transformer((OneHotEncoder(), [0]), remainder="drop")
    model = make_pipeline(steps, LogisticRegression()).fit(rows, old)
    made = make(tmp_path / "b", model=model, X=Frame(shade=shades, size=sizes, old=old), y=old)
    columns = document(made, "signature.json")["columns"]
    assert [(column["name"], column["datatype"]) for column in columns] == [
        ("shade", "BYTES"),
        ("size", "FP64"),
        ("old", "BOOL"),
    ]
    shade, size, _ = document(made, "profile.json")["features"]
    assert (shade["categories"], shade["counts"]) == (["light", "dark"], [60, 30, 0, 30])
    assert size["counts"][-1] == 30


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "labels that are missing": ({"y": np.where(WINE.target == 1, np.nan, WINE.target)}, "71 missing labels"),
    "too few labels": ({"y": WINE.target[:-1]}, "y has 177 labels and X has 178 rows"),
    "labels of two columns": ({"y": np.zeros((178, 2))}, "one label a row"),
    "labels of another type": ({"y": WINE.target.astype(str)}, "differ in type"),
    "labels that the model does not know": ({"y": WINE.target + 1}, "does not know: 3"),
    "a model that is not fitted": ({"model": LogisticRegression()}, "not fitted"),
    "a model that is none": ({"model": object()}, "must be a scikit-learn estimator"),
    "a model that clusters": (
        {"model": KMeans(2, n_init=1, random_state=0).fit(WINE.data)}, "give `task`"
    ),
    "the wrong task": ({"task": "regression"}, "the model does classification"),
    "a type that the server does not load": (
        {"model": KNeighborsClassifier(algorithm="kd_tree").fit(WINE.data, WINE.target)},
        "sklearn.neighbors._kd_tree.KDTree",
    ),
    "code of the caller's own": (
        {"model": make_pipeline(FunctionTransformer(shutil.copyfileobj), LogisticRegression())}, "not fitted"
    ),
    "rows in a list": ({"X": WINE.data.tolist()}, "2-D numpy array or a data frame, not list"),
    "other columns than the model's": ({"X": WINE.data[:, :5]}, "takes 13 columns and X has 5"),
    "an infinite value": ({"X": np.where(WINE.data > 1600, np.inf, WINE.data)}, "'x12' holds an infinite value"),
    "times as values": ({"X": WINE.data.astype("datetime64[s]")}, "no model server can be sent"),
    "a column of mixed types": (
        {"X": np.where(WINE.data > 1600, "much", WINE.data.astype(object))}, "mixes types"
    ),
    "names of another number": ({"feature_names": ["a"]}, "1 feature names and 13 columns"),
    "a name that comes twice": ({"feature_names": ["a"] * 13}, "unique"),
    "a name of a model that is no name": ({"name": "Wine 7"}, "lower-case"),
    "no golden rows": ({"golden_rows": 0}, "from 1 to 1024"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", REFUSED)
def test_it_refuses(tmp_path: Path, name: str) -> None:
    changes, part = REFUSED[name]
    with pytest.raises(BundleError) as caught:
        make(tmp_path / "out", **changes)
    assert part in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_class_of_one_row_cannot_be_judged_out_of_fold(tmp_path: Path) -> None:
    labels = np.array(["a"] * 20 + ["b"])
    rows = np.arange(42.0).reshape(21, 2)
    model = LogisticRegression().fit(rows, labels)
    with pytest.raises(BundleError, match="class 'b' has 1 row"):
        make(tmp_path / "b", model=model, X=rows, y=labels)


DAMAGES = {
    "a changed byte": (lambda path: path.write_bytes(path.read_bytes()[:-1] + b" "), "SHA-256"),
    "a longer file": (lambda path: path.write_bytes(path.read_bytes() + b" "), "bytes"),
    "a missing file": (lambda path: path.unlink(), "missing"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_inspecting_tells(wine: PackagedBundle, tmp_path: Path, name: str) -> None:
    damage, part = DAMAGES[name]
    copy = tmp_path / "copy"
    shutil.copytree(wine.path, copy)
    damage(copy / "metrics.json")
    report = inspect(copy)
    assert not report.intact
    assert report.metrics is None
    assert [part in str(file.problem) for file in report.files if file.problem] == [True]


def test_inspecting_what_is_no_bundle_says_so(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="holds no bundle"):
        inspect(tmp_path)

from __future__ import annotations

import csv
import json
from pathlib import Path

import joblib
import pytest
import skops.io
from click.testing import CliRunner
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from serin_cli.inspect import inspect
from serin_cli.package import package, read_csv

WINE = load_wine()
MODEL = make_pipeline(StandardScaler(), LogisticRegression()).fit(WINE.data, WINE.target)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    skops.io.dump(MODEL, tmp_path / "wine.skops")
    joblib.dump(MODEL, tmp_path / "wine.joblib")
    with (tmp_path / "wine.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["cultivar", *WINE.feature_names])
        writer.writerows([label, *row] for row, label in zip(WINE.data.tolist(), WINE.target, strict=True))
    return tmp_path


def run(work: Path, model: str, *more: str, target: str = "cultivar") -> tuple[int, str]:
    arguments = ["--model", str(work / model), "--data", str(work / "wine.csv"), "--target", target]
    result = CliRunner().invoke(package, [*arguments, "--out", str(work / "wine-7"), *more])
    return result.exit_code, result.output


def test_a_bundle_is_made_and_looked_at(work: Path) -> None:
    code, output = run(work, "wine.skops")
    assert code == 0
    assert "accuracy 0.98" in output
    assert "serves   ONNX, which differs by at most 1e-" in output
    assert "shows    a PSI of 0.075 or more in each feature" in output
    shown = CliRunner().invoke(inspect, [str(work / "wine-7")])
    assert shown.exit_code == 0
    for part in (
        "name      wine-7",
        "classes   0, 1, 2",
        "alcohol (FP64): 6 bins",
        "every file is the recorded one",
        "serves    ONNX, which differs",
        "of 178 rows; of 0.",
    ):
        assert part in shown.output
    assert "of 178 rows; of 0.052 or more in the answers" in shown.output


def test_json_holds_everything(work: Path) -> None:
    run(work, "wine.skops")
    document = json.loads(CliRunner().invoke(inspect, [str(work / "wine-7"), "--output", "json"]).output)
    assert document["intact"] is True
    assert document["digest"].startswith("sha256:")
    assert len(document["profile"]["features"]) == 13


def test_a_damaged_bundle_exits_with_one(work: Path) -> None:
    run(work, "wine.skops")
    (work / "wine-7" / "model.skops").write_bytes(b"other")
    shown = CliRunner().invoke(inspect, [str(work / "wine-7")])
    assert shown.exit_code == 1
    assert "model.skops" in shown.output
    assert "NO: see the files above" in shown.output


def test_a_pickle_is_loaded_only_when_asked_for(work: Path) -> None:
    code, output = run(work, "wine.joblib")
    assert code == 1
    assert "--allow-pickle" in output
    assert run(work, "wine.joblib", "--allow-pickle")[0] == 0


def test_the_profile_can_be_of_more_rows(work: Path) -> None:
    lines = (work / "wine.csv").read_text().splitlines()
    (work / "all.csv").write_text("\n".join([*lines, *lines[1:]]) + "\n")
    code, output = run(work, "wine.skops", "--profile-data", str(work / "all.csv"))
    assert code == 0
    assert "of 356 rows" in output


def test_a_model_that_shall_not_be_compiled_says_so(work: Path) -> None:
    code, output = run(work, "wine.skops", "--compile", "never")
    assert code == 0
    assert "serves   scikit-learn, not compiled: it was packaged with compile: never" in output
    assert not (work / "wine-7" / "model.onnx").exists()


def test_a_missing_target_is_named(work: Path) -> None:
    code, output = run(work, "wine.skops", target="price")
    assert code == 1
    assert "has no column 'price'" in output


def test_the_help_teaches_by_an_example() -> None:
    for command in (package, inspect):
        assert "bundles/wine-7" in CliRunner().invoke(command, ["--help"]).output


def test_cells_are_numbers_or_texts_column_by_column(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("size,shade,label\n1.5,dark,a\n,light,b\n2,,a\n")
    names, rows, labels = read_csv(path, "label", LogisticRegression().fit([[0], [1]], ["a", "b"]))
    assert names == ["size", "shade"]
    assert rows[:, 1].tolist() == ["dark", "light", None]
    assert rows[0, 0] == 1.5
    assert rows[1, 0] != rows[1, 0]
    assert labels.tolist() == ["a", "b", "a"]

from __future__ import annotations

import csv
import datetime as dt
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
from tests.support.custom_models import ThresholdTrainer

from serin_bundle import BundleError
from serin_cli.inspect import inspect
from serin_cli.package import package
from serin_cli.training_rows import read_csv, read_rows

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


def shades(work: Path) -> list[str]:
    """Labels of another kind, which the rows' file has from now on."""
    labels = ["dark" if row[0] > 13 else "light" for row in WINE.data]
    with (work / "wine.csv").open("w", newline="") as file:
        rows = [[label, *row] for row, label in zip(WINE.data.tolist(), labels, strict=True)]
        csv.writer(file).writerows([["cultivar", *WINE.feature_names], *rows])
    return labels


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


def as_parquet(work: Path, **columns: list[object]) -> Path:
    """The rows of wine.csv, or these columns, as Parquet."""
    from pyarrow import csv as arrow
    from pyarrow import table
    from pyarrow.parquet import write_table

    rows = table(columns) if columns else arrow.read_csv(work / "wine.csv")
    write_table(rows, work / "wine.parquet")
    return work / "wine.parquet"


def test_a_model_that_no_safe_format_holds_is_written_as_a_pickle_only_when_asked_for(work: Path) -> None:
    joblib.dump(ThresholdTrainer().fit(WINE.data, shades(work)), work / "odd.joblib")
    code, output = run(work, "odd.joblib", "--allow-pickle", "--compile", "never")
    assert (code, "--write-pickle" in output) == (1, True)
    code, output = run(work, "odd.joblib", "--allow-pickle", "--write-pickle", "--compile", "never")
    assert (code, (work / "wine-7" / "model.joblib").exists()) == (0, True), output


def test_a_class_of_ones_own_answers_the_golden_rows(work: Path) -> None:
    trainer = ThresholdTrainer().fit(WINE.data, shades(work))
    (work / "ours.json").write_bytes(trainer.data)
    joblib.dump(trainer, work / "ours.joblib")
    own = ["--custom-class", "tests.support.custom_models:Threshold", "--custom-data", str(work / "ours.json")]
    code, output = run(work, "ours.joblib", "--allow-pickle", *own)
    assert (code, (work / "wine-7" / "model.custom").read_bytes()) == (0, trainer.data), output


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--custom-class", "a:B"], "go together"),
        (["--custom-class", "a.B", "--custom-data", __file__], "as module:Class"),
        (["--custom-class", "no_such_module:Model", "--custom-data", __file__], "PYTHONPATH"),
    ],
)
def test_a_class_that_is_not_there_is_said(work: Path, more: list[str], words: str) -> None:
    code, output = run(work, "wine.skops", *more)
    assert (code != 0, words in output) == (True, True), output


def test_rows_of_parquet_make_the_bundle_that_those_of_csv_make(work: Path) -> None:
    assert run(work, "wine.skops")[0] == 0
    rows = as_parquet(work)
    words = ["--model", work / "wine.skops", "--data", rows, "--target", "cultivar", "--out", work / "again" / "wine-7"]
    made = CliRunner().invoke(package, [str(word) for word in words])
    assert made.exit_code == 0, made.output
    assert (work / "again" / "wine-7" / "manifest.json").read_bytes() == (
        work / "wine-7" / "manifest.json"
    ).read_bytes()


def test_columns_of_parquet_are_numbers_or_texts(tmp_path: Path) -> None:
    path = as_parquet(
        tmp_path, size=[1, None, 2], fresh=[True, None, False], shade=["dark", None, ""], label=["a", "b", "a"]
    )
    names, rows, labels = read_rows(path, "label", LogisticRegression().fit([[0], [1]], ["a", "b"]))
    assert names == ["size", "fresh", "shade"]
    assert rows[:, 2].tolist() == ["dark", None, None]
    assert [rows[0, 0], rows[0, 1], rows[2, 1]] == [1.0, 1.0, 0.0]
    assert rows[1, 0] != rows[1, 0]
    assert rows[1, 1] != rows[1, 1]
    assert labels.tolist() == ["a", "b", "a"]


@pytest.mark.parametrize(
    ("sentence", "columns", "classes", "labels"),
    [
        ("whole numbers", {"label": [1, 0]}, [0, 1], [1, 0]),
        ("truth values", {"label": [True, False]}, [False, True], [True, False]),
        ("numbers with a point for whole classes", {"label": [1.0, 0.0]}, [0, 1], [1, 0]),
        ("numbers for classes that are texts", {"label": [1, 0]}, ["0", "1"], ["1", "0"]),
    ],
)
def test_labels_of_parquet_take_the_type_of_the_classes(
    tmp_path: Path, sentence: str, columns: dict[str, list[object]], classes: list[object], labels: list[object]
) -> None:
    path = as_parquet(tmp_path, size=[1, 2], **columns)
    assert read_rows(path, "label", LogisticRegression().fit([[0], [1]], classes))[2].tolist() == labels, sentence


@pytest.mark.parametrize(
    ("sentence", "columns", "words"),
    [
        ("times", {"size": [dt.datetime(2026, 1, 1), None], "label": [0, 1]}, "neither numbers nor texts"),  # noqa: DTZ001
        ("lists", {"size": [[1], [2]], "label": [0, 1]}, "neither numbers nor texts"),
        ("no label in a row", {"size": [1, 2], "label": [0, None]}, "empty cells"),
        ("another name for the labels", {"size": [1, 2], "class": [0, 1]}, "has no column 'label'; it has size, class"),
        ("labels alone", {"label": [0, 1]}, "has no column beside 'label'"),
    ],
)
def test_parquet_that_holds_something_else_is_refused(
    tmp_path: Path, sentence: str, columns: dict[str, list[object]], words: str
) -> None:
    with pytest.raises(BundleError, match=words):
        read_rows(as_parquet(tmp_path, **columns), "label", LogisticRegression().fit([[0], [1]], [0, 1]))


def test_cells_are_numbers_or_texts_column_by_column(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("size,shade,label\n1.5,dark,a\n,light,b\n2,,a\n")
    names, rows, labels = read_csv(path, "label", LogisticRegression().fit([[0], [1]], ["a", "b"]))
    assert names == ["size", "shade"]
    assert rows[:, 1].tolist() == ["dark", "light", None]
    assert rows[0, 0] == 1.5
    assert rows[1, 0] != rows[1, 0]
    assert labels.tolist() == ["a", "b", "a"]

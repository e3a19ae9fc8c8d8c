"""`serin simulate` tells a good model from a spoilt one by the real decisions."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import skops.io
from click.testing import CliRunner
from sklearn.datasets import load_wine
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LinearRegression, RidgeClassifier
from tests.support import bundles

from serin_bundle import package
from serin_cli.main import serin
from serin_cli.simulate.rows import SimulationError, read, with_gaps
from serin_cli.simulate.trials import Ended, Kind, prepared, wilson
from serin_cli.simulate.trials import _line as trial_line
from serin_operator.api.deployment import ModelDeploymentSpec

MANIFEST = """
kind: ModelDeployment
spec:
  model: {uri: "pvc://models/wine/7"}
  rollout: {steps: [{weight: 20, for: 20s}, {weight: 50, for: 60s}]}
  gates: {accuracy: {maxDrop: 0.05}, dataDrift: {}, latency: {max: 250ms}}
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    directory = tmp_path_factory.mktemp("wine")
    bundles.wine(directory / "bundle")
    data = load_wine()
    with (directory / "recent.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*data.feature_names, "cultivar"])
        writer.writerows([*row, label] for row, label in zip(data.data.tolist(), data.target.tolist(), strict=True))
    (directory / "wine.yaml").write_text(MANIFEST)
    named = {"bundle": "bundle", "traffic": "recent.csv", "manifest": "wine.yaml"}
    return [word for option, name in named.items() for word in (f"--{option}", str(directory / name))]


def test_a_good_model_is_promoted_and_spoilt_ones_are_found(files: list[str]) -> None:
    options = ["--label", "cultivar", "--rate", "40", "--runs", "1", "--drops", "0.2", "--json"]
    found = CliRunner().invoke(serin, ["simulate", *files, *options])
    assert found.exit_code == 0, found.output
    document = json.loads(found.stdout)
    good, worse, unit = document["lines"]
    assert (good["promoted"], good["rolled_back"]) == (1, 0)
    assert worse["gates"] == {"accuracy": 1}
    assert unit["rolled_back"] == 1
    assert document["leftOut"] == [
        "gate latency: it needs more than rows and labels",
        "missing values: the model takes none",
    ]


def test_what_is_kept_and_can_only_pass_is_said() -> None:
    spec = ModelDeploymentSpec.model_validate({"model": {"uri": "pvc://a"}, "gates": {"accuracy": {}, "errorRate": {}}})
    document, left = prepared(spec)
    assert document["gates"].keys() == {"accuracy", "errorRate"}
    assert left == ["failed requests: every simulated one is answered, so errorRate can only pass"]


def test_a_model_that_takes_gaps_is_tried_with_missing_values(tmp_path: Path) -> None:
    data = load_wine()
    model = HistGradientBoostingClassifier(max_iter=5, random_state=0).fit(data.data, data.target)
    names = list(data.feature_names)
    package(model, data.data, data.target, tmp_path / "bundle", name="wine", feature_names=names)
    with (tmp_path / "recent.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows(
            [[*names, "cultivar"], *([*row, label] for row, label in zip(data.data, data.target, strict=True))]
        )
    source = read(tmp_path / "bundle", tmp_path / "recent.csv", "cultivar")
    gaps = with_gaps(source, 0.3, np.random.default_rng(0))
    assert gaps is not None
    assert np.isnan(gaps.matrix[:, source.top_feature]).mean() == pytest.approx(0.3, abs=0.1)
    assert gaps.hits.mean() < source.rows.hits.mean()


def test_the_delay_of_a_spoilt_model_is_that_of_the_trials_that_found_it() -> None:
    ended = [Ended("rolled back", "accuracy", 60.0, 10.0)] * 2 + [Ended("promoted", None, 6000.0, 900.0)] * 5
    spoilt = trial_line(Kind("worse", lambda _: None), ended, harmless=False)  # type: ignore[arg-type,return-value]
    assert (spoilt.minutes, spoilt.labels) == (1.0, 10.0)
    same = trial_line(Kind("the same", lambda _: None), ended, harmless=True)  # type: ignore[arg-type,return-value]
    assert (same.minutes, same.labels) == (100.0, 900.0)
    missed = trial_line(Kind("worse", lambda _: None), ended[2:], harmless=False)  # type: ignore[arg-type,return-value]
    assert (missed.minutes, missed.labels) == (None, None)


def as_parquet(source: Path, target: Path) -> Path:
    from pyarrow import csv as arrow
    from pyarrow.parquet import write_table

    write_table(arrow.read_csv(source), target)
    return target


def test_traffic_in_a_parquet_file_is_the_same_traffic(files: list[str], tmp_path: Path) -> None:
    bundle, recent = Path(files[1]), Path(files[3])
    read_csv, read_parquet = (
        read(bundle, path, "cultivar") for path in (recent, as_parquet(recent, tmp_path / "r.pq"))
    )
    assert np.array_equal(read_csv.rows.matrix, read_parquet.rows.matrix)
    assert np.array_equal(read_csv.labels, read_parquet.labels)
    with pytest.raises(SimulationError, match="has no column 'colour'; it has "):
        read(bundle, tmp_path / "r.pq", "colour")


def test_drift_and_package_read_parquet_as_they_read_csv(files: list[str], tmp_path: Path) -> None:
    recent = Path(files[3])
    parquet = as_parquet(recent, tmp_path / "recent.parquet")
    said = [CliRunner().invoke(serin, ["drift", str(recent), str(live)]).output for live in (recent, parquet)]
    assert said[0] == said[1]
    assert said[0].endswith("no drift\n")
    data = load_wine()
    model = RidgeClassifier().fit(data.data, data.target)
    (tmp_path / "wine.skops").write_bytes(skops.io.dumps(model))
    digests = []
    for rows in (recent, parquet):
        words = ["--model", tmp_path / "wine.skops", "--data", recent, "--target", "cultivar", "--profile-data", rows]
        found = CliRunner().invoke(
            serin, ["package", *map(str, words), "--out", str(tmp_path / rows.suffix[1:]), "--name", "wine"]
        )
        assert found.exit_code == 0, found.output
        digests.append(next(line for line in found.output.splitlines() if line.startswith("digest")))
    assert digests[0] == digests[1]


@pytest.mark.slow
def test_a_regressor_is_tried_with_larger_errors(tmp_path: Path) -> None:
    draws = np.random.default_rng(0)
    rows = draws.normal(size=(800, 2))
    target = 3 * rows[:, 0] + draws.normal(size=800)
    model = LinearRegression().fit(rows, target)
    package(model, rows, target, tmp_path / "bundle", name="line", feature_names=["a", "b"])
    fresh = draws.normal(size=(2000, 2))
    with (tmp_path / "recent.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["a", "b", "y"])
        writer.writerows([*row, 3 * row[0] + draws.normal()] for row in fresh.tolist())
    (tmp_path / "line.yaml").write_text(
        MANIFEST.replace("accuracy: {maxDrop: 0.05}", "regressionError: {maxRise: 0.2}")
    )
    named = {"bundle": "bundle", "traffic": "recent.csv", "manifest": "line.yaml"}
    paths = [word for option, name in named.items() for word in (f"--{option}", str(tmp_path / name))]
    options = ["--label", "y", "--rate", "40", "--runs", "1", "--json"]
    found = CliRunner().invoke(serin, ["simulate", *paths, *options])
    assert found.exit_code == 0, found.output
    good, tenth, third, unit = json.loads(found.stdout)["lines"]
    assert (tenth["rise"], third["rise"], third["candidate"]) == (0.1, 0.3, "errors 30 % larger")
    assert good["rolled_back"] == 0
    assert third["gates"] == {"regressionError": 1}
    assert (unit["candidate"], unit["rolled_back"]) == ("a in another unit (x 2.54)", 1)


WRONG = [
    (["--label", "colour"], "no column 'colour'"),
    (["--label", "cultivar", "--drops", "2"], "0.02 is two points"),
]


@pytest.mark.parametrize(("options", "sentence"), WRONG, ids=[row[1] for row in WRONG])
def test_what_is_wrong_is_said(files: list[str], options: list[str], sentence: str) -> None:
    found = CliRunner().invoke(serin, ["simulate", *files, *options])
    assert (found.exit_code != 0, sentence in found.output) == (True, True), found.output


def test_the_interval_is_wilsons() -> None:
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert wilson(10, 20) == pytest.approx((0.2993, 0.7007), abs=1e-4)

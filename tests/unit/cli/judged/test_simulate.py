"""`serin simulate` tells a good model from a spoilt one by the real decisions."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from sklearn.datasets import load_wine
from sklearn.ensemble import HistGradientBoostingClassifier
from tests.support import bundles

from serin_bundle import package
from serin_cli.main import serin
from serin_cli.simulate.rows import read, with_gaps
from serin_cli.simulate.trials import prepared, wilson
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

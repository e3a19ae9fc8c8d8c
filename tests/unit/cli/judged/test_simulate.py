"""`serin simulate` tells a good model from a spoilt one by the real decisions."""

from __future__ import annotations

import csv
import json

import pytest
from click.testing import CliRunner
from sklearn.datasets import load_wine
from tests.support import bundles

from serin_cli.main import serin
from serin_cli.simulate.trials import wilson

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
    assert document["leftOut"] == ["gate latency: it needs more than rows and labels"]


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

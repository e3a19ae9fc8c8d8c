"""Rows held against rows: by classifier, by kernel means, by bins, and by the command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from serin_bundle import BundleError
from serin_bundle.classifier import AucFinding, alarm_below, alarms, domain_auc, domain_mmd, permutations_needed
from serin_bundle.compare import psi_without_bias
from serin_cli.drift import drift


def rows(seed: int, correlation: float = 0.9, count: int = 400) -> Any:
    covariance = [[1.0, correlation], [correlation, 1.0]]
    return np.random.default_rng(seed).multivariate_normal([0.0, 0.0], covariance, count)


def test_columns_that_no_longer_go_together_are_told_by_whole_rows_alone() -> None:
    stable, candidate = rows(1), rows(2, correlation=-0.9)
    found = domain_auc(candidate, stable, 0)
    assert found.auc > 0.8
    assert alarms(found, 1)
    assert max(found.importances) < 0.06
    assert domain_mmd(candidate, stable, 0).p_value == pytest.approx(1 / 101)


def test_equal_rows_are_not_told_apart() -> None:
    found = domain_auc(rows(1), rows(2), 0)
    assert not alarms(found, 1)
    assert domain_mmd(rows(1), rows(2), 0).p_value > 0.05
    assert domain_auc(rows(1), rows(2), 0) == found
    assert abs(found.z) < 3


def test_a_column_that_moved_is_the_important_one_even_where_values_are_missing() -> None:
    moved = rows(2)
    moved[:, 1] += 2.0
    moved[::5, 0] = np.nan
    found = domain_auc(moved, rows(1), 0)
    assert found.importances[1] > 0.3 > found.importances[0]


ALARMS = {
    "at the first run a small p is enough": (0.6, 0.005, 1, True),
    "at the tenth it takes a smaller one": (0.6, 0.005, 10, False),
    "a difference that does not matter": (0.54, 1e-9, 1, False),
}


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm(name: str) -> None:
    auc, p_value, run, expected = ALARMS[name]
    assert alarms(AucFinding(auc, p_value, []), run) is expected


def test_too_few_rows_or_other_columns_are_refused() -> None:
    with pytest.raises(BundleError, match="at least 40"):
        domain_auc(rows(1, count=39), rows(2), 0)
    with pytest.raises(BundleError, match="cannot be compared"):
        domain_mmd(rows(1)[:, :1], rows(2), 0)
    with pytest.raises(BundleError, match="no missing values"):
        domain_mmd(np.full((50, 2), np.nan), rows(2), 0)


def test_psi_of_equal_rows_is_nothing_on_average() -> None:
    random = np.random.default_rng(0)
    shares = np.full(10, 0.1)
    found = [
        psi_without_bias(random.multinomial(400, shares).tolist(), random.multinomial(300, shares).tolist())
        for _ in range(400)
    ]
    assert np.mean([psi for psi, _ in found]) == pytest.approx(0.0, abs=0.004)
    assert np.std([psi for psi, _ in found]) == pytest.approx(found[0][1], rel=0.2)


def write(path: Path, values: Any, header: str = "a,b,note") -> Path:
    lines = [header, *(f"{a:.4f},{b:.4f},{'' if a > 1 else 'ok'}" for a, b in values)]
    path.write_text("\n".join(lines) + "\n")
    return path


OUTCOMES = {
    "rows like the reference": (rows(2), [], 0, "no drift"),
    "a feature that moved": (np.add(rows(2), [3.0, 0.0]), ["--no-classifier"], 1, "drifted"),
    "columns that no longer go together": (rows(2, correlation=-0.9), [], 1, "DRIFT"),
    "the same to one who looks at features alone": (rows(2, correlation=-0.9), ["--no-classifier"], 0, "no drift"),
    "a file with too few rows": (rows(2, count=10), [], 2, "at least 40"),
}


@pytest.mark.parametrize("name", OUTCOMES)
def test_the_command_answers(name: str, tmp_path: Path) -> None:
    live, options, code, part = OUTCOMES[name]
    files = [str(write(tmp_path / "reference.csv", rows(1))), str(write(tmp_path / "live.csv", live))]
    result = CliRunner().invoke(drift, [*files, *options])
    assert (result.exit_code, part in result.output) == (code, True), result.output


def test_the_command_prints_json_and_names_what_is_wrong(tmp_path: Path) -> None:
    reference = write(tmp_path / "reference.csv", rows(1))
    result = CliRunner().invoke(drift, [str(reference), str(write(tmp_path / "live.csv", rows(2))), "--json"])
    document = json.loads(result.output)
    assert document["drifted"] is False
    assert [feature["name"] for feature in document["features"]].count("note") == 1
    other = write(tmp_path / "other.csv", rows(2), header="a,c,note")
    result = CliRunner().invoke(drift, [str(reference), str(other)])
    assert result.exit_code == 2
    assert "lacks the column 'b'; it has a, c, note" in result.output


def test_each_look_at_kernel_means_takes_more_permutations_and_can_still_alarm() -> None:
    for run in (1, 2, 5):
        needed = permutations_needed(run)
        assert 1 / (needed + 1) < alarm_below(run), f"run {run} could never alarm"
    with pytest.raises(BundleError, match="20 times"):
        permutations_needed(21)


def test_kernel_means_alarm_as_rarely_as_they_say() -> None:
    same = [domain_mmd(rows(2 * seed, count=60), rows(2 * seed + 1, count=60), seed, 99).p_value for seed in range(100)]
    assert sum(p <= 0.05 for p in same) <= 5 + 3 * 2.2
    assert domain_mmd(rows(1), rows(2, correlation=-0.9), 0, 700).p_value == pytest.approx(1 / 701)


def test_the_command_compares_kernel_means_where_it_is_asked_to(tmp_path: Path) -> None:
    header = "a,b"
    reference, live = tmp_path / "reference.csv", tmp_path / "live.csv"
    for path, values in ((reference, rows(1)), (live, rows(2, correlation=-0.9))):
        path.write_text("\n".join([header, *(f"{a:.4f},{b:.4f}" for a, b in values)]) + "\n")
    result = CliRunner().invoke(drift, [str(reference), str(live), "--no-classifier", "--mmd", "--json"])
    document = json.loads(result.output)
    assert (result.exit_code, document["mmd_alarm"], document["classifier"]) == (1, True, None)
    assert document["mmd"]["p_value"] < document["alarm_below"]

"""What `serin explain --evidence` prints is enough to compute each verdict's estimate again by hand."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.unit.cli.judged.trials import GATES, NUMBERS, SHADOW, STABLES, Trial, a_trial

from serin_cli.main import serin
from serin_contract import profile as profiles
from serin_contract.bundle import PROFILE_FILE


@pytest.fixture(scope="module")
def trial() -> Trial:
    return a_trial()


def explained(trial: Trial, directory: Path, *options: str, **written: Any) -> str:
    path = trial.written(directory / "wine.json", **written)
    found = CliRunner().invoke(serin, ["explain", "--file", str(path), *options])
    assert found.exit_code in (0, 2), found.output
    return found.output


def printed(text: str, title: str) -> list[dict[str, str]]:
    """The rows below a title as a person reads them: columns two spaces apart."""
    _, _, below = text.partition(f"{title}\n")
    header, *lines = below.splitlines()
    names = re.split(r"\s{2,}", header)
    rows = []
    for line in lines:
        cells = re.split(r"\s{2,}", line.strip())
        if len(cells) not in (len(names), len(names) - 1):
            break
        rows.append(dict(zip(names, cells if len(cells) == len(names) else [cells[0], "", *cells[1:]], strict=True)))
    return rows


def number(cell: str) -> float:
    return float(cell.replace(",", ""))


def arms(rows: Sequence[dict[str, str]]) -> list[tuple[dict[str, str], dict[str, str]]]:
    """Candidate and stable of each cohort."""
    return list(zip(rows[::2], rows[1::2], strict=True))


def standardised(pairs: Sequence[tuple[float, float, float, float]]) -> tuple[float, float]:
    """From (hits, n) of candidate and stable in each cohort, by the formula that is printed below the first table."""
    weights = [n_c * n_s / (n_c + n_s) for _, n_c, _, n_s in pairs]
    candidate = sum(w * hits / n for w, (hits, n, _, _) in zip(weights, pairs, strict=True))
    stable = sum(w * hits / n for w, (_, _, hits, n) in zip(weights, pairs, strict=True))
    return candidate / sum(weights), stable / sum(weights)


def test_accuracy_by_hand(trial: Trial, tmp_path: Path) -> None:
    text = explained(trial, tmp_path, "--evidence")
    rows = printed(text, "the status may be up to 15 seconds ahead of them.")
    pairs = [
        (number(c["correct"]), number(c["labelled"]), number(s["correct"]), number(s["labelled"]))
        for c, s in arms(rows)
    ]
    candidate, stable = standardised(pairs)
    gate = trial.by_name["accuracy"]
    assert (candidate, stable) == pytest.approx((gate.value, gate.reference))
    assert f"{candidate:.3f} against {stable:.3f} of stable over 400 and 850 labels" in gate.message


def test_latency_by_hand(trial: Trial, tmp_path: Path) -> None:
    rows = printed(explained(trial, tmp_path, "--evidence"), "latency: requests by the time to answer")
    slow = [name for name in rows[0] if name.endswith("ms") and float(name.split("-")[0]) >= 250]
    counts = [
        tuple(value for arm in pair for value in (sum(number(arm[name]) for name in slow), number(arm["requests"])))
        for pair in arms(rows)
    ]
    candidate, stable = standardised([(a, b, c, d) for a, b, c, d in counts])
    gate = trial.by_name["latency"]
    assert gate.verdict == "Fail"
    assert f"share slower than 250 ms {candidate:.4f} against {stable:.4f} of stable" in gate.message
    reached, bucket, needed = 0.0, "", 0.95 * sum(number(row["requests"]) for row in rows[::2])
    for name in (name for name in rows[0] if name.endswith("ms")):
        reached, bucket = reached + sum(number(row[name]) for row in rows[::2]), name
        if reached >= needed:
            break
    assert float(bucket.removesuffix(" ms").split("-")[1]) == pytest.approx(1000 * (gate.value or 0.0))


def test_drift_by_hand(trial: Trial, tmp_path: Path) -> None:
    rows = printed(explained(trial, tmp_path, "--evidence"), "income: rows by bin, both arms on stable's profile")
    bins = [name for name in rows[0] if name not in ("cohort", "arm", "rows")]
    assert bins == ["< 0", "0 to 1", "1 to 2", "2 to 3", "≥ 3", "missing"]
    cohorts = arms([row for row in rows if row["cohort"].startswith("m-2.")])
    n = [(number(c["rows"]), number(s["rows"])) for c, s in cohorts]
    w = [n_c * n_s / (n_c + n_s) for n_c, n_s in n]
    shares = [standardised([(number(c[b]), x, number(s[b]), y) for (c, s), (x, y) in zip(cohorts, n, strict=True)])
              for b in bins]  # fmt: skip
    n_c, n_s = (sum(w) ** 2 / sum(a * a / pair[arm] for a, pair in zip(w, n, strict=True)) for arm in (0, 1))
    k = sum(c + s > 0 for c, s in shares)
    assert k == 5, "nothing is missing, so that bin is none"
    psi = 0.0
    for c, s in shares:
        if c + s > 0:
            p, q = (c * n_c + 0.5) / (n_c + k / 2), (s * n_s + 0.5) / (n_s + k / 2)
            psi += (p - q) * math.log(p / q)
    gate = trial.by_name["dataDrift"]
    assert psi - (k - 1) * (1 / n_c + 1 / n_s) == pytest.approx(gate.value)
    assert [number(rows[-1][b]) for b in bins] == pytest.approx(
        [
            ((c * n_c + 0.5) / (n_c + k / 2) - (s * n_s + 0.5) / (n_s + k / 2))
            * math.log((c * n_c + 0.5) / (n_c + k / 2) / ((s * n_s + 0.5) / (n_s + k / 2)))
            if c + s > 0
            else 0.0
            for c, s in shares
        ],
        rel=1e-4,
    )


def test_schema_by_hand(trial: Trial, tmp_path: Path) -> None:
    text = explained(trial, tmp_path, "--evidence")
    (row,) = printed(text, "schema: values outside the training data, in all cohorts")
    assert (row["feature"], row["arm"]) == ("income", "candidate")
    assert number(row["missing"]) / number(row["rows"]) == pytest.approx(trial.by_name["schema"].value)
    refused = printed(text, "schema: requests that could not be read")
    assert [(number(row["malformed"]), number(row["requests"])) for row in refused[:2]] == [(2, 100), (0, 900)]


@pytest.mark.parametrize(("metric", "column"), [("mae", "sum c"), ("rmse", "sum c^2")])
def test_errors_of_numbers_by_hand(metric: str, column: str, tmp_path: Path) -> None:
    trial = a_trial({"regressionError": {"metric": metric, "maxRise": 0.1}})
    rows = printed(explained(trial, tmp_path, "--evidence"), "regressionError: sums of errors c, each at most the clip")
    pairs = [(number(c[column]), number(c["labels"]), number(s[column]), number(s["labels"])) for c, s in arms(rows)]
    means = standardised(pairs)
    shown = [math.sqrt(mean) for mean in means] if metric == "rmse" else list(means)
    gate = trial.by_name["regressionError"]
    assert shown == pytest.approx([gate.value, gate.reference], rel=1e-5)


def test_agreement_by_hand(tmp_path: Path) -> None:
    trial = a_trial({**SHADOW, **NUMBERS})
    (row,) = printed(explained(trial, tmp_path, "--evidence"), "agreement: copies that stable answered")
    assert number(row["agreed"]) / number(row["compared"]) == pytest.approx(trial.by_name["agreement"].value)


def test_programs_get_the_same_numbers(trial: Trial, tmp_path: Path) -> None:
    tables = json.loads(explained(trial, tmp_path, "--json"))["tables"]
    income = next(table for table in tables if table["title"].startswith("income"))
    assert income["columns"][:3] == ["cohort", "arm", "rows"]
    terms = income["rows"][-1]
    assert terms[2] == pytest.approx(math.fsum(terms[3:]))


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / PROFILE_FILE).write_bytes(profiles.encode(STABLES))
    return tmp_path / "bundle"


def test_without_the_config_map_the_bundle_names_the_bins(trial: Trial, tmp_path: Path, bundle: Path) -> None:
    text = explained(trial, tmp_path, "--evidence", config_map=False)
    assert "rows by bin" not in text
    assert text.endswith("says what they mean, is gone: name its --bundle.\n")
    named = explained(trial, tmp_path, "--evidence", "--bundle", str(bundle), config_map=False)
    assert printed(named, "income: rows by bin, both arms on stable's profile")


def test_a_bundle_that_is_not_stables_is_refused(trial: Trial, tmp_path: Path, bundle: Path) -> None:
    other = a_trial(GATES)
    (bundle / PROFILE_FILE).write_bytes(
        profiles.encode(profiles.decode(profiles.encode(STABLES))).replace(b"2000", b"2001", 1)
    )
    path = other.written(tmp_path / "wine.json")
    found = CliRunner().invoke(serin, ["explain", "--file", str(path), "--bundle", str(bundle)])
    assert (found.exit_code, "is not stable's bundle" in found.output) == (1, True), found.output
    (bundle / PROFILE_FILE).write_bytes(b"{")
    found = CliRunner().invoke(serin, ["explain", "--file", str(path), "--bundle", str(bundle)])
    assert (found.exit_code, "has no profile that can be read" in found.output) == (1, True), found.output

"""`serin explain` says in words what a status says in numbers."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from click.testing import CliRunner
from tests.support.world import Behaviour, World, a_served_world, a_spec, uri
from tests.unit.cli.judged.trials import a_trial
from tests.unit.judge.bins_build import profile

from serin_cli.explain.bins import binned
from serin_cli.explain.pace import Pace, pace
from serin_cli.explain.pictures import feature_panel
from serin_cli.explain.reasons import REASONS, VERDICTS, paragraph
from serin_cli.explain.words import gate_words, is_of_watch, minutes_words
from serin_cli.main import serin
from serin_operator.api.deployment import CandidateStatus, GateStatus, ModelDeploymentStatus
from serin_operator.decide.judge.reasons import GateReason


@pytest.mark.parametrize("reason", list(GateReason))
def test_every_reason_has_a_paragraph_of_two_sentences(reason: GateReason) -> None:
    for sentence in REASONS[reason]:
        assert sentence.endswith(".")
        assert not re.search(r"\.\s", sentence), "one sentence each"


def test_a_reason_of_another_version_is_explained_by_its_verdict() -> None:
    assert paragraph("FromTheFuture", "Fail") == VERDICTS["Fail"]


def a_gate(**numbers: Any) -> GateStatus:
    known = {"name": "accuracy", "mode": "Enforce", "verdict": "NotYet", "reason": "NotProven", "message": "m"}
    return GateStatus.model_validate({**known, **numbers})


def on_trial(**fields: Any) -> ModelDeploymentStatus:
    began = {"trialStartedAt": "2026-01-01T00:00:00Z", "stepStartedAt": "2026-01-01T00:00:00Z", "step": 0}
    return ModelDeploymentStatus(candidate=CandidateStatus.model_validate({"revision": "m-2", **began, **fields}))


MIDNIGHT = 1_767_225_600.0

LINES: list[tuple[str, dict[str, Any], dict[str, str]]] = [
    (
        "an estimate, its reference and its limit are in points",
        {"value": 0.9, "reference": 0.94, "limit": 0.02, "samples": 600.0},
        {"seen": "candidate 90.00 %, stable 94.00 %, limit 2.00 points, from 600 samples of the candidate"},
    ),
    (
        "evidence is told with what it needs, and how long a Fail takes as it grows",
        {"log10E": 1.0, "budget": 0.01, "samples": 600.0},
        {
            "sure": "evidence against it 10^1.0 of 10^2.0 needed to fail; its share of the budget is 1 %",
            "time": "60 samples a minute at this weight; a Fail in about 10 minutes if the evidence grows as it has",
        },
    ),
    (
        "a Pass takes as long as its samples take to come",
        {"samples": 600.0, "needed": 1800.0},
        {"time": "60 samples a minute at this weight; 1,800 samples for a Pass in about 20 minutes"},
    ),
    (
        "an estimate beyond the limit never passes",
        {"samples": 600.0, "value": 0.8, "reason": "LikelyWorse"},
        {"time": "60 samples a minute at this weight; at the present estimate it never passes"},
    ),
    (
        "drift is a PSI and names its features",
        {
            "name": "dataDrift",
            "limit": 0.2,
            "bound": 0.3,
            "smallestDrop": 0.25,
            "features": [{"name": "age", "value": 0.31}],
        },
        {
            "worst": "age 0.310",
            "sure": "a drift of up to PSI 0.300 is not excluded, PSI 0.200 is allowed",
            "can see": "the smallest drift that so much traffic reveals is PSI 0.250",
        },
    ),
    (
        "a custom gate tells its breaches and has no budget",
        {"name": "custom/revenue", "value": 0.5, "breaches": 2},
        {"sure": "2 of 3 breaches in a row; outside the error budget"},
    ),
    ("a verdict that is given takes no time", {"verdict": "Pass", "samples": 9.0, "needed": 90.0}, {}),
    (
        "a day is told as hours",
        {"samples": 600.0, "needed": 60_600.0},
        {"time": "60 samples a minute at this weight; 60,600 samples for a Pass in about 17 hours"},
    ),
]


@pytest.mark.parametrize(("numbers", "expected"), [row[1:] for row in LINES], ids=[row[0] for row in LINES])
def test_the_numbers_of_a_gate_in_words(numbers: dict[str, Any], expected: dict[str, str]) -> None:
    gate = a_gate(**numbers)
    lines = dict(gate_words(gate, pace(gate, on_trial(), None, MIDNIGHT + 600.0)).lines)
    assert {name: lines.get(name) for name in expected} == expected
    assert expected or "time" not in lines


EVIDENCE = "evidence against it 10^1.0 of 10^2.0 needed to fail"
SHARE = "its share of the budget is 1 %"
AT_A_PACE = (
    "60 samples a minute at this weight; 1,800 samples for a Pass in about 20 minutes; "
    "a Fail in about 10 minutes if the evidence grows as it has"
)


@dataclass(frozen=True)
class Kind:
    """One kind of gate, and how its numbers are told."""

    name: str
    numbers: dict[str, Any]
    seen: str
    open: str
    """What is not excluded."""
    can_see: str
    worst: str = ""
    open_in_a_pass: bool = False
    """Whether what is not excluded is told of a Pass as well, whose own sentence does not say it."""


KINDS = [
    Kind(
        "accuracy",
        {"value": 0.93, "reference": 0.94, "limit": 0.02, "bound": 0.03, "smallestDrop": 0.04},
        "candidate 93.00 %, stable 94.00 %, limit 2.00 points, from 600 samples of the candidate",
        "a loss of up to 3.00 points is not excluded, 2.00 points is allowed",
        "the smallest loss that so much traffic reveals is 4.00 points",
    ),
    Kind(
        "regressionError",
        {"value": 1.1, "reference": 1.0, "limit": 0.05, "bound": 0.12, "smallestDrop": 0.08},
        "candidate 1.1, stable 1, limit 5.0 % above stable's, from 600 samples of the candidate",
        "a rise of up to 12.0 % is not excluded, 5.0 % is allowed",
        "the smallest rise that so much traffic reveals is 8.0 %",
    ),
    *(
        Kind(
            name,
            {"value": 0.05, "reference": 0.01, "limit": 0.2, "bound": 0.3, "smallestDrop": 0.25}
            | {"features": [{"name": worst, "value": 0.05}]},
            "candidate PSI 0.050, stable off its own training by PSI 0.010, limit PSI 0.200, from 600 samples of the "
            "candidate",
            "a drift of up to PSI 0.300 is not excluded, PSI 0.200 is allowed",
            "the smallest drift that so much traffic reveals is PSI 0.250",
            f"{worst} 0.050",
        )
        for name, worst in (("dataDrift", "age"), ("predictionDrift", "prediction"))
    ),
    Kind(
        "errorRate",
        {"value": 0.004, "reference": 0.003, "limit": 0.01, "bound": 0.02, "smallestDrop": 0.01},
        "candidate 0.40 %, stable 0.30 %, limit 1.00 %, from 600 samples of the candidate",
        "a rise of up to 2.00 points is not excluded",
        "the smallest rise that so much traffic reveals is 1.00 points",
    ),
    Kind(
        "latency",
        {"value": 0.2, "reference": 0.1, "limit": 0.25, "bound": 1.4, "smallestDrop": 0.02},
        "candidate 200 ms, stable 100 ms, limit 250 ms, from 600 samples of the candidate",
        "a quantile of up to 1.4 s is not excluded",
        "the smallest rise of the share of slow requests that so much traffic reveals is 2.00 points",
        open_in_a_pass=True,
    ),
    Kind(
        "schema",
        {"value": 0.03, "reference": 0.02, "limit": 0.01, "bound": 0.02, "smallestDrop": 0.03}
        | {"features": [{"name": "age missing", "value": 0.03}]},
        "candidate 3.00 %, stable 2.00 %, limit 1.00 points above the share in training, from 600 samples of the "
        "candidate",
        "a share of violations beyond training of up to 2.00 points is not excluded, 1.00 points is allowed",
        "the smallest share of violations that so many rows reveal is 3.00 %",
        "age missing 0.030",
    ),
    Kind(
        "agreement",
        {"value": 0.97, "limit": 0.95, "bound": 0.94, "smallestDrop": 0.08},
        "97.00 % of the copies answered alike, limit 95.00 % at least, from 600 samples",
        "an agreement as low as 94.00 % is not excluded",
        "so many copies reveal other answers in 8.00 % of them, and no fewer",
        open_in_a_pass=True,
    ),
]
VERDICTS_SAID = ("Pass", "Fail", "NotYet", "NoData", "Error")


@pytest.mark.parametrize("verdict", VERDICTS_SAID)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_each_kind_of_gate_tells_its_own_numbers(kind: Kind, verdict: str) -> None:
    known = {"samples": 600.0, "log10E": 1.0, "budget": 0.01, "needed": 1800.0}
    gate = a_gate(name=kind.name, verdict=verdict, **known, **kind.numbers)
    is_open = verdict == "NotYet" or (verdict == "Pass" and kind.open_in_a_pass)
    expected = {
        "seen": kind.seen,
        "worst": kind.worst,
        "sure": "; ".join([EVIDENCE, SHARE, *([kind.open] if is_open else [])]),
        "can see": kind.can_see,
        "time": AT_A_PACE if verdict in ("NotYet", "NoData") else "",
    }
    lines = gate_words(gate, pace(gate, on_trial(), None, MIDNIGHT + 600.0)).lines
    assert dict(lines) == {name: text for name, text in expected.items() if text}


@pytest.mark.parametrize("verdict", VERDICTS_SAID)
def test_a_custom_gate_never_says_when_it_passes(verdict: str) -> None:
    gate = a_gate(name="custom/revenue", verdict=verdict, value=5.0, limit=1.0, breaches=0, samples=600.0)
    lines = dict(gate_words(gate, pace(gate, on_trial(), None, MIDNIGHT + 600.0)).lines)
    assert lines == {"seen": "5, limit 1", "sure": "0 of 3 breaches in a row; outside the error budget"}


@pytest.mark.parametrize("verdict", VERDICTS_SAID)
def test_availability_has_its_sentence_and_no_numbers(verdict: str) -> None:
    gate = a_gate(name="availability", verdict=verdict, samples=2.0)
    assert gate_words(gate, pace(gate, on_trial(), None, MIDNIGHT + 600.0)).lines == ()


NEVER = [
    ("schema within its limit takes samples", {"name": "schema", "reason": "NotProven", "value": 0.01}, False),
    ("schema beyond its limit", {"name": "schema", "reason": "LikelyWorse", "value": 0.1}, True),
    ("too few rows tell nothing of it", {"name": "schema", "reason": "TooFewSamples", "value": 0.0}, False),
    ("a drift beyond max", {"name": "dataDrift", "reason": "LikelyDrifted", "value": 0.3}, True),
    ("an accuracy under min", {"reason": "UnderMinimum", "value": 0.8}, True),
    ("labels that are missing may come", {"reason": "LabelsMissing", "value": 0.9}, False),
]


@pytest.mark.parametrize(("numbers", "never"), [row[1:] for row in NEVER], ids=[row[0] for row in NEVER])
def test_never_is_said_of_an_estimate_beyond_the_limit_alone(numbers: dict[str, Any], never: bool) -> None:
    gate = a_gate(samples=600.0, **numbers)
    lines = dict(gate_words(gate, pace(gate, on_trial(), None, MIDNIGHT + 600.0)).lines)
    assert ("it never passes" in lines["time"]) == never


RARE = "so that false alarms stay as rare as falseAlarmsPerYear says"
WATCHED: list[tuple[str, dict[str, Any], dict[str, str]]] = [
    (
        "accuracy",
        {"value": 0.93, "reference": 0.94, "limit": 0.92, "bound": 0.91, "smallestDrop": 0.03},
        {
            "seen": "revision 93.00 %, the trial showed 94.00 %, limit 92.00 %, from 600 samples",
            "sure": f"{EVIDENCE}, {RARE}; 91.00 % at worst since the promotion, but for a chance of 1 in 20",
            "can see": "so much traffic reveals what lies 3.00 points beyond the limit",
        },
    ),
    (
        "regressionError",
        {"value": 2.0, "reference": 1.9, "limit": 2.1, "bound": 2.3, "smallestDrop": 0.2},
        {
            "seen": "revision 2, the trial showed 1.9, limit 2.1, from 600 samples",
            "sure": f"{EVIDENCE}, {RARE}; 2.3 at worst since the promotion, but for a chance of 1 in 20",
            "can see": "so much traffic reveals what lies 0.2 beyond the limit",
        },
    ),
    (
        "latency",
        {"value": 0.004, "limit": 0.01, "bound": 0.008, "smallestDrop": 0.02},
        {
            "seen": "revision 0.40 %, limit 1.00 %, from 600 samples",
            "sure": f"{EVIDENCE}, {RARE}; 0.80 % at worst since the promotion, but for a chance of 1 in 20",
            "can see": "so much traffic reveals what lies 2.00 points beyond the limit",
        },
    ),
    (
        "dataDrift",
        {"value": 0.05, "limit": 0.2, "features": [{"name": "age", "value": 0.05}]},
        {
            "seen": "revision PSI 0.050, limit PSI 0.200, from 600 samples",
            "worst": "age 0.050",
            "sure": f"{EVIDENCE}, {RARE}",
        },
    ),
]


@pytest.mark.parametrize(("name", "numbers", "lines"), WATCHED, ids=[row[0] for row in WATCHED])
def test_a_gate_of_a_watch_tells_how_sure_it_is(name: str, numbers: dict[str, Any], lines: dict[str, str]) -> None:
    known = {"verdict": "Pass", "reason": "NotBreached", "samples": 600.0, "log10E": 1.0, "budget": 0.01}
    gate = a_gate(name=name, **known, **numbers)
    assert dict(gate_words(gate, Pace(None, None, None), watched=True).lines) == lines


def test_the_gates_are_a_watchs_where_its_availability_is_asked() -> None:
    watched, tried = (a_gate(name="availability", reason=reason) for reason in ("RevisionReady", "CandidateReady"))
    assert is_of_watch(ModelDeploymentStatus(gates=(watched, a_gate())))
    assert not is_of_watch(ModelDeploymentStatus(gates=(tried, a_gate())))


TIMES = [(0.4, "less than a minute"), (1.2, "about 1 minute"), (89, "about 89 minutes"), (91, "about 2 hours")]


@pytest.mark.parametrize(("minutes", "words"), [*TIMES, (60 * 24 * 4, "about 4 days")])
def test_minutes_in_words(minutes: float, words: str) -> None:
    assert minutes_words(minutes) == words


def written(world: World, path: Path) -> Path:
    """What `kubectl get mdep,mrev -o yaml` would print."""

    def plain(model: Any) -> Any:
        return model.model_dump(mode="json", by_alias=True, exclude_none=True)

    metadata = {"name": world.name, "namespace": "shop"}
    items = [{"kind": "ModelDeployment", "metadata": metadata, "spec": world.spec, "status": plain(world.status)}]
    for known in world.revisions.values():
        spec, status = plain(known.spec), plain(known.status)
        items.append({"kind": "ModelRevision", "metadata": {"name": known.name}, "spec": spec, "status": status})
    path.write_text(json.dumps({"kind": "List", "items": items}))
    return path


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    found = {}
    for name, accuracy in (("fair", 0.94), ("bad", 0.75)):
        world = a_served_world(models={uri(2): Behaviour(accuracy=accuracy)})
        world.change(a_spec(2))
        world.run(seconds=40)
        found[name] = written(world, tmp_path_factory.mktemp("trials") / f"{name}.yaml")
    return found


def test_a_trial_is_explained_from_a_file(trials: dict[str, Path]) -> None:
    found = CliRunner().invoke(serin, ["explain", "wine", "--file", str(trials["fair"])])
    assert found.exit_code == 0, found.output
    assert found.output.startswith("shop/wine: Progressing\n")
    assert "samples a minute at this weight" in found.output
    assert "\x1b" not in found.output, "no colours outside a terminal"


def test_a_failed_gate_is_exit_status_2(trials: dict[str, Path]) -> None:
    found = CliRunner().invoke(serin, ["explain", "--file", str(trials["bad"])])
    assert found.exit_code == 2
    assert str(REASONS[GateReason.WorseThanStable]) in found.output


def test_the_counts_give_the_estimate_by_hand(trials: dict[str, Path]) -> None:
    arguments = ["explain", "--file", str(trials["fair"]), "--evidence"]
    text = CliRunner().invoke(serin, arguments).output
    rows = json.loads(CliRunner().invoke(serin, [*arguments, "--json"]).output)["counts"]
    assert rows, "something was counted"
    drops, weights = [], []
    for candidate, stable in zip(rows[::2], rows[1::2], strict=True):
        n, m = candidate["labelled"], stable["labelled"]
        weights.append(n * m / (n + m))
        drops.append(stable["correct"] / m - candidate["correct"] / n)
    by_hand = sum(w * drop for w, drop in zip(weights, drops, strict=True)) / sum(weights)
    assert f"a drop of {by_hand:.4f}" in text


def test_a_picture_is_svg_and_names_the_gates(trials: dict[str, Path], tmp_path: Path) -> None:
    plot = tmp_path / "wine.svg"
    CliRunner().invoke(serin, ["explain", "--file", str(trials["fair"]), "--plot", str(plot)])
    words = [element.text for element in ET.fromstring(plot.read_text()).iter() if element.text]
    assert {"accuracy", "errorRate"} <= set(words)


def drawn(path: Path, plot: Path, *options: str) -> ET.Element:
    found = CliRunner().invoke(serin, ["explain", "--file", str(path), "--plot", str(plot), *options])
    assert plot.exists(), found.output
    return ET.fromstring(plot.read_text())


def texts(svg: ET.Element) -> list[str]:
    return [element.text for element in svg.iter() if element.text]


def test_the_evidence_is_drawn_as_time_went_by(trials: dict[str, Path], tmp_path: Path) -> None:
    svg = drawn(trials["fair"], tmp_path / "wine.svg")
    courses = [line.get("points", "").split() for line in svg.iter("{http://www.w3.org/2000/svg}polyline")]
    assert len(courses) == 2, "accuracy and errorRate"
    assert min(map(len, courses)) > 10
    assert {"minutes", "accuracy fails here"} <= set(texts(svg))


def test_the_bins_of_the_worst_features_are_drawn_with_their_training(tmp_path: Path) -> None:
    path = a_trial().written(tmp_path / "wine.json")
    svg = drawn(path, tmp_path / "wine.svg")
    assert {"income: share of values by bin", "training of stable", "≥ 3", "missing"} <= set(texts(svg))
    old = a_trial().written(tmp_path / "old.json", config_map=False)
    assert not any("share of values" in text for text in texts(drawn(old, tmp_path / "old.svg")))


def test_a_features_panel_has_a_bar_for_each_bin_and_arm() -> None:
    income = next(one for one in binned(profile()) if one.name == "income")
    live = np.zeros(16)
    live[income.start : income.start + 6] = [10.0, 30.0, 0.0, 0.0, 0.0, 0.0]
    panel = feature_panel(income, {"candidate": live, "stable": np.zeros(16)})
    bars = [ET.fromstring(element) for element in panel.elements if element.startswith("<rect")][3:]
    heights = [float(bar.get("height", "")) for bar in bars]
    highest = max(heights)
    assert [height / highest for height in heights[:6]] == pytest.approx([0.2 / 0.75] * 5 + [0.0], abs=1e-3)
    assert [height / highest for height in heights[6:12]] == pytest.approx([1 / 3, 1.0, 0, 0, 0, 0], abs=1e-3)
    assert heights[12:] == [0.0] * 6, "stable has counted nothing"


WRONG = [
    ([], 2, "name a ModelDeployment"),
    (["--file", "{trial}", "other"], 1, "holds no ModelDeployment other; it holds wine"),
    (["--file", "{broken}"], 1, "is not YAML"),
    (["--file", "{trial}", "--plot", "a.png"], 2, "--plot writes SVG"),
]


@pytest.mark.parametrize(("arguments", "status", "sentence"), WRONG, ids=[row[2] for row in WRONG])
def test_what_is_wrong_is_said(
    arguments: list[str], status: int, sentence: str, trials: dict[str, Path], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [")
    words = [word.format(trial=trials["fair"], broken=broken) for word in arguments]
    found = CliRunner().invoke(serin, ["explain", *words])
    assert (found.exit_code, sentence in found.output) == (status, True), found.output

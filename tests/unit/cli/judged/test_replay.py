"""`serin replay` decides again what was recorded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.support.world import Behaviour, a_served_world, a_spec, uri

from serin_cli.main import serin
from serin_operator.runtime.record import Recorder


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("records")
    recorder = Recorder(directory)
    world = a_served_world(models={uri(2): Behaviour(accuracy=0.8)})
    world.change(a_spec(2))
    for _ in range(40):
        seen = world.observe()
        recorder.record("shop", "wine", seen.now, {"observation": seen, "plan": world.step(seen)})
        if world.status.phase == "RollingBack":
            break
        world.pass_time(1.0)
    return directory


def test_every_record_gives_the_plan_that_was_recorded(records: Path) -> None:
    found = CliRunner().invoke(serin, ["replay", str(records), "--name", "wine"])
    assert found.exit_code == 0, found.output
    assert "records, each decided the same again." in found.output
    assert "accuracy Fail/WorseThanStable" in found.output


def test_looser_gates_would_not_have_rolled_back(records: Path, tmp_path: Path) -> None:
    gates = tmp_path / "gates.yaml"
    gates.write_text("gates: {accuracy: {maxDrop: 0.4}}")
    arguments = ["replay", str(records), "--gates", str(gates)]
    documents = [json.loads(line) for line in CliRunner().invoke(serin, [*arguments, "--json"]).output.splitlines()]
    turns = [document for document in documents if document["turns"]]
    assert turns[0]["phase"] == "RollingBack", "until then nothing would have been otherwise"
    assert turns[0]["otherwise"][0] == "Progressing"
    assert "The other gates decide otherwise first at" in CliRunner().invoke(serin, arguments).output


def test_a_plan_that_is_not_what_would_be_decided_is_shown(records: Path, tmp_path: Path) -> None:
    first = min(records.iterdir())
    document = json.loads(first.read_text())
    document["plan"]["status"]["message"] = "something else"
    (tmp_path / first.name).write_text(json.dumps(document))
    found = CliRunner().invoke(serin, ["replay", str(tmp_path)])
    assert found.exit_code == 1
    assert 'DIFFERENT plan.status.message: recorded "something else"' in found.output


def test_evidence_is_drawn_over_time(records: Path, tmp_path: Path) -> None:
    plot = tmp_path / "wine.svg"
    CliRunner().invoke(serin, ["replay", str(records), "--plot", str(plot)])
    assert "accuracy fails here" in plot.read_text()


def test_what_is_no_record_is_said(tmp_path: Path) -> None:
    (tmp_path / "1_a_b.json").write_text("{}")
    found = CliRunner().invoke(serin, ["replay", str(tmp_path)])
    assert (found.exit_code, "1_a_b.json" in found.output) == (1, True)
    gates = tmp_path / "gates.yaml"
    gates.write_text("gates: {accuracy: {maxDrop: 7}}")
    found = CliRunner().invoke(serin, ["replay", str(tmp_path), "--gates", str(gates)])
    assert "accuracy.maxDrop" in found.output

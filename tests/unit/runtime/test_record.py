"""Records: what decisions were made of, in a bounded number of files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serin_contract.stats import LabelCounts
from serin_operator.api.deployment import StableStatus
from serin_operator.runtime.record import Recorder


@dataclass(frozen=True)
class Seen:
    number: float
    inner: Any


def content(number: float) -> dict[str, Any]:
    inner = {"status": StableStatus(revision="m-1", ready_replicas=2), "labels": LabelCounts(2.0, 1.0)}
    return {"observation": Seen(number, inner), "actions": (Seen(float("inf"), None),)}


def test_a_record_is_json_with_the_types_named(tmp_path: Path) -> None:
    Recorder(tmp_path / "new").record("ns", "m", 1.5, content(0.5))
    (path,) = (tmp_path / "new").iterdir()
    assert json.loads(path.read_text()) == {
        "observation": {
            "$type": "Seen",
            "number": 0.5,
            "inner": {
                "status": {"revision": "m-1", "readyReplicas": 2},
                "labels": {"labelled": 2.0, "correct": 1.0},
            },
        },
        "actions": [{"$type": "Seen", "number": "inf", "inner": None}],
    }


def test_the_oldest_records_go_first(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, files_kept=3)
    for now in range(10):
        recorder.record("ns", "m", float(now), content(now))
    numbers = [json.loads(path.read_text())["observation"]["number"] for path in sorted(tmp_path.iterdir())]
    assert numbers == [7.0, 8.0, 9.0]


def test_without_a_directory_nothing_is_recorded() -> None:
    Recorder(None).record("ns", "m", 1.0, content(1))


def test_the_oldest_records_go_where_all_are_too_large_together(tmp_path: Path) -> None:
    one = Recorder(tmp_path / "one")
    one.record("ns", "m", 0.0, content(0.0))
    (size,) = (path.stat().st_size for path in (tmp_path / "one").iterdir())
    recorder = Recorder(tmp_path / "few", bytes_kept=3 * size + size // 2)
    for now in range(10):
        recorder.record("ns", "m", float(now), content(now))
    numbers = [json.loads(path.read_text())["observation"]["number"] for path in sorted((tmp_path / "few").iterdir())]
    assert numbers == [7.0, 8.0, 9.0]


def test_the_newest_record_stays_however_large_it_is(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, bytes_kept=1)
    for now in range(3):
        recorder.record("ns", "m", float(now), content(now))
    assert [path.name for path in tmp_path.iterdir()] == ["000000000002000_ns_m.json"]

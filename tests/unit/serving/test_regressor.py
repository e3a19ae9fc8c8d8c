"""A regressor's labels from the caller's post to the stats."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.serving.running import Case, Running, run

CLIP, STABLES_CLIP = 50.0, 20.0


def clipped(case: Case, out: Path, clip: float) -> Case:
    """The same bundle with that clip in its profile."""
    shutil.copytree(case.path, out)
    data = json.dumps({**json.loads((out / "profile.json").read_bytes()), "error_clip": clip}).encode()
    (out / "profile.json").write_bytes(data)
    manifest = json.loads((out / "manifest.json").read_bytes())
    manifest["files"]["profile.json"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    (out / "manifest.json").write_text(json.dumps(manifest))
    digest = f"sha256:{hashlib.sha256((out / 'manifest.json').read_bytes()).hexdigest()}"
    return Case(case.name, out, digest, case.model, case.rows, case.labels)


@pytest.fixture(scope="module")
def regressor(cases: dict[str, Case], keys_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    base = tmp_path_factory.mktemp("clipped")
    stable = clipped(cases["diabetes"], base / "stable", STABLES_CLIP)
    own = clipped(cases["diabetes"], base / "own", CLIP)
    with run(own, keys_file, stable_profile_file=stable.path / "profile.json") as running:
        yield running


COHORTS = {
    "the trial of another revision": ("diabetes-2.1.a", CLIP),
    "its own trial": ("diabetes-1.1.a", STABLES_CLIP),
    "its watch": ("watch.diabetes-1.2.a", STABLES_CLIP),
}


@pytest.mark.parametrize("name", COHORTS)
def test_errors_are_clipped_at_what_the_stable_revision_is_known_for(regressor: Running, name: str) -> None:
    cohort, clip = COHORTS[name]
    reply = regressor.infer(regressor.case.rows[:2], cohort=cohort)
    near, far = reply.json["outputs"][0]["data"]
    labels: list[dict[str, Any]] = [
        {"id": reply.prediction_id, "label": near + 4},
        {"id": reply.prediction_id, "label": far - 1000, "row": 1},
    ]
    assert regressor.call("POST", "/v1/feedback", labels).json["accepted"] == 2
    counted = regressor.stats()["cohorts"][cohort]
    sums = counted["labels"]["diabetes-1"]
    assert counted["error_clip"] == clip
    assert (sums["labelled"], sums["correct"]) == (1, 0)
    assert sums["error"] == pytest.approx((4 + clip) / 2)
    assert sums["error_2"] == pytest.approx((4**2 + clip**2) / 2)
    assert sums["error_4"] == pytest.approx((4**4 + clip**4) / 2)
    (slot,) = counted["slots"]
    assert (slot["predictions"], slot["labels"]) == (1, counted["labels"])
    assert slot["start"] % counted["slot_seconds"] == 0

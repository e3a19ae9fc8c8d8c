"""Rows that pods keep on demand, held against each other by a Job as examples/drift-rows-job.yaml has it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from tests.e2e.conftest import beside_others, measured
from tests.e2e.faults import ALSO_SOUND, SOUND
from tests.support import kubernetes_objects as objects
from tests.support.stories import NAME, Place, in_words

EXAMPLE = Path(__file__).parents[2] / "examples" / "drift-rows-job.yaml"
RATE = 100.0
ROWS = 300
"""Of each arm, of which half teaches the classifier."""
JOB_SECONDS = 240
"""It takes a few, of which most import scikit-learn; more where other programs want the processor too."""

KEEPING: dict[str, Any] = {
    "serving": objects.serving(sampleRows=ROWS),
    # Longer than the Job: while the step runs both arms count in one cohort.
    "rollout": objects.rollout((50, 600)),
}


def manifests(place: Place, image: str) -> list[dict[str, Any]]:
    """The example in this namespace, with the image of the place's own pods and a small request."""
    service, job = yaml.safe_load_all(EXAMPLE.read_text())
    for made in (service, job):
        made["metadata"]["namespace"] = place.namespace
    (container,) = job["spec"]["template"]["spec"]["containers"]
    container["image"] = image
    container["resources"]["requests"] = {"cpu": "100m", "memory": "64Mi"}
    return [service, job]


@beside_others("rows")
def test_a_job_with_the_keys_holds_rows_of_both_arms_against_each_other(place: Place) -> None:
    first = place.serves(SOUND, **KEEPING)
    with place.load(RATE) as load:
        place.wants(ALSO_SOUND, **KEEPING)
        candidate = place.until_candidate(50).candidate["revision"]
        asked = load.snapshot().requests
        place.until(lambda _: load.snapshot().requests >= asked + 3 * ROWS, "both arms are asked", 60)
        image = place.pods(first)[0]["spec"]["containers"][0]["image"]
        place.apply(*manifests(place, image))

        def over(_: object) -> bool:
            (job,) = place.get("jobs")
            return bool({"succeeded", "failed"} & job.get("status", {}).keys())

        place.until(over, "the Job ends", JOB_SECONDS)
        counted = load.stop()
    (job,) = place.get("jobs")
    said = place.kubectl("logs", "job/drift-rows")
    assert job["status"].get("succeeded") == 1, said
    lines = dict(re.split(r"\s{2,}", line, maxsplit=1) for line in said.splitlines() if re.search(r"\s{2,}", line))
    assert (lines["candidate"], lines["stable"]) == (candidate, first)
    assert lines["cohort"].startswith(f"{candidate}.")
    assert lines["rows"] == f"{ROWS} reference, {ROWS} live"
    assert lines["result"] == "no drift", said
    measured("rows of both arms, compared by a Job", lines["classifier"])
    assert counted.failed == 0, in_words(counted)
    assert place.state.candidate.get("revision") == candidate, f"the trial of {NAME} goes on: it waits for no answer"

"""Rollbacks of a candidate that fails 30 % of its requests at weight 20: `python -m tests.bench.traffic.rollbacks`.

For each: the time from its first answer to the verdict, requests exposed and failed, and the time from the verdict
to the last answer that a caller got of the candidate.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.bench.traffic import models as fussy
from tests.bench.traffic.caller import Settings
from tests.bench.traffic.log import Log, callers, table
from tests.support import kubernetes_objects as objects
from tests.support.stories import NAME, TRIAL_SECONDS, Place, place

from serin_cli.cluster.access import load
from serin_operator.decide import timestamps

RATE = 150.0
GAPS = 0.3
TIMES = 20


@dataclass(frozen=True)
class Rollback:
    """One rollback as callers and status saw it."""

    exposed: int
    """Requests that the candidate answered, or failed."""
    failed: int
    """Of these, those that it refused."""
    lost: int
    """Requests that failed in any other way."""
    verdict_seconds: float
    """From the candidate's first answer to the verdict."""
    last_answer_seconds: float
    """From the verdict to the candidate's last answer."""


def roll_back(made: Place, number: int) -> Rollback:
    """One trial of the fussy model; a pod variable of its own makes each another revision."""
    serving = objects.serving(env=[{"name": "TRIAL", "value": str(number)}])
    spec = {"rollout": objects.rollout((20, 60)), "gates": {"errorRate": {"max": 0.05}}}
    stable = made.serves(fussy.TOLERANT, **spec)
    bodies = fussy.bodies(made.models, GAPS)
    settings = Settings(made.cluster.gateway_url_inside, made.host, f"/v2/models/{NAME}/infer", bodies, RATE)
    with callers(settings, made.cluster.inside_command) as log:
        made.wants(fussy.FUSSY, **(spec | {"serving": serving}))
        state = made.until(lambda seen: seen.phase == "RolledBack", "the candidate is rolled back", TRIAL_SECONDS)
    return judged(log, stable, timestamps.seconds(state.status["lastRollback"]["time"]))


def judged(log: Log, stable: str, verdict_at: float) -> Rollback:
    """What the callers' log says of a candidate that was sent back at that Unix time."""
    (candidate,) = set(log.by_revision()) - {stable} or {""}
    of_candidate = [request for request in log.requests if request.revision == candidate]
    return Rollback(
        exposed=len(of_candidate),
        failed=sum(1 for request in of_candidate if request.trouble),
        lost=sum(1 for request in log.failures if request.revision != candidate),
        verdict_seconds=verdict_at - log.first_answer(candidate),
        last_answer_seconds=log.last_answer(candidate) - verdict_at,
    )


def main() -> int:
    """Roll back again and again; 1 where a request was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=TIMES)
    parser.add_argument("--json", type=Path, help="write every rollback there")
    wishes = parser.parse_args()
    found: list[Rollback] = []
    with tempfile.TemporaryDirectory() as directory:
        models = fussy.prepare(Path(directory))
        with place(load(), "bench-rollbacks", models, label="bench") as made:
            for number in range(wishes.times):
                found.append(roll_back(made, number))
                sys.stderr.write(f"{number + 1} of {wishes.times}: {found[-1]}\n")
    sys.stdout.write(summary(found) + "\n")
    if wishes.json:
        wishes.json.write_text(json.dumps([asdict(one) for one in found], indent=2))
    return 1 if any(one.lost for one in found) else 0


def summary(found: list[Rollback]) -> str:
    """Median and worst of each figure."""
    rows = []
    for title, values in (
        ("requests exposed", [float(one.exposed) for one in found]),
        ("of these failed", [float(one.failed) for one in found]),
        ("requests lost otherwise", [float(one.lost) for one in found]),
        ("first answer to verdict (s)", [one.verdict_seconds for one in found]),
        ("verdict to last answer (s)", [one.last_answer_seconds for one in found]),
    ):
        rows.append((title, f"{statistics.median(values):.3g}", f"{max(values):.3g}"))
    return table((f"{len(found)} rollbacks", "median", "worst"), rows)


if __name__ == "__main__":
    sys.exit(main())

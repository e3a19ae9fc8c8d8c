"""Every transition under load on the local cluster: `python -m tests.bench.traffic [--scene NAME] [--rate N]`."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from tests.bench.traffic.log import binomial_bound, table
from tests.bench.traffic.scenes import RATE, SCENES, Told, tell
from tests.e2e import spoilt
from tests.support.stories import place

from serin_cli.cluster.access import load

HEAD = (
    "transition", "requests", "failed", "p50 / p99 before (ms)", "during", "after", "observed split",
)  # fmt: skip


def splits(told: Told) -> list[tuple[int, float, int, tuple[float, float]]]:
    """Weight claimed, share observed, requests, and the bound that the share must keep."""
    found = []
    for weight, since, until, revision in told.splits:
        requests = told.log.between(since, until).by_revision()
        total = requests[revision] + requests[told.stable]
        if total >= 50:
            share = requests[revision] / total
            found.append((weight, share, total, binomial_bound(total, weight / 100)))
    return found


def row(told: Told) -> tuple[str, ...]:
    """One line of the table."""
    latencies = [f"{part.quantile_ms(0.5):.1f} / {part.quantile_ms(0.99):.1f}" for part in told.parts]
    seen = ", ".join(
        f"{100 * share:.1f} % of {weight} %{'' if low <= share <= high else ' OUT OF BOUND'}"
        for weight, share, _, (low, high) in splits(told)
    )
    return (told.name, str(len(told.log.requests)), str(told.lost), *latencies, seen or "–")


def main() -> int:
    """Tell the scenes one after the other; 1 where a request was lost that must not be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scene", action="append", help="only scenes whose name holds this; may be given repeatedly")
    parser.add_argument("--rate", type=float, default=RATE, help="requests a second")
    parser.add_argument("--json", type=Path, help="write the figures there")
    wishes = parser.parse_args()
    chosen = [scene for scene in SCENES if not wishes.scene or any(word in scene.name for word in wishes.scene)]
    rows, lost = [], 0
    with tempfile.TemporaryDirectory() as directory:
        models = spoilt.prepare(Path(directory))
        for number, scene in enumerate(chosen):
            sys.stderr.write(f"{number + 1} of {len(chosen)}: {scene.name}\n")
            with place(load(), f"bench-{number}", models, label="bench") as made:
                told = tell(made, scene, wishes.rate)
            lost += told.lost if scene.lossless else 0
            rows.append(row(told))
            sys.stderr.write(f"    {rows[-1]}; {dict(told.log.troubles())}; {told.note}\n")
    sys.stdout.write(table(HEAD, rows) + "\n")
    if wishes.json:
        wishes.json.write_text(json.dumps([dict(zip(HEAD, line, strict=True)) for line in rows], indent=2))
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())

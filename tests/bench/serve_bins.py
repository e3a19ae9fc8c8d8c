"""What it costs the model server to count rows: bins, quality and slots.

Run it with `python -m tests.bench.serve_bins`. Requests go through uvicorn's protocol and the whole server, with a
transport that goes nowhere; those of a cohort, which count on two profiles as in a trial, alternate in short rounds
with those of none, so that what else the machine does meets both. Beside the ratio stands the counting alone, in
microseconds of processor time a row. It fails where a ratio is above the bound.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import msgspec
import numpy as np
import uvloop
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tests.bench.serve_callers import RING, ROUND_REQUESTS, seconds
from tests.bench.serving.line import Line, body_of, configuration, request
from tests.unit.serving.running import Case, settings

from serin_bundle import package
from serin_contract.keys import encode
from serin_serving import startup
from serin_serving.bins import CohortBins
from serin_serving.keys import Keys
from serin_serving.server import Server, binner
from serin_serving.startup import Loaded

RATIO_MAX = 1.35
FEATURES = (13, 64, 256)
ROWS = (1, 32)
REFERENCE_ROWS = 2_000


def case(out: Path, features: int, seed: int) -> Case:
    """A fast model of that many features."""
    draw = np.random.default_rng(seed)
    rows = draw.normal(size=(REFERENCE_ROWS, features))
    labels = (rows[:, 0] + draw.normal(size=len(rows)) > 0).astype(int)
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, labels)
    made = package(model, rows, labels, out, name="wide", golden_rows=8)
    return Case(name="wide", path=out, digest=made.digest, model=model, rows=rows, labels=labels)


async def compare(loaded: Loaded, made: Case, keys_file: Path, rows: int, rounds: int) -> tuple[float, float]:
    """Seconds of one request that counts nowhere, and of one in a cohort; the median of the rounds."""
    server = Server(settings(made, keys_file), loaded, Keys(keys_file, time.monotonic()))
    body = body_of(made.rows[:rows].tolist())
    line = Line(configuration(server))
    plain, counted = request("wide", body), request("wide", body, x_serin_cohort="wide-2.1.a")
    found: list[tuple[float, float]] = []
    for _ in range(rounds):
        found.append((await seconds(line, plain), await seconds(line, counted)))
    server.close()
    return statistics.median(pair[0] for pair in found), statistics.median(pair[1] for pair in found)


def counting(loaded: Loaded, made: Case, rows: int, profiles: int, rounds: int) -> float:
    """Seconds a row of the counting alone: the first decile of rounds of 2,048 rows."""
    stable = loaded.stable_profile if profiles == 2 else None
    bins = CohortBins(binner(msgspec.structs.replace(loaded, stable_profile=stable)))
    matrix = np.ascontiguousarray(made.rows[:rows])
    answers = loaded.model.answer(matrix)
    found = []
    for _ in range(rounds):
        begun = time.process_time()
        for _ in range(2048 // rows):
            bins.add(matrix, answers)
        bins.counts()
        found.append((time.process_time() - begun) / 2048)
    return statistics.quantiles(found, n=10)[0]


def main() -> int:
    """Print the table; 1 where a ratio is above the bound."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    arguments = parser.parse_args()
    failed = False
    print(
        f"rounds of {ROUND_REQUESTS} requests | counts nowhere, ms | in a cohort, ms | ratio | µs a row: 1, 2 profiles"
    )
    with tempfile.TemporaryDirectory() as scratch:
        keys_file = Path(scratch) / "keys.json"
        keys_file.write_bytes(encode(RING))
        for features in FEATURES:
            made, other = (case(Path(scratch) / f"bundle-{features}-{seed}", features, seed) for seed in range(2))
            configured = settings(made, keys_file, stable_profile_file=other.path / "profile.json")
            loaded = startup.load(configured)
            for rows in ROWS:
                plain, counted = uvloop.run(compare(loaded, made, keys_file, rows, arguments.rounds))
                alone = [counting(loaded, made, rows, profiles, arguments.rounds) * 1e6 for profiles in (1, 2)]
                ratio = counted / plain
                failed |= ratio > RATIO_MAX
                print(
                    f"{features} features, {rows} rows | {plain * 1e3:.3f} | {counted * 1e3:.3f} | {ratio:.2f} | "
                    f"{alone[0]:.2f}, {alone[1]:.2f}",
                    flush=True,
                )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

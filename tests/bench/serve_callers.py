"""What it costs the model server to tell callers apart: processor time of a request with a caller's cookie, a
stickiness header and an announced cohort, against one with none of them.

Run it with `python -m tests.bench.serve_callers`. Requests go through uvicorn's protocol and the whole server, with
a transport that goes nowhere; the two kinds alternate in short rounds, so that what else the machine does meets both.
It fails when the ratio is above the bound.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import uvloop
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tests.bench.serving.line import Line, body_of, configuration, request
from tests.unit.serving.running import Case, settings

from serin_bundle import package
from serin_contract import announcements, callers, http
from serin_contract.announcements import Announcement
from serin_contract.callers import Caller, Stickiness
from serin_contract.keys import KeyRing, derive_ring, encode
from serin_serving import startup
from serin_serving.keys import Keys
from serin_serving.server import Server

RATIO_MAX = 1.10
ROUND_REQUESTS = 50
RING = derive_ring({"m1": b"1" * 32}, "m1", "uid")


async def seconds(line: Line, data: bytes) -> float:
    """Processor time of one request, as the mean of a round."""
    begun = time.process_time()
    for _ in range(ROUND_REQUESTS):
        line.send(data)
        await line.answer()
    return (time.process_time() - begun) / ROUND_REQUESTS


async def compare(case: Case, keys_file: Path, rounds: int) -> dict[str, float]:
    """Seconds of one request by its kind: the first decile of the rounds, as what else the machine does only adds."""
    configured = settings(case, keys_file)
    loaded = startup.load(configured)
    plain, telling = (Server(configured, loaded, Keys(keys_file, time.monotonic())) for _ in range(2))
    telling.take_announcement(*announcements.encode(Announcement("pod-1", 1, "wine-2.1.a"), RING))
    body = body_of(case.rows[:1].tolist())
    kinds = {
        "plain": (Line(configuration(plain)), request("wine", body, x_serin_cohort="wine-2.1.a")),
        "a known caller": (Line(configuration(telling)), request("wine", body, **_told("wine-2.1.a", RING))),
        "a caller of the cohort before": (
            Line(configuration(telling)),
            request("wine", body, **_told("wine-2.0.a", RING)),
        ),
        "a caller without a cookie": (Line(configuration(telling)), request("wine", body, **_told(None, RING))),
    }
    found: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(rounds):
        for kind, (line, data) in kinds.items():
            found[kind].append(await seconds(line, data))
    plain.close()
    telling.close()
    return {kind: statistics.quantiles(times, n=10)[0] for kind, times in found.items()}


def _told(counted_in: str | None, ring: KeyRing) -> dict[str, str]:
    headers = {
        "x_serin_cohort": "wine-2.1.a",
        http.STICKINESS_HEADER: callers.header_value(Stickiness("serin", "wine-2", 20, 10)),
    }
    if counted_in is not None:
        caller = Caller("50." + "r" * 12, callers.mark_of(counted_in))
        headers["cookie"] = f"theme=dark; serin={callers.cookie_value(caller, ring)}"
    return headers


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    rounds = parser.parse_args().rounds
    data = load_wine()
    with tempfile.TemporaryDirectory() as base:
        model = make_pipeline(StandardScaler(), LogisticRegression()).fit(data.data, data.target)
        path = Path(base) / "wine"
        made = package(model, data.data, data.target, path, name="wine", golden_rows=8)
        keys_file = Path(base) / "keys.json"
        keys_file.write_bytes(encode(RING))
        case = Case("wine", path, made.digest, model, data.data, data.target)
        found = uvloop.run(compare(case, keys_file, rounds))
    for kind, seconds in found.items():
        print(f"{kind:32}{seconds * 1e6:8.1f} us  {seconds / found['plain']:.3f}")
    return int(max(found.values()) > RATIO_MAX * found["plain"])


if __name__ == "__main__":
    sys.exit(main())

"""What one request costs the model server beside sockets: processor time, at several connections at once.

Run it with `python -m tests.bench.serving.hot_path`. Requests of a cohort go through uvicorn's protocol and the
whole server of a candidate's pod, with a transport that goes nowhere; as many as there are connections come in one
turn of the loop. `--against` another checkout runs both in turn, each in a process of its own, and tells the ratio.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import os
import pickle
import pstats
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import uvloop
from tests.bench.serving import models
from tests.bench.serving.line import Line, configuration, request
from tests.bench.serving.models import MODELS, NAME, Served

ROUND_SECONDS = 0.25


class Load:
    """A server and callers on as many connections."""

    def __init__(self, model: Served, rows: int, connections: int) -> None:
        # Here and not above: PYTHONPATH says of which checkout these are.
        from serin_serving import startup
        from serin_serving.keys import Keys
        from serin_serving.server import Server
        from serin_serving.settings import Settings

        settings = Settings(NAME, f"{NAME}-2", "pod", model.bundle, model.digest, model.keys, model.stable_profile, 0.0)
        server = Server(settings, startup.load(settings), Keys(model.keys, time.monotonic()))
        config = configuration(server)
        body = model.requests[rows].body.read_bytes()
        self._data = request(NAME, body, content_type="application/json", x_serin_cohort=f"{NAME}-2.1.a")
        self._lines = [Line(config) for _ in range(connections)]

    async def microseconds(self, seconds: float) -> float:
        """Processor time of one request, after that many seconds of them."""
        begun, made = time.process_time(), 0
        while time.process_time() < begun + seconds:
            for line in self._lines:
                line.send(self._data)
            for line in self._lines:
                await line.answer()
            made += len(self._lines)
        return (time.process_time() - begun) / made * 1e6


def settle() -> None:
    """Do with the collector of garbage what the server does once it has loaded."""
    from serin_serving.main import COLLECTED_EACH

    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECTED_EACH)


async def work(model: Served, rows: int) -> None:
    """Measure whenever a line on the standard input asks for it, with the number of connections."""
    loads: dict[int, Load] = {}
    for asked in sys.stdin:
        connections = int(asked)
        if connections not in loads:
            loads[connections] = Load(model, rows, connections)
            await loads[connections].microseconds(ROUND_SECONDS)
            settle()
        print(await loads[connections].microseconds(ROUND_SECONDS), flush=True)


class Checkout:
    """A process that measures one checkout."""

    def __init__(self, model_file: Path, rows: int, sources: Path | None) -> None:
        env = dict(os.environ) if sources is None else {**os.environ, "PYTHONPATH": str(sources / "serving")}
        command = [
            sys.executable,
            "-m",
            "tests.bench.serving.hot_path",
            "--rows",
            str(rows),
            "--worker",
            str(model_file),
        ]
        self._process = subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def microseconds(self, connections: int) -> float:
        """Of one more round."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{connections}\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def close(self) -> None:
        """End the process."""
        self._process.communicate(timeout=20)


def compare(wishes: argparse.Namespace, model_file: Path) -> None:
    """Print the first quartile of the rounds for each number of connections: what else the machine does only adds."""
    places = [None] if wishes.against is None else [None, wishes.against.resolve()]
    checkouts = [Checkout(model_file, wishes.rows, place) for place in places]
    for connections in wishes.connections:
        rounds = [[checkout.microseconds(connections) for checkout in checkouts] for _ in range(wishes.rounds)]
        found = [statistics.quantiles(column, n=4)[0] for column in zip(*rounds, strict=True)]
        text = f"{wishes.model}, {wishes.rows} rows, {connections} connections: {found[0]:.1f} µs"
        print(text + (f", the other {found[1]:.1f} µs: {found[1] / found[0]:.2f}×" if found[1:] else ""), flush=True)
    for checkout in checkouts:
        checkout.close()


async def profile(model: Served, wishes: argparse.Namespace) -> None:
    """Print where the time goes."""
    for connections in wishes.connections:
        load = Load(model, wishes.rows, connections)
        await load.microseconds(ROUND_SECONDS)
        settle()
        profiler = cProfile.Profile()
        profiler.enable()
        await load.microseconds(8 * ROUND_SECONDS)
        profiler.disable()
        pstats.Stats(profiler).sort_stats("tottime").print_stats(45)


def main() -> int:
    """Print microseconds a request, or the profile, or the ratio of two checkouts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=sorted(MODELS), default="linear")
    parser.add_argument("--rows", type=int, choices=models.ROWS, default=1)
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--against", type=Path, help="another checkout of Serin")
    parser.add_argument("--profile", action="store_true", help="print where the time goes")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    wishes = parser.parse_args()
    if wishes.worker is not None:
        uvloop.run(work(pickle.loads(wishes.worker.read_bytes()), wishes.rows))
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        model = models.prepare(wishes.model, Path(scratch) / "model")
        if wishes.profile:
            uvloop.run(profile(model, wishes))
            return 0
        (Path(scratch) / "model.pickle").write_bytes(pickle.dumps(model))
        compare(wishes, Path(scratch) / "model.pickle")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What the shadow traffic costs stable's callers: latency at a steady rate, requests a second at saturation, and
processor time a request, with no shadow, with a candidate that takes everything, and with one that is dead, does
not answer, or takes 50 ms for each.

Run it with `python -m tests.bench.mirror_traffic`. All requests are mirrored. The scenes alternate in short rounds
against one server process, so that what else the machine does meets all of them; a ratio is the median over rounds
of that scene against no shadow in the same round. It fails when stable's processor time at the steady rate
rises above the bound: unlike latency it says the same on a busy machine.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import uvloop
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tests.unit.serving.running import Case, Running
from tests.unit.serving.test_drain import process

from serin_bundle import package
from serin_contract.announcements import ShadowOrder
from serin_contract.keys import derive_ring, encode
from serin_serving.exchange import Exchange

RING = derive_ring({"m1": b"1" * 32}, "m1", "uid")
BODY = json.dumps(
    {"inputs": [{"name": "x", "shape": [1, 13], "datatype": "FP64", "data": load_wine().data[0].tolist()}]}
).encode()
HEADERS = {"content-type": "application/json"}
CONNECTIONS = 16
CPU_RATIO_TAKEN_MAX = 2.0
"""Processor time of stable for a request whose copy is sent, against one without a copy."""
CPU_RATIO_LOST_MAX = 1.5
"""The same where the candidate takes few or none."""


class Round:
    """What one scene measured in one round."""

    def __init__(self, seconds: list[float], cpu: float, sent: float, most: float, cpu_at_most: float) -> None:
        """All seconds and seconds of processor time; `most` is requests a second at saturation."""
        self.p50, self.p99 = (float(np.percentile(seconds, at)) * 1e3 for at in (50, 99))
        self.cpu = cpu * 1e6
        self.sent = sent
        self.most = most
        self.cpu_at_most = cpu_at_most * 1e6


def main() -> int:
    """Print medians and ratios; 1 where a ratio is above its bound."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--rate", type=float, default=200.0, help="requests a second of the steady part")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        case, keys = _bundle(Path(folder))
        with process(case, keys, "0") as (server, stable), process(case, keys, "0") as (_, candidate):
            rounds = uvloop.run(_measure(server.pid, stable, candidate, chosen.rounds, chosen.rate))
    return _report(rounds)


async def _measure(pid: int, stable: Running, candidate: Running, rounds: int, rate: float) -> dict[str, list[Round]]:
    measured: dict[str, list[Round]] = {}
    with socket.create_server(("127.0.0.1", 0)) as blackhole, socket.socket() as dead:
        dead.bind(("127.0.0.1", 0))
        async with _slow() as slow:
            scenes = {
                "off": None,
                "candidate": f"127.0.0.1:{candidate.stats_port}",
                "slow": slow,
                "blackhole": f"127.0.0.1:{blackhole.getsockname()[1]}",
                "dead": f"127.0.0.1:{dead.getsockname()[1]}",
            }
            for number in range(rounds + 1):
                for name in random.sample(sorted(scenes), len(scenes)):
                    found = await _round(pid, stable, scenes[name], f"bench.{number}.{name}", rate)
                    # The first round warms up.
                    if number:
                        measured.setdefault(name, []).append(found)
    return measured


async def _round(pid: int, stable: Running, target: str | None, cohort: str, rate: float) -> Round:
    order = None if target is None else ShadowOrder(cohort, 100, [target], time.time() + 60)
    assert (await asyncio.to_thread(stable.announce, RING, shadow=order)).status == 200
    exchanges = [Exchange(f"127.0.0.1:{stable.inference_port}") for _ in range(CONNECTIONS)]
    path = stable.path("infer")
    before = _cpu(pid)
    steady = await _steady(exchanges, path, rate, 1.5)
    between, sent = _cpu(pid), _sent(await asyncio.to_thread(stable.stats), cohort)
    answered = await _saturate(exchanges, path, 1.0)
    after = _cpu(pid)
    for exchange in exchanges:
        exchange.close()
    return Round(steady, (between - before) / len(steady), sent / len(steady), answered, (after - between) / answered)


async def _steady(exchanges: list[Exchange], path: str, rate: float, length: float) -> list[float]:
    """Open loop: seconds from when each request was due to its answer."""
    due = [time.perf_counter() + number / rate for number in range(int(rate * length))]
    waiting, seconds = iter(due), []

    async def call(exchange: Exchange) -> None:
        for at in waiting:
            await asyncio.sleep(max(0.0, at - time.perf_counter()))
            assert await exchange.post(path, HEADERS, BODY, 10.0) == 200
            seconds.append(time.perf_counter() - at)

    await asyncio.gather(*map(call, exchanges))
    return seconds


async def _saturate(exchanges: list[Exchange], path: str, length: float) -> int:
    """Closed loop on all connections: requests answered."""
    end = time.perf_counter() + length

    async def call(exchange: Exchange) -> int:
        answered = 0
        while time.perf_counter() < end:
            assert await exchange.post(path, HEADERS, BODY, 10.0) == 200
            answered += 1
        return answered

    return sum(await asyncio.gather(*map(call, exchanges)))


@contextlib.asynccontextmanager
async def _slow() -> AsyncIterator[str]:
    """A candidate that takes everything after 50 ms."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # It is cancelled when all is over, which Python 3.11 would print as an error of the server.
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(line for line in head.splitlines() if line.startswith(b"content-length"))
                await reader.readexactly(int(length.partition(b":")[2]))
                await asyncio.sleep(0.05)
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


def _cpu(pid: int) -> float:
    """Seconds of processor time that the thread of the server's loop has used."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def _bundle(folder: Path) -> tuple[Case, Path]:
    data = load_wine()
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(data.data, data.target)
    made = package(model, data.data, data.target, folder / "wine", name="wine", feature_names=data.feature_names)
    keys = folder / "keys.json"
    keys.write_bytes(encode(RING))
    return Case("wine", folder / "wine", made.digest, model, data.data, data.target), keys


def _sent(stats: Any, cohort: str) -> int:
    return int((stats["cohorts"].get(cohort, {}).get("shadow") or {"sent": 0})["sent"])


FIELDS = ("p50", "p99", "cpu", "most", "cpu_at_most")


def _report(rounds: dict[str, list[Round]]) -> int:
    print("steady: p50 ms, p99 ms, µs of processor time a request, sent; saturated: requests a second, µs a request")
    failed = 0
    for name, found in rounds.items():
        medians = [statistics.median(getattr(one, field) for one in found) for field in FIELDS]
        ratios = {
            field: statistics.median(
                getattr(one, field) / getattr(off, field) for one, off in zip(found, rounds["off"], strict=True)
            )
            for field in FIELDS
        }
        sent = statistics.median(one.sent for one in found)
        print(f"{name:<10}" + "".join(f"{value:9.2f}" for value in medians) + f"{sent:8.1%}  ratios to off:", end="")
        print("".join(f" {field} {ratio:.2f}" for field, ratio in ratios.items()))
        failed |= ratios["cpu"] > (CPU_RATIO_TAKEN_MAX if name == "candidate" else CPU_RATIO_LOST_MAX)
    return failed


if __name__ == "__main__":
    sys.exit(main())

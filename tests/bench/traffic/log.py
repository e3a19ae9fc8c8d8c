"""Starting callers, and reading what they saw: failures, latencies by period, the split by revision."""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from tests.bench.traffic.caller import Request, Settings

STOP_SECONDS = 60.0
ROOT = Path(__file__).resolve().parents[3]

Wrap = Callable[[list[str]], list[str]]


@dataclass
class Log:
    """All requests of one load, in the order of their answers."""

    requests: list[Request] = field(default_factory=list)

    @property
    def failures(self) -> list[Request]:
        """Requests that were not answered with 200."""
        return [request for request in self.requests if request.trouble]

    def between(self, start: float, end: float) -> Log:
        """The requests that were due in that time."""
        return Log([request for request in self.requests if start <= request.due < end])

    def by_revision(self) -> Counter[str]:
        """Requests by the revision that answered."""
        return Counter(request.revision for request in self.requests if request.revision)

    def last_answer(self, revision: str) -> float:
        """Unix time of the last whole answer of a revision; 0 where it gave none."""
        return max((one.due + one.seconds for one in self.requests if one.revision == revision), default=0.0)

    def first_answer(self, revision: str) -> float:
        """Unix time of the first whole answer of a revision; infinite where it gave none."""
        return min((one.due + one.seconds for one in self.requests if one.revision == revision), default=math.inf)

    def quantile_ms(self, share: float) -> float:
        """The latency of good answers in milliseconds that this share stays within."""
        good = sorted(request.seconds for request in self.requests if not request.trouble)
        return 1000 * good[min(len(good) - 1, math.ceil(share * len(good)) - 1)] if good else math.nan

    def troubles(self) -> Counter[str]:
        """What went wrong, and how often."""
        return Counter(request.trouble for request in self.failures)


@contextmanager
def callers(settings: Settings, wrap: Wrap) -> Iterator[Log]:
    """Callers for the length of the block; their log is filled when it ends."""
    log = Log()
    with tempfile.TemporaryFile() as answers:
        process = subprocess.Popen(
            wrap([sys.executable, "-m", "tests.bench.traffic.caller"]),
            stdin=subprocess.PIPE, stdout=answers, start_new_session=True, cwd=ROOT,
        )  # fmt: skip
        assert process.stdin is not None
        process.stdin.write(msgspec.json.encode(settings) + b"\n")
        process.stdin.flush()
        try:
            yield log
        finally:
            process.stdin.close()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            answers.seek(0)
            log.requests.extend(msgspec.msgpack.decode(answers.read() or b"\x90", type=list[Request]))


def binomial_bound(trials: int, share: float, level: float = 1e-4) -> tuple[float, float]:
    """Between which shares the observed one lies but for `level`, where each trial is drawn by itself."""
    from scipy.stats import binom

    low, high = binom.ppf([level / 2, 1 - level / 2], trials, share)
    return float(low) / trials, float(high) / trials


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)

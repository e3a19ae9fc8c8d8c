"""The load itself, a process of its own: requests at random moments, true labels later, counts once a half second.

It reads its settings as one line of JSON from standard input, then changes to them, and ends when that closes:
so it never outlives whoever started it. It imports nothing of Kubernetes and may run in another network.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import random
import sys
import time
from collections.abc import Coroutine
from itertools import count
from typing import Any

import msgspec

from serin_cli.demo.counts import UNANSWERED, Counts, Snapshot
from serin_cli.demo.wire import Client, Response, WireError
from serin_contract.http import FEEDBACK_PATH, INFERENCE_PATH_PREFIX, PREDICTION_ID_HEADER, REVISION_HEADER

Value = int | float | str | bool

REPORT_SECONDS = 0.5
LABEL_SECONDS = 0.25
"""Labels that fell due are posted together this often."""

LABELS_PER_POST = 500
TIMEOUT_SECONDS = 10.0
READY_SECONDS = 60.0
IN_FLIGHT_MAX = 500
"""More are not sent and count as failed: an overloaded gateway that holds thousands does not recover."""

SETTINGS_BYTES_MAX = 64 * 1024 * 1024


class Settings(msgspec.Struct, frozen=True):
    """What to send, where and how often."""

    url: str
    """Address of the gateway: http://<address>:<port>."""
    host: str
    """Host name that the route answers to."""
    model: str
    rows: list[list[Value | None]]
    labels: list[Value]
    """The true label of each row; it reaches the model server only by feedback."""
    rate: float = 200.0
    """Requests a second on average; they come at random moments, whether or not earlier ones were answered."""
    label_delay: tuple[float, float] = (1.0, 3.0)
    """A label is posted after a random time between these, in seconds."""
    wrong_label_delay: tuple[float, float] | None = None
    """The same for a prediction that was wrong; as for any other where it is None."""
    label_share: float = 1.0
    """Share of the predictions whose label ever comes."""
    fresh_share: float = 0.1
    """Share of the requests that open a connection of their own."""
    datatype: str = "FP64"
    seed: int = 0


class Change(msgspec.Struct, frozen=True):
    """A change while the load runs; what is absent stays."""

    rate: float | None = None
    label_share: float | None = None


class _Label(msgspec.Struct, frozen=True, order=True):
    due: float
    order: int
    prediction: str
    label: Value
    revision: str


class _Predict(msgspec.Struct):
    data: list[Value]


class _Answer(msgspec.Struct):
    outputs: list[_Predict]


class _Refused(msgspec.Struct):
    index: int


class _Receipt(msgspec.Struct):
    refused: list[_Refused]


def encode_row(row: list[Value | None], datatype: str) -> bytes:
    """One row as a request of the Open Inference Protocol v2 that asks for the class alone."""
    tensor = {"name": "input", "shape": [1, len(row)], "datatype": datatype, "data": row}
    return msgspec.json.encode({"inputs": [tensor], "outputs": [{"name": "predict"}]})


def draw(generator: random.Random, rows: int) -> int:
    """A row at random, with replacement.

    A gateway's weighted round robin is deterministic: were the rows sent in turn, a candidate at five percent
    would meet the same few of them for ever.
    """
    return generator.randrange(rows)


class Drive:
    """Sends, labels and counts until it is told to stop."""

    def __init__(self, settings: Settings) -> None:
        self.counts = Counts()
        self.ready = False
        self._settings = settings
        self._rate = settings.rate
        self._label_share = settings.label_share
        self._random = random.Random(settings.seed)  # noqa: S311 - it draws samples, no secrets
        self._client = Client(settings.url, settings.host)
        self._path = f"{INFERENCE_PATH_PREFIX}/models/{settings.model}".encode()
        self._bodies = [encode_row(row, settings.datatype) for row in settings.rows]
        self._labels: list[_Label] = []
        self._order = count()
        self._tasks: set[asyncio.Task[None]] = set()
        self._began = time.monotonic()

    def change(self, change: Change) -> None:
        """Take another rate or share of labels from now on."""
        self._rate = self._rate if change.rate is None else change.rate
        self._label_share = self._label_share if change.label_share is None else change.label_share

    def snapshot(self) -> Snapshot:
        """Everything counted so far."""
        now = time.monotonic()
        return self.counts.snapshot(time.time(), now - self._began, time.process_time(), ready=self.ready)

    async def run(self, stop: asyncio.Event) -> None:
        """Wait for the gateway, send until `stop`, then let answers and labels come to their end."""
        await self._await_gateway(stop)
        labelling = asyncio.create_task(self._post_labels(stop))
        due = time.monotonic()
        while not stop.is_set():
            due = due + self._random.expovariate(self._rate) if self._rate > 0 else time.monotonic() + 0.1
            if (left := due - time.monotonic()) > 0:
                await asyncio.sleep(left)
            if self._rate > 0 and not stop.is_set():
                self._start(self._ask(draw(self._random, len(self._bodies)), due))
        while self._tasks:
            await asyncio.wait(self._tasks)
        await labelling
        self._client.close()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _await_gateway(self, stop: asyncio.Event) -> None:
        """Ask on both paths until a model server answers, so that the gateway's own start is not counted."""
        limit = time.monotonic() + READY_SECONDS
        questions = ((b"GET", self._path + b"/ready"), (b"POST", FEEDBACK_PATH.encode()))
        while not stop.is_set():
            answers = [await self._try(method, path, b"") for method, path in questions]
            if all(isinstance(answer, Response) and REVISION_HEADER in answer.headers for answer in answers):
                self.ready = True
                self._began = time.monotonic()
                return
            if time.monotonic() > limit:
                said = [answer if isinstance(answer, str) else f"HTTP {answer.status}" for answer in answers]
                raise SystemExit(f"the gateway does not lead to a model server: ready: {said[0]}, feedback: {said[1]}")
            await asyncio.sleep(0.2)

    async def _try(self, method: bytes, path: bytes, body: bytes, *, fresh: bool = False) -> Response | str:
        """The answer, or in words why there is none."""
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                return await self._client.send(method, path, body, fresh=fresh)
        except TimeoutError:
            self.counts.timeouts += self.ready
            return f"no answer within {TIMEOUT_SECONDS:.0f} s"
        except (OSError, WireError) as error:
            return str(error) or type(error).__name__

    async def _ask(self, row: int, due: float) -> None:
        """Send one row and keep its label for later."""
        counts = self.counts
        counts.late = max(counts.late, time.monotonic() - due)
        if counts.in_flight >= IN_FLIGHT_MAX:
            counts.failed(UNANSWERED, time.time(), f"{IN_FLIGHT_MAX} requests wait for their answers already")
            return
        fresh = self._random.random() < self._settings.fresh_share
        counts.fresh += fresh
        counts.in_flight += 1
        answer = await self._try(b"POST", self._path + b"/infer", self._bodies[row], fresh=fresh)
        counts.in_flight -= 1
        self._count(answer, row, due)

    def _count(self, answer: Response | str, row: int, due: float) -> None:
        now, at = time.monotonic(), time.time()
        if isinstance(answer, str):
            self.counts.failed(UNANSWERED, at, answer)
            return
        revision = answer.headers.get(REVISION_HEADER, UNANSWERED)
        prediction = answer.headers.get(PREDICTION_ID_HEADER)
        if answer.status != 200 or prediction is None:
            self.counts.failed(revision, at, f"HTTP {answer.status} from {revision}: {_excerpt(answer.body)}")
            return
        try:
            value = msgspec.json.decode(answer.body, type=_Answer).outputs[0].data[0]
        except (msgspec.MsgspecError, IndexError):
            self.counts.failed(revision, at, f"an answer of {revision} does not follow the protocol")
            return
        truth = self._settings.labels[row]
        self.counts.answered(revision, at, now - due, correct=value == truth)
        if self._random.random() < self._label_share:
            late = self._settings.wrong_label_delay if value != truth else None
            come = now + self._random.uniform(*(late or self._settings.label_delay))
            heapq.heappush(self._labels, _Label(come, next(self._order), prediction, truth, revision))

    async def _post_labels(self, stop: asyncio.Event) -> None:
        while not stop.is_set() or self._labels or self._tasks:
            await asyncio.sleep(LABEL_SECONDS)
            now = time.monotonic()
            due: list[_Label] = []
            while self._labels and self._labels[0].due <= now and len(due) < LABELS_PER_POST:
                due.append(heapq.heappop(self._labels))
            if due:
                await self._post(due)

    async def _post(self, due: list[_Label]) -> None:
        body = msgspec.json.encode([{"id": label.prediction, "label": label.label} for label in due])
        answer = await self._try(b"POST", FEEDBACK_PATH.encode(), body)
        self.counts.feedback_posts += 1
        try:
            if isinstance(answer, str):
                raise ValueError(answer)
            receipt = msgspec.json.decode(answer.body, type=_Receipt)
        except ValueError as error:
            said = str(error) if isinstance(answer, str) else f"HTTP {answer.status}: {_excerpt(answer.body)}"
            self.counts.feedback_failures += 1
            self.counts.troubles.append(f"feedback: {said}")
            return
        for label in due:
            self.counts.tally(label.revision).labels_posted += 1
        for refused in receipt.refused:
            self.counts.tally(due[refused.index].revision).labels_refused += 1


def _excerpt(body: bytes) -> str:
    return body[:120].decode(errors="replace").strip()


async def _listen(drive: Drive, stop: asyncio.Event, lines: asyncio.StreamReader) -> None:
    """Take changes from standard input until it closes."""
    while line := await lines.readline():
        drive.change(msgspec.json.decode(line, type=Change))
    stop.set()


async def _report(drive: Drive) -> None:
    while True:
        _write(drive.snapshot())
        await asyncio.sleep(REPORT_SECONDS)


def _write(snapshot: Snapshot) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(snapshot) + b"\n")
    sys.stdout.buffer.flush()


async def _main() -> None:
    lines = asyncio.StreamReader(limit=SETTINGS_BYTES_MAX)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    drive, stop = Drive(msgspec.json.decode(await lines.readline(), type=Settings)), asyncio.Event()
    helpers = [asyncio.create_task(_listen(drive, stop, lines)), asyncio.create_task(_report(drive))]
    await drive.run(stop)
    for helper in helpers:
        helper.cancel()
    with contextlib.suppress(BrokenPipeError):
        _write(drive.snapshot())


if __name__ == "__main__":
    asyncio.run(_main())

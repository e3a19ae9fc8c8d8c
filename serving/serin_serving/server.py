"""One running server: what the routes of both ports share, and what an inference request does."""

from __future__ import annotations

import asyncio
import functools
import logging
import secrets
import time
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from serin_contract import ids, sampled, stats
from serin_contract.keys import KeyRing
from serin_contract.seals import ForgedError
from serin_contract.stats import MalformedReason
from serin_serving.announced import Announcements, Refusal
from serin_serving.batching import Batcher
from serin_serving.bins import Binner
from serin_serving.connections import Connection, Connections
from serin_serving.counts import Counts
from serin_serving.error_clip import ErrorClip
from serin_serving.errors import RequestError
from serin_serving.feedback import Feedback, Receipt, decode_items
from serin_serving.keys import Keys
from serin_serving.layout import Matrix
from serin_serving.load import Load
from serin_serving.metrics import Metrics
from serin_serving.mirror import Body, Mirror
from serin_serving.model import Answers
from serin_serving.oip import InferRequest, decode_infer, encode_infer
from serin_serving.recent import Recent
from serin_serving.respelling import infer_body
from serin_serving.sampled import Sample
from serin_serving.settings import Settings
from serin_serving.shadow import Shadow
from serin_serving.startup import Loaded
from serin_serving.traces import Tracer
from serin_serving.visits import CountedCallers, Visit, Visits
from serin_serving.wire import BodyReader, Scope

_log = logging.getLogger(__name__)


class Asked(NamedTuple):
    """An inference request that the model has not answered yet."""

    body: bytes
    began: float
    """Seconds of time.perf_counter."""
    request: InferRequest
    answers: asyncio.Future[Answers]


class Server:
    """The model, its queue and its counters; made inside a running loop."""

    def __init__(self, settings: Settings, loaded: Loaded, keys: Keys) -> None:
        self.name = settings.deployment
        self.revision = settings.revision
        self.model = loaded.model
        self.profile = loaded.profile
        self.draining = False
        self.traces: Tracer | None = None
        """Set before the first request where traces are exported."""
        self.logs_requests = settings.logs_requests
        self.bodies = BodyReader()
        self.metrics = Metrics(settings.deployment, settings.revision)
        self.metrics.ready.set(1)
        self.metrics.runtime(loaded.model.runtime)
        self._runtime_reason = loaded.reason
        self.connections = Connections()
        self.announcements = Announcements(settings.pod_uid, self.connections)
        self.visits = Visits(self.revision, self.announcements, CountedCallers())
        self._pod_uid = settings.pod_uid
        self._keys = keys
        # The random part tells two starts within one second apart.
        self._started_at = f"{datetime.now(UTC).isoformat(timespec='seconds')}/{secrets.token_hex(6)}"
        self._counts = Counts(binner(loaded))
        self._batcher = Batcher(loaded.model.answer, threaded=loaded.slow)
        clip = ErrorClip(self.revision, loaded.profile, loaded.stable_profile)
        self._feedback = Feedback(loaded.model.signature, self.revision, self._counts, Recent(), clip)
        self._mirror = Mirror(self._counts, self.metrics, self.ring, Load())
        self._sample = Sample(loaded.model.signature.columns, settings.sample_rows) if settings.sample_rows else None
        classifies = loaded.model.signature.task == "classification"
        self._shadow = Shadow(self._predict_rows, self._counts, self.metrics, classifies=classifies)

    async def infer(self, body: bytes, visit: Visit) -> tuple[bytes, str]:
        """Answer one inference request: the JSON and the prediction id, as `told` has them.

        Raises:
            RequestError: the request cannot be answered.
        """
        asked = self.ask(body)
        await asyncio.wait([asked.answers])
        return self.told(asked, visit)

    def ask(self, body: bytes) -> Asked:
        """Read one inference request and let the model answer it soon.

        Raises:
            RequestError: it is no such request, or the queue is full.
        """
        began = time.perf_counter()
        try:
            request = decode_infer(body, self.model.layout)
            return Asked(body, began, request, self._submit(request))
        except Exception as error:
            self._mirror.failed(body, error, time.perf_counter() - began)
            raise

    def told(self, asked: Asked, visit: Visit) -> tuple[bytes, str]:
        """The JSON and the prediction id of a request that the model has answered; counts its rows.

        The id is empty where it would be longer than readers take: thousands of rows with long class names.

        Raises:
            RequestError: the model does not take the rows.
        """
        body, began, request = asked.body, asked.began, asked.request
        try:
            answers = asked.answers.result()
        except Exception as error:
            self._mirror.failed(body, error, time.perf_counter() - began)
            raise
        self._answered_rows(body, request, answers, began, visit)
        prediction_id = self._identify(request.matrix, answers, visit)
        signature = self.model.signature
        return encode_infer(self.name, self.revision, request, answers, signature, prediction_id), prediction_id

    async def answer(self, request: InferRequest, visit: Visit) -> tuple[Answers, str]:
        """Answer rows that came otherwise than as the JSON of the protocol: the answers and the prediction id.

        Raises:
            RequestError: they cannot be answered.
        """
        began, body = time.perf_counter(), functools.partial(infer_body, request, self.model.layout)
        try:
            answers = await self._submit(request)
        except Exception as error:
            self._mirror.failed(body, error, time.perf_counter() - began)
            raise
        self._answered_rows(body, request, answers, began, visit)
        return answers, self._identify(request.matrix, answers, visit)

    def _answered_rows(self, body: Body, request: InferRequest, answers: Answers, began: float, visit: Visit) -> None:
        """Say what the model took for these rows, and mirror them."""
        seconds = time.perf_counter() - began
        self._mirror.answered(body, request.matrix, answers, seconds)
        visit.rows, visit.model_began, visit.model_seconds = len(answers.values), began, seconds

    def _identify(self, matrix: Matrix, answers: Answers, visit: Visit) -> str:
        """Count the rows of an answered request and sign its id."""
        now = time.time()
        weight = 1.0 if visit.counted else 0.0
        prediction_id = ids.sign(self.ring(), self.revision, visit.cohort, int(now), answers.values, weight)
        if len(prediction_id) > ids.ID_CHARS_MAX:
            prediction_id = ""
        if visit.counted:
            self._counts.predicted(visit.cohort, matrix, answers, now)
            if self._sample is not None:
                self._sample.take(visit.cohort, matrix)
        self.metrics.predicted(len(answers.values))
        return prediction_id

    async def mirrored(self, body: bytes, mac: str) -> None:
        """Answer one request of the shadow traffic for nobody, and compare.

        Raises:
            RequestError: it was not counted.
        """
        await self._shadow.take(body, mac, self.ring())

    def arrive(self, scope: Scope, *, pinned: bool = False) -> Visit:
        """Begin one inference request; `pinned` is one whose caller chose the revision."""
        return self.visits.arrive(scope, self.ring(), pinned=pinned)

    def answered(self, visit: Visit, status: int, malformed: MalformedReason) -> None:
        """Count one inference request by its outcome; what was malformed matters where it was refused."""
        seconds, now = time.perf_counter() - visit.arrived_at, time.time()
        self.visits.requests += 1
        self.metrics.answered(status, seconds)
        # A stale connection was made under another split and says nothing about this one.
        if not self.connections.is_stale(visit.connection) and visit.connection.meets(visit.cohort):
            self._counts.connected(visit.cohort, now)
        if not visit.counted:
            self._counts.repeated(visit.cohort, now)
            self.metrics.callers_repeated.inc()
            return
        told_apart = visit.told_apart
        self._counts.answered(visit.cohort, status, seconds, now, told_apart=told_apart, malformed=malformed)
        if visit.told_apart and visit.cohort:
            self.metrics.callers.inc()

    def closes(self, connection: Connection) -> bool:
        """Whether a caller on that connection is asked to make another."""
        return self.draining or self.announcements.closes(connection)

    def take_announcement(self, body: bytes, mac: str) -> Refusal | None:
        """Let an announcement of the operator hold, or say why not."""
        refusal = self.announcements.take(body, mac, self.ring())
        if refusal is None:
            self.metrics.announcements.inc()
            if not self.draining:
                self._mirror.follow(self.announcements.shadow)
        else:
            self.metrics.announcement_refused(refusal.reason)
        return refusal

    def take_labels(self, body: bytes) -> Receipt:
        """Count posted labels.

        Raises:
            RequestError: the body holds no list of labels.
        """
        items = decode_items(body)
        receipt = self._feedback.take(items, self.ring(), time.time())
        if receipt.accepted:
            self.metrics.feedback.inc(receipt.accepted)
        if receipt.duplicates:
            self.metrics.label_refused("Duplicate", receipt.duplicates)
        for item in receipt.refused:
            self.metrics.label_refused(item.reason)
        return receipt

    def stats(self) -> bytes:
        """The stats document as JSON."""
        counted = self._counts.snapshot(self.revision, self._pod_uid, self._started_at)
        return stats.encode(
            msgspec.structs.replace(
                counted,
                requests=self.visits.requests,
                in_flight=self.visits.in_flight,
                idle_seconds=self.visits.idle_seconds,
                runtime=self.model.runtime,
                runtime_reason=self._runtime_reason,
                announced=self.announcements.said(),
            )
        )

    def rows(self, sealed: str) -> bytes:
        """The sampled rows, for who has sealed the request.

        Raises:
            RequestError: this pod keeps none (404), or the seal is missing, old or another's (401).
        """
        if self._sample is None:
            raise RequestError(404, "this server keeps no rows; serving.sampleRows of the deployment lets it")
        try:
            sampled.check(sealed, self._pod_uid, time.time(), self.ring())
        except ForgedError as error:
            raise RequestError(401, str(error)) from error
        document = self._sample.document(self.revision, self._pod_uid)
        _log.info("%d sampled rows of cohort %s were read", document.rows, document.cohort)
        return sampled.encode(document)

    def ring(self) -> KeyRing:
        """The keys in use."""
        return self._keys.ring(time.monotonic())

    def start_draining(self) -> None:
        """Turn unready and ask every caller to connect elsewhere; requests go on being answered."""
        self.draining = True
        self.metrics.ready.set(0)
        self._mirror.follow(None)

    def close(self) -> None:
        """Let the worker thread end, and send the last spans."""
        self._mirror.follow(None)
        self._batcher.close()
        if self.traces is not None:
            self.traces.close()

    def _submit(self, request: InferRequest) -> asyncio.Future[Answers]:
        # Where the model takes no gaps such a row would fail the whole call; alone it fails itself only.
        doubtful = not (self.model.takes_gaps or request.is_finite)
        alone = doubtful and self.model.layout.has_gaps(request.matrix)
        return self._batcher.submit(request.matrix, alone=alone)

    async def _predict_rows(self, body: bytes) -> tuple[Matrix, Answers]:
        request = decode_infer(body, self.model.layout)
        return request.matrix, await self._submit(request)


def binner(loaded: Loaded) -> Binner:
    """All that rows of the loaded model are counted on."""
    columns = loaded.model.signature.columns
    return Binner(
        loaded.profile,
        loaded.stable_profile,
        [column.name for column in columns],
        [column.datatype == "BYTES" for column in columns],
        loaded.model.signature.classes,
    )

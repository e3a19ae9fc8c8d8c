"""One running server: what the routes of both ports share, and what an inference request does."""

from __future__ import annotations

import secrets
import time
from datetime import UTC, datetime

from serin_contract import ids, stats
from serin_contract.profile import Profile
from serin_serving.batching import Batcher
from serin_serving.bins import Binner
from serin_serving.counts import Counts
from serin_serving.feedback import Feedback, Receipt, decode_items
from serin_serving.keys import Keys
from serin_serving.metrics import Metrics
from serin_serving.model import Model
from serin_serving.oip import decode_infer, encode_infer
from serin_serving.recent import Recent
from serin_serving.settings import Settings
from serin_serving.startup import Loaded
from serin_serving.wire import BodyReader


class Server:
    """The model, its queue and its counters; made inside a running loop."""

    def __init__(self, settings: Settings, loaded: Loaded, keys: Keys) -> None:
        self.name = settings.deployment
        self.revision = settings.revision
        self.model = loaded.model
        self.profile = loaded.profile
        self.draining = False
        self.bodies = BodyReader()
        self.metrics = Metrics(settings.deployment, settings.revision)
        self.metrics.ready.set(1)
        self._pod_uid = settings.pod_uid
        self._keys = keys
        # The random part tells two starts within one second apart.
        self._started_at = f"{datetime.now(UTC).isoformat(timespec='seconds')}/{secrets.token_hex(6)}"
        stable = None if loaded.stable_profile is None else _binner(loaded.stable_profile, loaded.model)
        self._counts = Counts(_binner(loaded.profile, loaded.model), stable)
        self._batcher = Batcher(loaded.model.answer, threaded=loaded.slow)
        self._feedback = Feedback(loaded.model.signature, self.revision, self._counts, Recent())

    async def infer(self, body: bytes, cohort: str) -> tuple[bytes, str]:
        """Answer one inference request: the JSON and the prediction id.

        The id is empty where it would be longer than readers take: thousands of rows with long class names.

        Raises:
            RequestError: the request cannot be answered.
        """
        request = decode_infer(body, self.model.layout)
        # Where the model takes no gaps such a row would fail the whole call; alone it fails itself only.
        alone = not self.model.takes_gaps and self.model.layout.has_gaps(request.matrix)
        answers = await self._batcher.submit(request.matrix, alone=alone)
        now = time.time()
        ring = self._keys.ring(time.monotonic())
        prediction_id = ids.sign(ring, self.revision, cohort, int(now), answers.values)
        if len(prediction_id) > ids.ID_CHARS_MAX:
            prediction_id = ""
        self._counts.predicted(cohort, request.matrix, answers, now)
        self.metrics.rows.inc(len(answers.values))
        signature = self.model.signature
        return encode_infer(self.name, self.revision, request, answers, signature, prediction_id), prediction_id

    def answered(self, cohort: str, status: int, seconds: float) -> None:
        """Count one inference request by its outcome."""
        self._counts.answered(cohort, status, seconds, time.time())
        self.metrics.answered(status, seconds)

    def take_labels(self, body: bytes) -> Receipt:
        """Count posted labels.

        Raises:
            RequestError: the body holds no list of labels.
        """
        items = decode_items(body)
        receipt = self._feedback.take(items, self._keys.ring(time.monotonic()), time.time())
        if receipt.accepted:
            self.metrics.feedback.inc(receipt.accepted)
        if receipt.duplicates:
            self.metrics.label_refused("Duplicate", receipt.duplicates)
        for item in receipt.refused:
            self.metrics.label_refused(item.reason)
        return receipt

    def stats(self) -> bytes:
        """The stats document as JSON."""
        return stats.encode(self._counts.snapshot(self.revision, self._pod_uid, self._started_at))

    def start_draining(self) -> None:
        """Turn unready and ask every caller to connect elsewhere; requests go on being answered."""
        self.draining = True
        self.metrics.ready.set(0)

    def close(self) -> None:
        """Let the worker thread end."""
        self._batcher.close()


def _binner(profile: Profile, model: Model) -> Binner:
    columns = model.signature.columns
    return Binner(
        profile,
        [column.name for column in columns],
        [column.datatype == "BYTES" for column in columns],
        model.signature.classes,
    )

"""One loaded model, whatever runs it: what it answers, and how long it takes."""

from __future__ import annotations

import functools
import math
import time
from abc import ABC, abstractmethod
from typing import ClassVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from serin_contract.bundle import Signature
from serin_contract.ids import Prediction
from serin_contract.stats import Runtime
from serin_serving.errors import RequestError
from serin_serving.layout import Layout, Matrix

INLINE_SECONDS_MAX = 0.002
"""A model slower than this for 1 or 64 rows runs on a worker thread, so that the loop goes on answering."""

_TIMING_ROWS = (1, 64)
_TIMING_RUNS = 3


class Answers(msgspec.Struct, frozen=True):
    """What the model answered for m rows."""

    values: list[Prediction]
    """The predicted class or value of each row."""
    score: NDArray[np.float64]
    """Shape [m]: the largest probability (1 where the model gives none), or the value of a regressor."""
    classes: NDArray[np.int64] | None = None
    """Shape [m]: index of the predicted class in the signature; None for a regressor."""
    probabilities: NDArray[np.float64] | None = None
    """Shape [m, k], contiguous, in the signature's order of classes."""

    def part(self, start: int, stop: int) -> Answers:
        """The answers of the rows from `start` up to `stop`."""
        return Answers(
            self.values[start:stop],
            self.score[start:stop],
            None if self.classes is None else self.classes[start:stop],
            None if self.probabilities is None else self.probabilities[start:stop],
        )


class Model(ABC):
    """One loaded model. `answer` may be called from one thread at a time."""

    runtime: ClassVar[Runtime]
    """What runs it."""

    def __init__(self, signature: Signature) -> None:
        self.signature = signature
        self.layout = Layout(signature.columns)
        self.class_index = {label: index for index, label in enumerate(signature.classes)}

    @functools.cached_property
    def takes_gaps(self) -> bool:
        """Whether a row of missing values is answered; asked once."""
        try:
            self.answer(self.layout.gaps())
        except RequestError:
            return False
        # A probe with an odd row may fail in any way; such rows are then simply asked about one by one.
        except Exception:  # noqa: BLE001
            return False
        return True

    def answer(self, matrix: Matrix) -> Answers:
        """Predict m rows of shape [m, d].

        Raises:
            RequestError: the model does not take these values; the sentence is its own, cut short.
        """
        try:
            if self.signature.task == "regression":
                return self._regress(matrix)
            answers = self._classify(matrix)
            # Numbers near the end of their range overflow on the way; only some models look for that themselves.
            if answers.probabilities is not None and math.isnan(answers.score.dot(answers.score)):
                raise ValueError("a probability leaves the range of numbers")
            return answers
        except ValueError as error:
            reason = (str(error).splitlines() or [""])[0][:200]
            raise RequestError(400, f"the model does not take these values: {reason}") from error

    def is_slow(self, rows: Matrix) -> bool:
        """Whether one call takes so long that it must leave the event loop, measured on these rows."""
        for count in _TIMING_ROWS:
            sample = np.resize(rows, (count, rows.shape[1]))
            if min(self._seconds(sample) for _ in range(_TIMING_RUNS)) > INLINE_SECONDS_MAX:
                return True
        return False

    @abstractmethod
    def _classify(self, matrix: Matrix) -> Answers:
        """Answer with classes; a ValueError says that these rows are not taken."""

    @abstractmethod
    def _values(self, matrix: Matrix) -> NDArray[np.float64]:
        """Values of a regressor, shape [m]; a ValueError says that these rows are not taken."""

    def _regress(self, matrix: Matrix) -> Answers:
        values = self._values(matrix)
        if not np.isfinite(values).all():
            raise RequestError(500, "the model answered a value that is no finite number")
        return Answers(values=values.tolist(), score=values)

    def _seconds(self, sample: Matrix) -> float:
        started = time.perf_counter()
        self.answer(sample)
        return time.perf_counter() - started

"""A few of the rows that were answered, kept in memory for a comparison of candidate and stable. Off unless asked for.

One cohort at a time, the latest, so that both arms keep rows of the same time and the same callers: then a difference
is the arms' own. Of a request one row at most, since rows of one request depend on each other.
"""

from __future__ import annotations

import random
from collections import deque

import numpy as np

from serin_contract.bundle import Column
from serin_contract.sampled import SAMPLE_BYTES_MAX, SampledRows
from serin_serving.layout import Matrix

COHORTS_REMEMBERED = 64
"""A late request of an earlier cohort must not begin it anew."""
_BYTES_PER_TEXT = 64
"""About what a text takes beside its characters."""


class Sample:
    """A uniform sample of the requests of one cohort (Vitter's algorithm R), in bounded memory."""

    def __init__(self, columns: list[Column], rows_max: int, draws: random.Random | None = None) -> None:
        """Keep at most `rows_max` rows of these columns."""
        self._columns = columns
        self._numbers = [place for place, column in enumerate(columns) if column.datatype != "BYTES"]
        self._texts = [place for place, column in enumerate(columns) if column.datatype == "BYTES"]
        self._rows_max, self._row_bytes_max = rows_max, SAMPLE_BYTES_MAX // rows_max
        # One array, so that giving the rows away is one copy and holds the server up for no longer.
        fits = 8 * len(self._numbers) <= self._row_bytes_max
        self._kept = np.empty((rows_max if fits else 0, len(self._numbers)), dtype="<f8")
        # Sampling needs no secret.
        self._draws = draws or random.Random()  # noqa: S311
        self._earlier: deque[str] = deque(maxlen=COHORTS_REMEMBERED)
        self._begin("")

    def take(self, cohort: str, matrix: Matrix) -> None:
        """Keep, or not, one row of a request; `matrix` has shape [m, d] and stays as it is."""
        if cohort != self._cohort:
            if not cohort or cohort in self._earlier:
                return
            self._earlier.append(self._cohort)
            self._begin(cohort)
        if not cohort or not len(matrix):
            return
        place = self._place(self._requests + 1)
        if place is not None and not self._put(place, matrix[self._draws.randrange(len(matrix))]):
            self._left_out += 1
            return
        self._requests += 1

    def document(self, revision: str, pod_uid: str) -> SampledRows:
        """What is kept now, for `sampled.encode`."""
        return SampledRows(
            revision=revision,
            pod_uid=pod_uid,
            cohort=self._cohort,
            columns=self._columns,
            requests=self._requests,
            left_out=self._left_out,
            rows=len(self._kept_texts),
            numbers=self._kept[: len(self._kept_texts)].tobytes(),
            texts=self._kept_texts if self._texts else [],
        )

    def _begin(self, cohort: str) -> None:
        self._cohort = cohort
        self._kept_texts: list[list[str | None]] = []
        """Of every row that is kept, empty ones where no column is a text."""
        self._requests = self._left_out = 0

    def _place(self, nth: int) -> int | None:
        """Where the nth request of the cohort goes; None where it is not kept."""
        if nth <= self._rows_max:
            return len(self._kept_texts)
        place = self._draws.randrange(nth)
        return place if place < self._rows_max else None

    def _put(self, place: int, row: Matrix) -> bool:
        """Keep a copy of a row of shape [d]; False where it is too large."""
        texts: list[str | None] = [row[column] for column in self._texts]
        size = 8 * len(self._numbers) + sum(_BYTES_PER_TEXT + 4 * len(text or "") for text in texts)
        if size > self._row_bytes_max:
            return False
        self._kept[place] = row[self._numbers] if texts else row
        self._kept_texts[place : place + 1] = [texts]
        return True

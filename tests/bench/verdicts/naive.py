"""Two gates as they are commonly written, to stand beside Serin's: a threshold on a noisy number at every look.

Both ask whether any feature or the prediction has a population stability index above 0.2 against the candidate's
training profile, and whether its accuracy lies more than two points below stable's. Both count rows as they come.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
from tests.support.counting import Numbers
from tests.support.rows_world import RowsWorld

from serin_contract.profile import Profile

PSI_MAX = 0.2
DROP_MAX = 0.02
EMPTY = 1e-4
"""Share of an empty bin, as such rules have it."""
WINDOW_LOOKS = 10
FAILED_CHECKS_MAX = 5
ROWS_MIN = 500.0
LABELS_MIN = 100.0


@dataclass(frozen=True)
class Sums:
    """What both arms have shown up to a look."""

    bins: Numbers
    candidate: Numbers
    """Labelled rows and correct ones."""
    stable: Numbers

    def since(self, before: Sums) -> Sums:
        """What came after another look."""
        return Sums(self.bins - before.bins, self.candidate - before.candidate, self.stable - before.stable)


@dataclass
class Naive:
    """Both gates over one roll-out; each remembers how many rows the candidate had served when it said stop."""

    windowed_at: float | None = None
    """Five-minute windows, stop at the fifth check that fails."""
    cumulative_at: float | None = None
    """All since the start, from 500 rows and 100 labels on, stop at the first check that fails."""
    _looks: deque[Sums] = field(default_factory=lambda: deque(maxlen=WINDOW_LOOKS + 1))
    _failed: int = 0

    def look(self, world: RowsWorld) -> None:
        """One check of both."""
        candidate = world.status.candidate
        if candidate is None or world.status.stable is None:
            return
        profile = world.profile(candidate.revision)
        now = _sums(world, candidate.revision, world.status.stable.revision, profile)
        rows = float(world.served_rows.get(candidate.revision, 0))
        if not self._looks:
            self._looks.append(Sums(np.zeros_like(now.bins), np.zeros(2), np.zeros(2)))
        self._failed += _fails(now.since(self._looks[0]), profile, 1.0, 1.0)
        self._looks.append(now)
        if self.windowed_at is None and self._failed >= FAILED_CHECKS_MAX:
            self.windowed_at = rows
        if self.cumulative_at is None and _fails(now, profile, ROWS_MIN, LABELS_MIN):
            self.cumulative_at = rows


def _sums(world: RowsWorld, candidate: str, stable: str, profile: Profile) -> Sums:
    bins = sum(feature.bins for feature in profile.features) + profile.prediction.bins
    return Sums(
        np.array(world.row_bins.get(candidate, np.zeros(bins))),
        np.array(world.row_labels.get(candidate, np.zeros(2))),
        np.array(world.row_labels.get(stable, np.zeros(2))),
    )


def _fails(sums: Sums, profile: Profile, rows_min: float, labels_min: float) -> bool:
    """Whether the check fails on these sums."""
    (labelled, correct), (stable_labelled, stable_correct) = sums.candidate, sums.stable
    enough = labelled >= labels_min and stable_labelled >= 1.0
    if enough and correct / labelled < stable_correct / stable_labelled - DROP_MAX:
        return True
    start = 0
    for reference in (*(feature.counts for feature in profile.features), profile.prediction.counts):
        live = sums.bins[start : start + len(reference)]
        start += len(reference)
        if live.sum() >= rows_min and psi(np.array(reference), live) > PSI_MAX:
            return True
    return False


def psi(reference: Numbers, live: Numbers) -> float:
    """The population stability index as it is commonly computed."""
    p = np.maximum(reference / reference.sum(), EMPTY)
    q = np.maximum(live / live.sum(), EMPTY)
    return float(((q - p) * np.log(q / p)).sum())

"""Predictions and labels of one cohort by the time of the prediction, in a bounded number of slots.

Slots are as long as they must be for all to fit, and aligned to absolute time, so that those of two pods merge
whatever their lengths.
"""

from __future__ import annotations

from serin_contract.stats import SLOT_SECONDS_MIN, SLOTS_MAX, LabelCounts, SlotCounts


class LabelSums:
    """LabelCounts in the making."""

    __slots__ = ("correct", "error", "error_2", "error_4", "labelled")

    def __init__(self) -> None:
        self.labelled = 0.0
        self.correct = 0.0
        self.error = 0.0
        self.error_2 = 0.0
        self.error_4 = 0.0

    def add(self, weight: float, *, correct: bool, error: float) -> None:
        """Add one label of that weight; the error is one that was clipped already."""
        square = error * error
        self.labelled += weight
        self.correct += weight * correct
        self.error += weight * error
        self.error_2 += weight * square
        self.error_4 += weight * square * square

    def merge(self, other: LabelSums) -> None:
        """Add what the other holds."""
        self.labelled += other.labelled
        self.correct += other.correct
        self.error += other.error
        self.error_2 += other.error_2
        self.error_4 += other.error_4

    def snapshot(self) -> LabelCounts:
        """The sums as they stand."""
        if not self.error:
            # What is left out is not written: of a classifier most of the slots' text.
            return LabelCounts(self.labelled, self.correct)
        return LabelCounts(self.labelled, self.correct, self.error, self.error_2, self.error_4)


class Slot:
    """SlotCounts in the making."""

    __slots__ = ("labels", "predictions")

    def __init__(self) -> None:
        self.predictions = 0
        self.labels: dict[str, LabelSums] = {}

    def merge(self, other: Slot) -> None:
        """Add what the other holds."""
        self.predictions += other.predictions
        for revision, sums in other.labels.items():
            self.labels.setdefault(revision, LabelSums()).merge(sums)

    def snapshot(self, start: int) -> SlotCounts:
        """The slot as it stands."""
        labels = {revision: sums.snapshot() for revision, sums in self.labels.items()}
        return SlotCounts(start=start, predictions=float(self.predictions), labels=labels)


class Slots:
    """The slots of one cohort that hold anything; a stretch of time without predictions and labels has none.

    Every prediction and label keeps its own time, one older than all slots as well: a pod that started in
    mid-cohort learns labels of predictions which it never made.
    """

    def __init__(self, slots_max: int = SLOTS_MAX) -> None:
        self.seconds = SLOT_SECONDS_MIN
        self._slots_max = slots_max
        self._slots: dict[int, Slot] = {}

    def at(self, predicted_at: float) -> Slot:
        """The slot of that time, to add to; made where there is none.

        Args:
            predicted_at: Unix time in seconds.
        """
        slot = self._slots.get(int(predicted_at // self.seconds) * self.seconds)
        return self._open(predicted_at) if slot is None else slot

    def snapshot(self) -> list[SlotCounts]:
        """The slots as they stand, rising."""
        return [self._slots[start].snapshot(start) for start in sorted(self._slots)]

    def _open(self, predicted_at: float) -> Slot:
        start = int(predicted_at // self.seconds) * self.seconds
        self._slots[start] = Slot()
        while len(self._slots) > self._slots_max:
            self._double()
        return self._slots[int(predicted_at // self.seconds) * self.seconds]

    def _double(self) -> None:
        self.seconds *= 2
        finer, self._slots = self._slots, {}
        for start, slot in finer.items():
            begin = start // self.seconds * self.seconds
            if begin in self._slots:
                self._slots[begin].merge(slot)
            else:
                self._slots[begin] = slot

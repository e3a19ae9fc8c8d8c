"""At what the absolute errors of a regressor are clipped, so that no single label moves a mean by more than that."""

from __future__ import annotations

from serin_contract.profile import Profile

ERROR_MAX = 1e60
"""No clip is larger: the fourth power of an error, times the weights of a lifetime, stays a finite number."""


class ErrorClip:
    """One clip for both arms of a trial and for the watch after it: that of the revision that was stable in it.

    Errors of two arms compare only where they are clipped alike, and labels of both are posted to stable's pods; so
    on those the pod's own profile says the clip, for the candidate's labels as well. A pod of the candidate knows
    stable's profile and takes the clip from there, as it does in the watch after its promotion, when labels come to
    it. Whose trial it is stands in the cohort's name: `<candidate>.…` and `watch.<promoted>.…`.
    """

    def __init__(self, revision: str, own: Profile, stable: Profile | None) -> None:
        self._trial, self._watch = f"{revision}.", f"watch.{revision}."
        self._own = _usable(own.error_clip)
        self._stable = self._own
        if stable is not None and stable.error_clip is not None:
            self._stable = _usable(stable.error_clip)

    def of(self, cohort: str) -> float | None:
        """The clip of labels of that cohort; None where no profile says one."""
        return self._stable if cohort.startswith((self._trial, self._watch)) else self._own


def _usable(clip: float | None) -> float | None:
    return min(clip, ERROR_MAX) if clip is not None and clip > 0 else None

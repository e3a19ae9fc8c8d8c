"""The operator names cohorts; the server tells by the name whose trial it is, and at what errors are clipped."""

from __future__ import annotations

import pytest

from serin_contract.profile import PredictionBins, Profile
from serin_operator.decide.judge import watched
from serin_serving.counts import valid_cohort
from serin_serving.error_clip import ErrorClip

STABLE, CANDIDATE = f"{'w' * 54}-11111111", f"{'w' * 54}-22222222"
EARLIER, OURS, THEIRS = 1.0, 2.0, 3.0


def profile(error_clip: float) -> Profile:
    return Profile([], PredictionBins("regression", [], [], [0.0]), rows=0, error_clip=error_clip)


STABLES_POD = ErrorClip(STABLE, profile(OURS), profile(EARLIER))
CANDIDATES_POD = ErrorClip(CANDIDATE, profile(THEIRS), profile(OURS))

TRIAL = f"{CANDIDATE}.3.{'0' * 12}"
WATCH = watched.cohort_name(CANDIDATE, 4, "0" * 12)


@pytest.mark.parametrize("cohort", [TRIAL, WATCH])
def test_the_server_takes_the_name_of_a_cohort_that_lasts_for_days(cohort: str) -> None:
    assert valid_cohort([cohort.encode()]) == cohort


CLIPS = {
    "stable's pod in the trial": (STABLES_POD, TRIAL),
    "the candidate's pod in the trial": (CANDIDATES_POD, TRIAL),
    "the promoted candidate's pod in its watch": (CANDIDATES_POD, WATCH),
}


@pytest.mark.parametrize("name", CLIPS)
def test_one_clip_holds_for_the_trial_and_the_watch_after_it(name: str) -> None:
    clip, cohort = CLIPS[name]
    assert clip.of(cohort) == OURS

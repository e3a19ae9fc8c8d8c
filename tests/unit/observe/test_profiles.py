"""Profiles are read once per revision, and a wrong one does not stay."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from tests.support.world import a_spec
from tests.unit.judge.bins_build import LIKE_TRAINING, counted, profile

from serin_contract.profile import Profile, encode
from serin_contract.stats import CohortStats, PodStats
from serin_operator.api.deployment import (
    CandidateStatus,
    ModelDeploymentSpec,
    ModelDeploymentStatus,
    StableStatus,
    WatchStatus,
)
from serin_operator.decide.observation import PodFacts, StatsAnswer
from serin_operator.observe import profiles as observed
from serin_operator.observe.profiles import RETRY_SECONDS, Profiles, wanted
from serin_operator.observe.workloads import SeenPod

FIRST, OTHER = profile(), profile(rows=500)


class Teller:
    """Stands in for the poller: pods of a revision tell its profile, or why they do not."""

    def __init__(self, **told: Profile | str) -> None:
        self.told: dict[str, Profile | str] = dict(told)
        self.asked: list[str] = []

    async def profile(self, pods: Iterable[SeenPod]) -> tuple[str | None, str | None]:
        for pod in pods:
            self.asked.append(pod.facts.revision)
            said = self.told[pod.facts.revision]
            return (None, said) if isinstance(said, str) else (encode(said).decode(), None)
        return None, "no pod of the revision is ready"


class Clock:
    """Seconds that rise when they are told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def pod(revision: str, purpose: str = "serve") -> SeenPod:
    facts: dict[str, Any] = {"phase": "Running", "ready": True, "terminating": False, "created_at": 0.0}
    return SeenPod(PodFacts(f"p-{revision}", f"u-{revision}", revision, purpose, **facts), "10.0.0.1")  # type: ignore[arg-type]


PODS = (pod("m-1"), pod("m-2"), pod("m-2", "resolve"))
REVISIONS = {"m-1": "sha256:a", "m-2": "sha256:b"}


def counts_on(revision: str, on: Profile) -> StatsAnswer:
    cohort = CohortStats(own_bins=counted(on, LIKE_TRAINING, 1.0))
    return StatsAnswer(f"u-{revision}", revision, PodStats(revision, "u", "s", cohorts={"m-2.1.a": cohort}))


async def test_each_revision_is_asked_once():
    teller = Teller(**{"m-1": FIRST, "m-2": OTHER})
    profiles = Profiles(teller, Clock())  # type: ignore[arg-type]
    for _ in range(3):
        assert await profiles.of("uid", REVISIONS, PODS, ()) == {"m-1": FIRST, "m-2": OTHER}
    assert sorted(teller.asked) == ["m-1", "m-2"]
    await profiles.of("another", REVISIONS, PODS, ())
    await profiles.of("uid", {"m-1": "sha256:c"}, PODS, ())
    assert sorted(teller.asked) == ["m-1", "m-1", "m-1", "m-2", "m-2"], "another deployment and another bundle"


async def test_a_container_of_the_users_own_has_none_to_tell_and_nothing_is_said_of_it(
    caplog: pytest.LogCaptureFixture,
):
    teller = Teller(**{"m-1": "it cannot be reached"})
    own = replace(PODS[0], facts=replace(PODS[0].facts, counts=False))
    assert await Profiles(teller, Clock()).of("uid", {"m-1": None}, (own,), ()) == {}  # type: ignore[arg-type]
    assert (teller.asked, caplog.messages) == ([], [])


async def test_what_cannot_be_read_is_told_and_asked_again_a_little_later(caplog: pytest.LogCaptureFixture):
    teller, clock = Teller(**{"m-1": "it answered 503"}), Clock()
    profiles = Profiles(teller, clock)  # type: ignore[arg-type]
    for _ in range(3):
        assert await profiles.of("uid", {"m-1": None}, PODS, ()) == {}
    assert teller.asked == ["m-1"]
    assert caplog.messages == ["the profile of m-1 cannot be read: it answered 503"]
    teller.told["m-1"] = FIRST
    clock.now += RETRY_SECONDS
    assert await profiles.of("uid", {"m-1": None}, PODS, ()) == {"m-1": FIRST}


async def test_a_revision_without_a_pod_has_no_profile():
    profiles = Profiles(Teller(), Clock())  # type: ignore[arg-type]
    assert await profiles.of("uid", {"m-9": None}, PODS, ()) == {}


async def test_a_pod_that_is_starting_has_failed_at_nothing(caplog: pytest.LogCaptureFixture):
    teller = Teller(**{"m-1": FIRST})
    profiles = Profiles(teller, Clock())  # type: ignore[arg-type]
    starting = replace(pod("m-1"), facts=replace(pod("m-1").facts, ready=False))
    assert await profiles.of("uid", {"m-1": None}, (starting,), ()) == {}
    assert caplog.messages == []
    assert await profiles.of("uid", {"m-1": None}, PODS, ()) == {"m-1": FIRST}, "asked as soon as it is ready"


async def test_a_profile_that_the_pods_do_not_count_on_is_not_taken():
    teller, clock = Teller(**{"m-1": OTHER}), Clock()
    profiles = Profiles(teller, clock)  # type: ignore[arg-type]
    assert await profiles.of("uid", {"m-1": None}, PODS, ()) == {"m-1": OTHER}, "nothing is counted yet"
    assert await profiles.of("uid", {"m-1": None}, PODS, (counts_on("m-1", FIRST),)) == {}
    teller.told["m-1"] = FIRST
    assert await profiles.of("uid", {"m-1": None}, PODS, (counts_on("m-1", FIRST),)) == {}, "not at every pass"
    clock.now += RETRY_SECONDS
    assert await profiles.of("uid", {"m-1": None}, PODS, (counts_on("m-1", FIRST),)) == {"m-1": FIRST}
    assert await profiles.of("uid", {"m-1": None}, PODS, (counts_on("m-2", OTHER),)) == {"m-1": FIRST}


async def test_only_so_many_are_kept(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(observed, "PROFILES_KEPT", 2)
    teller = Teller(**{"m-1": FIRST})
    profiles = Profiles(teller, Clock())  # type: ignore[arg-type]
    for uid in ("a", "b", "c", "c", "a"):
        assert await profiles.of(uid, {"m-1": None}, PODS, ()) == {"m-1": FIRST}
    assert len(teller.asked) == 4, "a is read again"


STABLE, CANDIDATE = StableStatus(revision="m-1", digest="d1"), CandidateStatus(revision="m-2", digest="d2")
ENDED = CANDIDATE.model_copy(update={"outcome": "Rejected"})
WATCH = WatchStatus(revision="m-1", since="2027-01-15T08:00:00Z", until="2027-01-15T09:00:00Z", cohort="watch.m-1.1.a")
DRIFT: dict[str, Any] = {"dataDrift": {}}


@pytest.mark.parametrize(
    ("sentence", "gates", "status", "names"),
    [
        ("both arms of a trial", DRIFT, {"stable": STABLE, "candidate": CANDIDATE}, ["m-1", "m-2"]),
        (
            "for the answers as well",
            {"predictionDrift": {}},
            {"stable": STABLE, "candidate": CANDIDATE},
            ["m-1", "m-2"],
        ),
        ("for the schema as well", {"schema": {}}, {"stable": STABLE, "candidate": CANDIDATE}, ["m-1", "m-2"]),
        ("no gate needs one", {"accuracy": {}}, {"stable": STABLE, "candidate": CANDIDATE}, []),
        ("the first revision has nobody beside it", DRIFT, {"candidate": CANDIDATE}, ["m-2"]),
        ("a trial that has ended", DRIFT, {"stable": STABLE, "candidate": ENDED}, []),
        ("nothing is on trial", DRIFT, {"stable": STABLE}, []),
        ("a revision that is watched", DRIFT, {"stable": STABLE, "watch": WATCH}, ["m-1"]),
    ],
)
def test_whose_profiles_are_wanted(sentence, gates, status, names):
    spec = ModelDeploymentSpec.model_validate(a_spec() | {"gates": gates})
    assert list(wanted(spec, ModelDeploymentStatus(**status))) == names, sentence


def test_a_spec_that_cannot_be_read_wants_none():
    assert wanted(None, ModelDeploymentStatus(stable=STABLE, candidate=CANDIDATE)) == {}

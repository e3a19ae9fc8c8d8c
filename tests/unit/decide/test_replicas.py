"""Splitting by numbers of pods: what the Service selects, what the pods are told, and what holds whatever dies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.builders import NOW, NOW_TEXT, a_candidate, a_pod, situated
from tests.support.quick import examples
from tests.support.replicas_world import ReplicasWorld, a_replicas_spec, a_replicas_world
from tests.support.world import Behaviour, KilledError, ReplyLostError, Traffic, uri
from tests.unit.decide.watched import Watched

from serin_contract.announcements import Announced
from serin_contract.stats import PodStats
from serin_operator.api.deployment import CandidateStatus, ModelDeploymentStatus, Phase, StableStatus
from serin_operator.decide import announcing, drawing, manifests
from serin_operator.decide.capacity import beside
from serin_operator.decide.draft import Situation, begin
from serin_operator.decide.judge.evidence import start
from serin_operator.decide.observation import StatsAnswer
from serin_operator.decide.plan import Announce
from serin_operator.decide.routing import ReplicasRouting, Split
from serin_operator.decide.trial import Trial

STABLE, CANDIDATE, COHORT = "wine-1", "wine-2", "wine-2.3.abc"
SPEC = a_replicas_spec()


def arms(stable: int = 3, candidate: int = 1) -> tuple[Any, ...]:
    def pods(revision: str, count: int) -> list[Any]:
        return [a_pod(f"{revision}-{n}", revision, origin=f"http://{revision}-{n}:8081") for n in range(count)]

    return (*pods(STABLE, stable), *pods(CANDIDATE, candidate))


def in_mode(candidate: CandidateStatus | None, selected: str | None = "both", **changes: Any) -> Situation:
    """A deployment without a gateway whose Service selects one revision, "both", or is not there (None)."""
    pods = changes.setdefault("pods", arms())
    changes.setdefault("apex_endpoints", tuple(sorted(pod.uid for pod in pods)))
    status = ModelDeploymentStatus(
        phase=Phase.Progressing, stable=StableStatus(revision=STABLE), candidate=candidate, weight_mode="Replicas"
    )
    bare = situated(SPEC, status=status)
    service = manifests.apex_service(bare.seen, None if selected == "both" else selected)
    service["metadata"]["resourceVersion"] = "7"
    live = {} if selected is None else {"Service/wine": service}
    return situated(SPEC, status=status, **({"live": live} | changes))


def splitting(weight: int = 5, **changes: Any) -> CandidateStatus:
    facts = {"weight": weight, "step": 0, "cohort": COHORT, "endpoints_at": "2027-01-15T07:59:00Z"}
    return a_candidate(CANDIDATE, **(facts | changes))


def routing(situation: Situation) -> ReplicasRouting:
    assert isinstance(situation.routing, ReplicasRouting)
    return situation.routing


@pytest.mark.parametrize(
    ("sentence", "split", "selected"),
    [
        ("no candidate: stable alone", Split(STABLE), STABLE),
        ("a candidate at 0 gets no connection", Split(STABLE, CANDIDATE), STABLE),
        ("any weight between selects both", Split(STABLE, CANDIDATE, 5, COHORT), None),
        ("the whole selects the candidate alone", Split(STABLE, CANDIDATE, 100), CANDIDATE),
    ],
)
def test_what_the_service_selects(sentence: str, split: Split, selected: str | None) -> None:
    action = in_mode(splitting()).routing.set(split, narrowing=True)
    assert action.manifest["kind"] == "Service", sentence
    assert action.manifest["spec"]["selector"].get("serin.dev/revision") == selected, sentence


@pytest.mark.parametrize(
    ("sentence", "candidate", "selected", "pods", "weights"),
    [
        ("stable alone", splitting(), STABLE, arms(), {STABLE: 100}),
        ("both, as status records", splitting(5), "both", arms(3, 1), {CANDIDATE: 5, STABLE: 95}),
        (
            "both though status says 0: what the pods come to",
            splitting(0),
            "both",
            arms(3, 1),
            {CANDIDATE: 25, STABLE: 75},
        ),
        ("even where none of them is ready yet", splitting(0), "both", arms(3, 0), {CANDIDATE: 1, STABLE: 99}),
        ("both on the way to the whole", splitting(100), "both", arms(3, 3), {CANDIDATE: 50, STABLE: 50}),
        ("no Service", splitting(), None, arms(), {}),
        ("both, and nothing on trial", None, "both", arms(3, 0), {STABLE: 100}),
    ],
)
def test_what_the_weights_are(
    sentence: str, candidate: CandidateStatus | None, selected: str | None, pods: Any, weights: dict[str, int]
) -> None:
    assert dict(in_mode(candidate, selected, pods=pods).routing.weights) == weights, sentence


def test_one_label_more_in_the_selector_is_another_service() -> None:
    situation = in_mode(splitting())
    service = dict(situation.seen.live["Service/wine"])
    assert situation.routing.stands(Split(STABLE, CANDIDATE, 5, COHORT))
    service["spec"] = service["spec"] | {"selector": service["spec"]["selector"] | {"zone": "a"}}
    edited = in_mode(splitting(), live={"Service/wine": service})
    assert not edited.routing.stands(Split(STABLE, CANDIDATE, 5, COHORT))
    assert dict(edited.routing.weights) == {}


def test_only_what_widens_asks_for_the_service_that_was_seen() -> None:
    widening = in_mode(splitting()).routing.set(Split(STABLE, CANDIDATE, 5, COHORT), narrowing=False)
    narrowing = in_mode(splitting()).routing.set(Split(STABLE, CANDIDATE), narrowing=True)
    assert widening.manifest["metadata"]["resourceVersion"] == "7"  # type: ignore[union-attr]
    assert "resourceVersion" not in narrowing.manifest["metadata"]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("sentence", "endpoints", "taken"),
    [
        ("every pod of both", [pod.uid for pod in arms()], True),
        ("a pod is missing", [pod.uid for pod in arms()][1:], None),
        ("as many, but others", [*[pod.uid for pod in arms()][1:], "uid-other"], None),
        ("none", [], None),
    ],
)
def test_the_split_is_taken_when_the_endpoints_are_the_selected_pods(
    sentence: str, endpoints: list[str], taken: bool | None
) -> None:
    assert in_mode(splitting(), apex_endpoints=tuple(endpoints)).routing.taken is taken, sentence


@pytest.mark.parametrize(
    ("sentence", "pods", "live", "strangers"),
    [
        ("only the arms", arms(), {}, ()),
        ("an older revision has a pod", (*arms(), a_pod("old", "wine-0")), {}, ("wine-0",)),
        ("its last pod is ending", (*arms(), a_pod("old", "wine-0", terminating=True)), {}, ()),
        (
            "it has none yet, but a Deployment that will make one",
            arms(),
            {"Deployment/wine-0": {"metadata": {}, "spec": {"replicas": 1}}},
            ("wine-0",),
        ),
    ],
)
def test_who_would_get_connections_besides_the_arms(
    sentence: str, pods: Any, live: dict[str, Any], strangers: tuple[str, ...]
) -> None:
    assert routing(in_mode(splitting(), pods=pods, live=live)).strangers() == strangers, sentence


def test_a_share_is_that_of_the_pods() -> None:
    assert routing(in_mode(splitting(), pods=arms(4, 1))).share == 0.2


def told(situation: Situation, candidate: CandidateStatus | None = None) -> dict[str, Announce]:
    """What is said to each pod, by its name, where the draft has that candidate or the recorded one."""
    draft = begin(situation, Phase.Progressing, "", "")
    drafted = replace(draft, candidate=candidate or situation.candidate)
    return {said.pod_uid.removeprefix("uid-"): said for said in announcing.announcements(situation, drafted)}


def held_by(pods: Any, held: Announced | None, **others: Announced | None) -> tuple[StatsAnswer, ...]:
    return tuple(
        StatsAnswer(
            pod.uid, pod.revision, PodStats(pod.revision, pod.uid, "start-1", announced=others.get(pod.name, held))
        )
        for pod in pods
    )


HOLDS = Announced(int(NOW * 1000) - 1000, COHORT)


@pytest.mark.parametrize(
    ("sentence", "candidate", "selected", "held", "cohort", "reconnect", "refuse"),
    [
        ("nothing where all is held", splitting(), "both", HOLDS, None, False, []),
        ("the cohort, once the nodes follow", splitting(), "both", None, COHORT, True, []),
        (
            "until then one that says nothing of the split",
            splitting(endpoints_at=None),
            "both",
            None,
            COHORT + announcing.EARLY,
            False,
            [],
        ),
        ("nothing while the candidate warms up", splitting(0, step=-1, cohort=None), STABLE, None, None, False, []),
        (
            "taken back: no cohort, and the candidate's callers go",
            splitting(0, cohort=None, outcome="Rejected"),
            STABLE,
            HOLDS,
            "",
            False,
            ["wine-2-0"],
        ),
        (
            "given all: no cohort, and the callers of stable go",
            splitting(100, step=3, cohort=None),
            CANDIDATE,
            HOLDS,
            "",
            False,
            ["wine-1-0", "wine-1-1", "wine-1-2"],
        ),
        (
            "not yet given all, since its pods are not ready: all go on as they are",
            splitting(100, step=3, cohort=None),
            "both",
            HOLDS,
            None,
            False,
            [],
        ),
    ],
)
def test_what_the_pods_are_told(
    sentence: str,
    candidate: CandidateStatus,
    selected: str,
    held: Announced | None,
    cohort: str | None,
    reconnect: bool,
    refuse: list[str],
) -> None:
    said = told(in_mode(candidate, selected, stats=held_by(arms(), held)))
    assert sorted(said) == ([] if cohort is None else sorted(pod.name for pod in arms())), sentence
    for name, action in said.items():
        announcement = action.announcement
        assert (announcement.cohort, announcement.reconnect) == (cohort, reconnect), sentence
        assert announcement.refuse_connections is (name in refuse), sentence
        assert announcement.sequence > (held.sequence if held is not None else 0), "what is older is refused"
        assert action.pod_uid == announcement.pod_uid


def test_an_intent_is_told_to_nobody_before_status_has_it() -> None:
    recorded = splitting(5)
    drafted = splitting(50, cohort="wine-2.4.def", endpoints_at=None)
    assert told(in_mode(recorded, stats=held_by(arms(), HOLDS)), drafted) == {}


def test_a_pod_whose_stats_cannot_be_read_is_told_nothing_and_is_missed() -> None:
    answers = (*held_by(arms(), HOLDS)[:-1], StatsAnswer("uid-wine-2-0", CANDIDATE, None, "it did not answer"))
    situation = in_mode(splitting(), stats=answers)
    assert told(situation) == {}
    assert announcing.uninformed(situation, splitting(), STABLE) == ("wine-2-0",)


@pytest.mark.parametrize(
    ("sentence", "age_seconds", "started", "others"),
    [
        ("in mid-step, connections to the others are drawn anew", 60.0, NOW_TEXT, 3),
        ("but not again soon after", 2.0, NOW_TEXT, 0),
        ("before the clock runs, when each began to count must stay known", 60.0, None, 0),
    ],
)
def test_a_pod_that_joins(sentence: str, age_seconds: float, started: str | None, others: int) -> None:
    held = Announced(int((NOW - age_seconds) * 1000), COHORT)
    situation = in_mode(splitting(step_started_at=started), stats=held_by(arms(), held, **{"wine-2-0": None}))
    said = told(situation)
    assert "wine-2-0" in said, sentence
    assert len(said) == 1 + others, sentence
    assert all(action.announcement.reconnect for action in said.values()), sentence


def test_a_clock_that_was_ahead_does_not_silence_the_operator() -> None:
    ahead = Announced(int((NOW + 3600) * 1000), "wine-2.2.old")
    said = told(in_mode(splitting(), stats=held_by(arms(), ahead)))
    assert {action.announcement.sequence for action in said.values()} == {ahead.sequence + 1}


def test_pods_that_began_at_different_times_are_uneven() -> None:
    late = Announced(HOLDS.sequence + 900, COHORT)
    even, uneven = (held_by(arms(), HOLDS, **others) for others in ({}, {"wine-2-0": late}))
    assert not announcing.is_uneven(in_mode(splitting(), stats=even), splitting(), STABLE)
    assert announcing.is_uneven(in_mode(splitting(), stats=uneven), splitting(), STABLE)


# Whole roll-outs, disturbed

STEPS = [{"weight": 5, "for": "4s"}, {"weight": 50, "for": "4s"}]


class WatchedReplicas(Watched):
    """Watches the Service besides."""

    def pass_once(self, stale: Any = None) -> Any:
        """What must hold after every pass, and after one that died in the middle."""
        try:
            return super().pass_once(stale)
        finally:
            self._check_service()

    def _check_service(self) -> None:
        world = self.world
        assert isinstance(world, ReplicasWorld)
        if not world.selects_all():
            return
        candidate = world.status.candidate
        assert candidate is not None, "both arms are selected only in a trial"
        assert candidate.weight > 0, "both arms are selected only where status gives the candidate something"
        strangers = {pod.revision for pod in world.pods if pod.purpose == "serve"} - {world.stable, candidate.revision}
        assert not strangers, f"{strangers} would get connections"
        have = manifests.live_replicas(world.live, candidate.revision) or 0
        stable = manifests.live_replicas(world.live, world.stable) or 0
        allowed = stable if candidate.weight == 100 else beside(stable, candidate.weight)
        assert candidate.outcome is not None or have <= max(allowed, 1), (
            "a pod more is traffic that status does not say"
        )


def begun(behaviour: Behaviour, seed: int = 0) -> ReplicasWorld:
    """A world in which version 2 has just been asked for."""
    world = a_replicas_world(
        spec=a_replicas_spec(rollout={"steps": STEPS}),
        models={uri(2): replace(behaviour)},
        traffic=Traffic(requests_per_second=2000.0),
        seed=seed,
    )
    world.change(a_replicas_spec(2, rollout={"steps": STEPS}))
    world.writes = 0
    return world


def tell(world: ReplicasWorld, phase: str, disturb: Callable[[ReplicasWorld], None] | None = None) -> ReplicasWorld:
    """To its end and a little beyond."""
    watched = WatchedReplicas(world, twice=False)
    ended = 0
    for _ in range(200):
        if disturb is not None:
            disturb(world)
        try:
            watched.pass_once()
        except KilledError:
            world.restart_operator()
        except ReplyLostError:
            world.lose_reply_of_write = None
        wanted = 2 if phase == "Stable" else 1
        reached = world.status.phase == phase and world.revisions[world.stable].spec.model.uri == uri(wanted)
        ended += reached and world.status.candidate is None
        if ended > 6:
            return world
        world.pass_time(2.0)
    raise AssertionError(f"the story does not end: {world.status.phase}, {world.status.message}")


def end_of(world: ReplicasWorld) -> dict[str, object]:
    """What must be the same however it went."""
    return {
        "phase": world.status.phase,
        "stable": world.stable,
        "selector": world.selector(),
        "rejected": [(rejection.revision, rejection.reason) for rejection in world.status.rejected],
        "history": [(entry.revision, entry.outcome) for entry in world.status.history],
        "objects": sorted(world.live),
        "verdicts": {name: record.status.verdict for name, record in world.revisions.items()},
        "conditions": [(condition.type, condition.status) for condition in world.status.conditions],
        "unanswered": world.unanswered,
    }


STORIES = {"promoted": (Behaviour(), "Stable"), "rolled back": (Behaviour(accuracy=0.6), "RolledBack")}


@pytest.mark.slow
@pytest.mark.parametrize("name", STORIES)
@pytest.mark.parametrize("lands", [False, True])
def test_the_operator_may_die_around_any_write(name: str, lands: bool) -> None:
    behaviour, phase = STORIES[name]
    undisturbed = tell(begun(behaviour), phase)
    assert undisturbed.unanswered == 0
    for write in range(1, undisturbed.writes + 1):
        world = begun(behaviour)
        if lands:
            world.lose_reply_of_write = write
        else:
            world.die_after_writes = write - 1
        assert end_of(tell(world, phase)) == end_of(undisturbed), f"at write {write}"


def aborted(disturb: Callable[[ReplicasWorld], object]) -> float:
    """Seconds for which a candidate goes on answering, once stable is asked for again and this has happened."""
    world = begun(Behaviour())
    assert world.run(lambda world: world.status.candidate is not None and world.status.candidate.step_started_at)
    assert world.last_by_candidate == world.now - 1 or world.last_by_candidate == world.now, "it answers callers"
    disturb(world)
    world.change(a_replicas_spec(1, rollout={"steps": STEPS}))
    world.step()
    ended_at = world.now
    world.pass_time(1.0)
    world.run(seconds=70)
    return world.last_by_candidate - ended_at


@pytest.mark.parametrize(
    ("sentence", "disturb", "seconds_max"),
    [
        ("told at once: a second for the nodes, and one more answer", lambda _: None, 2.0),
        ("told again where it was lost", lambda world: setattr(world, "lose_announcements", 4), 3.0),
        ("where telling does not help, its pods end soon", lambda world: world.deaf.add(world.candidate), 6.0),
    ],
)
def test_callers_who_keep_their_connections_leave_an_ended_candidate(
    sentence: str, disturb: Callable[[ReplicasWorld], object], seconds_max: float
) -> None:
    assert aborted(disturb) <= seconds_max, sentence


def test_no_third_revision_may_have_pods_when_the_service_selects_both() -> None:
    alone = in_mode(splitting(), STABLE)
    joined = in_mode(splitting(), STABLE, pods=(*arms(), a_pod("old", "wine-0")))
    trials = (Trial(situation, splitting(), STABLE, (), start(CANDIDATE, STABLE)) for situation in (alone, joined))
    free, blocked = (drawing.waits_for_strangers(trial) for trial in trials)
    assert free is None
    assert blocked is not None
    assert "waiting for the pods of wine-0" in blocked.message
    assert blocked.weights is None


@examples(15)
@given(
    seed=st.integers(0, 99),
    acts=st.lists(
        st.sampled_from(
            ["die", "kill stable", "kill candidate", "lose", "silence", "edit", "delete", "revert", "next"]
        ),
        min_size=1,
        max_size=8,
    ),
    passes=st.lists(st.integers(1, 14), min_size=8, max_size=8),
)
def test_the_service_never_gives_what_status_does_not_say(seed: int, acts: list[str], passes: list[int]) -> None:
    world = begun(Behaviour(), seed)
    watched = WatchedReplicas(world)
    version = 2
    for act, count in zip(acts, passes, strict=False):
        for _ in range(count):
            watched.pass_once()
            world.pass_time(1.0)
        version = disturb(world, act, version)
    world.silent.clear()
    world.change(a_replicas_spec(9, rollout={"steps": STEPS}))
    world.models = {name: Behaviour(accuracy=1.0) for name in world.models}
    for _ in range(150):
        watched.pass_once()
        if world.status.phase == "Stable" and world.revisions[world.stable].spec.model.uri == uri(9):
            return
        world.pass_time(1.0)
    raise AssertionError(f"no end: {world.status.phase}, {world.status.message}")


def disturb(world: ReplicasWorld, act: str, version: int) -> int:
    """Something happens; returns the version that is asked for from here on."""
    candidate = world.status.candidate
    revision = candidate.revision if candidate is not None else world.stable
    happens: dict[str, Callable[[], object]] = {
        "die": world.restart_operator,
        "kill stable": lambda: world.kill_pods(world.stable, 1),
        "kill candidate": lambda: world.kill_pods(revision),
        "lose": lambda: setattr(world, "lose_announcements", 4),
        "silence": lambda: world.silent.symmetric_difference_update({revision}),
        "edit": lambda: world.edit_selector(**{"serin.dev/revision": None}),
        "delete": world.delete_service,
    }
    if act in happens:
        happens[act]()
    version = {"revert": 1, "next": version % 4 + 1}.get(act, version)
    if act in ("revert", "next"):
        world.change(a_replicas_spec(version, rollout={"steps": STEPS}))
    return version


def test_at_the_fixpoint_nothing_is_written_and_no_pod_is_asked() -> None:
    world = begun(Behaviour())
    tell(world, "Stable")
    world.run(seconds=30)
    writes, announced = world.writes, world.announced
    world.run(seconds=30)
    assert (world.writes, world.announced) == (writes, announced)
    assert world.observe().stats == ()

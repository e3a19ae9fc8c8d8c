"""Is the split what status claims? Each answer, and what follows from it."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from tests.support.quick import slow
from tests.support.world import Traffic, World, a_served_world, a_spec, is_phase

from serin_operator.decide import confirmation
from serin_operator.decide.confirmation import WRONG_CHANCE, reached, wrong_log_e
from serin_operator.decide.observation import Observation, ParentProbe, ProbeFacts, StatsAnswer
from serin_operator.decide.plan import SetWeights
from serin_operator.decide.rollout import decide

LOG_WRONG = -math.log(WRONG_CHANCE)
STEPS = {"steps": [{"weight": 25, "for": "30s"}, {"weight": 50, "for": "30s"}]}
HEARD = ParentProbe("infra/a", 5)
ODD = ParentProbe("infra/b", 2, "404 without a revision")
SILENT = ParentProbe("infra/c", unknown="its status publishes no address")


@pytest.mark.parametrize(
    ("sentence", "facts", "answer", "words"),
    [
        ("all parents lead to the candidate", (HEARD,), "Confirmed", "came from the candidate through infra/a"),
        ("one parent does not", (HEARD, ODD), "NotYet", "infra/b answers the probe with 404 without a revision"),
        ("one cannot be asked", (HEARD, SILENT), "CannotTell", "infra/c cannot be asked: its status publishes no"),
        ("what is wrong outweighs what cannot be told", (SILENT, ODD), "NotYet", "infra/b answers"),
        ("four in a row are not five", (replace(HEARD, in_a_row=4),), "NotYet", "infra/a answers"),
        ("the first round is under way", (), "NotYet", "under way"),
    ],
)
def test_what_the_probe_says(sentence: str, facts: tuple[ParentProbe, ...], answer: str, words: str) -> None:
    said = reached(ProbeFacts(facts))
    assert said.answer == answer, sentence
    assert words in said.message, sentence


def test_without_a_probe_nothing_can_be_told() -> None:
    assert reached(None).answer == "CannotTell"


def _introduced(says: ParentProbe | None = None) -> World:
    """A candidate at weight 0 on the route, with what the gateway answers to its probe."""
    world = a_served_world()
    world.change(a_spec(2, rollout=STEPS))
    world.gateway_says = says or ParentProbe("shop/public", 0, "503 without a revision")
    assert world.run(lambda world: len(world.weights()) == 2)
    return world


def _probe_values(world: World) -> set[str]:
    return {
        header["value"]
        for rule in world.live["HTTPRoute/wine"]["spec"]["rules"]
        for match in rule["matches"]
        for header in match.get("headers", ())
    }


def test_the_probes_rule_leads_to_the_candidate_alone_and_sets_no_cohort() -> None:
    world = _introduced()
    candidate = world.status.candidate
    assert candidate is not None
    assert candidate.probe is not None
    assert len(bytes.fromhex(candidate.probe)) == 16
    rule = next(rule for rule in world.live["HTTPRoute/wine"]["spec"]["rules"] if "headers" in rule["matches"][0])
    assert rule["matches"] == [
        {"path": path, "headers": [{"type": "Exact", "name": "x-serin-probe", "value": candidate.probe}]}
        for path in ({"type": "PathPrefix", "value": "/v2"}, {"type": "Exact", "value": "/v1/predict"})
    ]
    assert rule["backendRefs"] == [{"name": candidate.revision, "port": 8080, "weight": 100}]
    assert rule["filters"][0]["requestHeaderModifier"] == {"remove": ["x-serin-cohort", "x-serin-probe"]}


def test_the_value_is_in_status_before_it_is_on_the_route_lasts_as_long_as_the_trial_and_is_never_used_again() -> None:
    world = a_served_world()
    assert _probe_values(world) == set()
    used = set()
    for version in (2, 3):
        world.change(a_spec(version, rollout=STEPS))
        seen: set[str] = set()

        def done(world: World, seen: set[str] = seen) -> bool:
            values, candidate = _probe_values(world), world.status.candidate
            seen |= values
            assert candidate is None or values <= {candidate.probe}
            return world.status.phase == "Stable" and len(world.weights()) == 1

        assert world.run(done, seconds=400)
        assert len(seen) == 1
        assert _probe_values(world) == set()
        used |= seen
    assert len(used) == 2


def test_a_candidate_that_the_gateway_does_not_lead_to_gets_no_caller_and_after_a_minute_the_status_holds() -> None:
    world = _introduced()
    world.run(seconds=59)
    assert (world.status.phase, world.status.candidate.step) == ("Progressing", -1)
    world.run(seconds=200, tick_seconds=5)
    assert world.status.phase == "Holding"
    assert "shop/public answers the probe with 503 without a revision" in (world.status.message or "")
    assert world.weights()[world.candidate] == 0
    assert world.served.get(world.candidate, 0) == 0


def test_a_gateway_that_cannot_be_asked_delays_by_ten_seconds_and_the_condition_says_that_nothing_is_known() -> None:
    world = _introduced(SILENT)
    began = world.now
    assert world.run(lambda world: world.status.candidate.step == 0)
    assert 10 <= world.now - began <= 13
    (condition,) = (known for known in world.status.conditions if known.type == "RouteProgrammed")
    assert (condition.status, condition.reason) == ("True", "AcceptedUnprobed")
    assert any("event Warning RouteUnprobed" in line for line in world.log)


def _started(rate: float = 100.0, **gateway: float) -> World:
    """The first step has its weight."""
    world = a_served_world(traffic=Traffic(requests_per_second=rate))
    for name, value in gateway.items():
        setattr(world, name, value)
    world.change(a_spec(2, rollout=STEPS))
    assert world.run(lambda world: world.status.candidate and world.status.candidate.step_started_at)
    return world


def _answer(world: World) -> str | None:
    split = world.status.candidate.split if world.status.candidate is not None else None
    return split.answer if split is not None else None


@pytest.mark.parametrize(
    ("sentence", "rate", "gateway", "answers"),
    [
        ("as claimed", 100.0, {}, ["NotYet", "Confirmed"]),
        ("a fifth of what is claimed", 100.0, {"gateway_share": 0.05}, ["NotYet", "Wrong"]),
        ("none at all", 100.0, {"gateway_share": 0.0}, ["NotYet", "Wrong"]),
        ("twice of what is claimed", 100.0, {"gateway_share": 0.5}, ["NotYet", "Wrong"]),
        ("too few requests", 0.5, {}, ["NotYet"]),
        ("no requests", 0.0, {}, ["NotYet"]),
    ],
)
def test_what_the_requests_say(sentence: str, rate: float, gateway: dict[str, float], answers: list[str]) -> None:
    world = _started(rate, **gateway)
    said: list[str] = []

    def look(world: World) -> bool:
        answer = _answer(world)
        if answer is not None and answer not in said[-1:]:
            said.append(answer)
        return False

    world.run(look, seconds=25)
    # Where the requests of the first second suffice there is no NotYet to be seen.
    assert said in (answers, answers[1:]), sentence


def test_the_clock_starts_anew_when_the_split_is_confirmed() -> None:
    world = _started(rate=4.0)
    taken = world.status.candidate.step_started_at
    assert world.run(lambda world: _answer(world) == "Confirmed", seconds=25)
    assert world.status.candidate.step_started_at > taken
    assert world.status.candidate.split.requests >= 20


def test_a_wrong_split_holds_whatever_the_gates_say_and_the_condition_says_so() -> None:
    world = _started(gateway_share=0.05)
    world.run(seconds=300, tick_seconds=4)
    assert world.status.phase == "Holding"
    assert "5." in (world.status.message or "")
    assert "25.0%" in (world.status.message or "")
    assert world.status.candidate.step == 0
    (condition,) = (known for known in world.status.conditions if known.type == "RouteProgrammed")
    assert (condition.status, condition.reason) == ("False", "SplitWrong")
    assert sum("event Warning SplitWrong" in line for line in world.log) == 1


def test_a_bad_candidate_comes_back_under_a_wrong_split_too() -> None:
    world = _started(gateway_share=0.5)
    world.models["pvc://models/wine/2"].accuracy = 0.5
    assert world.run(is_phase("RolledBack"), seconds=60)


def test_requests_under_an_older_cohort_keep_it_unconfirmed_until_they_end() -> None:
    world = _started()
    assert world.run(lambda world: world.status.candidate.step == 1, seconds=60)
    world.gateway_behind = 0.2
    world.run(seconds=15)
    assert _answer(world) == "NotYet"
    assert "weights before" in world.status.candidate.split.message
    world.gateway_behind = 0.0
    assert world.run(lambda world: _answer(world) == "Confirmed", seconds=5)


def _without_stats_of(seen: Observation, revision: str) -> Observation:
    stats = tuple(
        StatsAnswer(answer.pod_uid, revision, None, "it cannot be reached") if answer.revision == revision else answer
        for answer in seen.stats
    )
    return replace(seen, stats=stats)


def test_counts_that_are_not_whole_are_not_tested() -> None:
    world = _started()
    world.pass_time(1.0)
    seen = world.observe()
    split = decide(_without_stats_of(seen, world.candidate)).status.candidate.split
    assert split.answer == "CannotTell"
    assert "did not give its stats" in split.message


def test_what_was_confirmed_stays_so_while_nothing_can_be_told() -> None:
    world = _started()
    assert world.run(lambda world: _answer(world) == "Confirmed")
    world.pass_time(1.0)
    plan = decide(_without_stats_of(world.observe(), world.candidate))
    assert plan.status.candidate.split.answer == "Confirmed"


def test_numbers_that_move_at_every_look_are_written_with_the_evidence_alone() -> None:
    world = _started()
    assert world.run(lambda world: _answer(world) == "Confirmed")
    written: list[tuple[float, int | None]] = []

    def look(world: World) -> bool:
        split = world.status.candidate.split
        if split is not None and (not written or written[-1][1] != split.requests):
            written.append((world.now, split.requests))
        return world.status.candidate.step == 1

    assert world.run(look, seconds=60)
    assert len(written) >= 3
    # The first is the word that the split is confirmed.
    moments = [at for at, _ in written]
    assert all(later - earlier >= 14 for earlier, later in pairwise(moments[1:])), written


@pytest.mark.parametrize("claimed", [slow(0.01), 0.05, slow(0.25), 0.5, slow(0.75), slow(0.99)])
def test_a_split_as_claimed_is_hardly_ever_called_wrong_at_any_of_many_looks(claimed: float) -> None:
    draws, series, looks = np.random.default_rng(7), 400, 60
    wrong = 0
    for _ in range(series):
        each = draws.integers(1, 400, size=looks)
        c = np.cumsum(draws.binomial(each, claimed))
        n = np.cumsum(each)
        wrong += any(wrong_log_e(float(a), float(b - a), claimed) >= LOG_WRONG for a, b in zip(c, n, strict=True))
    # 2,400 series over all six weights: at a chance of 1e-3 three or more in one of 400 has a chance of 8 in 1,000.
    assert wrong <= 2


@pytest.mark.parametrize(
    ("claimed", "real", "requests"), [(0.25, 0.05, 150), slow(0.5, 0.6, 1500), (0.05, 0.0, 250), (0.05, 0.25, 80)]
)
def test_another_split_is_called_wrong_within(claimed: float, real: float, requests: int) -> None:
    draws = np.random.default_rng(3)
    found = []
    for _ in range(50):
        hits = np.cumsum(draws.random(4 * requests) < real)
        found.append(
            next(
                n for n in range(1, 4 * requests + 1)
                if wrong_log_e(float(hits[n - 1]), float(n - hits[n - 1]), claimed) >= LOG_WRONG
            )
        )  # fmt: skip
    assert np.median(found) <= requests, sorted(found)


def test_a_share_that_is_off_by_less_than_matters_is_never_called_wrong() -> None:
    margin = confirmation.TOLERANCE * 0.25 * 0.75
    assert wrong_log_e(1e6 * (0.25 + 0.9 * margin), 1e6 * (0.75 - 0.9 * margin), 0.25) < LOG_WRONG
    assert wrong_log_e(1e6 * (0.25 + 1.5 * margin), 1e6 * (0.75 - 1.5 * margin), 0.25) >= LOG_WRONG


def test_no_weight_is_written_at_all_while_the_gateway_does_not_lead_there() -> None:
    world = _introduced()
    for _ in range(30):
        plan = world.step()
        assert not any(isinstance(action, SetWeights) for action in plan.actions)
        world.pass_time(1.0)

"""What holds whatever users, pods, gateways and the operator's own deaths do, in any order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.support.quick import examples
from tests.support.world import (
    Behaviour,
    KilledError,
    ReplyLostError,
    Traffic,
    World,
    a_spec,
    a_world,
    image,
    uri,
)
from tests.unit.decide.watched import Watched

from serin_operator.decide.observation import ParentProbe

STEPS = [{"weight": 5, "for": "5s"}, {"weight": 25, "for": "5s"}, {"weight": 50, "for": "5s"}]
OTHER_STEPS = [{"weight": 10, "for": "3s"}, {"weight": 30, "for": "8s"}]
LAST_VERSION = 9
QUERY = {"custom": [{"name": "errors", "query": "x", "max": 0.5, "interval": "5s"}]}
PASSES_MAX = 120
"""Within which a good candidate must be stable once the faults have stopped."""

Act = Callable[[Watched], None]


def act(name: str, does: Callable[..., None], **values: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[str, Act]]:
    """Something that happens, with a name that a failing example can be read by."""

    def bound(chosen: dict[str, Any]) -> tuple[str, Act]:
        return f"{name} {chosen or ''}", lambda watched: does(watched, **chosen)

    return st.fixed_dictionaries(values).map(bound)


def passes(watched: Watched, count: int, tick_seconds: float) -> None:
    for _ in range(count):
        watched.pass_once()
        watched.world.pass_time(tick_seconds)


def change(watched: Watched, **changes: Any) -> None:
    """Another spec, which says how a container is asked where it names one, as the CRD wants it."""
    spec = {**watched.world.spec, **changes}
    serving = {key: value for key, value in spec["serving"].items() if key != "custom"}
    own = {"custom": {"readyPath": "/ready"}} if spec["model"]["uri"].startswith("image://") else {}
    watched.world.change(spec | {"serving": serving | own})


def ask_for(watched: Watched, version: int) -> None:
    change(watched, model={"uri": uri(version)})


def ask_for_container(watched: Watched, version: int) -> None:
    change(watched, model={"uri": image(version)})


def answer_query(watched: Watched, number: float | None) -> None:
    watched.world.numbers = {} if number is None else {"errors": number}


def surge(watched: Watched, policy: dict[str, Any]) -> None:
    """The CRD knows no other surge beside an autoscaler."""
    change(watched, rollout={"steps": STEPS} | policy, serving={"replicas": 3})


def demand(watched: Watched, pods: int) -> None:
    watched.world.demand = pods


def kill(watched: Watched, arm: str) -> None:
    state = watched.world.status.stable if arm == "stable" else watched.world.status.candidate
    if state is not None and state.revision in watched.world.revisions:
        watched.world.kill_pods(state.revision)


def edit(watched: Watched, weight: int) -> None:
    status = watched.world.status
    if watched.world.route() is not None and status.stable is not None and status.candidate is not None:
        watched.world.edit_route({status.stable.revision: 100 - weight, status.candidate.revision: weight})


def move_gateway(watched: Watched, state: str) -> None:
    world = watched.world
    world.gateway_api, world.missing_gateways, world.accepts_routes = True, (), True
    if state == "no API":
        world.lose_gateway_api()
    elif state == "missing":
        world.missing_gateways = ("shop/public",)
    else:
        world.accepts_routes = {"silent": None, "refuses": False}.get(state, True)


def traffic(watched: Watched, requests: float, labels: float) -> None:
    watched.world.traffic = Traffic(requests_per_second=requests, label_share=labels)


def gateway_splits(watched: Watched, share: float | None, behind: float) -> None:
    """The gateway splits otherwise than it is told, or in part as it was told before."""
    watched.world.gateway_share, watched.world.gateway_behind = share, behind


def gateway_leads(watched: Watched, answered: str | None) -> None:
    """What the gateway answers to the probe: the truth, nothing, or another answer."""
    says = None if answered is None else ParentProbe("shop/public", 0, answered, None if answered else "no address")
    watched.world.gateway_says = says


def model(watched: Watched, version: int, accuracy: float, error_rate: float, ill: bool) -> None:
    watched.world.models[uri(version)] = Behaviour(accuracy, error_rate, never_ready=ill)


def restart(watched: Watched) -> None:
    watched.world.restart_operator()


def die(watched: Watched, writes: int, lands: bool) -> None:
    """The operator dies after so many writes of its next passes, or loses the answer to the last."""
    world = watched.world
    if lands:
        world.lose_reply_of_write = world.writes + writes
    else:
        world.die_after_writes = world.writes + writes
    try:
        for _ in range(6):
            world.step()
            world.pass_time(1.0)
    except ReplyLostError:
        return
    except KilledError:
        pass
    finally:
        world.die_after_writes = world.lose_reply_of_write = None
    world.restart_operator()


def read_stale(watched: Watched, passes_ago: int) -> None:
    old = watched.world.observe()
    passes(watched, passes_ago, 1.0)
    watched.pass_once(stale=old)


VERSIONS = st.integers(1, 4)
ACTS = st.one_of(
    act("passes", passes, count=st.integers(1, 8), tick_seconds=st.sampled_from([0.5, 1.0, 5.0])),
    act("passes", passes, count=st.integers(8, 25), tick_seconds=st.sampled_from([1.0, 5.0])),
    act("ask for", ask_for, version=VERSIONS),
    act("ask for a container", ask_for_container, version=VERSIONS),
    act("answer the query", answer_query, number=st.sampled_from([None, 0.0, 1.0])),
    act("pause", change, paused=st.booleans()),
    act("replicas", change, serving=st.integers(2, 5).map(lambda count: {"replicas": count})),
    act("autoscaling", change, serving=st.integers(2, 5).map(lambda most: {"autoscaling": {"maxReplicas": most}})),
    act("steps", change, rollout=st.sampled_from([STEPS, OTHER_STEPS]).map(lambda steps: {"steps": steps})),
    act("surge", surge, policy=st.sampled_from([{}, {"surge": "NoSurge"}, {"surge": "Budget", "surgeBudget": 1}])),
    act("keep warm", change, watch=st.sampled_from([{"keepWarm": "0s"}, {"keepWarm": "20s"}, {"keepWarm": "1h"}])),
    act(
        "watch",
        change,
        watch=st.sampled_from(
            [{"for": "0s"}, {"for": "20s"}, {"for": "1h", "keepWarm": "20s"}, {"for": "1h", "onBreach": "Alert"}]
        ),
    ),
    act("demand", demand, pods=st.integers(1, 6)),
    act(
        "gates",
        change,
        gates=st.sampled_from([{}, {"accuracy": {}}, {"accuracy": {"min": 0.5}, "errorRate": {}}, QUERY]),
    ),
    act("kill", kill, arm=st.sampled_from(["stable", "candidate"])),
    act("edit the route", edit, weight=st.sampled_from([0, 3, 30, 100])),
    act("delete the route", lambda watched: watched.world.delete_route()),
    act("gateway", move_gateway, state=st.sampled_from(["no API", "missing", "silent", "refuses", "well"])),
    act("gateway splits", gateway_splits, share=st.sampled_from([None, 0.02, 0.9]), behind=st.sampled_from([0.0, 0.3])),
    act("gateway leads", gateway_leads, answered=st.sampled_from([None, "", "404 without a revision"])),
    act("traffic", traffic, requests=st.sampled_from([0.0, 10.0, 400.0]), labels=st.sampled_from([0.0, 0.5, 1.0])),
    act(
        "model",
        model,
        version=VERSIONS,
        accuracy=st.sampled_from([0.95, 0.6]),
        error_rate=st.sampled_from([0.0, 0.3]),
        ill=st.booleans(),
    ),
    act("restart the operator", restart),
    act("die", die, writes=st.integers(0, 6), lands=st.booleans()),
    act("read stale", read_stale, passes_ago=st.integers(1, 3)),
)


def a_watched_world(seed: int) -> Watched:
    world = a_world(spec=a_spec(rollout={"steps": STEPS}), seed=seed, traffic=Traffic(requests_per_second=400.0))
    world.models[uri(LAST_VERSION)] = Behaviour()
    return Watched(world)


def stop_the_faults(watched: Watched) -> None:
    """All is well again, and a good version that was never tried is asked for.

    From now on every answer is right: of merely equal models a few in a hundred are rolled back by chance, which
    is what the budget allows and the simulation counts.
    """
    world = watched.world
    move_gateway(watched, "well")
    gateway_splits(watched, None, 0.0)
    gateway_leads(watched, None)
    world.traffic = Traffic(requests_per_second=400.0)
    world.models = {name: Behaviour(accuracy=1.0) for name in world.models}
    spec = a_spec(LAST_VERSION, rollout={"steps": STEPS})
    if world.status.stable is not None and world.is_custom(world.stable):
        spec["gates"] = {}  # those of counts would wait for counts that never come
    world.change(spec)


def run_to_stable(watched: Watched) -> None:
    world = watched.world
    for _ in range(PASSES_MAX):
        watched.pass_once()
        if is_promoted(world):
            return
        world.pass_time(2.0)
    raise AssertionError(f"no end after {PASSES_MAX} passes: {world.status.phase}, {world.status.message}")


def is_promoted(world: World) -> bool:
    stable = world.status.stable
    return (
        world.status.phase == "Stable"
        and stable is not None
        and world.revisions[stable.revision].spec.model.uri == uri(LAST_VERSION)
    )


def check_fixpoint(watched: Watched) -> None:
    """Nothing is left to do: no actions and no writes, pass after pass."""
    world = watched.world
    for _ in range(12):
        watched.pass_once()
        world.pass_time(3.0)
    writes = world.writes
    for _ in range(10):
        assert watched.pass_once().actions == ()
        world.pass_time(30.0)
    assert world.writes == writes, "at the fixpoint nothing is written"
    left = {key for key in world.live if key.startswith("Deployment/")}
    assert left == {f"Deployment/{world.stable}"}, "no pods of earlier revisions are left"
    assert not [pod for pod in world.pods if pod.purpose == "resolve"], "no resolve pod is left"


@examples(20)
@given(seed=st.integers(0, 999), acts=st.lists(ACTS, min_size=1, max_size=14))
def test_whatever_happens_the_invariants_hold_and_a_good_candidate_gets_through(
    seed: int, acts: list[tuple[str, Act]]
) -> None:
    watched = a_watched_world(seed)
    for _, happens in acts:
        happens(watched)
        watched.pass_once()
        watched.world.pass_time(1.0)
    stop_the_faults(watched)
    run_to_stable(watched)
    check_fixpoint(watched)

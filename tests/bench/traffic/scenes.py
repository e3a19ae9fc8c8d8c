"""Every transition under load, each told once: what happens, and when it has happened."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.bench.traffic.caller import Request, Settings
from tests.bench.traffic.log import Log, callers
from tests.e2e import operator_pod
from tests.e2e.spoilt import BETTER, BETTER_STILL, DECENT, STRICT
from tests.support import kubernetes_objects as objects
from tests.support.stories import NAME, OPERATOR_NAMESPACE, TRIAL_SECONDS, Json, Place

from serin_cli.demo.drive import encode_row

RATE = 200.0
QUIET_SECONDS = 4.0
"""Before and after each transition, for the latencies to compare with."""

STEPS = objects.rollout((20, 6), (50, 6))
GATES = {"errorRate": {"max": 0.05}}


@dataclass
class Told:
    """What a scene left behind."""

    name: str
    log: Log
    began: float
    ended: float
    """Unix times between which the transition went on."""
    stable: str
    splits: list[tuple[int, float, float, str]] = field(default_factory=list)
    """Weight, since, until, revision: what status claimed while a step's clock ran."""
    note: str = ""
    refuses: bool = False
    """Whether the candidate answers 400 to everything, as it is there to be rolled back."""

    @property
    def lost(self) -> int:
        """Requests that failed, but for the refusals of a candidate that is there to refuse."""
        return sum(1 for one in self.log.failures if not self._is_refusal(one))

    def _is_refusal(self, one: Request) -> bool:
        return self.refuses and one.trouble == "HTTP 400" and one.revision not in ("", self.stable)

    @property
    def parts(self) -> tuple[Log, Log, Log]:
        """Before, during and after the transition."""
        return (
            self.log.between(0.0, self.began),
            self.log.between(self.began, self.ended),
            self.log.between(self.ended, float("inf")),
        )


@dataclass(frozen=True)
class Scene:
    """One transition."""

    name: str
    play: Callable[[Place], str | None]
    """Carries it out under load and returns when it is over, with a note if there is something to say."""
    given: str = DECENT
    spec: Json = field(default_factory=dict)
    lossless: bool = True
    """Whether not one request may fail."""
    refuses: bool = False
    """Whether its candidate refuses every request; these refusals are not counted."""


def tell(place: Place, scene: Scene, rate: float = RATE) -> Told:
    """Serve, load, carry the scene out, and go on for a while."""
    first = place.serves(scene.given, **_spec(scene))
    settings = _settings(place, rate)
    with callers(settings, place.cluster.inside_command) as log:
        time.sleep(QUIET_SECONDS)
        began = time.time()
        note = scene.play(place) or ""
        ended = time.time()
        time.sleep(QUIET_SECONDS)
    return Told(scene.name, log, began, ended, first, _splits(place, began), note, scene.refuses)


def _spec(scene: Scene) -> Json:
    serving = objects.serving(replicas=2)
    return {"rollout": STEPS, "gates": GATES, "serving": serving, **scene.spec}


def _settings(place: Place, rate: float) -> Settings:
    bodies = [encode_row(list(row), "FP64").decode() for row in place.models.rows[:500]]
    return Settings(place.cluster.gateway_url_inside, place.host, f"/v2/models/{NAME}/infer", bodies, rate)


def _splits(place: Place, since: float) -> list[tuple[int, float, float, str]]:
    """The times in which status claimed a weight whose step had begun, and no other change was on its way."""
    found: list[tuple[int, float, float, str]] = []
    moments = place.mdep.since(since)
    for moment, following in zip(moments, [*moments[1:], None], strict=True):
        candidate = moment.status.get("candidate") or {}
        weight = int(candidate.get("weight", 0))
        if not 0 < weight < 100 or candidate.get("stepStartedAt") is None or following is None:
            continue
        if found and found[-1][0] == weight and found[-1][2] == moment.at:
            found[-1] = (weight, found[-1][1], following.at, candidate["revision"])
        else:
            found.append((weight, moment.at, following.at, candidate["revision"]))
    return found


# What happens


def _wants(place: Place, bundle: str, scene_spec: Json | None = None) -> None:
    spec = {"rollout": STEPS, "gates": GATES, "serving": objects.serving(replicas=2), **(scene_spec or {})}
    place.wants(bundle, **spec)


def _promoted(place: Place) -> None:
    place.until(lambda state: state.stable_of_spec, "the candidate is promoted", TRIAL_SECONDS)


def _gone(place: Place) -> None:
    """Nothing of a trial is left, its pods included."""
    stable = place.state.stable

    def alone() -> bool:
        pods = place.get("pods", "-l", "serin.dev/purpose=serve")
        return all(pod["metadata"]["labels"]["serin.dev/revision"] == stable for pod in pods)

    limit = time.monotonic() + 90
    while not alone():
        assert time.monotonic() < limit, f"pods of an ended trial stay\n{place.diagnosis()}"
        time.sleep(0.5)


def promote(place: Place) -> None:
    """A good candidate takes all traffic, and the old pods go."""
    _wants(place, BETTER)
    _promoted(place)
    _gone(place)


def roll_back(place: Place) -> None:
    """A candidate that refuses every request comes back, and its pods go."""
    _wants(place, STRICT)
    place.until(lambda state: state.phase == "RolledBack", "the candidate is rolled back", TRIAL_SECONDS)
    _gone(place)


def supersede(place: Place) -> None:
    """A third model is asked for in mid-trial; then it is promoted."""
    _wants(place, BETTER)
    place.until_candidate(20)
    _wants(place, BETTER_STILL)
    _promoted(place)
    _gone(place)


def revert(place: Place) -> None:
    """The stable spec is applied again in mid-trial."""
    _wants(place, BETTER)
    place.until_candidate(50)
    _wants(place, DECENT)
    _promoted(place)
    _gone(place)


def pause(place: Place) -> None:
    """A trial is paused and resumed."""
    _wants(place, BETTER)
    place.until_candidate(20)
    _wants(place, BETTER, {"paused": True})
    place.until(lambda state: state.phase == "Paused", "the trial pauses", 30)
    time.sleep(3)
    _wants(place, BETTER)
    _promoted(place)


def operator_away(place: Place) -> None:
    """The operator is scaled away in mid-trial and comes back."""
    _wants(place, BETTER)
    place.until_candidate(20)
    where = ("-n", OPERATOR_NAMESPACE, "scale", "deployment", "-l", "app.kubernetes.io/name=serin")
    place.cluster.kubectl(*where, "--replicas=0")
    time.sleep(5)
    place.cluster.kubectl(*where, "--replicas=1")
    _promoted(place)


def operator_killed(weight: int) -> Callable[[Place], None]:
    """The operator is killed as the candidate gets so much."""

    def play(place: Place) -> None:
        _wants(place, BETTER)
        place.until(
            lambda state: state.weight >= weight or state.phase == "Promoting", "the weight rises", TRIAL_SECONDS
        )
        operator_pod.restart(place.cluster, kill=True)
        _promoted(place)
        _gone(place)

    return play


def operator_killed_in_rollback(place: Place) -> None:
    """The operator is killed as it takes the traffic back."""
    _wants(place, STRICT)
    place.until(lambda state: state.phase in ("RollingBack", "RolledBack"), "the rollback begins", TRIAL_SECONDS)
    operator_pod.restart(place.cluster, kill=True)
    place.until(lambda state: state.phase == "RolledBack", "the candidate is rolled back", TRIAL_SECONDS)


def candidate_pod_killed(place: Place) -> None:
    """One of the candidate's pods is deleted without grace."""
    _wants(place, BETTER)
    state = place.until_candidate(20)
    _kill_one(place, str(state.candidate["revision"]))
    _promoted(place)


def stable_pod_evicted(place: Place) -> None:
    """One of stable's pods is evicted, as a node's drain does."""
    _wants(place, BETTER)
    state = place.until_candidate(20)
    pod = place.pods(state.stable)[0]["metadata"]["name"]
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": place.namespace}}
    path = f"/api/v1/namespaces/{place.namespace}/pods/{pod}/eviction"
    place.cluster.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))
    _promoted(place)


def gateway_restarted(place: Place) -> str:
    """The gateway itself goes and comes back: its callers have nobody to talk to."""
    where = ("-n", "serin-gateway")
    place.cluster.kubectl(*where, "delete", "pods", "-l", "app.kubernetes.io/name=traefik", timeout=90)
    place.cluster.kubectl(*where, "rollout", "status", "deployment/traefik", "--timeout=90s", timeout=100)
    time.sleep(2)
    return "one gateway pod: nobody listens until the next one does"


def _kill_one(place: Place, revision: str) -> None:
    name = place.pods(revision)[0]["metadata"]["name"]
    place.kubectl("delete", "pod", name, "--grace-period=0", "--force", "--wait=false")


SCENES = (
    Scene("promote", promote),
    Scene("roll back", roll_back, refuses=True),
    Scene("supersede in mid-trial", supersede),
    Scene("git revert in mid-trial", revert),
    Scene("pause and resume", pause),
    Scene("operator away for 5 s in mid-trial", operator_away),
    Scene("operator killed as the first step begins", operator_killed(20)),
    Scene("operator killed as the second step begins", operator_killed(50)),
    Scene("operator killed while promoting", operator_killed(100)),
    Scene("operator killed while rolling back", operator_killed_in_rollback, refuses=True),
    Scene("candidate pod killed", candidate_pod_killed),
    Scene("stable pod evicted in mid-trial", stable_pod_evicted),
    Scene("gateway restarted", gateway_restarted, lossless=False),
)
SHORT = ("promote", "roll back", "operator killed while promoting")

"""Stories of pods: what each arm has while traffic moves, and what a revision leaves behind."""

from __future__ import annotations

from typing import Any

from tests.support.world import Behaviour, World, a_served_world, a_spec, is_phase, uri
from tests.unit.decide.stories import at_weight, long_story, promoted, settled, story
from tests.unit.decide.telling import Telling

STEPS = [{"weight": 25, "for": "20s"}, {"weight": 50, "for": "20s"}]


class Counting(Telling):
    """Writes down the pods as well: ready of those that are asked for, by revision."""

    _pods = ""

    def _look(self) -> None:
        ready = self.world.ready()
        asked = {
            key.partition("/")[2]: manifest["spec"]["replicas"]
            for key, manifest in self.world.live.items()
            if key.startswith("Deployment/")
        }
        pods = " ".join(
            f"{self._plain(name)[-2:]} {ready.get(name, 0)}/{asked[name]}"
            for name in sorted(asked, key=lambda name: self._plain(name))
        )
        if pods != self._pods:
            self.lines.append(f"{self._time()}  pods {pods}")
            self._pods = pods
        super()._look()


def spec(version: int, **changes: Any) -> dict[str, Any]:
    """Four pods, two steps."""
    rollout = {"steps": STEPS} | changes.pop("rollout", {})
    return a_spec(version, rollout=rollout, **({"serving": {"replicas": 4}} | changes))


def trial(models: dict[str, Behaviour] | None = None, **changes: Any) -> Counting:
    """Version 1 serves and version 2 is asked for."""
    telling = Counting(a_served_world(spec=spec(1, **changes), models=models or {}))
    telling.change(spec(2, **changes))
    telling.note("version 2 is applied")
    return telling


def gone_bad(version: int) -> dict[str, Behaviour]:
    return {uri(version): Behaviour(accuracy=0.7)}


def rolled_back(world: World) -> bool:
    return world.status.phase == "RolledBack" and world.status.candidate is None


@story
def no_surge_promoted() -> Telling:
    telling = trial(rollout={"surge": "NoSurge"})
    telling.run(promoted(2))
    return settled(telling)


@story
def no_surge_rolled_back() -> Telling:
    telling = trial(rollout={"surge": "NoSurge"})
    telling.run(at_weight(50))
    telling.world.models[uri(2)].accuracy = 0.6
    telling.note("version 2 goes bad")
    telling.run(rolled_back)
    return settled(telling)


@story
def no_surge_rolled_back_where_nothing_more_fits() -> Telling:
    telling = trial(rollout={"surge": "NoSurge"})
    telling.world.room = 4
    telling.run(at_weight(50))
    telling.world.models[uri(2)].accuracy = 0.6
    telling.note("version 2 goes bad, and the nodes take no pod more than the four that run")
    telling.run(rolled_back)
    return settled(telling)


@story
def budget_of_one_promoted() -> Telling:
    telling = trial(rollout={"surge": "Budget", "surgeBudget": 1})
    telling.run(promoted(2))
    return settled(telling)


@story
def stable_loses_a_pod_before_a_rollback() -> Telling:
    telling = trial()
    telling.run(at_weight(50))
    telling.world.models[uri(1)].ready_after_seconds = 20.0
    telling.world.kill_pods(telling.world.stable, 2)
    telling.note("two of stable's pods are killed, and new ones take 20 s")
    telling.change(spec(1))
    telling.note("version 1 is applied again")
    telling.run(is_phase("Stable"))
    return settled(telling)


@story
def kept_warm_and_returned_to() -> Telling:
    telling = trial(watch={"keepWarm": "10m"})
    telling.run(promoted(2))
    telling.run(seconds=60)
    telling.change(spec(1, watch={"keepWarm": "10m"}))
    telling.note("version 1 is applied again: it is still warm")
    telling.run(promoted(1))
    telling.run(seconds=30)
    telling.note("ten minutes pass")
    telling.run(seconds=600, tick_seconds=10)
    return settled(telling)


@story
def kept_warm_but_its_pods_are_lost() -> Telling:
    telling = trial(watch={"keepWarm": "10m"})
    telling.run(promoted(2))
    telling.run(seconds=10)
    telling.world.models[uri(1)].ready_after_seconds = 15.0
    assert telling.world.status.previous is not None
    telling.world.kill_pods(telling.world.status.previous.revision, 1)
    telling.note("one of its pods is killed, and a new one takes 15 s")
    telling.change(spec(1, watch={"keepWarm": "10m"}))
    telling.note("version 1 is applied again")
    telling.run(promoted(1))
    return settled(telling)


@long_story
def warm_beside_the_next_trial() -> Telling:
    telling = trial(watch={"keepWarm": "10m"})
    telling.run(promoted(2))
    telling.change(spec(3, watch={"keepWarm": "10m"}))
    telling.note("version 3 is applied while version 1 is warm")
    telling.run(at_weight(50))
    telling.change(spec(1, watch={"keepWarm": "10m"}))
    telling.note("version 1 is applied: the trial ends first, then it has everything")
    telling.run(promoted(1))
    return settled(telling)


@long_story
def kept_warm_too_short() -> Telling:
    telling = trial(watch={"keepWarm": "30s"})
    telling.run(promoted(2))
    telling.run(seconds=60)
    telling.change(spec(1, watch={"keepWarm": "30s"}))
    telling.note("version 1 is applied again after its time: it is tried anew")
    telling.run(promoted(1))
    return telling


@long_story
def autoscaled_trial() -> Telling:
    scaling = {"autoscaling": {"minReplicas": 2, "maxReplicas": 8}, "resources": {"requests": {"cpu": "100m"}}}
    telling = Counting(a_served_world(spec=spec(1, serving=scaling)))
    telling.world.demand = 6
    telling.note("the load rises to what six pods carry")
    telling.run(seconds=10)
    telling.change(spec(2, serving=scaling))
    telling.note("version 2 is applied: stable keeps its six pods though its share of the load falls")
    telling.run(promoted(2))
    telling.world.demand = 3
    telling.note("the load falls to what three pods carry")
    return settled(telling)


@story
def autoscaler_on_and_off() -> Telling:
    scaling = {"autoscaling": {"minReplicas": 2, "maxReplicas": 8}}
    telling = Counting(a_served_world(spec=spec(1)))
    telling.world.demand = 6
    telling.change(spec(1, serving=scaling))
    telling.note("an autoscaler is asked for: the four pods stay until it chooses")
    telling.run(seconds=20)
    telling.change(spec(1, serving={"replicas": 5}))
    telling.note("and five pods instead of it")
    return settled(telling)

"""One Observation: everything that a decision may see, read at once."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from serin_contract import labels
from serin_operator.api.deployment import CandidateStatus, ModelDeploymentSpec, ModelDeploymentStatus
from serin_operator.decide import identity, timestamps
from serin_operator.decide.judge.look import CustomAnswer
from serin_operator.decide.observation import (
    Observation,
    OperatorFacts,
    ProbeFacts,
    ReferredFacts,
    RevisionFacts,
    RouteFacts,
    StatsAnswer,
)
from serin_operator.decide.routing import rehearsal
from serin_operator.errors import ApiError
from serin_operator.observe import custom, routes, specs, workloads
from serin_operator.observe.custom import CustomSources
from serin_operator.observe.held import HeldEvidence
from serin_operator.observe.pods import Poller
from serin_operator.observe.probe import BETWEEN_SECONDS, LATER_BETWEEN_SECONDS, Prober, Question
from serin_operator.observe.profiles import Profiles, wanted
from serin_operator.observe.workloads import SeenPod
from serin_operator.runtime import resources
from serin_operator.runtime.kube import Json, Kube, controller
from serin_operator.runtime.queue import Key
from serin_operator.runtime.resources import Resource

log = logging.getLogger(__name__)

_OWNED = (
    resources.DEPLOYMENT,
    resources.SERVICE,
    resources.DISRUPTION_BUDGET,
    resources.AUTOSCALER,
    resources.CONFIG_MAP,
    resources.HTTP_ROUTE,
)
_LISTED = (*_OWNED, resources.MODEL_REVISION, resources.POD, resources.ENDPOINT_SLICE)

BACKENDS_MAX = 16
"""Backends of one rule: as many as the Gateway API allows."""


@dataclass(frozen=True)
class OwnKeys:
    """What may be known of a deployment's key ring outside `apply`: no secret in it."""

    fingerprint: str
    applied: bool


class Observer:
    """Reads the world of one ModelDeployment."""

    def __init__(
        self,
        kube: Kube,
        poller: Poller,
        held: HeldEvidence,
        serving_image: str,
        own_keys: Callable[[str], OwnKeys],
        now: Callable[[], float] = time.time,
        poll_seconds: float = 1.0,
        prober: Prober | None = None,
        sources: CustomSources | None = None,
    ) -> None:
        """`own_keys` tells of the key ring of a UID; without a prober no gateway is asked, and so with the sources."""
        self._kube, self._poller, self._held = kube, poller, held
        self._serving_image, self._own_keys, self._now = serving_image, own_keys, now
        self._poll_seconds, self._prober, self._sources = poll_seconds, prober, sources
        self._profiles = Profiles(poller)

    async def observe(self, key: Key) -> Observation | None:
        """The world as it stands, or None where the ModelDeployment is gone or going.

        Raises:
            ApiError: the API server cannot be read; a decision on half a world would be a guess.
        """
        item, listed = await asyncio.gather(
            self._kube.get(resources.MODEL_DEPLOYMENT, key.namespace, key.name), self._lists(key)
        )
        if item is None or "deletionTimestamp" in item["metadata"]:
            return None
        return await self._observation(item, listed)

    async def _observation(self, item: Json, listed: Mapping[str, list[Json] | None]) -> Observation:
        metadata = item["metadata"]
        uid, namespace, name = metadata["uid"], metadata["namespace"], metadata["name"]
        spec, spec_error = specs.spec_of(item)
        status, status_error = specs.status_of(item)
        revisions, revision_error = _revisions(_controlled(listed["ModelRevision"], uid))
        problem = status_error or revision_error or spec_error
        live = _live(listed, uid)
        pods = workloads.pods_of(listed["Pod"] or (), uid)
        endpoints = workloads.ready_endpoints(listed["EndpointSlice"] or ())
        candidate = _candidate(status, revisions)
        gateway_api = listed["HTTPRoute"] is not None
        referred = await self._referred(item) if gateway_api else None
        gateways = routes.gateways_of(item, namespace, referred.item if referred is not None else None)
        known, answers, (stable_profile, profile_error) = await asyncio.gather(
            self._gateways(gateways, gateway_api),
            self._stats(item, status, pods),
            self._stable_profile(status, pods, live),
        )
        profiles = await self._profiles.of(uid, wanted(spec, status), pods, answers)
        return Observation(
            now=self._now(),
            namespace=namespace,
            name=name,
            uid=uid,
            generation=metadata["generation"],
            created_at=timestamps.seconds(metadata["creationTimestamp"]),
            spec=spec if problem is None else None,
            status=status,
            operator=self._operator(uid),
            spec_error=problem,
            revisions=revisions,
            pods=tuple(self._poller.located(pod) for pod in pods),
            ready_endpoints={service: len(found) for service, found in endpoints.items()},
            apex_endpoints=endpoints.get(name, ()),
            live=live,
            route=_route(item, live, referred),
            referred=referred,
            rehearsal=_owned_route(live, rehearsal.route_name(name)),
            gateway_api=gateway_api,
            missing_gateways=tuple(sorted(name for name, found in known.items() if found is None)),
            probe=self._probe(metadata, status, live, known),
            stats=answers,
            evidence=self._held.of(uid, candidate, status.stable.revision if status.stable else None),
            profiles=profiles,
            custom=self._custom(metadata, spec, status),
            watched=self._held.watched_of(uid, revisions, status.watch),
            stable_profile=stable_profile,
            stable_profile_error=profile_error,
            resource_version=metadata["resourceVersion"],
        )

    def _operator(self, uid: str) -> OperatorFacts:
        keys = self._own_keys(uid)
        return OperatorFacts(
            serving_image=self._serving_image,
            keys_fingerprint=keys.fingerprint,
            keys_applied=keys.applied,
            nonce=secrets.token_hex(16),
            poll_seconds=self._poll_seconds,
        )

    async def _lists(self, key: Key) -> dict[str, list[Json] | None]:
        """Objects by kind; None for HTTPRoutes where the Gateway API is not installed."""
        selector = f"{labels.DEPLOYMENT_LABEL}={key.name}"
        items = await asyncio.gather(*(self._list(kind, key.namespace, selector) for kind in _LISTED))
        return {resource.kind: found for resource, found in zip(_LISTED, items, strict=True)}

    async def _list(self, resource: Resource, namespace: str, selector: str) -> list[Json] | None:
        try:
            items = await self._kube.list_all(resource, namespace, selector)
        except ApiError as error:
            if error.status == 404 and resource is resources.HTTP_ROUTE:
                return None
            raise
        for item in items:
            # Items of a list carry neither; decisions compare and address whole objects.
            item["apiVersion"], item["kind"] = resource.api_version, resource.kind
            item["metadata"].pop("managedFields", None)
        return items

    async def _referred(self, item: Json) -> ReferredFacts | None:
        """The user's route and whoever else has a Service in its rule; a label selector would not find it."""
        named, namespace = routes.reference_of(item), item["metadata"]["namespace"]
        route = await self._kube.get(resources.HTTP_ROUTE, namespace, named[0]) if named is not None else None
        if named is None or route is None:
            return None
        services = await asyncio.gather(
            *(
                self._kube.get(resources.SERVICE, namespace, service)
                for service in routes.backends_of(route, named[1])[:BACKENDS_MAX]
            )
        )
        owners = {
            str(service["metadata"].get("labels", {}).get(labels.DEPLOYMENT_LABEL, ""))
            for service in services
            if service is not None
        }
        return ReferredFacts(route, tuple(sorted(owners - {"", item["metadata"]["name"]})))

    async def _gateways(self, named: routes.Gateways, gateway_api: bool) -> dict[str, Json | None]:
        """By `namespace/name`, None for one that does not exist; one that cannot be read is left out."""
        if not gateway_api:
            return {}
        found = await asyncio.gather(*(self._gateway(namespace, name) for namespace, name in named))
        return {name: gateway for read in found for name, gateway in read.items()}

    async def _gateway(self, namespace: str, name: str) -> dict[str, Json | None]:
        try:
            return {f"{namespace}/{name}": await self._kube.get(resources.GATEWAY, namespace, name)}
        except ApiError as error:
            # Whether it exists cannot be told; the route's own conditions then say what is wrong.
            log.warning("the Gateway %s/%s cannot be read: %s", namespace, name, error)
            return {}

    def _probe(
        self, metadata: Json, status: ModelDeploymentStatus, live: Mapping[str, Json], known: Mapping[str, Json | None]
    ) -> ProbeFacts | None:
        """What the gateways answer to the trial's probe, while that matters and a rule for it stands."""
        route, candidate = live.get(f"HTTPRoute/{metadata['name']}"), status.candidate
        if self._prober is None or route is None or candidate is None or candidate.probe is None:
            return None
        settled = candidate.step >= 0 and (candidate.split is None or candidate.split.answer in ("Confirmed", "Wrong"))
        if candidate.outcome is not None or settled or not routes.leads_probe(route, candidate.probe):
            return None
        question = Question(
            parents=self._prober.parents(route, {name: found for name, found in known.items() if found is not None}),
            value=candidate.probe,
            model=metadata["name"],
            candidate=candidate.revision,
            stable=status.stable.revision if status.stable is not None else "",
            between_seconds=BETWEEN_SECONDS if candidate.step < 0 else LATER_BETWEEN_SECONDS,
        )
        return self._prober.ask(metadata["uid"], question)

    def _custom(
        self, metadata: Json, spec: ModelDeploymentSpec | None, status: ModelDeploymentStatus
    ) -> tuple[CustomAnswer, ...]:
        """What the sources of the custom gates answered last, while a step or a watch runs."""
        trial, gates = custom.trial_of(status), custom.gates_of(spec)
        if self._sources is None or trial is None or not gates:
            return ()
        return self._sources.ask(metadata["uid"], metadata["namespace"], metadata["name"], gates, trial)

    async def _stats(
        self, item: Json, status: ModelDeploymentStatus, pods: tuple[SeenPod, ...]
    ) -> tuple[StatsAnswer, ...]:
        """Of both arms while they count or must be told something, of a watched one, and of those on their way out.

        A stable revision that has not told what runs its model is asked for that.
        """
        states = (status.stable, status.candidate, status.previous)
        in_use = {state.revision for state in states if state is not None}
        # A pod that is ending has nothing more to say of its calm, and must not keep a pass waiting.
        asked = {pod.facts.revision for pod in pods if not pod.facts.terminating} - in_use
        if status.candidate is not None and _concerns_pods(item, status.candidate):
            asked |= {state.revision for state in (status.stable, status.candidate) if state is not None}
        if status.watch is not None:
            asked.add(status.watch.revision)
        if status.candidate is None and status.stable is not None and status.stable.runtime is None:
            asked.add(status.stable.revision)
        return await self._poller.stats(pod for pod in pods if pod.facts.revision in asked)

    async def _stable_profile(
        self, status: ModelDeploymentStatus, pods: tuple[SeenPod, ...], live: Mapping[str, Json]
    ) -> tuple[str | None, str | None]:
        if status.candidate is None or status.stable is None:
            return None, None
        if f"ConfigMap/{identity.profile_name(status.candidate.revision)}" in live:
            return None, None
        stable = status.stable.revision
        return await self._poller.profile(
            pod for pod in pods if pod.facts.revision == stable and pod.facts.purpose == "serve"
        )


def _owned_route(live: Mapping[str, Json], name: str) -> RouteFacts | None:
    route = live.get(f"HTTPRoute/{name}")
    return routes.route_of(route) if route is not None else None


def _route(item: Json, live: Mapping[str, Json], referred: ReferredFacts | None) -> RouteFacts | None:
    """What splits: the rule that the spec refers to, or else Serin's own route."""
    named = routes.reference_of(item)
    if named is None:
        return _owned_route(live, item["metadata"]["name"])
    return routes.route_of(referred.item, named[1]) if referred is not None else None


def _concerns_pods(item: Json, candidate: CandidateStatus) -> bool:
    """Whether pods count in a cohort; without a gateway they are told as well that they do so no more."""
    if candidate.cohort is not None or candidate.shadow_cohort is not None:
        return True
    return (item.get("spec") or {}).get("traffic") is None and (candidate.step >= 0 or candidate.outcome is not None)


def _controlled(items: Iterable[Json] | None, uid: str) -> list[Json]:
    """Without what an earlier ModelDeployment of this name left behind, or another controller labelled."""
    return [item for item in items or () if controller(item).get("uid") == uid]


def _live(listed: Mapping[str, list[Json] | None], uid: str) -> dict[str, Json]:
    return {
        f"{resource.kind}/{item['metadata']['name']}": item
        for resource in _OWNED
        for item in _controlled(listed[resource.kind], uid)
    }


def _revisions(items: list[Json]) -> tuple[tuple[RevisionFacts, ...], str | None]:
    """All that can be read, by age, and the first problem."""
    parsed = [specs.revision_of(item) for item in items]
    facts = [revision for revision, _ in parsed if revision is not None]
    problem = next((error for _, error in parsed if error is not None), None)
    return tuple(sorted(facts, key=lambda revision: (revision.created_at, revision.name))), problem


def _candidate(status: ModelDeploymentStatus, revisions: tuple[RevisionFacts, ...]) -> RevisionFacts | None:
    if status.candidate is None:
        return None
    wanted = status.candidate.revision
    return next((revision for revision in revisions if revision.name == wanted), None)

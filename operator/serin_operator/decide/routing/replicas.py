"""The split by numbers of pods behind one Service: no gateway, and kube-proxy draws a pod for each connection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from serin_contract import labels
from serin_operator.api.deployment import ModelDeploymentSpec
from serin_operator.decide import manifests
from serin_operator.decide.observation import Observation, PodFacts
from serin_operator.decide.plan import SetWeights, Splitting
from serin_operator.decide.routing.base import Mode, Split


@dataclass(frozen=True)
class ReplicasRouting:
    """The Service `<name>` selects stable alone, both arms, or the candidate alone.

    What both arms get is a matter of their numbers of pods, so a weight stands here as the one that status records:
    `share` says what it comes to.
    """

    seen: Observation
    spec: ModelDeploymentSpec

    mode: Mode = "Replicas"
    probes: bool = False

    @property
    def weights(self) -> Mapping[str, int]:
        """By what the Service selects; a route that is left from another mode counts where it gives more."""
        own = self._selected_weights()
        status = self.seen.status
        if self.seen.route is None or status.candidate is None or status.stable is None:
            return own
        candidate = status.candidate.revision
        left = self.seen.route.weights.get(candidate, 0)
        return own if left <= own.get(candidate, 0) else {candidate: left, status.stable.revision: 100 - left}

    @property
    def available(self) -> bool:
        """A Service can always be written."""
        return True

    @property
    def taken(self) -> bool | None:
        """Whether the Service's endpoints are exactly the ready pods that it selects; kube-proxy acts on these."""
        ready = {pod.uid for pod in self.selected_pods}
        return True if ready and ready == set(self.seen.apex_endpoints) else None

    @property
    def selected_pods(self) -> tuple[PodFacts, ...]:
        """Ready pods that the Service selects; none where its selector is not one of Serin's."""
        selector = self._selector
        if selector is None:
            return ()
        revision = selector.get(labels.REVISION_LABEL)
        return tuple(
            pod
            for pod in self.seen.pods
            if pod.purpose == "serve" and pod.ready and not pod.terminating and revision in (None, pod.revision)
        )

    @property
    def share(self) -> float:
        """Part of the selected ready pods that is the candidate's, and so of the connections that are made."""
        candidate = self.seen.status.candidate
        pods = self.selected_pods
        if candidate is None or not pods:
            return 0.0
        return sum(pod.revision == candidate.revision for pod in pods) / len(pods)

    def stands(self, split: Split) -> bool:
        """Whether the Service selects exactly what the split asks for."""
        manifest = self.manifest(split)
        return manifests.stands(self.seen.live, manifest) and self._selector == manifest["spec"]["selector"]

    def set(self, split: Split, *, narrowing: bool) -> SetWeights:
        """The Service in one apply; a widening one only over the Service that was seen."""
        return manifests.set_weights(self.seen, self.manifest(split), split.weights, split.cohort, narrowing=narrowing)

    def apex(self, stable: str) -> None:  # noqa: ARG002
        """The Service of the deployment's name is itself what splits."""
        return

    def companions(self) -> tuple[Mapping[str, Any], ...]:
        """None."""
        return ()

    def follower(self, _stable: str, _planned: Splitting | None) -> Mapping[str, Any] | None:
        """The Service takes every port with it."""
        return None

    def trouble(self) -> None:
        """Every cluster has Services."""
        return

    def shortfall(self) -> None:
        """Nothing more is asked of them than that."""
        return

    def silence(self) -> str | None:
        """The endpoints are not yet those of the selector."""
        if self.taken or not self._service:
            return None
        return f"the EndpointSlices of Service {self.seen.name} do not name exactly the ready pods that it selects"

    def sentence(self) -> str:
        """Whom the Service leads to."""
        pods = self.selected_pods
        of = " and ".join(f"{self._count(revision)} of {revision}" for revision in sorted({p.revision for p in pods}))
        return f"Service {self.seen.name} leads to the ready pods: {of}"

    def _count(self, revision: str) -> int:
        return sum(pod.revision == revision for pod in self.selected_pods)

    def strangers(self) -> tuple[str, ...]:
        """Revisions that are neither stable nor on trial and have pods: a Service of both arms would reach them."""
        status = self.seen.status
        arms = {state.revision for state in (status.stable, status.candidate) if state is not None}
        running = {pod.revision for pod in self.seen.pods if pod.purpose == "serve" and not pod.terminating}
        return tuple(sorted((running | set(_running_workloads(self.seen.live))) - arms))

    def manifest(self, split: Split) -> dict[str, Any]:
        """The Service of the deployment's name."""
        if split.candidate is None or split.weight == 0:
            return manifests.apex_service(self.seen, split.stable)
        return manifests.apex_service(self.seen, split.candidate if split.weight == 100 else None)

    def _selected_weights(self) -> Mapping[str, int]:
        selector = self._selector
        if selector is None:
            return {}
        if labels.REVISION_LABEL in selector:
            return {selector[labels.REVISION_LABEL]: 100}
        stable, candidate = self.seen.status.stable, self.seen.status.candidate
        if stable is None or candidate is None:
            return {stable.revision: 100} if stable is not None else {}
        recorded = candidate.weight
        weight = recorded if 0 < recorded < 100 else min(99, max(1, round(100 * self.share)))
        return {candidate.revision: weight, stable.revision: 100 - weight}

    @property
    def _service(self) -> Mapping[str, Any]:
        return self.seen.live.get(f"Service/{self.seen.name}", {})

    @property
    def _selector(self) -> Mapping[str, str] | None:
        """The Service's selector; None where it is not one of Serin's."""
        selector = self._service.get("spec", {}).get("selector") or {}
        everyone = manifests.serving_selector(self.seen.name, None)
        own = everyone.items() <= selector.items() and not selector.keys() - everyone.keys() - {labels.REVISION_LABEL}
        return dict(selector) if own else None


def _running_workloads(live: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Deployments that have pods or are about to."""
    return [
        key.partition("/")[2]
        for key, manifest in live.items()
        if key.startswith("Deployment/")
        and "deletionTimestamp" not in manifest["metadata"]
        and manifest["spec"].get("replicas", 1) > 0
    ]

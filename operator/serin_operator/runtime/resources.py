"""The kinds that the operator reads or writes, and where the API server keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from serin_contract import labels


@dataclass(frozen=True)
class Resource:
    """One kind in one version of its API group."""

    api_version: str
    kind: str
    plural: str

    def path(self, namespace: str | None, name: str | None = None) -> str:
        """The URL path of one object, of one namespace's collection or of the whole cluster's."""
        root = f"/apis/{self.api_version}" if "/" in self.api_version else f"/api/{self.api_version}"
        scope = f"/namespaces/{namespace}" if namespace else ""
        return f"{root}{scope}/{self.plural}" + (f"/{name}" if name else "")


MODEL_DEPLOYMENT: Final = Resource(labels.API_VERSION, "ModelDeployment", "modeldeployments")
MODEL_REVISION: Final = Resource(labels.API_VERSION, "ModelRevision", "modelrevisions")
DEPLOYMENT: Final = Resource("apps/v1", "Deployment", "deployments")
SERVICE: Final = Resource("v1", "Service", "services")
CONFIG_MAP: Final = Resource("v1", "ConfigMap", "configmaps")
SECRET: Final = Resource("v1", "Secret", "secrets")
POD: Final = Resource("v1", "Pod", "pods")
DISRUPTION_BUDGET: Final = Resource("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
AUTOSCALER: Final = Resource("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
ENDPOINT_SLICE: Final = Resource("discovery.k8s.io/v1", "EndpointSlice", "endpointslices")
HTTP_ROUTE: Final = Resource("gateway.networking.k8s.io/v1", "HTTPRoute", "httproutes")
GATEWAY: Final = Resource("gateway.networking.k8s.io/v1", "Gateway", "gateways")
EVENT: Final = Resource("events.k8s.io/v1", "Event", "events")
LEASE: Final = Resource("coordination.k8s.io/v1", "Lease", "leases")

ALL: Final = (
    MODEL_DEPLOYMENT, MODEL_REVISION, DEPLOYMENT, SERVICE, CONFIG_MAP, SECRET, POD, DISRUPTION_BUDGET, AUTOSCALER,
    ENDPOINT_SLICE, HTTP_ROUTE, GATEWAY, EVENT, LEASE,
)  # fmt: skip


def of(api_version: str, kind: str) -> Resource:
    """The resource of a manifest.

    Raises:
        ValueError: the operator has no business with that kind.
    """
    for resource in ALL:
        if (resource.api_version, resource.kind) == (api_version, kind):
            return resource
    raise ValueError(f"the operator neither reads nor writes {kind} of {api_version}")

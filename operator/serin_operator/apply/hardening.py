"""The last look at a pod before it is applied: a stored template may be older than a rule, or tampered with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from serin_contract import labels

_HOST_NAMESPACES = ("hostNetwork", "hostPID", "hostIPC")
_VOLUMES = frozenset({"configMap", "secret", "emptyDir", "persistentVolumeClaim", "projected", "downwardAPI"})


def objection(manifest: Mapping[str, Any]) -> str | None:
    """Why the object's pods may not run, in a sentence, or None where nothing speaks against them."""
    match manifest["kind"]:
        case "Deployment":
            pod = manifest["spec"]["template"].get("spec") or {}
        case "Pod":
            pod = manifest.get("spec") or {}
        case _:
            return None
    said = next(_objections(pod), None)
    if said is None and manifest["kind"] == "Deployment":
        said = _cut_off(pod)
    if said is None:
        return None
    return f"{manifest['kind']} {manifest['metadata']['name']} is not applied: {said}"


def _objections(pod: Mapping[str, Any]) -> Iterator[str]:
    for name in _HOST_NAMESPACES:
        if pod.get(name):
            yield f"its pods ask for {name}"
    if pod.get("automountServiceAccountToken") is not False:
        yield "its pods must set automountServiceAccountToken to false"
    for volume in pod.get("volumes") or ():
        kinds = set(volume) - {"name"}
        if not kinds or not kinds <= _VOLUMES:
            yield f"volume {volume.get('name')} is of a kind that serving pods may not mount"
    containers = [*(pod.get("initContainers") or ()), *(pod.get("containers") or ())]
    if not containers:
        yield "its pods have no container"
    if pod.get("ephemeralContainers"):
        yield "its pods hold ephemeral containers"
    for container in containers:
        for said in _container_objections(pod.get("securityContext") or {}, container):
            yield f"container {container.get('name')} {said}"


def _container_objections(shared: Mapping[str, Any], container: Mapping[str, Any]) -> Iterator[str]:
    own = container.get("securityContext") or {}
    if {**shared, **own}.get("runAsNonRoot") is not True:
        yield "must set runAsNonRoot"
    if {**shared, **own}.get("runAsUser") == 0:
        yield "must not run as user 0"
    if {**shared, **own}.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield "must use the RuntimeDefault seccomp profile"
    if own.get("privileged"):
        yield "must not be privileged"
    if own.get("allowPrivilegeEscalation") is not False:
        yield "must set allowPrivilegeEscalation to false"
    if own.get("readOnlyRootFilesystem") is not True:
        yield "must have a read-only root file system"
    capabilities = own.get("capabilities") or {}
    if list(capabilities.get("drop") or ()) != ["ALL"] or capabilities.get("add"):
        yield "must drop ALL capabilities and add none"
    if any(port.get("hostPort") for port in container.get("ports") or ()):
        yield "must not take a port of the node"


def _cut_off(pod: Mapping[str, Any]) -> str | None:
    """A grace that ends before drain and longest request are over would lose the requests that still run."""
    given = {
        variable.get("name"): variable.get("value")
        for container in pod.get("containers") or ()
        for variable in container.get("env") or ()
    }
    try:
        drain = float(given.get(labels.ENV_DRAIN_SECONDS) or _slept(pod) or labels.DRAIN_SECONDS)
        longest = float(given.get(labels.ENV_LONGEST_REQUEST_SECONDS) or labels.LONGEST_REQUEST_SECONDS)
        grace = float(pod.get("terminationGracePeriodSeconds", 0))
    except (TypeError, ValueError):
        return "its drain, longest request and grace must be numbers of seconds"
    if grace >= drain + longest:
        return None
    return (
        f"its pods would be killed {grace:g} s after they are told to end, but drain ({drain:g} s) and longest request "
        f"({longest:g} s) take {drain + longest:g} s; requests would be cut off"
    )


def _slept(pod: Mapping[str, Any]) -> str | None:
    """Seconds that the kubelet waits before it tells a container to end, where it is the one that waits."""
    hooks = ((container.get("lifecycle") or {}).get("preStop") or {} for container in pod.get("containers") or ())
    sleeps = (hook["sleep"].get("seconds") for hook in hooks if hook.get("sleep"))
    return next((str(seconds) for seconds in sleeps), None)

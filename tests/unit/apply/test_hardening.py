"""A pod that asks for more than it may have is not applied, wherever its template came from."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from serin_operator.api.deployment import ModelDeploymentSpec
from serin_operator.apply.hardening import objection
from serin_operator.decide import templates

SPEC = ModelDeploymentSpec.model_validate(
    {
        "model": {"uri": "pvc://models/wine/7"},
        "traffic": {"parentRefs": [{"name": "public"}]},
        "serving": {"env": [{"name": "A", "value": "1"}], "tolerations": [{"key": "gpu"}]},
    }
)


def deployment() -> dict[str, Any]:
    template = templates.serving_template("m", "m-1", SPEC, "sha256:" + "a" * 64, "image:1")
    return {"kind": "Deployment", "metadata": {"name": "m-1"}, "spec": {"template": template}}


def changed(path: str, value: Any) -> dict[str, Any]:
    """The deployment with one value of its pod changed; None takes it away."""
    item = copy.deepcopy(deployment())
    *parts, last = path.split(".")
    at: Any = item["spec"]["template"]["spec"]
    for part in parts:
        at = at[int(part)] if isinstance(at, list) else at.setdefault(part, {})
    if isinstance(at, list):
        at.append(value)
    elif value is None:
        del at[last]
    else:
        at[last] = value
    return item


def test_what_serin_makes_itself_passes() -> None:
    assert objection(deployment()) is None
    pod = templates.resolve_pod("default", "m", "m-1", SPEC, "image:1")
    assert objection(pod) is None
    assert objection({"kind": "Service", "metadata": {"name": "s"}}) is None


ESCAPED = {"name": "extra", "image": "x"}


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("hostNetwork", True, "hostNetwork"),
        ("hostPID", True, "hostPID"),
        ("hostIPC", True, "hostIPC"),
        ("automountServiceAccountToken", True, "automountServiceAccountToken"),
        ("automountServiceAccountToken", None, "automountServiceAccountToken"),
        ("volumes.+", {"name": "root", "hostPath": {"path": "/"}}, "volume root"),
        ("volumes.+", {"name": "both", "emptyDir": {}, "hostPath": {"path": "/"}}, "volume both"),
        ("volumes.+", {"name": "nothing"}, "volume nothing"),
        ("volumes.+", {"name": "nfs", "nfs": {"server": "x"}}, "volume nfs"),
        ("securityContext.runAsNonRoot", None, "runAsNonRoot"),
        ("securityContext.runAsUser", 0, "user 0"),
        ("securityContext.seccompProfile", {"type": "Unconfined"}, "seccomp"),
        ("containers.0.securityContext.seccompProfile", {"type": "Unconfined"}, "seccomp"),
        ("containers.0.securityContext.runAsNonRoot", False, "runAsNonRoot"),
        ("containers.0.securityContext.runAsUser", 0, "user 0"),
        ("containers.0.securityContext.privileged", True, "privileged"),
        ("containers.0.securityContext.allowPrivilegeEscalation", None, "allowPrivilegeEscalation"),
        ("containers.0.securityContext.readOnlyRootFilesystem", False, "read-only"),
        ("containers.0.securityContext.capabilities", {"drop": ["NET_RAW"]}, "capabilities"),
        ("containers.0.securityContext.capabilities.add", ["SYS_ADMIN"], "capabilities"),
        ("containers.0.ports", [{"containerPort": 1, "hostPort": 1}], "port of the node"),
        ("containers.+", ESCAPED, "container extra"),
        ("initContainers", [ESCAPED], "container extra"),
        ("ephemeralContainers", [ESCAPED], "ephemeral"),
        ("containers", [], "no container"),
    ],
)
def test_what_is_refused(path: str, value: Any, said: str) -> None:
    refused = objection(changed(path, value))
    assert refused is not None
    assert refused.startswith("Deployment m-1 is not applied: ")
    assert said in refused


@pytest.mark.parametrize(
    ("sentence", "path", "value", "refused"),
    [
        ("a grace that covers both to the second", "terminationGracePeriodSeconds", 35, False),
        ("a grace that ends within the longest request", "terminationGracePeriodSeconds", 34, True),
        ("no grace at all", "terminationGracePeriodSeconds", None, True),
        ("a longer drain", "containers.0.env", {"name": "SERIN_DRAIN_SECONDS", "value": "11"}, True),
        ("a longer request", "containers.0.env", {"name": "SERIN_LONGEST_REQUEST_SECONDS", "value": "36"}, True),
        ("a drain that is no number", "containers.0.env", {"name": "SERIN_DRAIN_SECONDS", "value": "soon"}, True),
    ],
)
def test_a_stored_template_that_cuts_requests_off_is_refused(
    sentence: str, path: str, value: Any, refused: bool
) -> None:
    item = changed(path, value) if not path.endswith("env") else with_variable(value)
    assert (objection(item) is not None) == refused, sentence


def with_variable(variable: dict[str, str]) -> dict[str, Any]:
    item = copy.deepcopy(deployment())
    container = item["spec"]["template"]["spec"]["containers"][0]
    container["env"] = [known for known in container["env"] if known["name"] != variable["name"]] + [variable]
    return item

"""From the spec's URI to a served bundle: the operator's own template, the real programs, the operator's reading."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.contract.conftest import CANDIDATE
from tests.contract.observed import IMAGE, UID, observation, spec, target
from tests.support import web as servers
from tests.support.web import Reply, Web
from tests.unit.serving.running import Case

from serin_contract import labels
from serin_contract.startup import EXIT_REFUSED, EXIT_UNAVAILABLE, decode_digest
from serin_operator.api.deployment import Phase
from serin_operator.decide import rollout, templates
from serin_operator.decide.observation import PodFacts
from serin_operator.observe import workloads
from serin_serving.fetch.command import ENV_CREDENTIALS_DIR
from serin_serving.main import main as serving
from serin_serving.settings import ENV_TERMINATION_LOG

RANGES = ("127.0.0.0/8",)


pytestmark = pytest.mark.usefixtures("process_as_it_was")


@pytest.fixture
def web(stable_case: Case) -> Iterator[Web]:
    with servers.serving() as web:
        web.put(stable_case.path, "/models/wine/1")
        yield web


class Node:
    """What the kubelet makes of a pod: each container gets its variables, and the volumes are directories."""

    def __init__(self, directory: Path) -> None:
        self._volume, self._log = directory / "model", directory / "termination-log"
        self._credentials = directory / "credentials"

    def run(self, container: dict[str, Any]) -> tuple[int, str]:
        """Exit code and termination message of the real entry point."""
        env = {variable["name"]: variable.get("value", "uid") for variable in container["env"]}
        env[labels.ENV_BUNDLE_DIR] = env[labels.ENV_BUNDLE_DIR].replace(labels.MODEL_MOUNT, str(self._volume))
        env |= {ENV_TERMINATION_LOG: str(self._log), ENV_CREDENTIALS_DIR: str(self._credentials)}
        self._log.write_text("")
        code = serving(container["args"], env)
        return code, self._log.read_text()


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def resolve_pod(web: Web, **model: Any) -> dict[str, Any]:
    """The one-shot pod of a spec that names the server."""
    asked = spec(uri=f"{web.url}/models/wine/1", **model)
    pod: dict[str, Any] = templates.resolve_pod("default", "wine", CANDIDATE, asked, IMAGE, RANGES)["spec"]
    return pod


def failed(code: int, message: str) -> PodFacts:
    """The resolve pod whose fetch has ended so, as the kubelet reports it."""
    end = {"exitCode": code, "reason": "Error", "message": message, "finishedAt": "2027-01-15T08:00:00Z"}
    item = {
        "metadata": {
            "name": "resolving",
            "uid": "uid-of-pod",
            "creationTimestamp": "2027-01-15T07:59:50Z",
            "labels": {labels.PURPOSE_LABEL: "resolve", labels.REVISION_LABEL: target()},
            "ownerReferences": [{"kind": "ModelDeployment", "uid": UID, "controller": True}],
        },
        "status": {
            "phase": "Failed",
            "initContainerStatuses": [{"name": "fetch", "restartCount": 0, "state": {"terminated": end}}],
            "containerStatuses": [
                {"name": "model", "restartCount": 0, "state": {"waiting": {"reason": "PodInitializing"}}}
            ],
        },
    }
    (pod,) = workloads.pods_of([item], UID)
    return pod.facts


def test_the_resolve_pod_fetches_checks_and_reports(web: Web, node: Node, stable_case: Case) -> None:
    pod = resolve_pod(web)
    assert node.run(pod["initContainers"][0]) == (0, "")
    code, message = node.run(pod["containers"][0])
    assert (code, decode_digest(message)) == (0, stable_case.digest)


def test_a_serving_pod_fetches_what_the_revision_froze_and_nothing_else(
    web: Web, node: Node, stable_case: Case
) -> None:
    asked = spec(uri=f"{web.url}/models/wine/1")
    for digest, ends in ((stable_case.digest, 0), (f"sha256:{'b' * 64}", EXIT_REFUSED)):
        template = templates.serving_template("wine", CANDIDATE, asked, digest, IMAGE, RANGES)
        assert node.run(template["spec"]["initContainers"][0])[0] == ends


@pytest.mark.parametrize(
    ("sentence", "answer", "code", "reason"),
    [
        ("it is gone", Reply(status=404), EXIT_REFUSED, "BundleMissing"),
        ("it is another file", Reply(b"{}"), EXIT_REFUSED, "DigestMismatch"),
        ("access is denied", Reply(status=403), EXIT_REFUSED, "SourceDenied"),
        (
            "it leads to the node's credentials",
            Reply(status=302, headers={"Location": "http://169.254.169.254/"}),
            EXIT_REFUSED,
            "SourceRefused",
        ),
        (
            "the store asks for more patience than there is",
            Reply(status=503, headers={"Retry-After": "86400"}),
            EXIT_UNAVAILABLE,
            "SourceUnavailable",
        ),
    ],
)
def test_what_is_wrong_with_a_source_is_the_deployments_condition(
    web: Web, node: Node, monkeypatch: pytest.MonkeyPatch, sentence: str, answer: Reply, code: int, reason: str
) -> None:
    monkeypatch.setattr("serin_serving.fetch.command.TOTAL_SECONDS", 5.0)
    web.answers["/models/wine/1/model.skops"] = answer
    ended = node.run(resolve_pod(web)["initContainers"][0])
    assert ended[0] == code, sentence
    plan = rollout.decide(observation(pods=(failed(*ended),)))
    assert plan.status.phase == Phase.Failed
    verified = next(known for known in plan.status.conditions if known.type == "ArtifactVerified")
    assert (verified.status, verified.reason) == ("False", reason)
    assert "model.skops" in verified.message or "169.254.169.254" in verified.message

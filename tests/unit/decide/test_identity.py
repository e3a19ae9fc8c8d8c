"""What makes a revision another revision, and what does not."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.builders import parsed
from tests.support.world import a_spec

from serin_operator.decide import identity

MODEL = a_spec()["model"]
STEPS = {"steps": [{"weight": 10, "for": "1m"}]}


def serving(**changes: Any) -> dict[str, Any]:
    return a_spec(serving={"replicas": 2} | changes)


@pytest.mark.parametrize(
    ("sentence", "spec"),
    [
        ("another model", a_spec(2)),
        ("a pinned digest", a_spec(model=MODEL | {"digest": "sha256:" + "b" * 64})),
        ("other credentials", a_spec(model={"uri": "s3://models/wine/1", "credentials": {"secretName": "s3"}})),
        ("a cache", a_spec(model={"uri": "s3://models/wine/1", "cache": {"claim": "bundles"}})),
        ("keys of who must have signed it", a_spec(model=MODEL | {"signedBy": {"configMapName": "release"}})),
        ("another image", serving(image="mine:2")),
        ("another variable", serving(env=[{"name": "A", "value": "1"}])),
        ("more memory", serving(resources={"limits": {"memory": "1Gi"}})),
        ("a longer drain", serving(drain="9s")),
        ("a longer request to wait for", serving(longestRequest="9s")),
        ("rows to keep", serving(sampleRows=100)),
        ("gRPC", serving(grpc=True)),
        ("no compiled model", serving(compile="never")),
        ("a node selector", serving(nodeSelector={"disk": "ssd"})),
        ("a toleration", serving(tolerations=[{"key": "gpu", "operator": "Exists"}])),
        ("a pull secret", serving(imagePullSecrets=[{"name": "registry"}])),
    ],
)
def test_what_shapes_the_pods_makes_another_revision(sentence: str, spec: dict[str, Any]) -> None:
    assert identity.identity(parsed(spec)) != identity.identity(parsed()), sentence


@pytest.mark.parametrize(
    ("sentence", "spec"),
    [
        ("more replicas", serving(replicas=9)),
        ("no gRPC, in words", serving(grpc=False)),
        ("an autoscaler instead", a_spec(serving={"autoscaling": {"maxReplicas": 9}})),
        ("no serving at all, where it only said how many", {k: v for k, v in a_spec().items() if k != "serving"}),
        ("another Gateway", a_spec(traffic={"parentRefs": [{"name": "other"}]})),
        ("other steps", a_spec(rollout=STEPS)),
        ("other gates", a_spec(gates={"errorRate": {"max": 0.2}})),
        ("no gates", {k: v for k, v in a_spec().items() if k != "gates"}),
        ("another budget", a_spec(verdicts={"falseRollbackBudget": 0.1})),
        ("paused", a_spec(paused=True)),
        ("another history limit", a_spec(revisionHistoryLimit=1)),
        ("fields in another order", dict(reversed(a_spec().items()))),
        ("a field that an older operator does not know", a_spec(model=MODEL | {"newer": True})),
    ],
)
def test_what_is_policy_does_not(sentence: str, spec: dict[str, Any]) -> None:
    assert identity.identity(parsed(spec)) == identity.identity(parsed()), sentence


def test_names_of_children_follow_from_the_revision() -> None:
    name = identity.revision_name("wine", parsed())
    assert name == "wine-fd4e7d22d9", "the hash of a spec never changes: an upgrade would start a trial everywhere"
    assert identity.resolve_pod_name(name) == "wine-fd4e7d22d9-resolve"
    assert identity.profile_name(name) == "wine-fd4e7d22d9-stable-profile"
    assert identity.keys_name("wine") == "wine-keys"

"""What a real API server accepts, refuses and keeps of Serin's kinds, and the words it refuses with."""

from __future__ import annotations

import time
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.api_server import Answer, ApiServer
from tests.support.places import IMAGES, NO_IMAGES, NO_PLACES, PLACES
from tests.support.schemas import rules_of, schema_of

from serin_operator.api.crdgen import KINDS

pytestmark = pytest.mark.cluster

Json = dict[str, Any]

NAMESPACE = "/apis/serin.dev/v1alpha1/namespaces/default"
DEPLOYMENTS = f"{NAMESPACE}/modeldeployments"
REVISIONS = f"{NAMESPACE}/modelrevisions"
DIGEST = "sha256:" + "0f" * 32
NOW = "2026-01-02T03:04:05Z"


def a_deployment(*edits: tuple[str, Any], name: str = "wine") -> Json:
    """The smallest deployment that is accepted, with these fields set by dotted path."""
    manifest: Json = {
        "apiVersion": "serin.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": name},
        "spec": {
            "model": {"uri": "pvc://models/wine/7"},
            "traffic": {"parentRefs": [{"name": "public"}]},
        },
    }
    for path, value in edits:
        *parents, last = path.split(".")
        node = manifest
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = value
    return manifest


def a_revision(name: str = "wine-1a2b") -> Json:
    template = {
        "metadata": {"labels": {"a": "b"}},
        "spec": {"containers": [{"name": "model", "image": "one"}]},
    }
    return {
        "apiVersion": "serin.dev/v1alpha1",
        "kind": "ModelRevision",
        "metadata": {"name": name},
        "spec": {
            "deployment": "wine",
            "identity": "1a2b",
            "model": {"uri": "pvc://models/wine/7", "digest": DIGEST},
            "template": template,
        },
    }


def a_condition(kind: str, status: str = "True") -> Json:
    return {"type": kind, "status": status, "reason": "Tried", "message": "Tried.", "lastTransitionTime": NOW}


def tried(server: ApiServer, manifest: Json) -> Answer:
    """Create it without keeping it."""
    return server.request("POST", f"{DEPLOYMENTS}?dryRun=All&fieldValidation=Strict", manifest)


def steps(*pairs: tuple[int, str]) -> list[Json]:
    return [{"weight": weight, "for": length} for weight, length in pairs]


MODEL = "spec.model"
SERVING = "spec.serving"
TRAFFIC = "spec.traffic"
ROLLOUT = "spec.rollout"
ACCURACY = "spec.gates.accuracy"

CPU = {"requests": {"cpu": "100m"}}

CUSTOM = ((f"{MODEL}.uri", IMAGES[-1]), (f"{SERVING}.custom", {"readyPath": "/ready"}))
"""A container of the user's own."""
QUERY = {"name": "errors", "query": 'sum(r{namespace="{{namespace}}",revision="{{revision}}"})', "max": 0.01}

ACCEPTED = {
    "the smallest deployment": (),
    "a bundle inside the image": ((f"{MODEL}.uri", "file:///opt/bundles/wine"),),
    **{f"a bundle at {uri}": ((f"{MODEL}.uri", uri),) for uri in PLACES},
    "credentials for a bundle that is fetched": (
        (f"{MODEL}.uri", "oci://registry.example.com/models/wine:7"),
        (f"{MODEL}.credentials", {"secretName": "registry"}),
    ),
    "a cache for a bundle that is fetched": (
        (f"{MODEL}.uri", "s3://models/wine/7"),
        (f"{MODEL}.cache", {"claim": "bundles", "gibibytes": 5}),
    ),
    "keys of who must have signed, in a ConfigMap": ((f"{MODEL}.signedBy", {"configMapName": "release"}),),
    "keys of who must have signed, in a Secret": ((f"{MODEL}.signedBy", {"secretName": "release"}),),
    "a whole claim as the bundle": ((f"{MODEL}.uri", "pvc://models"),),
    "a file name that only looks like a way up": ((f"{MODEL}.uri", "pvc://models/a..b/..c"),),
    "a pinned digest": ((f"{MODEL}.digest", DIGEST),),
    "quantities as numbers and as text": (
        (f"{SERVING}.resources", {"limits": {"cpu": 2, "memory": "1.5Gi"}, "requests": {"cpu": "500m"}}),
    ),
    "an environment variable": ((f"{SERVING}.env", [{"name": "OMP_NUM_THREADS", "value": "1"}]),),
    "a toleration of every taint": ((f"{SERVING}.tolerations", [{"operator": "Exists"}]),),
    "a toleration of one value": ((f"{SERVING}.tolerations", [{"key": "gpu", "value": "a", "effect": "NoSchedule"}]),),
    "two listeners of one Gateway": (
        (
            f"{TRAFFIC}.parentRefs",
            [{"name": "public", "sectionName": "a"}, {"name": "public", "sectionName": "b"}],
        ),
    ),
    "a Gateway of another namespace": ((f"{TRAFFIC}.parentRefs", [{"name": "public", "namespace": "edge"}]),),
    "host names, one with a wildcard": (
        (f"{TRAFFIC}.hostnames", ["wine.example.com", "*.wine.example.com", "localhost"]),
    ),
    "no gateway at all": (("spec", {"model": {"uri": "pvc://models"}}),),
    "a rule of one's own route": ((TRAFFIC, {"routeRef": {"name": "front", "rule": "models"}}),),
    "callers who stay with their arm": ((f"{TRAFFIC}.stickiness", {"cookie": "serin"}),),
    "a shadow first, and agreement": (
        (f"{ROLLOUT}.steps", [{"shadow": {"percent": 100}, "for": "1m"}, {"weight": 5, "for": "1m"}]),
        ("spec.gates", {"agreement": {"min": 0.95}}),
    ),
    "one step": ((f"{ROLLOUT}.steps", steps((10, "1s"))),),
    "rising steps": ((f"{ROLLOUT}.steps", steps((1, "90s"), (25, "1h30m"), (99, "2h"))),),
    "a deadline longer than its steps": (
        (f"{ROLLOUT}.steps", steps((5, "10m"), (50, "10m"))),
        (f"{ROLLOUT}.deadline", "21m"),
    ),
    "a deadline of its own": ((f"{ROLLOUT}.deadline", "2h"),),
    "rolling back at the deadline": ((f"{ROLLOUT}.onDeadline", "RollBack"),),
    "a grace that covers drain and longest request to the second": (
        (SERVING, {"drain": "10s", "longestRequest": "1m", "terminationGrace": "70s"}),
    ),
    "a longer request, and the grace that follows from it": ((f"{SERVING}.longestRequest", "10m"),),
    "an autoscaler": ((SERVING, {"autoscaling": {"minReplicas": 2, "maxReplicas": 8}, "resources": CPU}),),
    "an autoscaler with a bound alone": ((SERVING, {"autoscaling": {"maxReplicas": 8}, "resources": CPU}),),
    "no more pods than before": ((f"{SERVING}.replicas", 2), (f"{ROLLOUT}.surge", "NoSurge")),
    "a budget of pods for a single one": ((ROLLOUT, {"surge": "Budget", "surgeBudget": 1}),),
    "surge in a word, beside an autoscaler": (
        (SERVING, {"autoscaling": {"maxReplicas": 8}, "resources": CPU}),
        (f"{ROLLOUT}.surge", "Surge"),
    ),
    "a revision kept warm": (("spec.watch.keepWarm", "30m"),),
    "none kept warm, without surge": (
        (f"{SERVING}.replicas", 2),
        (f"{ROLLOUT}.surge", "NoSurge"),
        ("spec.watch.keepWarm", "0s"),
    ),
    "the largest budget": (("spec.verdicts.falseRollbackBudget", 0.5),),
    "a whole number as a ratio": ((f"{ACCURACY}.minLabelCoverage", 1),),
    "an accuracy gate with nothing but its name": ((ACCURACY, {}),),
    "labels without delay": ((f"{ACCURACY}.labelDelay", "0s"),),
    "every gate that goes with classes": (
        (
            "spec.gates",
            {
                "accuracy": {"strict": True},
                "dataDrift": {"max": 0.2, "ignore": ["day"]},
                "predictionDrift": {"mode": "Observe"},
                "latency": {"quantile": 0.99, "max": "250ms"},
                "schema": {"maxViolations": 0.01},
                "custom": [
                    {"name": "revenue", "query": 'sum(r{namespace="{{namespace}}"})', "min": 1, "interval": "5s"},
                    {"name": "orders", "url": "https://shop.example/orders", "field": "/today", "min": 0, "max": 9},
                ],
            },
        ),
    ),
    "an error of numbers, and a latency in seconds": (
        ("spec.gates", {"regressionError": {"metric": "rmse", "maxRise": 0.1}, "latency": {"max": "2s"}}),
    ),
    "a watch, its first part with all pods": (
        ("spec.watch", {"for": "72h", "keepWarm": "30m", "onBreach": "Alert", "falseAlarmsPerYear": 2}),
    ),
    "drift of both arms passed over": (("spec.verdicts.onSharedDrift", "Ignore"),),
    "a gate that only reports": (("spec.gates.errorRate", {"mode": "Observe", "max": 0.05}),),
    "a pickle that is pinned": ((f"{MODEL}.allowPickle", True), (f"{MODEL}.digest", DIGEST)),
    "no pickle, and no digest": ((f"{MODEL}.allowPickle", False),),
    "a log of requests, which is the one variable of Serin's own that is yours": (
        ("spec.serving.env", [{"name": "SERIN_ACCESS_LOG", "value": "1"}]),
    ),
    **{
        f"a server of your own at {uri}": ((f"{MODEL}.uri", uri), (f"{SERVING}.custom", {"readyPath": "/ready"}))
        for uri in IMAGES
    },
    "a server of your own, with all that can be said of it": (
        *CUSTOM,
        (f"{SERVING}.custom", {"port": 9000, "readyPath": "/ready?deep=1", "livePath": "/live"}),
        (f"{SERVING}.grpc", False),
        (f"{SERVING}.replicas", 3),
        (f"{ROLLOUT}.steps", steps((5, "10m"))),
        ("spec.gates.custom", [QUERY]),
    ),
    "a server of your own behind a rule of your own route": (
        *CUSTOM,
        (TRAFFIC, {"routeRef": {"name": "front", "rule": "models"}}),
    ),
    "a server of your own, whose gates of counts only observe": (
        *CUSTOM,
        (
            "spec.gates",
            {"accuracy": {"mode": "Observe"}, "latency": {"mode": "Observe", "max": "1s"}, "custom": [QUERY]},
        ),
    ),
    "a paused deployment": (("spec.paused", True),),
    "the longest name": (("metadata.name", "w" * 40),),
}

DURATION_WORDS = "write hours, minutes and seconds in this order, such as 1h30m, 10m or 90s"
HOSTNAME_WORDS = "a host name is lower-case labels joined by dots"

REFUSED = {
    "no model": ("spec.model: Required value", [("spec", {"traffic": {"parentRefs": [{"name": "a"}]}})]),
    **{f"the place {uri!r}": (said, [(f"{MODEL}.uri", uri)]) for uri, said in NO_PLACES.items()},
    "credentials where nothing is fetched": (
        "remove them",
        [(f"{MODEL}.credentials", {"secretName": "s3"})],
    ),
    "keys of who must have signed an image": (
        "an image is no bundle",
        [(f"{MODEL}.uri", "image://example.com/m:1"), (f"{MODEL}.signedBy", {"configMapName": "release"})],
    ),
    "a cache where nothing is fetched": ("remove cache", [(f"{MODEL}.cache", {"claim": "bundles"})]),
    "a cache for nothing": ("spec.model.cache.gibibytes", [(f"{MODEL}.cache", {"claim": "bundles", "gibibytes": 0})]),
    "keys of who must have signed, in two places": (
        "and not both",
        [(f"{MODEL}.signedBy", {"configMapName": "release", "secretName": "release"})],
    ),
    "keys of who must have signed, nowhere": ("write configMapName or secretName", [(f"{MODEL}.signedBy", {})]),
    "a bundle without a path in the image": ("should match", [(f"{MODEL}.uri", "file://bundle")]),
    "a way up in the middle": ("must not contain '..'", [(f"{MODEL}.uri", "pvc://models/../secrets")]),
    "a way up at the end": ("must not contain '..'", [(f"{MODEL}.uri", "pvc://models/a/..")]),
    "a short digest": ("spec.model.digest", [(f"{MODEL}.digest", "sha256:0f0f")]),
    "a digest of another algorithm": ("should match", [(f"{MODEL}.digest", "sha512" + DIGEST[6:])]),
    "a pickle without a digest": (
        "so it needs the digest of the bundle that you looked at",
        [(f"{MODEL}.allowPickle", True)],
    ),
    **{
        f"the image {uri!r}": (
            "should match",
            [(f"{MODEL}.uri", uri), (f"{SERVING}.custom", {"readyPath": "/ready"})],
        )
        for uri in NO_IMAGES
    },
    "an image that serves by itself, and no word of where to ask it": (
        "serving.custom belong together",
        [(f"{MODEL}.uri", IMAGES[0])],
    ),
    "a bundle in a server of your own": (
        "serving.custom belong together",
        [(f"{SERVING}.custom", {"readyPath": "/ready"})],
    ),
    "a digest of a bundle beside an image": ("pin it in uri", [*CUSTOM, (f"{MODEL}.digest", DIGEST)]),
    "credentials for an image": ("remove them", [*CUSTOM, (f"{MODEL}.credentials", {"secretName": "s3"})]),
    "two images": ("remove serving.image", [*CUSTOM, (f"{SERVING}.image", "serin-serving:1")]),
    **{
        f"{field} of a server of your own": ("are of Serin's own server", [*CUSTOM, (f"{SERVING}.{field}", value)])
        for field, value in {"grpc": True, "compile": "auto", "sampleRows": 40}.items()
    },
    "a server of your own without a word of its readiness": (
        "spec.serving.custom.readyPath: Required value",
        [*CUSTOM, (f"{SERVING}.custom", {"port": 9000})],
    ),
    "a path that is none": ("should match", [*CUSTOM, (f"{SERVING}.custom", {"readyPath": "ready"})]),
    "a server of your own without a gateway": (
        "numbers of pods would not split its traffic",
        [("spec", {"model": {"uri": IMAGES[0]}, "serving": {"custom": {"readyPath": "/ready"}}})],
    ),
    "callers who stay with their arm of a server of your own": (
        "the cookie of stickiness comes from Serin's own server",
        [*CUSTOM, (f"{TRAFFIC}.stickiness", {"cookie": "serin"})],
    ),
    "a shadow of a server of your own": (
        "begin a container of your own with a small weight",
        [*CUSTOM, (f"{ROLLOUT}.steps", [{"shadow": {"percent": 100}, "for": "1m"}, {"weight": 5, "for": "1m"}])],
    ),
    **{
        f"{gate} decides over a server of your own": (
            "use gates.custom with a Prometheus query",
            [*CUSTOM, ("spec.gates", {gate: fields})],
        )
        for gate, fields in {
            "accuracy": {},
            "regressionError": {"mode": "Enforce"},
            "dataDrift": {},
            "predictionDrift": {},
            "errorRate": {},
            "latency": {"max": "1s"},
            "schema": {},
            "agreement": {},
        }.items()
    },
    "no replicas": ("greater than or equal to 1", [(f"{SERVING}.replicas", 0)]),
    "a quantity that is none": (
        "spec.serving.resources.limits.memory",
        [(f"{SERVING}.resources", {"limits": {"memory": "1 GB"}})],
    ),
    "an environment variable of Serin's own": (
        "names starting with SERIN_ are set by the operator",
        [(f"{SERVING}.env", [{"name": "SERIN_REVISION", "value": "x"}])],
    ),
    "one environment variable twice": (
        "Duplicate value",
        [(f"{SERVING}.env", [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}])],
    ),
    "a toleration of nothing": ("needs operator Exists", [(f"{SERVING}.tolerations", [{"value": "a"}])]),
    "a toleration that compares nothing": (
        "operator Exists compares no value",
        [(f"{SERVING}.tolerations", [{"key": "a", "operator": "Exists", "value": "b"}])],
    ),
    "a route of Serin's own and one of yours": (
        "name either parentRefs",
        [(f"{TRAFFIC}.routeRef", {"name": "front", "rule": "models"})],
    ),
    "traffic that names no way": ("name either parentRefs", [(TRAFFIC, {"hostnames": ["wine.example.com"]})]),
    "host names beside a route of yours": (
        "host names stand in your own route",
        [(TRAFFIC, {"routeRef": {"name": "front", "rule": "models"}, "hostnames": ["wine.example.com"]})],
    ),
    "stickiness in a route of yours": (
        "stickiness needs rules of its own",
        [(TRAFFIC, {"routeRef": {"name": "front", "rule": "models"}, "stickiness": {"cookie": "serin"}})],
    ),
    "a cookie's name with a space": ("should match", [(f"{TRAFFIC}.stickiness", {"cookie": "se rin"})]),
    "a step that is both": (
        "a step has either a weight or a shadow",
        [(f"{ROLLOUT}.steps", [{"weight": 5, "shadow": {"percent": 5}, "for": "1m"}])],
    ),
    "a step that is neither": ("a step has either a weight or a shadow", [(f"{ROLLOUT}.steps", [{"for": "1m"}])]),
    "a shadow alone": (
        "at least one step must have a weight",
        [(f"{ROLLOUT}.steps", [{"shadow": {"percent": 100}, "for": "1m"}])],
    ),
    "a shadow after callers have met the candidate": (
        "only the first step may be a shadow",
        [(f"{ROLLOUT}.steps", [{"weight": 5, "for": "1m"}, {"shadow": {"percent": 100}, "for": "1m"}])],
    ),
    "an agreement without a shadow": (
        "gates.agreement compares answers on shadow traffic",
        [("spec.gates", {"agreement": {"min": 0.95}})],
    ),
    "no Gateway": ("should have at least 1 items", [(f"{TRAFFIC}.parentRefs", [])]),
    "a Gateway twice": (
        "each Gateway may be named once",
        [(f"{TRAFFIC}.parentRefs", [{"name": "public"}, {"name": "public"}])],
    ),
    "a host name in capitals": (HOSTNAME_WORDS, [(f"{TRAFFIC}.hostnames", ["Wine.example.com"])]),
    "a host name with a port": (HOSTNAME_WORDS, [(f"{TRAFFIC}.hostnames", ["wine.example.com:80"])]),
    "a host name with a path": (HOSTNAME_WORDS, [(f"{TRAFFIC}.hostnames", ["example.com/wine"])]),
    "a wildcard in the middle": (HOSTNAME_WORDS, [(f"{TRAFFIC}.hostnames", ["a.*.example.com"])]),
    "a host name with an empty label": (HOSTNAME_WORDS, [(f"{TRAFFIC}.hostnames", ["a..example.com"])]),
    "an address": ("an address is not a host name", [(f"{TRAFFIC}.hostnames", ["192.0.2.1"])]),
    "a host name twice": ("Duplicate value", [(f"{TRAFFIC}.hostnames", ["a.example", "a.example"])]),
    "no steps": ("should have at least 1 items", [(f"{ROLLOUT}.steps", [])]),
    "falling weights": ("must rise", [(f"{ROLLOUT}.steps", steps((50, "1m"), (5, "1m")))]),
    "equal weights": ("must rise", [(f"{ROLLOUT}.steps", steps((5, "1m"), (5, "1m")))]),
    "a weight of nothing": ("greater than or equal to 1", [(f"{ROLLOUT}.steps", steps((0, "1m")))]),
    "a weight of everything": ("less than or equal to 99", [(f"{ROLLOUT}.steps", steps((100, "1m")))]),
    "half a percent": ("must be of type integer", [(f"{ROLLOUT}.steps", [{"weight": 0.5, "for": "1m"}])]),
    "a step without a length": (
        "spec.rollout.steps[0].for: Required value",
        [(f"{ROLLOUT}.steps", [{"weight": 5}])],
    ),
    "a step of no time": ("a step must last longer than zero", [(f"{ROLLOUT}.steps", steps((5, "0m")))]),
    "a step of empty length": (DURATION_WORDS, [(f"{ROLLOUT}.steps", steps((5, "")))]),
    "a length without a unit": (DURATION_WORDS, [(f"{ROLLOUT}.steps", steps((5, "10")))]),
    "a length in days": (DURATION_WORDS, [(f"{ROLLOUT}.steps", steps((5, "1d")))]),
    "a length out of order": (DURATION_WORDS, [(f"{ROLLOUT}.steps", steps((5, "5s1m")))]),
    "too many steps": (
        "must have at most 20 items",
        [(f"{ROLLOUT}.steps", steps(*((weight, "1m") for weight in range(1, 22))))],
    ),
    "a deadline as long as its steps": (
        "the deadline must be longer than all steps together",
        [(f"{ROLLOUT}.steps", steps((5, "10m"), (50, "10m"))), (f"{ROLLOUT}.deadline", "1200s")],
    ),
    "a grace shorter than the default drain and request": (
        "terminationGrace must not be shorter than drain",
        [(f"{SERVING}.terminationGrace", "34s")],
    ),
    "a grace shorter than a longer request": (
        "terminationGrace must not be shorter than drain",
        [(SERVING, {"longestRequest": "2m", "terminationGrace": "2m4s"})],
    ),
    "replicas beside an autoscaler": (
        "the autoscaler chooses the number of pods",
        [(SERVING, {"replicas": 2, "autoscaling": {"maxReplicas": 8}, "resources": CPU})],
    ),
    "an autoscaler whose bounds are crossed": (
        "minReplicas must not be larger than maxReplicas",
        [(SERVING, {"autoscaling": {"minReplicas": 9, "maxReplicas": 8}, "resources": CPU})],
    ),
    "an autoscaler with nothing to aim at": (
        "autoscaling by CPU needs resources.requests.cpu",
        [(SERVING, {"autoscaling": {"maxReplicas": 8}, "resources": {"limits": {"memory": "1Gi"}}})],
    ),
    "a budget of pods without its policy": ("surgeBudget belongs to surge: Budget", [(f"{ROLLOUT}.surgeBudget", 1)]),
    "its policy without a budget of pods": ("surgeBudget belongs to surge: Budget", [(f"{ROLLOUT}.surge", "Budget")]),
    "no surge with a single pod": ("needs serving.replicas of 2 or more", [(f"{ROLLOUT}.surge", "NoSurge")]),
    "no surge beside an autoscaler": (
        "with autoscaling the number of pods is the autoscaler's",
        [(SERVING, {"autoscaling": {"maxReplicas": 8}, "resources": CPU}), (f"{ROLLOUT}.surge", "NoSurge")],
    ),
    "a warm revision where no pods may be added": (
        "keepWarm keeps the pods of two revisions at once",
        [(f"{SERVING}.replicas", 2), (f"{ROLLOUT}.surge", "NoSurge"), ("spec.watch.keepWarm", "1m")],
    ),
    "a deadline of no time": ("a deadline of zero", [(f"{ROLLOUT}.deadline", "0s")]),
    "an unknown end": ('supported values: "Pause", "RollBack"', [(f"{ROLLOUT}.onDeadline", "Promote")]),
    "no budget": ("greater than 0", [("spec.verdicts.falseRollbackBudget", 0)]),
    "a budget beyond a coin": ("less than or equal to 0.5", [("spec.verdicts.falseRollbackBudget", 0.6)]),
    "accuracy in percent": ("less than or equal to 1", [(f"{ACCURACY}.min", 90)]),
    "a drop in points": ("should be less than 1", [(f"{ACCURACY}.maxDrop", 2)]),
    "no drop at all": ("should be greater than 0", [(f"{ACCURACY}.maxDrop", 0)]),
    "coverage beyond all": ("less than or equal to 1", [(f"{ACCURACY}.minLabelCoverage", 1.01)]),
    "negative coverage": ("greater than or equal to 0", [(f"{ACCURACY}.minLabelCoverage", -0.1)]),
    "an unknown mode": ('supported values: "Enforce", "Observe"', [(f"{ACCURACY}.mode", "Warn")]),
    "every request may fail": ("should be less than 1", [("spec.gates.errorRate.max", 1)]),
    "accuracy beside an error of numbers": (
        "a model has one of the two",
        [("spec.gates", {"accuracy": {}, "regressionError": {}})],
    ),
    "a latency without a unit": ("write a whole number of milliseconds", [("spec.gates.latency", {"max": "250"})]),
    "a latency of nothing": ("write a whole number of milliseconds", [("spec.gates.latency", {"max": "0ms"})]),
    "a custom gate that asks nobody": ("has either a query", [("spec.gates.custom", [{"name": "a", "min": 1}])]),
    "a custom gate that asks two": (
        "has either a query",
        [("spec.gates.custom", [{"name": "a", "query": "x", "url": "https://a.example", "field": "/b", "min": 1}])],
    ),
    "a document without a field": (
        "url and field belong together",
        [("spec.gates.custom", [{"name": "a", "url": "https://a.example", "min": 1}])],
    ),
    "a custom gate without limits": (
        "a custom gate needs min or max",
        [("spec.gates.custom", [{"name": "a", "query": "x"}])],
    ),
    "limits that nothing lies between": (
        "min must not be larger than max",
        [("spec.gates.custom", [{"name": "a", "query": "x", "min": 2, "max": 1}])],
    ),
    "a custom gate that asks all the time": (
        "a custom gate looks every 5s at most",
        [("spec.gates.custom", [{"name": "a", "query": "x", "min": 2, "interval": "1s"}])],
    ),
    "one custom gate twice": (
        "Duplicate value",
        [("spec.gates.custom", [{"name": "a", "query": "x", "min": 2}, {"name": "a", "query": "y", "min": 2}])],
    ),
    "pods kept warm beyond the watch": (
        "keepWarm is the first part of the watch",
        [("spec.watch", {"for": "10m", "keepWarm": "30m"})],
    ),
    "an unknown answer to drift": ("supported values", [("spec.verdicts.onSharedDrift", "Panic")]),
    "no history": ("greater than or equal to 1", [("spec.revisionHistoryLimit", 0)]),
    "a name that is too long": ("must have at most 40 characters", [("metadata.name", "w" * 41)]),
    "a name with a dot": ("a Service gets this name", [("metadata.name", "wine.red")]),
    "a name that starts with a digit": ("a Service gets this name", [("metadata.name", "7wine")]),
    "a field that does not exist": ('unknown field "spec.rolout"', [("spec.rolout", {})]),
    "a field that does not exist, further down": (
        'unknown field "spec.gates.accuracy.minimum"',
        [(f"{ACCURACY}.minimum", 0.9)],
    ),
}


@pytest.mark.parametrize("edits", ACCEPTED.values(), ids=ACCEPTED)
def test_accepts(served: ApiServer, edits: tuple[tuple[str, Any], ...]) -> None:
    answer = tried(served, a_deployment(*edits))
    assert answer.ok, answer.message


@pytest.mark.parametrize(("words", "edits"), REFUSED.values(), ids=REFUSED)
def test_refuses_with_words(served: ApiServer, words: str, edits: list[tuple[str, Any]]) -> None:
    answer = tried(served, a_deployment(*edits))
    assert answer.status in (400, 422), answer.body
    assert words in answer.message
    assert "rule evaluation error" not in answer.message, "a rule must answer, not fail"


def test_every_rule_has_a_row_that_it_refuses() -> None:
    (kind,) = (kind for kind in KINDS if kind.name == "ModelDeployment")
    for rule in rules_of(schema_of(kind)):
        assert any(words in rule["message"] for words, _ in REFUSED.values()), rule


@pytest.fixture
def deployment(served: ApiServer) -> Iterator[str]:
    """The path of a deployment that is there for one test."""
    path = f"{DEPLOYMENTS}/wine"
    answer = served.apply(path, a_deployment())
    assert answer.ok, answer.message
    yield path
    served.request("DELETE", path)


@pytest.fixture
def revision(served: ApiServer) -> Iterator[str]:
    """The path of a revision that is there for one test."""
    path = f"{REVISIONS}/wine-1a2b"
    answer = served.apply(path, a_revision())
    assert answer.ok, answer.message
    yield path
    served.request("DELETE", path)


def test_keeps_a_spec_as_it_was_written(served: ApiServer, deployment: str) -> None:
    assert served.request("GET", deployment).body["spec"] == a_deployment()["spec"]


def test_a_write_of_the_spec_leaves_status_alone_and_the_reverse(served: ApiServer, deployment: str) -> None:
    both = {**a_deployment(("spec.paused", True)), "status": {"phase": "Stable"}}
    assert "status" not in served.apply(deployment, both).body
    status = {**a_deployment(("spec.paused", False)), "status": {"phase": "Holding"}}
    body = served.apply(f"{deployment}/status", status, manager="serin-status").body
    assert body["status"] == {"phase": "Holding"}
    assert body["spec"]["paused"] is True


def test_merges_conditions_by_type(served: ApiServer, deployment: str) -> None:
    for manager, condition in (("one", a_condition("Ready")), ("two", a_condition("Promoted", "Unknown"))):
        body = a_deployment(("status", {"conditions": [condition]}))
        assert served.apply(f"{deployment}/status", body, manager=manager).ok
    changed = a_deployment(("status", {"conditions": [a_condition("Ready", "False")]}))
    body = served.apply(f"{deployment}/status", changed, manager="one").body
    found = {condition["type"]: condition["status"] for condition in body["status"]["conditions"]}
    assert found == {"Ready": "False", "Promoted": "Unknown"}


def test_refuses_a_condition_type_twice(served: ApiServer, deployment: str) -> None:
    body = a_deployment(("status", {"conditions": [a_condition("Ready"), a_condition("Ready")]}))
    answer = served.apply(f"{deployment}/status", body)
    assert not answer.ok
    assert "duplicate" in answer.message.lower()


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ({"phase": "Busy"}, "supported values"),
        ({"conditions": [{**a_condition("Ready"), "status": "Yes"}]}, "supported values"),
        ({"conditions": [{**a_condition("Ready"), "lastTransitionTime": "today"}]}, "date-time"),
    ],
    ids=["an unknown phase", "an unknown truth", "a time that is none"],
)
def test_refuses_a_malformed_status(served: ApiServer, deployment: str, status: Json, words: str) -> None:
    current = served.request("GET", deployment).body
    answer = served.request("PUT", f"{deployment}/status", {**current, "status": status})
    assert answer.status == 422, answer.body
    assert words in answer.message


def test_drops_null(served: ApiServer, deployment: str) -> None:
    current = served.request("GET", deployment).body
    status = {"phase": None, "message": "Starting."}
    body = served.request("PUT", f"{deployment}/status", {**current, "status": status}).body
    assert body["status"] == {"message": "Starting."}


def test_shows_a_deployment_in_columns(served: ApiServer, deployment: str) -> None:
    status = {"phase": "Progressing", "candidate": {"revision": "wine-1a2b", "weight": 25}}
    assert served.apply(f"{deployment}/status", a_deployment(("status", status)), manager="s").ok
    header, row = served.kubectl("get", "mdep").splitlines()
    assert header.split() == ["NAME", "PHASE", "STABLE", "CANDIDATE", "WEIGHT", "GATE", "SAMPLES", "AGE"]
    assert row.split()[:4] == ["wine", "Progressing", "wine-1a2b", "25"]
    assert "modeldeployment.serin.dev/wine" in served.kubectl("get", "serin", "-o", "name")


def changed_revision(path: str, value: Any) -> Json:
    manifest = deepcopy(a_revision())
    node = manifest["spec"]
    *parents, last = path.split(".")
    for parent in parents:
        node = node[int(parent)] if parent.isdigit() else node[parent]
    node[last] = value
    return manifest


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("deployment", "beer"),
        ("model.digest", "sha256:" + "f0" * 32),
        ("template.spec.containers.0.image", "two"),
        ("template.spec.hostNetwork", True),
    ],
)
def test_never_changes_a_revision(served: ApiServer, revision: str, path: str, value: Any) -> None:
    answer = served.apply(revision, changed_revision(path, value))
    assert answer.status == 422, answer.body
    assert "a ModelRevision is immutable" in answer.message


def test_lets_labels_and_status_of_a_revision_change(served: ApiServer, revision: str) -> None:
    labelled = a_revision()
    labelled["metadata"]["labels"] = {"serin.dev/deployment": "wine"}
    assert served.apply(revision, labelled).ok
    evidence = {"cohorts": {"c": {"e": 1.5, "seen": {"uid": [1, 2, 3]}}}}
    judged = {**a_revision(), "status": {"verdict": "Trial", "evidence": evidence}}
    body = served.apply(f"{revision}/status", judged, manager="serin-status").body
    assert body["status"] == {"verdict": "Trial", "evidence": evidence}


def test_explains_its_fields(served: ApiServer) -> None:
    text = explained(served, "mdep.spec.rollout.steps")
    assert "Percent of requests that the candidate answers in this step." in " ".join(text.split())
    assert "How long the step lasts at least, such as 10m." in " ".join(text.split())


def test_explains_recursively(served: ApiServer) -> None:
    text = explained(served, "mdep.spec.rollout", "--recursive")
    assert "How a new revision comes to answer all traffic." in text
    for field in ("steps", "weight", "for", "deadline", "onDeadline"):
        assert f"{field}\t<" in text


def explained(server: ApiServer, *words: str) -> str:
    """The OpenAPI document follows a new CRD after a moment; kubectl knows no field until then."""
    deadline = time.monotonic() + 30
    while True:
        text = server.kubectl("explain", *words)
        if "<empty>" not in text or time.monotonic() > deadline:
            return text
        time.sleep(0.5)


def test_kubectl_refuses_a_misspelt_field(served: ApiServer, tmp_path: Path) -> None:
    manifest = tmp_path / "deployment.yaml"
    manifest.write_text(yaml.safe_dump(a_deployment(("spec.rolout", {}))))
    text = served.kubectl_refused("apply", "--dry-run=server", "--validate=strict", "-f", str(manifest))
    assert 'unknown field "spec.rolout"' in text

"""The ground on which Flagger is measured: Flagger, its Prometheus, and a model server under a Canary of its own.

The pods are those that Serin makes of the same bundle: its template is taken over, and its names are replaced.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from tests.bench.traffic import flagger_prometheus as prometheus
from tests.bench.traffic import models as fussy
from tests.support import kubernetes_objects as objects
from tests.support.recordings import Recording, recording
from tests.support.stories import NAME, START_SECONDS, Json, Place

from serin_bundle.manifest import digest_of
from serin_cli.cluster import flagger
from serin_cli.cluster.access import Cluster
from serin_cli.cluster.progress import Progress
from serin_contract import bundle as bundles
from serin_contract import http, labels
from serin_contract.metrics import SERVER_REQUESTS
from serin_operator.decide import timestamps

PEER = "peer"
"""Name of the Deployment, the Canary, the HTTPRoute and all else of Flagger's."""

INTERVAL_SECONDS = 10
"""Flagger reads any shorter interval as this one."""

WEIGHT = 20
ERROR_PERCENT_MAX = 5
ROLLOUT_SECONDS = 240.0


@dataclass(frozen=True)
class Ground:
    """A model served under a Canary."""

    place: Place
    template: Json
    """Of a pod that serves the tolerant model."""
    canary: Recording
    host: str

    @property
    def phase(self) -> str:
        """The Canary's phase as last heard of."""
        return str((self.canary.latest.get("status") or {}).get("phase", ""))

    def wants(self, bundle: str, revision: str) -> float:
        """Change the Deployment to this model; returns the Unix time at which that was asked for."""
        asked_at = time.time()
        self.place.apply(deployment(self.place, self.template, bundle, revision))
        return asked_at

    def judges(self, threshold: int) -> None:
        """Let Flagger roll back once so many looks in a row of a trial were bad."""
        self.place.apply(canary(self.place.namespace, self.host, threshold))

    def until(self, holds: Callable[[], bool], what: str, seconds: float = ROLLOUT_SECONDS) -> None:
        """Wait for it; raises AssertionError with Flagger's words where it takes longer."""
        limit = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > limit:
                words = "\n".join(str(line.get("msg")) for line in flagger_log(self.place.cluster, 0.0)[-15:])
                raise AssertionError(f"not within {seconds:g} s: {what}; it is {self.phase}\n{words}")
            time.sleep(0.1)

    def said(self, words: str, since: float) -> float:
        """Unix time at which Flagger first said so, to the millisecond; waits for it."""
        found: list[float] = []

        def heard() -> bool:
            lines = flagger_log(self.place.cluster, since)
            found.extend(timestamps.seconds(line["ts"]) for line in lines if words in str(line.get("msg")))
            return bool(found)

        self.until(heard, f"Flagger says {words!r}", 20)
        return found[0]


def flagger_log(cluster: Cluster, since: float) -> list[Json]:
    """What Flagger has logged since that Unix time."""
    text = cluster.kubectl("-n", flagger.NAMESPACE, "logs", "deployment/flagger", "--tail=2000")
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return [line for line in lines if timestamps.seconds(line["ts"]) >= since]


@contextmanager
def ground(place: Place, progress: Progress) -> Iterator[Ground]:
    """Start Prometheus and Flagger, and serve the tolerant model under a Canary; all of it goes with the block."""
    template = take_template(place)
    with ExitStack() as stack:
        stack.enter_context(prometheus.running(place, progress))
        # A removal that finds nothing is no error, so it also stands for an installation that ended half-way.
        stack.callback(flagger.remove, place.cluster, progress)
        flagger.install(place.cluster, prometheus.URL, progress)
        host = f"{PEER}.{place.namespace}.example.com"
        watch = recording(place.cluster.kubectl_command, "canaries.flagger.app", place.namespace, PEER)
        made = Ground(place, template, stack.enter_context(watch), host)
        made.wants(fussy.TOLERANT, "first")
        place.apply(error_rate(place.namespace))
        made.judges(threshold=2)
        made.until(lambda: made.phase == "Initialized", "the Canary is set up", START_SECONDS)
        yield made


def take_template(place: Place) -> Json:
    """The pod template that Serin makes for the tolerant model, with a copy of its keys; Serin's own objects go."""
    revision = place.serves(fussy.TOLERANT)
    (made,) = place.get("deployments", "-l", f"{labels.REVISION_LABEL}={revision}")
    template: Json = made["spec"]["template"]
    keys = next(volume for volume in template["spec"]["volumes"] if volume["name"] == "keys")
    (secret,) = place.get("secrets", f"--field-selector=metadata.name={keys['secret']['secretName']}")
    place.kubectl("delete", "modeldeployment", NAME, "--wait", timeout=90)
    place.kubectl("wait", "--for=delete", "pods", "-l", f"{labels.REVISION_LABEL}={revision}", "--timeout=90s",
                  timeout=100)  # fmt: skip
    place.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"{PEER}-keys"}, "data": secret["data"]})
    keys["secret"]["secretName"] = f"{PEER}-keys"
    # Flagger copies every ConfigMap that a pod names, and logs an error at each look for one that is not there.
    profile = next(volume for volume in template["spec"]["volumes"] if volume["name"] == "stable-profile")
    del profile["configMap"]
    profile["emptyDir"] = {}
    template["metadata"] = {"labels": {"app": PEER}}
    return template


def deployment(place: Place, template: Json, bundle: str, revision: str) -> Json:
    """A Deployment of that bundle, whose answers carry that revision."""
    own: Json = json.loads(json.dumps(template))
    (container,) = own["spec"]["containers"]
    manifest = (place.models.directory / bundle / bundles.MANIFEST_FILE).read_bytes()
    values = {
        labels.ENV_REVISION: revision,
        labels.ENV_BUNDLE_DIR: f"{labels.MODEL_MOUNT}/{bundle}",
        labels.ENV_BUNDLE_DIGEST: digest_of(manifest),
    }
    for variable in container["env"]:
        if variable["name"] in values:
            variable["value"] = values[variable["name"]]
    selector = {"matchLabels": {"app": PEER}}
    # The number of pods is Flagger's: it scales the Deployment to none wherever nothing is on trial.
    return _object("apps/v1", "Deployment", PEER, {"selector": selector, "template": own})


def canary(namespace: str, host: str, threshold: int) -> Json:
    """Steps of one weight, and one gate: the share of answers that were errors."""
    metric = {
        "name": "error-rate",
        "templateRef": {"name": "error-rate", "namespace": namespace},
        "thresholdRange": {"max": ERROR_PERCENT_MAX},
        "interval": f"{INTERVAL_SECONDS}s",
    }
    spec = {
        "provider": "gatewayapi:v1",
        "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": PEER},
        "progressDeadlineSeconds": 120,
        "service": {
            "port": http.INFERENCE_PORT,
            "targetPort": http.INFERENCE_PORT,
            "portName": "http",
            "hosts": [host],
            "gatewayRefs": [objects.GATEWAY],
        },
        "analysis": {
            "interval": f"{INTERVAL_SECONDS}s",
            "threshold": threshold,
            "stepWeight": WEIGHT,
            "maxWeight": WEIGHT,
            "metrics": [metric],
        },
    }
    return _object("flagger.app/v1beta1", "Canary", PEER, spec)


def error_rate(namespace: str) -> Json:
    """Percent of the candidate's answers that were not 200, over the metric's interval."""
    counted = f'{SERVER_REQUESTS}{{namespace="{namespace}",app="{{{{ target }}}}"'
    errors = f'(sum(rate({counted},code!="200"}}[{{{{ interval }}}}])) or vector(0))'
    query = f"100 * {errors} / sum(rate({counted}}}[{{{{ interval }}}}]))"
    provider = {"type": "prometheus", "address": prometheus.URL}
    return _object("flagger.app/v1beta1", "MetricTemplate", "error-rate", {"provider": provider, "query": query})


def _object(version: str, kind: str, name: str, spec: Json) -> Json:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec}

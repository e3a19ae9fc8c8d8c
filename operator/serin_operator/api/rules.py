"""CEL rules that span several fields of a ModelDeployment."""

from __future__ import annotations

from serin_operator.api.markers import Rule

NAME_CHARS_MAX = 40
"""A deployment's name leaves room for `-<hash>` and suffixes within the 63 characters of a label."""

_DURATION = "'^([0-9]+[hms])+$'"
"""A malformed duration has its own message; `duration()` of it would only add an evaluation error."""

SIGNED_BY_RULES = (
    Rule(
        "has(self.configMapName) != has(self.secretName)",
        "the keys lie in a ConfigMap or in a Secret; write configMapName or secretName, and not both",
    ),
)

STEP_RULES = (
    Rule(
        "has(self.weight) != has(self.shadow)",
        "a step has either a weight or a shadow; write weight: 5 or shadow: {percent: 100}",
    ),
)

STEPS_RULES = (
    Rule(
        # isSorted() allows equal neighbours, so each weight must also stand once.
        "self.filter(s, has(s.weight)).map(s, s.weight).isSorted()"
        " && self.all(s, !has(s.weight) || self.exists_one(t, has(t.weight) && t.weight == s.weight))",
        "the weights of the steps must rise from each to the next; put the smallest weight first",
    ),
    Rule(
        "self.exists(s, has(s.weight))",
        "at least one step must have a weight, or the candidate would be promoted without an answer of its own",
    ),
    Rule(
        "!self.exists(s, has(s.shadow)) || (has(self[0].shadow) && self.exists_one(s, has(s.shadow)))",
        "only the first step may be a shadow: once callers get answers of the candidate it tells nothing more",
    ),
)

MODEL_RULES = (
    Rule(
        "!has(self.credentials) || !self.uri.matches('^(file|pvc|image)://')",
        "a bundle in a volume or in the image is not fetched, so nothing needs credentials; remove them",
    ),
    Rule(
        "!has(self.cache) || !self.uri.matches('^(file|pvc|image)://')",
        "a bundle in a volume or in the image is not fetched, so there is nothing to cache; remove cache",
    ),
    Rule(
        "!has(self.signedBy) || !self.uri.startsWith('image://')",
        "an image is no bundle, so no signature of it is checked here; remove signedBy, and admit only signed images",
    ),
    Rule(
        "!has(self.allowPickle) || !self.allowPickle || has(self.digest)",
        "allowPickle runs code of whoever made the bundle, so it needs the digest of the bundle that you looked at",
    ),
    Rule(
        "!self.uri.startsWith('image://') || (!has(self.digest) && !has(self.allowPickle))",
        "an image is no bundle, so digest and allowPickle say nothing of it; pin it in uri, as "
        "image://<reference>@sha256:<digest>",
    ),
)

SERVING_RULES = (
    Rule(
        "!has(self.autoscaling) || !has(self.replicas)",
        "with autoscaling the autoscaler chooses the number of pods; remove replicas",
    ),
    Rule(
        "!has(self.autoscaling) || !has(self.autoscaling.minReplicas)"
        " || self.autoscaling.minReplicas <= self.autoscaling.maxReplicas",
        "autoscaling.minReplicas must not be larger than maxReplicas",
    ),
    Rule(
        "!has(self.autoscaling) || (has(self.resources) && has(self.resources.requests)"
        " && 'cpu' in self.resources.requests)",
        "autoscaling by CPU needs resources.requests.cpu, because it aims at a share of it",
    ),
    Rule(
        f"!has(self.terminationGrace) || !self.terminationGrace.matches({_DURATION})"
        f" || (has(self.drain) && !self.drain.matches({_DURATION}))"
        f" || (has(self.longestRequest) && !self.longestRequest.matches({_DURATION}))"
        " || duration(has(self.drain) ? self.drain : '5s')"
        " + duration(has(self.longestRequest) ? self.longestRequest : '30s') <= duration(self.terminationGrace)",
        "terminationGrace must not be shorter than drain (5s by default) and longestRequest (30s by default) together, "
        "or requests would be cut off",
    ),
    Rule(
        "!has(self.custom) || !has(self.image)",
        "a container of your own is the image that spec.model.uri names; remove serving.image",
    ),
    Rule(
        "!has(self.custom) || ((!has(self.grpc) || !self.grpc) && !has(self.compile) && !has(self.sampleRows))",
        "grpc, compile and sampleRows are of Serin's own server, and a container of your own has none of them; "
        "remove them",
    ),
)

TRAFFIC_RULES = (
    Rule(
        "has(self.parentRefs) != has(self.routeRef)",
        "name either parentRefs, for a route of Serin's own, or routeRef, for a rule of yours; leave traffic out to "
        "do without a gateway",
    ),
    Rule(
        "!has(self.hostnames) || has(self.parentRefs)",
        "host names stand in your own route where routeRef is used; remove hostnames",
    ),
    Rule(
        "!has(self.stickiness) || has(self.parentRefs)",
        "stickiness needs rules of its own and so a route of Serin's own; use parentRefs instead of routeRef",
    ),
)

ROLLOUT_RULES = (
    Rule(
        f"!has(self.deadline) || !has(self.steps) || !self.deadline.matches({_DURATION})"
        f" || self.steps.exists(s, !s.__for__.matches({_DURATION}))"
        " || self.steps.map(s, duration(s.__for__)).sum() < duration(self.deadline)",
        "the deadline must be longer than all steps together, or no candidate could ever be promoted",
    ),
    Rule(
        "has(self.surgeBudget) == (has(self.surge) && self.surge == 'Budget')",
        "surgeBudget belongs to surge: Budget; write both or neither",
    ),
)

CUSTOM_RULES = (
    Rule(
        "has(self.query) != has(self.url)",
        "a custom gate has either a query for Prometheus or a url of a JSON document",
    ),
    Rule(
        "has(self.url) == has(self.field)",
        "url and field belong together: the document, and where in it the number stands, such as /orders/revenue",
    ),
    Rule(
        "has(self.min) || has(self.max)",
        "a custom gate needs min or max, or it could never fail",
    ),
    Rule(
        "!has(self.min) || !has(self.max) || self.min <= self.max",
        "min must not be larger than max, or no value could ever pass",
    ),
    Rule(
        f"!has(self.interval) || !self.interval.matches({_DURATION}) || duration(self.interval) >= duration('5s')",
        "a custom gate looks every 5s at most; write interval: 60s",
    ),
)

GATES_RULES = (
    Rule(
        "!has(self.accuracy) || !has(self.regressionError)",
        "accuracy judges classes and regressionError numbers; a model has one of the two",
    ),
)

WATCH_RULES = (
    Rule(
        f"!has(self.__for__) || !has(self.keepWarm) || !self.__for__.matches({_DURATION})"
        f" || !self.keepWarm.matches({_DURATION}) || duration(self.keepWarm) <= duration(self.__for__)",
        "keepWarm is the first part of the watch and must not be longer than for",
    ),
)

_SERIN_SERVES = "(!has(self.spec.serving) || !has(self.spec.serving.custom))"
_COUNTED_GATES = (
    "accuracy", "regressionError", "dataDrift", "predictionDrift", "errorRate", "latency", "schema", "agreement",
)  # fmt: skip
"""Those that read what Serin's own server counts."""
_NO_COUNTED_GATE_DECIDES = " && ".join(
    f"(!has(self.spec.gates.{gate}) || (has(self.spec.gates.{gate}.mode) && self.spec.gates.{gate}.mode == 'Observe'))"
    for gate in _COUNTED_GATES
)

CUSTOM_CONTAINER_RULES = (
    Rule(
        f"{_SERIN_SERVES} != self.spec.model.uri.startsWith('image://')",
        "model.uri: image://<reference> and serving.custom belong together: which image answers requests, and where "
        "it says that it is ready; write both or neither",
    ),
    Rule(
        f"{_SERIN_SERVES} || has(self.spec.traffic)",
        "a container of your own is not told to have its connections made anew, so numbers of pods would not split its "
        "traffic; name a gateway in spec.traffic",
    ),
    Rule(
        f"{_SERIN_SERVES} || !has(self.spec.traffic) || !has(self.spec.traffic.stickiness)",
        "the cookie of stickiness comes from Serin's own server, and a container of your own sets none; remove "
        "stickiness",
    ),
    Rule(
        f"{_SERIN_SERVES} || !has(self.spec.rollout) || !has(self.spec.rollout.steps)"
        " || !self.spec.rollout.steps.exists(s, has(s.shadow))",
        "Serin's own server sends the copies of a shadow step and compares the answers; begin a container of your own "
        "with a small weight",
    ),
    Rule(
        f"{_SERIN_SERVES} || !has(self.spec.gates) || ({_NO_COUNTED_GATE_DECIDES})",
        "a container of your own counts nothing for this gate, so it could never pass; use gates.custom with a "
        'Prometheus query by revision="{{revision}}" instead, or mode: Observe',
    ),
)

_SURGES = "(!has(self.spec.rollout) || !has(self.spec.rollout.surge) || self.spec.rollout.surge == 'Surge')"

MODEL_DEPLOYMENT_RULES = (
    *CUSTOM_CONTAINER_RULES,
    Rule(
        f"{_SURGES} || !has(self.spec.serving) || !has(self.spec.serving.autoscaling)",
        "with autoscaling the number of pods is the autoscaler's; leave rollout.surge out",
    ),
    Rule(
        f"{_SURGES} || self.spec.rollout.surge == 'Budget'"
        " || (has(self.spec.serving) && has(self.spec.serving.replicas) && self.spec.serving.replicas > 1)",
        "surge: NoSurge takes pods from stable and so needs serving.replicas of 2 or more",
    ),
    Rule(
        f"{_SURGES} || !has(self.spec.watch) || !has(self.spec.watch.keepWarm)"
        " || !self.spec.watch.keepWarm.matches('[1-9]')",
        "watch.keepWarm keeps the pods of two revisions at once; use surge: Surge with it, or leave keepWarm out",
    ),
    Rule(
        "!has(self.spec.gates) || !has(self.spec.gates.agreement) || (has(self.spec.rollout)"
        " && has(self.spec.rollout.steps) && self.spec.rollout.steps.exists(s, has(s.shadow)))",
        "gates.agreement compares answers on shadow traffic; add a first step with shadow: {percent: 100}",
    ),
    Rule(
        "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
        "metadata.name must start with a letter and hold only a-z, 0-9 and '-': a Service gets this name",
    ),
    Rule(
        f"size(self.metadata.name) <= {NAME_CHARS_MAX}",
        f"metadata.name must have at most {NAME_CHARS_MAX} characters, because revision names extend it",
    ),
)

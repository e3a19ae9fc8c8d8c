"""What the end-to-end tests are told with: a place with a deployment in it, and the words given, when and then.

Nothing here sleeps for a fixed time: every wait has a condition, a limit, and on failure says what the cluster shows.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serin_cli.cluster.access import Cluster
from serin_cli.cluster.errors import ClusterError
from serin_cli.demo.load import Load, Snapshot
from serin_operator.decide.judge import evidence as evidences
from serin_operator.decide.judge.evidence import Evidence
from tests.support import kubernetes_objects as objects
from tests.support.recordings import Moment, Recording, recording

Json = dict[str, Any]

NAME = "digits"
OPERATOR_NAMESPACE = "serin-system"
OPERATOR = "app.kubernetes.io/name=serin"
LOOK_SECONDS = 0.1

START_SECONDS = 240
"""A model's first pod may take so long where other programs want the processor too; it takes three where not."""

TRIAL_SECONDS = 240
"""A trial of seconds may take so long there."""


@dataclass(frozen=True)
class Models:
    """Bundles on disk, and what callers send."""

    directory: Path
    """Holds one bundle per name."""
    rows: list[list[int]]
    labels: list[int]


class State:
    """A ModelDeployment as it stood at one moment."""

    def __init__(self, document: Json) -> None:
        self.document = document
        self.status: Json = document.get("status") or {}

    @property
    def current(self) -> bool:
        """Whether the status speaks of the latest spec."""
        generation = self.document.get("metadata", {}).get("generation")
        return generation is not None and self.status.get("observedGeneration") == generation

    @property
    def phase(self) -> str:
        return str(self.status.get("phase", ""))

    @property
    def message(self) -> str:
        return str(self.status.get("message", ""))

    @property
    def stable(self) -> str:
        """Name of the stable revision."""
        return str((self.status.get("stable") or {}).get("revision", ""))

    @property
    def candidate(self) -> Json:
        """status.candidate; empty where nothing is on trial."""
        return self.status.get("candidate") or {}

    @property
    def weight(self) -> int:
        """Percent of the candidate, 0 without one."""
        return int(self.candidate.get("weight", 0))

    @property
    def outcomes(self) -> list[tuple[str, str]]:
        """Outcome and reason of every trial, the newest first."""
        return [(entry["outcome"], entry["reason"]) for entry in self.status.get("history", ())]

    def condition(self, kind: str) -> Json:
        """The condition of that type; empty where there is none."""
        return next((known for known in self.status.get("conditions", ()) if known["type"] == kind), {})

    def says(self, kind: str, status: str, reason: str) -> bool:
        """Whether the condition has that status and reason."""
        known = self.condition(kind)
        return (known.get("status"), known.get("reason")) == (status, reason)

    def gate(self, name: str) -> Json:
        """What a gate says; empty where it was not asked."""
        return next((gate for gate in self.status.get("gates", ()) if gate["name"] == name), {})

    @property
    def stable_of_spec(self) -> bool:
        """Whether the spec's own revision answers everything and nothing is on trial."""
        return self.current and self.phase == "Stable" and not self.candidate


class Place:
    """A namespace with bundles, one ModelDeployment, and a record of all that became of it."""

    def __init__(self, cluster: Cluster, namespace: str, models: Models, mdep: Recording, route: Recording) -> None:
        self.cluster, self.namespace, self.models = cluster, namespace, models
        self.mdep, self.route = mdep, route
        self.host = f"{NAME}.{namespace}.example.com"
        self.applied_at = 0.0
        """Unix time of the last change of the spec."""

    @property
    def state(self) -> State:
        return State(self.mdep.latest)

    def writable_claim(self, name: str) -> Path:
        """Make a claim that all pods of the place can write to; returns its directory, which ends with the place."""
        directory = self.models.directory / name
        directory.mkdir(exist_ok=True)
        directory.chmod(0o777)
        self.apply(*objects.storage(self.namespace, directory, claim=name, mode="ReadWriteMany"))
        return directory

    def kubectl(self, *words: str, stdin: str | None = None, timeout: float = 60.0) -> str:
        """Run kubectl in this namespace."""
        return self.cluster.kubectl("-n", self.namespace, *words, stdin=stdin, timeout=timeout)

    def get(self, kind: str, *words: str) -> list[Json]:
        """Objects of this namespace."""
        items: list[Json] = json.loads(self.kubectl("get", kind, "-o", "json", *words))["items"]
        return items

    def pods(self, revision: str) -> list[Json]:
        """Serving pods of a revision."""
        return self.get("pods", "-l", f"serin.dev/revision={revision},serin.dev/purpose=serve")

    def apply(self, *manifests: Json) -> None:
        """Apply as a user does."""
        stdin = "\n---\n".join(json.dumps(manifest) for manifest in manifests)
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=stdin)

    def wants(self, bundle: str, /, **spec: Any) -> None:
        """When the user applies this spec."""
        self.applied_at = time.time()
        self.apply(objects.model_deployment(self.namespace, NAME, self.host, bundle, **spec))
        self.until(lambda state: state.document != {}, "the API server tells of the deployment", 15)
        generation = int(self.kubectl("get", "mdep", NAME, "-o", "jsonpath={.metadata.generation}"))
        self.until(
            lambda state: state.document["metadata"]["generation"] >= generation, "the watch tells of the change", 15
        )

    def serves(self, bundle: str, /, **spec: Any) -> str:
        """Given that this model is stable; returns its revision."""
        self.wants(bundle, **spec)
        state = self.until(lambda state: state.stable_of_spec, f"model {bundle} serves", START_SECONDS)
        self.until_route(lambda weights: weights == {state.stable: 100}, f"the route names {state.stable} alone", 40)
        return state.stable

    def until(self, holds: Callable[[State], bool], what: str, seconds: float) -> State:
        """Then this comes to hold, within so many seconds."""
        limit = time.monotonic() + seconds
        while True:
            state = self.state
            if holds(state):
                return state
            if time.monotonic() > limit:
                raise AssertionError(f"not within {seconds:g} s: {what}\n{self.diagnosis()}")
            time.sleep(LOOK_SECONDS)

    def until_route(self, holds: Callable[[dict[str, int]], bool], what: str, seconds: float) -> None:
        """Then the route's weights come to be so."""

        def so(_: State) -> bool:
            moments = self.route.moments
            return bool(moments) and holds(moments[-1].weights)

        self.until(so, what, seconds)

    def never(self, holds: Callable[[State], bool], what: str, seconds: float) -> None:
        """Then this does not come to hold in so many seconds, not for a moment: every state that stood is asked."""
        began = time.time()
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            assert not any(holds(State(moment.object)) for moment in self.mdep.since(began)), (
                f"{what}\n{self.diagnosis()}"
            )
            time.sleep(LOOK_SECONDS)

    def until_candidate(self, weight: int, seconds: float = START_SECONDS) -> State:
        """Given that the candidate of the current spec answers at least so much, on the route as well."""
        return self.until(
            lambda state: state.current and state.weight >= weight and state.candidate.get("stepStartedAt") is not None,
            f"the candidate has {weight} %",
            seconds,
        )

    def evidence(self, revision: str, stable: str) -> Evidence:
        """The evidence that the operator wrote of a revision's trial."""
        (record,) = self.get("modelrevisions", f"--field-selector=metadata.name={revision}")
        return evidences.restore(record["status"].get("evidence"), revision, stable)

    def route_weights(self, revision: str, since: float) -> list[int]:
        """The percentages that the route gave a revision, in order, each named once in a row."""
        found: list[int] = []
        for moment in self.route.since(since):
            weight = moment.weights.get(revision, 0)
            if not found or found[-1] != weight:
                found.append(weight)
        return found

    def phases(self, since: float) -> list[str]:
        """The phases since then, in order, each named once in a row."""
        found: list[str] = []
        for moment in self.mdep.since(since):
            phase = State(moment.object).phase
            if phase and (not found or found[-1] != phase):
                found.append(phase)
        return found

    def cohort_weights(self) -> dict[str, int]:
        """The percentage that status claimed for each cohort."""
        return {
            moment.status["candidate"]["cohort"]: moment.status["candidate"]["weight"]
            for moment in self.mdep.moments
            if (moment.status.get("candidate") or {}).get("cohort")
        }

    def moment_of(self, holds: Callable[[State], bool], since: float) -> Moment:
        """The first state since then in which this held."""
        return next(moment for moment in self.mdep.since(since) if holds(State(moment.object)))

    @contextmanager
    def load(self, rate: float, **settings: Any) -> Iterator[Load]:
        """Callers who ask at this rate and tell the truth, or other `labels`, a little later, until the block ends."""
        wrap = self.cluster.inside_command if self.cluster.mode == "netns" else None
        url = self.cluster.gateway_url_inside if wrap else self.cluster.gateway_url
        delay, rows = settings.pop("label_delay", (0.3, 1.0)), settings.pop("rows", self.models.rows)
        load = Load(
            url, self.host, rows, settings.pop("labels", self.models.labels), rate,
            model=NAME, wrap=wrap, label_delay=delay, **settings,
        )  # fmt: skip
        try:
            yield load.start()
        finally:
            load.stop()

    def diagnosis(self) -> str:
        """What a person would look at first."""
        state = self.state
        gates = [
            f"{gate['name']} {gate['verdict']} {gate['reason']}: {gate['message']}"
            for gate in state.status.get("gates", ())
        ]
        parts = {
            "Status": f"{state.phase}: {state.message}",
            "Candidate": json.dumps(state.candidate),
            "Gates": "\n".join(gates),
            "Route": json.dumps(self.route.moments[-1].weights) if self.route.moments else "",
            "Pods": _try(self.kubectl, "get", "pods", "-o", "wide"),
            "Events": "\n".join(_try(self.kubectl, "get", "events", "--sort-by=.lastTimestamp").splitlines()[-12:]),
            "Operator": _try(
                self.cluster.kubectl, "-n", OPERATOR_NAMESPACE, "logs", "-l", OPERATOR, "--tail=15", "--prefix"
            ),
        }
        return "\n".join(f"--- {title}\n{text.strip()}" for title, text in parts.items())


def _try(kubectl: Callable[..., str], *words: str) -> str:
    try:
        return kubectl(*words)
    except ClusterError as error:
        return str(error)


@contextmanager
def place(cluster: Cluster, namespace: str, models: Models, label: str = "e2e") -> Iterator[Place]:
    """Make a namespace with its own copy of the bundles; its end is begun with the block's and not awaited.

    `label` says whose it is, as in `objects.namespace`.
    """
    directory = cluster.paths.live / "e2e" / namespace
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(models.directory, directory)
    own = Models(directory, models.rows, models.labels)

    def kubectl(*words: str) -> list[str]:
        return cluster.kubectl_command(*words)

    with ExitStack() as stack:
        mdep = stack.enter_context(recording(kubectl, "modeldeployments", namespace, NAME))
        route = stack.enter_context(recording(kubectl, "httproutes", namespace, NAME))
        made = Place(cluster, namespace, own, mdep, route)
        stack.callback(_clear, cluster, namespace, directory)
        cluster.kubectl("apply", "-f", "-", stdin=json.dumps(objects.namespace(namespace, label)))
        made.apply(*objects.storage(namespace, directory, label), objects.feedback_route(namespace, NAME, made.host))
        yield made


def _clear(cluster: Cluster, namespace: str, directory: Path) -> None:
    cluster.kubectl("delete", "namespace", namespace, "--wait=false", "--ignore-not-found")
    cluster.kubectl("delete", "persistentvolume", "-l", f"{objects.PLACE_LABEL}={namespace}", "--wait=false")
    shutil.rmtree(directory, ignore_errors=True)


def failed(counted: Snapshot, *, but: str = "") -> int:
    """Requests that got no good answer, those of one revision left out."""
    return counted.failures - (counted.arm(but).failures if but else 0)


def in_words(counted: Snapshot) -> str:
    """The callers' own count, for a failure's message."""
    arms = {revision: (arm.requests, arm.failures) for revision, arm in counted.arms.items()}
    return f"requests and failures by revision: {arms}; the latest troubles: {counted.troubles}"

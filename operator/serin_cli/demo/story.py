"""The story that the demo tells: v1 serves, v2 is better and goes live, v3 is spoiled and is taken back."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from serin_cli.cluster.access import Cluster
from serin_cli.demo import storage
from serin_cli.demo.counts import Snapshot
from serin_cli.demo.kube import NAME, NAMESPACE, Kube, Watch
from serin_cli.demo.load import Load, LoadError
from serin_cli.demo.models import Prepared, prepare
from serin_cli.demo.screen import Screen
from serin_cli.demo.state import State, read_state
from serin_cli.demo.summary import Promotion, Recorder, Rollback, Summary

HOST = "digits.example.com"
MANIFEST = "digits.yaml"
FIRST_URI = "digits/1"
LOOK_SECONDS = 0.25
CALM_SECONDS = 5.0
"""Time before v3 comes and after it has gone, in which every answer must be good as well."""

Test = Callable[[State], bool]


def busy() -> str:
    """How busy this machine is, in words; empty where it has processors to spare."""
    waiting, processors = os.getloadavg()[0], os.cpu_count() or 1
    return f"load average {waiting:.0f} on {processors} processors" if waiting > 2 * processors else ""


class DemoError(Exception):
    """The story took another turn; the message says which, and what the cluster shows."""


@dataclass(frozen=True)
class Wishes:
    """What the user asked for."""

    rate: float
    seed: int
    timeout: float
    """Seconds that a chapter may take."""


@dataclass
class Story:
    """One telling; its fields fill as it goes on, so that a summary can be made wherever it stops."""

    cluster: Cluster
    examples: Path
    screen: Screen
    wishes: Wishes
    recorder: Recorder = field(default_factory=Recorder)
    names: dict[str, str] = field(default_factory=dict)
    prepared: Prepared | None = None
    load: Load | None = None
    counted: Snapshot = field(default_factory=Snapshot)
    applied: int = 0
    """Generation of the spec that was applied last."""
    promotion: Promotion | None = None
    rollback: Rollback | None = None
    stopped: str = ""

    def __post_init__(self) -> None:
        """Give the story its kubectl."""
        self.kube = Kube(self.cluster, self.screen.command)

    def tell(self) -> Summary:
        """Tell all of it, or as much as there is; the summary says how far it came."""
        began = time.monotonic()
        try:
            self._prepare()
            with self.kube.watch() as watch:
                self._serve(watch)
                self._improve(watch)
                self._spoil(watch)
        except (DemoError, LoadError) as error:
            self.stopped = str(error)
        finally:
            self.screen.rest()
            if self.load is not None:
                self.counted = self.load.stop()
        return Summary(
            models=self.prepared.models if self.prepared else (),
            revisions={int(name[1:]): revision for revision, name in self.names.items()},
            promotion=self.promotion,
            rollback=self.rollback,
            shares=tuple(self.recorder.shares),
            counted=self.counted,
            seconds=time.monotonic() - began,
            stopped=self.stopped,
            busy=busy(),
        )

    def clear(self) -> None:
        """Delete all that the demo made on the cluster."""
        self.kube.run("delete", "namespace", NAMESPACE, "--ignore-not-found", timeout=180.0)
        self.kube.run("delete", "persistentvolume", "demo-models", "--ignore-not-found")

    def _prepare(self) -> None:
        """Train, put the bundles where pods can read them, apply all but the model."""
        if words := busy():
            self.screen.say(f"This machine is busy ({words}): requests may get no answer in time for that alone.")
        if self.kube.exists():
            self.screen.chapter("An earlier demo is there; its deployment goes first.")
            removal = ["delete", "modeldeployment", NAME, "-n", NAMESPACE, "--cascade=foreground", "--timeout=120s"]
            self.kube.run(*removal, timeout=130.0)
        self.screen.chapter("Train three models of handwritten digits on real scans and package them")
        place = storage.prepare_place(self.cluster)
        self.prepared = prepare(place.local)
        place.publish()
        for model in self.prepared.models:
            self.screen.say(
                f"  v{model.version}  {model.what}: {model.offline:.1%} right by its own measure, out of fold"
            )
        self.screen.chapter("The namespace, the volume with the bundles, and a route for labels")
        self._apply("namespace.yaml")
        manifest = storage.manifest((self.examples / "storage.yaml").read_text(), place)
        shown = (
            f"sed 's#{storage.EXAMPLE_PATH}#{place.on_node}#' examples/storage.yaml | kubectl apply --server-side -f -"
        )
        self.kube.run("apply", "--server-side", "-f", "-", stdin=manifest, shown=shown)
        self._apply("feedback-route.yaml")

    def _serve(self, watch: Watch) -> None:
        """v1, with nothing to compare it to, serves as soon as it answers its golden rows right."""
        assert self.prepared is not None
        self.screen.chapter("v1: the first model. There is nothing to compare it with, so it serves at once.")
        self._apply(MANIFEST)
        self.applied = self.kube.generation()
        self._wait(watch, 1, "v1 starts", lambda state: state.promoted and state.phase == "Stable")
        self._wait(watch, 1, "the gateway takes the routes", lambda _: self.kube.route_stands())
        url = self.cluster.gateway_url
        wrap = None
        if self.cluster.mode == "netns":
            url, wrap = self.cluster.gateway_url_inside, self.cluster.inside_command
        self.screen.chapter(
            f"Load: {self.wishes.rate:g} requests a second through the gateway; the true label of each comes "
            "1 to 3 s later (2 s on average)."
        )
        self.load = Load(
            url,
            HOST,
            self.prepared.rows,
            self.prepared.labels,
            self.wishes.rate,
            model=NAME,
            seed=self.wishes.seed,
            wrap=wrap,
        ).start()
        self._calm(watch, 1)

    def _improve(self, watch: Watch) -> None:
        """v2 is better; every gate must say so before it has all the traffic."""
        self.screen.chapter("v2: a better model. One line of the manifest changes; the rest is Serin's.")
        applied = time.time()
        labels = self._trial(watch, 2, lambda state: state.promoted and state.phase == "Stable")
        revision = self._revision(2)
        first = self.counted.arm(revision).first_at or applied
        self.promotion = Promotion(revision, time.time() - applied, time.time() - first, labels)
        self._calm(watch, 2)

    def _spoil(self, watch: Watch) -> None:
        """v3 looks as good as v2 to those who trained it; only live labels show that it is not."""
        self.screen.chapter("v3: it looks as good as v2 to those who trained it. Callers will meet something else.")
        before = read_state(watch.document).rollback_from

        def taken_back(state: State) -> bool:
            new = state.rollback_from not in (None, before)
            return new and state.phase == "RolledBack" and state.candidate is None

        labels = self._trial(watch, 3, taken_back)
        self._calm(watch, 3)
        state, revision = read_state(watch.document), self._revision(3)
        arm = self.counted.arm(revision)
        self.rollback = Rollback(
            revision=revision,
            to=state.rollback_to or "",
            gate=state.rollback_gate,
            evidence=state.evidence,
            seconds=arm.last_at - arm.first_at,
            requests=arm.requests,
            wrong=arm.requests - arm.failures - arm.correct,
            labels=labels,
        )

    def _trial(self, watch: Watch, version: int, end: Test) -> int:
        """Apply a version and wait for the end of its trial; return the labels its accuracy rests on."""
        uri = f"digits/{version}"
        manifest = (self.examples / MANIFEST).read_text().replace(FIRST_URI, uri)
        shown = f"sed 's#{FIRST_URI}#{uri}#' examples/{MANIFEST} | kubectl apply --server-side -f -"
        self.kube.run("apply", "--server-side", "-f", "-", stdin=manifest, shown=shown)
        self.applied = self.kube.generation()
        self._wait(watch, version, f"v{version} on trial", end)
        # What the gates said last stays in status after the trial; a watch may miss what lasted a moment only.
        return read_state(watch.document).samples("accuracy")

    def _apply(self, file: str) -> None:
        path = str(self.examples / file)
        self.kube.run("apply", "--server-side", "-f", path, shown=f"kubectl apply --server-side -f examples/{file}")

    def _revision(self, version: int) -> str:
        return next((revision for revision, name in self.names.items() if name == f"v{version}"), "")

    def _calm(self, watch: Watch, version: int) -> None:
        limit = time.monotonic() + CALM_SECONDS
        self._wait(watch, version, "a calm moment", lambda _: time.monotonic() > limit, settled=False)

    def _wait(self, watch: Watch, version: int, title: str, end: Test, *, settled: bool = True) -> None:
        """Show what goes on until the test holds for a status that speaks of the latest spec."""
        limit = time.monotonic() + self.wishes.timeout
        while True:
            state = read_state(watch.document, self.applied)
            self._note(state, version)
            self.screen.look(title, state, self.counted, self.names)
            if state.current and end(state):
                return
            if settled:
                self._object(state, version, title)
            if time.monotonic() > limit:
                self._fail(state, f"{title}: not within {self.wishes.timeout:.0f} s")
            time.sleep(LOOK_SECONDS)

    def _note(self, state: State, version: int) -> None:
        revision = state.candidate or (state.stable if state.promoted else None)
        if state.current and revision is not None:
            self.names.setdefault(revision, f"v{version}")
        if self.load is not None:
            self.counted = self.load.snapshot()
            self.recorder.look(version, state, self.counted)

    def _object(self, state: State, version: int, title: str) -> None:
        """Stop at an end that the story does not have, rather than wait for the time to run out."""
        if not state.current:
            return
        if state.phase in ("Failed", "Paused"):
            self._fail(state, f"{title}: the deployment is {state.phase}")
        if version == 2 and state.phase == "RolledBack":
            self._fail(state, "v2 was rolled back, and it should not have been")
        if version == 3 and state.promoted:
            self._fail(state, "v3 was promoted, and it should not have been")

    def _fail(self, state: State, why: str) -> None:
        self.screen.rest()
        message = state.message or "(the operator has not written a status: does it run?)"
        raise DemoError(f"{why}.\nstatus.message: {message}\n\n{self.kube.diagnosis()}")

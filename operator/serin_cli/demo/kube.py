"""kubectl for the demo: each command that changes something is shown, the deployment is watched as it changes."""

from __future__ import annotations

import json
import shlex
import subprocess
import threading
from collections.abc import Callable
from typing import Any, Self

from serin_cli.cluster.access import Cluster
from serin_cli.cluster.errors import ClusterError

NAMESPACE = "demo"
NAME = "digits"
OPERATOR_NAMESPACE = "serin-system"

Show = Callable[[str], None]


class Kube:
    """Runs kubectl on one cluster and shows what it runs."""

    def __init__(self, cluster: Cluster, show: Show) -> None:
        self._cluster = cluster
        self._show = show

    def run(self, *words: str, shown: str | None = None, stdin: str | None = None, timeout: float = 60.0) -> str:
        """Show the command, run it and return what it printed; `shown` is for one that reads from a pipe.

        Raises:
            ClusterError: it failed; the message is kubectl's own.
        """
        self._show(shown or shlex.join(["kubectl", *words]))
        return self._cluster.kubectl(*words, stdin=stdin, timeout=timeout)

    def ask(self, *words: str, otherwise: str = "") -> str:
        """Run a command that only reads, unseen; its failure gives `otherwise`."""
        try:
            return self._cluster.kubectl(*words, timeout=20.0)
        except ClusterError:
            return otherwise

    def exists(self) -> bool:
        """Whether the ModelDeployment is there already."""
        return bool(self.ask("get", "modeldeployment", NAME, "-n", NAMESPACE, "-o", "name", "--ignore-not-found"))

    def generation(self) -> int:
        """The generation of the deployment's spec as it stands."""
        wanted = ["modeldeployment", NAME, "-n", NAMESPACE, "-o", "jsonpath={.metadata.generation}"]
        return int(self.ask("get", *wanted, otherwise="0") or 0)

    def route_stands(self) -> bool:
        """Whether the gateway has taken both routes, Serin's own and the one for feedback."""
        routes = json.loads(self.ask("get", "httproutes", "-n", NAMESPACE, "-o", "json", otherwise='{"items": []}'))
        taken = {route["metadata"]["name"] for route in routes["items"] if is_taken(route)}
        return {NAME, f"{NAME}-feedback"} <= taken

    def diagnosis(self) -> str:
        """What a person would look at first when the demo does not go on: pods, events, the operator's log."""
        events = ["get", "events", "-n", NAMESPACE, "--sort-by=.lastTimestamp"]
        logs = ["logs", "-n", OPERATOR_NAMESPACE, "-l", "app.kubernetes.io/name=serin", "--tail=500", "--prefix=false"]
        ours = [line for line in self.ask(*logs).splitlines() if concerns_demo(line)]
        parts = {
            "Pods": self.ask("get", "pods", "-n", NAMESPACE),
            "Last events": "\n".join(self.ask(*events).splitlines()[-12:]),
            "The operator's log": "\n".join(ours[-12:]),
        }
        return "\n\n".join(f"{title}:\n{text.strip() or '(nothing)'}" for title, text in parts.items())

    def watch(self) -> Watch:
        """Begin to watch the ModelDeployment."""
        words = ["get", "modeldeployment", NAME, "-n", NAMESPACE, "--watch", "-o", 'jsonpath={@}{"\\n"}']
        return Watch(self._cluster.kubectl_command(*words))


class Watch:
    """Keeps the latest state of one object; a watch that ends is begun again.

    One kubectl that stays costs far less than one a second on a machine that carries the whole cluster.
    """

    def __init__(self, command: list[str]) -> None:
        self._command = command
        self._document: dict[str, Any] = {}
        self._stopped = threading.Event()
        self._process: subprocess.Popen[str] | None = None
        self._thread = threading.Thread(target=self._follow, daemon=True)

    @property
    def document(self) -> dict[str, Any]:
        """The object as last seen; empty before that."""
        return self._document

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        while self._thread.is_alive():
            # Again and again, because the watch may just have been begun anew.
            if self._process is not None:
                self._process.terminate()
            self._thread.join(0.2)

    def _follow(self) -> None:
        while not self._stopped.is_set():
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
            with self._process as process:
                for line in process.stdout or ():
                    self._take(line)
            self._stopped.wait(1.0)

    def _take(self, line: str) -> None:
        # A line cut off by the end of the process is no object; the next watch brings it whole.
        try:
            self._document = json.loads(line)
        except json.JSONDecodeError:
            return


def concerns_demo(line: str) -> bool:
    """Whether a line of the operator's log is of this deployment or of no deployment at all."""
    return f'"{NAMESPACE}/{NAME}"' in line or '"object"' not in line


def is_taken(route: dict[str, Any]) -> bool:
    """Whether every Gateway that the route names has accepted it and found its Services."""
    parents = route.get("status", {}).get("parents") or ()
    wanted = {"Accepted", "ResolvedRefs"}
    return bool(parents) and all(
        wanted <= {entry["type"] for entry in parent.get("conditions", ()) if entry["status"] == "True"}
        for parent in parents
    )

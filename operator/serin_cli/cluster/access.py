"""A cluster that `up` made, for programs that use it: where it answers and how to run things in it."""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from serin_cli.cluster import addresses
from serin_cli.cluster.choose import Mode
from serin_cli.cluster.errors import ClusterError
from serin_cli.cluster.namespaces import inside, run_inside
from serin_cli.cluster.paths import DEFAULT_NAME, Paths, paths_for
from serin_cli.cluster.processes import ProcessRef, read_references
from serin_cli.cluster.run import run


@dataclass(frozen=True)
class Cluster:
    """A running cluster; `gateway_port` is 0 where no port of this machine leads to the gateway."""

    name: str
    mode: Mode
    reason: str
    kubeconfig: str
    context: str
    kubectl_program: str
    helm_program: str
    api_port: int = 0
    gateway_port: int = 0
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def paths(self) -> Paths:
        """Where this cluster's files lie."""
        return paths_for(self.name)

    @property
    def gateway_url(self) -> str:
        """The gateway's address for programs on this machine; raise ClusterError if it has none."""
        if not self.gateway_port:
            raise ClusterError(
                "This cluster's gateway has no port on this machine. Forward one: "
                "kubectl -n serin-gateway port-forward service/traefik 8000:8000"
            )
        return f"http://{addresses.HOST}:{self.gateway_port}"

    @property
    def gateway_url_inside(self) -> str:
        """The gateway's address for pods and for programs started by `run_inside`: its Service."""
        where = ["-n", "serin-gateway", "get", "service", "traefik", "-o", "jsonpath={.spec.clusterIP}"]
        return f"http://{self.kubectl(*where)}:{addresses.GATEWAY_PORT}"

    def kubectl_command(self, *words: str) -> list[str]:
        """Return the kubectl command for this cluster."""
        return [self.kubectl_program, f"--kubeconfig={self.kubeconfig}", f"--context={self.context}", *words]

    def kubectl(self, *words: str, stdin: str | None = None, timeout: float = 60.0) -> str:
        """Run kubectl on this cluster and return what it printed; raise ClusterError if it fails."""
        return run(self.kubectl_command(*words), stdin=stdin, timeout=timeout)

    def environment(self) -> dict[str, str]:
        """Return the variables with which kubectl and helm find this cluster and themselves."""
        programs = {str(Path(self.kubectl_program).parent), str(Path(self.helm_program).parent)}
        return {
            "KUBECONFIG": self.kubeconfig,
            "PATH": os.pathsep.join([*sorted(programs), os.environ.get("PATH", "")]),
        }

    def supervisor(self) -> ProcessRef:
        """Return the process that holds the cluster's network; raise ClusterError if it has none."""
        if self.mode != "netns":
            raise ClusterError("Only a cluster of --mode netns has a network that programs can enter.")
        found = read_references(self.paths.processes).get("supervisor")
        if found is None:
            raise ClusterError("The cluster does not run. Start it with: serin cluster up")
        return found

    def inside_command(self, argv: Sequence[str | Path]) -> list[str]:
        """Return the command that runs `argv` in the cluster's own network, among pods and Services."""
        return inside(self.supervisor(), argv)

    def run_inside(self, argv: Sequence[str | Path], *, timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run `argv` in the cluster's own network and return what it printed, however it ended."""
        return run_inside(self.supervisor(), argv, timeout=timeout)

    def save(self) -> None:
        """Record the cluster for later commands."""
        self.paths.record.parent.mkdir(parents=True, exist_ok=True)
        self.paths.record.write_text(json.dumps(asdict(self), indent=2))


def load(name: str = DEFAULT_NAME) -> Cluster:
    """Return the cluster called `name`; raise ClusterError if `up` has not made it."""
    try:
        return Cluster(**json.loads(paths_for(name).record.read_text()))
    except FileNotFoundError as error:
        raise ClusterError(f"There is no cluster {name!r}. Start it with: serin cluster up") from error

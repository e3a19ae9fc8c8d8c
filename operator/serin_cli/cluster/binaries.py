"""Build the cluster's programs from pinned Go modules into the cache, each module once per content."""

import hashlib
import json
import os
import platform
import subprocess
import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from serin_cli.cluster.errors import ClusterError
from serin_cli.cluster.paths import Paths
from serin_cli.cluster.progress import Progress, Stage
from serin_cli.cluster.run import run
from serin_cli.cluster.toolchain import go_program

TOOLS = Path(__file__).parent / "tools"
BUILD_TIMEOUT_SECONDS = 3 * 3600.0
KUBERNETES_VERSION = "v1.37.2"
TRAEFIK_VERSION = "v3.6.7"
HELM_VERSION = "v4.3.1"
COREDNS_VERSION = "v1.15.0"
METRICS_SERVER_VERSION = "v0.9.0"
FLAGGER_VERSION = "v1.44.0"
GATEWAY_API_VERSION = "v1.4.0"
_COMPONENT = "k8s.io/component-base/version"


@dataclass(frozen=True)
class Module:
    """A pinned Go module under `tools/` and what is built from it."""

    name: str
    title: str
    packages: tuple[str, ...]
    ldflags: str = "-s -w"

    @property
    def directory(self) -> Path:
        """Where its go.mod lies."""
        return TOOLS / self.name

    @property
    def programs(self) -> tuple[str, ...]:
        """The names of the programs that its packages become."""
        return tuple(self.name if package == "." else package.rpartition("/")[2] for package in self.packages)


# Without its version a server reports v0.0.0, and clients misjudge what it can do.
KUBERNETES = Module(
    "kubernetes",
    f"Kubernetes {KUBERNETES_VERSION}",
    tuple(
        f"k8s.io/kubernetes/cmd/{program}"
        for program in (
            "kube-apiserver",
            "kube-controller-manager",
            "kube-scheduler",
            "kube-proxy",
            "kubelet",
            "kubectl",
        )
    ),
    f"-s -w -X {_COMPONENT}.gitVersion={KUBERNETES_VERSION} -X {_COMPONENT}.gitMajor=1 -X {_COMPONENT}.gitMinor=37",
)
TRAEFIK = Module(
    "traefik",
    f"Traefik {TRAEFIK_VERSION}",
    ("github.com/traefik/traefik/v3/cmd/traefik",),
    f"-s -w -X github.com/traefik/traefik/v3/pkg/version.Version={TRAEFIK_VERSION.removeprefix('v')}",
)
HELM = Module(
    "helm",
    f"Helm {HELM_VERSION}",
    ("helm.sh/helm/v4/cmd/helm",),
    f"-s -w -X helm.sh/helm/v4/internal/version.version={HELM_VERSION}",
)
COREDNS = Module("coredns", f"CoreDNS {COREDNS_VERSION}", ("github.com/coredns/coredns",))
METRICS_SERVER = Module(
    "metrics-server",
    f"metrics-server {METRICS_SERVER_VERSION}",
    ("sigs.k8s.io/metrics-server/cmd/metrics-server",),
    f"-s -w -X k8s.io/client-go/pkg/version.gitVersion={METRICS_SERVER_VERSION}",
)
# A peer to measure beside; no `up` builds it.
FLAGGER = Module("flagger", f"Flagger {FLAGGER_VERSION}", ("github.com/fluxcd/flagger/cmd/flagger",))
PAUSE = Module("pause", "pause", (".",))

# Set in full, so that nothing a user exports changes what is built.
GO_ENVIRONMENT = {
    "CGO_ENABLED": "0",
    "GO111MODULE": "on",
    "GOFLAGS": "-mod=readonly",
    "GOTOOLCHAIN": "local",
    "GOWORK": "off",
}


def content_key(module: Module, machine: str) -> str:
    """Return a short hash of all that decides the built programs, `machine` being the processor's kind."""
    digest = hashlib.sha256()
    for path in sorted(module.directory.iterdir()):
        digest.update(f"{path.name}\0".encode() + path.read_bytes() + b"\0")
    digest.update(json.dumps([module.packages, module.ldflags, GO_ENVIRONMENT, machine]).encode())
    return digest.hexdigest()[:16]


def built(module: Module, paths: Paths) -> Path:
    """Return the directory of the module's programs, whether they are built yet or not."""
    return paths.binaries / f"{module.name}-{content_key(module, platform.machine())}"


def program(module: Module, name: str, paths: Paths) -> Path:
    """Return where the program `name` of `module` lies; raise ClusterError if it was not built yet."""
    path = built(module, paths) / name
    if not path.exists():
        raise ClusterError(f"{name} was not built yet. Run: serin cluster up")
    return path


def build(module: Module, paths: Paths, progress: Progress) -> Path:
    """Build the module's programs unless the cache has them, and return their directory."""
    target = built(module, paths)
    if all((target / name).exists() for name in module.programs):
        return target
    go = go_program(paths.cache, progress)
    draft = target.with_suffix(f".{os.getpid()}.draft")
    draft.mkdir(parents=True, exist_ok=True)
    with progress.stage(f"Build {module.title}") as stage:
        stage.say("reading modules")
        _compile(go, module, draft, stage)
        for name in module.programs:
            target.mkdir(parents=True, exist_ok=True)
            (draft / name).replace(target / name)
        draft.rmdir()
        stage.finish(", ".join(module.programs))
    return target


def gateway_definitions(paths: Paths, progress: Progress) -> Path:
    """Return a directory with the Gateway API's standard definitions, copied into the cache."""
    target = paths.cache / "gateway-api" / GATEWAY_API_VERSION
    if any(target.glob("*.yaml")):
        return target
    source = module_source(TRAEFIK, "sigs.k8s.io/gateway-api", paths, progress)
    with progress.stage(f"Gateway API {GATEWAY_API_VERSION} definitions"):
        target.mkdir(parents=True, exist_ok=True)
        for path in sorted((source / "config/crd/standard").glob("gateway.networking.k8s.io_*.yaml")):
            (target / path.name).write_bytes(path.read_bytes())
    return target


def module_source(module: Module, path: str, paths: Paths, progress: Progress) -> Path:
    """Return the files of the Go module `path` in the version that `module` pins; they are read-only."""
    go = go_program(paths.cache, progress)
    run([go, "mod", "download", path], cwd=module.directory, env=GO_ENVIRONMENT, timeout=600)
    asked: list[str | Path] = [go, "list", "-m", "-f", "{{.Dir}}", path]
    return Path(run(asked, cwd=module.directory, env=GO_ENVIRONMENT).strip())


def _compile(go: Path, module: Module, target: Path, stage: Stage) -> None:
    """Run the compiler, showing how many packages it has done and the one it is at."""
    argv = [str(go), "build", "-v", "-trimpath", "-buildvcs=false", "-ldflags", module.ldflags]
    argv += ["-o", f"{target}/{module.name}" if module.packages == (".",) else f"{target}/", *module.packages]
    said: deque[str] = deque(maxlen=30)
    with subprocess.Popen(
        argv,
        cwd=module.directory,
        env={**os.environ, **GO_ENVIRONMENT},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        limit = threading.Timer(BUILD_TIMEOUT_SECONDS, process.kill)
        limit.start()
        try:
            assert process.stderr is not None
            for count, line in enumerate(process.stderr, start=1):
                said.append(line.rstrip())
                stage.say(f"{count} packages so far, now {line.strip()[:60]}")
        except BaseException:
            process.kill()
            raise
        finally:
            limit.cancel()
    if process.returncode != 0:
        raise ClusterError(f"Building {module.title} failed:\n" + "\n".join(said))

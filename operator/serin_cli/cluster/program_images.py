"""Images with nothing in them but one program that was built here, for namespace clusters."""

from serin_cli.cluster import binaries
from serin_cli.cluster.images import DOCKERFILES, Image, ensure_in_containerd
from serin_cli.cluster.node_config import PAUSE_IMAGE
from serin_cli.cluster.paths import Paths
from serin_cli.cluster.progress import Progress

# Some take the public image's name, as they stand in for it: one manifest serves every kind of cluster.
TAGS = {
    "pause": PAUSE_IMAGE,
    "traefik": f"docker.io/library/traefik:{binaries.TRAEFIK_VERSION}",
    "coredns": f"localhost/serin-coredns:{binaries.COREDNS_VERSION}",
    "metrics-server": f"registry.k8s.io/metrics-server/metrics-server:{binaries.METRICS_SERVER_VERSION}",
    "flagger": f"ghcr.io/fluxcd/flagger:{binaries.FLAGGER_VERSION.removeprefix('v')}",
}


def program_image(module: binaries.Module, paths: Paths) -> Image:
    """Return the image of a module that is a single program."""
    program = binaries.program(module, module.name, paths)
    return Image(TAGS[module.name], DOCKERFILES / f"{module.name}.Dockerfile", program.parent, (program,))


def ensure_program_image(module: binaries.Module, paths: Paths, progress: Progress) -> None:
    """Build the program and its image and bring it into containerd, each unless it is there."""
    binaries.build(module, paths, progress)
    ensure_in_containerd(paths, program_image(module, paths), progress)

"""The system's own programs that a namespace cluster needs, installed from Debian when they are missing."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from serin_cli.cluster.errors import NotPossibleHere
from serin_cli.cluster.progress import Progress
from serin_cli.cluster.run import run

PLUGIN_DIRECTORIES = ("/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni")
_SYSTEM_DIRECTORIES = "/usr/sbin:/sbin:/usr/bin:/bin:/usr/local/sbin:/usr/local/bin"

# Program to Debian package. A program is looked for, not a package: any other way to have it is as good.
NEEDED = {
    "etcd": "etcd-server",
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "buildah": "buildah",
    "ip": "iproute2",
    "mmdebstrap": "mmdebstrap",
    "nft": "nftables",
    "openssl": "openssl",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "setsid": "util-linux",
}
# What only benches need, likewise.
FOR_BENCHES = {"prometheus": "prometheus"}
POLICY = Path("/usr/sbin/policy-rc.d")


def find(program: str) -> str | None:
    """Return the path of a system program, also from directories that a user's PATH may lack."""
    return shutil.which(program) or shutil.which(program, path=_SYSTEM_DIRECTORIES)


def plugin_directory() -> Path | None:
    """Return where the container network plugins lie, or None."""
    for directory in PLUGIN_DIRECTORIES:
        if (Path(directory) / "ptp").exists() and (Path(directory) / "host-local").exists():
            return Path(directory)
    return None


def missing() -> list[str]:
    """Return the Debian packages whose programs this machine lacks."""
    wanted = {package for program, package in NEEDED.items() if find(program) is None}
    if plugin_directory() is None:
        wanted.add("containernetworking-plugins")
    return sorted(wanted)


def install_missing(progress: Progress) -> None:
    """Install what is missing with apt; raise NotPossibleHere where there is no apt."""
    _install(missing(), progress, ", or install kind and a container engine: serin cluster up --mode kind")
    left = missing()
    if left:
        raise NotPossibleHere(f"After the installation these packages' programs are still missing: {left}.")


def ensure_for_bench(program: str, progress: Progress) -> str:
    """Return the path of a program of FOR_BENCHES, installed first where it is missing.

    Raises NotPossibleHere where there is no apt, or where the package does not bring the program.
    """
    if find(program) is None:
        _install([FOR_BENCHES[program]], progress)
    found = find(program)
    if found is None:
        raise NotPossibleHere(f"The package {FOR_BENCHES[program]} was installed, but brought no program {program}.")
    return found


def _install(wanted: list[str], progress: Progress, otherwise: str = "") -> None:
    if not wanted:
        return
    if shutil.which("apt-get") is None:
        raise NotPossibleHere(
            f"This machine lacks programs of the Debian packages {' '.join(wanted)}, and has no apt-get. "
            f"Install them its own way{otherwise}"
        )
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    with progress.stage(f"Install Debian packages {' '.join(wanted)}") as stage, services_stay_off():
        stage.say("apt-get update")
        run(["apt-get", "update", "-q"], timeout=600, env=quiet)
        stage.say("apt-get install")
        run(["apt-get", "install", "-y", "-q", "--no-install-recommends", *wanted], timeout=1800, env=quiet)


@contextmanager
def services_stay_off(policy: Path = POLICY) -> Iterator[None]:
    """Keep apt from starting services of what it installs: the cluster runs its own."""
    if policy.exists():
        # Somebody has a policy for this machine already, and a file of theirs is not ours to change.
        yield
        return
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    try:
        yield
    finally:
        policy.unlink(missing_ok=True)

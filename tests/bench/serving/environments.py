"""An environment for each peer, made once by uv in the cache directory."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
from pathlib import Path

from serin_cli.cluster.paths import cache_root

INSTALL_SECONDS_MAX = 600


def cache() -> Path:
    """Where environments are kept."""
    return cache_root() / "bench"


def python(name: str, requirements: list[str]) -> Path:
    """The interpreter of an environment with these requirements and this one's scikit-learn, numpy and joblib.

    All load one joblib file, and a file of one scikit-learn need not load in another.
    """
    shared = ("scikit-learn", "numpy", "joblib")
    wanted = [*requirements, *(f"{library}=={importlib.metadata.version(library)}" for library in shared)]
    digest = hashlib.sha256("\n".join([sys.version, *wanted]).encode()).hexdigest()[:12]
    place = cache() / f"{name}-{digest}"
    ready = place / ".ready"
    interpreter = place / "bin" / "python"
    if not ready.exists():
        sys.stderr.write(f"Installing {name} into {place}\n")
        uv = _uv()
        _run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(place)])
        _run([uv, "pip", "install", "--quiet", "--python", str(interpreter), *wanted])
        ready.touch()
    return interpreter


def wrk() -> str:
    """The load generator; installed from Debian where it is missing and that is allowed.

    Raises:
        SystemExit: it is missing and cannot be installed.
    """
    found = shutil.which("wrk")
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        sys.stderr.write("Installing wrk\n")
        _run(["apt-get", "install", "-y", "-qq", "wrk"])
        found = shutil.which("wrk")
    if found is None:
        raise SystemExit("wrk is missing: install it (on Debian `apt-get install wrk`) and run this again")
    return found


def _uv() -> str:
    kept = sorted((cache().parent / "tools").glob("uv-*/bin/uv"))
    found = str(kept[-1]) if kept else shutil.which("uv")
    if found is None:
        raise SystemExit("uv is missing: run `make setup` first")
    return found


def _run(command: list[str]) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=INSTALL_SECONDS_MAX)
    if done.returncode:
        raise SystemExit(f"{' '.join(command[:4])} … failed:\n{done.stdout.decode(errors='replace')[-2000:]}")

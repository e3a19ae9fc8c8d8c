"""The chart as Helm renders it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.support.api_server import find_program

CHART = Path(__file__).parents[2] / "charts" / "serin"
NAMESPACE = "serin-system"

Json = dict[str, Any]


class RenderError(Exception):
    """Helm refused the values; the text is its own."""


def render(*settings: str) -> list[Json]:
    """The manifests of a release called serin; each setting is `path=value` in JSON.

    Raises:
        RenderError: Helm refused.
    """
    return [manifest for manifest in yaml.load_all(rendered_text(*settings), yaml.CSafeLoader) if manifest]


def rendered_text(*settings: str) -> str:
    """The same as text, with its comments."""
    return helm("template", "serin", str(CHART), "--namespace", NAMESPACE, *_flags(settings))


def release(kubeconfig: Path, command: str, *words: str) -> str:
    """Run a Helm command on the release called serin in a cluster."""
    return helm(command, "serin", *words, "--namespace", NAMESPACE, f"--kubeconfig={kubeconfig}")


def helm(*words: str) -> str:
    """Run Helm and return what it printed.

    Raises:
        RenderError: Helm refused.
    """
    program = find_program("helm")
    assert program is not None
    done = subprocess.run([str(program), *words], capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        raise RenderError(done.stderr)
    return done.stdout


def _flags(settings: tuple[str, ...]) -> list[str]:
    return [word for setting in settings for word in ("--set-json", setting)]

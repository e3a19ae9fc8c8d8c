"""Choose the kind of cluster: kind where it works, a context only on request, else network namespaces."""

import os
import shutil
import sys
from dataclasses import dataclass
from typing import Literal

from serin_cli.cluster.errors import ClusterError, NotPossibleHere
from serin_cli.cluster.run import succeeds

Mode = Literal["kind", "netns", "context"]
ENGINES = ("docker", "podman")


@dataclass(frozen=True)
class Machine:
    """What the choice depends on."""

    kind: bool
    engine: str | None
    linux: bool
    root: bool


@dataclass(frozen=True)
class Choice:
    """A mode and the reason for it, as told to the user."""

    mode: Mode
    reason: str


def look() -> Machine:
    """Look at this machine; a container client without an engine behind it does not count."""
    engine = next((name for name in ENGINES if shutil.which(name) and succeeds([name, "info"])), None)
    kind = shutil.which("kind") is not None
    return Machine(kind=kind, engine=engine, linux=sys.platform == "linux", root=os.geteuid() == 0)


def choose(asked: str, context: str | None, machine: Machine) -> Choice:
    """Return the mode for what the user asked (`auto` or a mode).

    Raises NotPossibleHere, saying what to do, if this machine cannot; ClusterError if no context is named.
    """
    if asked == "context":
        if not context:
            raise ClusterError("--mode context needs the name of one: --context NAME (kubectl config get-contexts).")
        return Choice("context", f"context {context} was asked for")
    if context:
        raise ClusterError("--context only goes with --mode context; no context is ever used unasked.")
    if asked == "kind":
        return _kind(machine)
    if asked == "netns":
        _check_namespaces(machine)
        return Choice("netns", "network namespaces were asked for")
    if machine.kind and machine.engine:
        return Choice("kind", f"kind is installed and {machine.engine} answers")
    _check_namespaces(machine)
    return Choice("netns", f"{_why_not_kind(machine)}; a cluster is made in network namespaces instead")


def _kind(machine: Machine) -> Choice:
    if machine.kind and machine.engine:
        return Choice("kind", f"kind was asked for and {machine.engine} answers")
    raise NotPossibleHere(
        f"--mode kind: {_why_not_kind(machine)}. Install or start what is missing, or leave --mode out."
    )


def _why_not_kind(machine: Machine) -> str:
    if not machine.kind:
        return "kind is not installed"
    return "neither docker nor podman answers"


def _check_namespaces(machine: Machine) -> None:
    if machine.linux and machine.root:
        return
    lacks = "root" if machine.linux else "Linux"
    do = "run it again with sudo -E" if machine.linux else "use a Linux machine"
    raise NotPossibleHere(
        f"A cluster in network namespaces needs {lacks}, and {_why_not_kind(machine)}. "
        f"Either {do}, or install kind and start docker or podman, "
        "or point at a cluster you have: serin cluster up --mode context --context NAME"
    )

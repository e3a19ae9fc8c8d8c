"""Commands as a user types them, on the machine where the bundles are and at the cluster of the stories."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from tests.support.stories import Place

from serin_cli.cluster.run import run

ROOT = Path(__file__).parents[2]


def type_in(place: Place, line: str, directory: Path = ROOT, *, seconds: float = 60.0) -> str:
    """Run a line of a shell in a directory, with the place's namespace as the present one; returns what it printed.

    Raises:
        ClusterError: it failed; the text quotes the end of what it printed.
    """
    return run(["bash", "-euc", line], cwd=directory, env=_environment(place), timeout=seconds)


def commands_of(page: str, section: str) -> list[str]:
    """The lines of the first console block of a section of a page, by its heading."""
    text = (ROOT / "docs" / page).read_text().partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    found = re.search(r"```console\n(.*?)```", text, re.DOTALL)
    assert found is not None, f"docs/{page} has no commands under {section!r}"
    return found.group(1).replace("\\\n", " ").splitlines()


def _environment(place: Place) -> dict[str, str]:
    """Of the cluster, with our own programs on the path and a kubeconfig in which the namespace is the present one."""
    found = place.cluster.environment()
    own = place.models.directory.with_name(f"{place.namespace}.kubeconfig")
    own.touch(0o600)
    own.write_text(Path(found["KUBECONFIG"]).read_text())
    words = ["config", "set-context", "--current", f"--namespace={place.namespace}"]
    run([place.cluster.kubectl_program, f"--kubeconfig={own}", *words])
    path = os.pathsep.join([str(Path(sys.executable).parent), found["PATH"]])
    return {"KUBECONFIG": str(own), "PATH": path}

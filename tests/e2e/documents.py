"""JSON documents on the node, where the operator may read them for custom gates."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.stories import Place

from serin_cli.cluster import addresses

WHERE = "verdict-sources"
"""The place of all stories that serve documents: there is one port for them, so they are told one after the other."""
URL = f"http://{addresses.NODE}:{addresses.DOCUMENTS_PORT}/{{{{name}}}}.json"
"""Of the document of a deployment, as a custom gate writes it."""


@contextmanager
def documents(place: Place) -> Iterator[Path]:
    """A directory whose files are served."""
    room = place.models.directory / "documents"
    room.mkdir(exist_ok=True)
    serve = ["-m", "http.server", "--bind", addresses.NODE, "--directory", str(room), str(addresses.DOCUMENTS_PORT)]
    words = place.cluster.inside_command([sys.executable, *serve])
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield room
    finally:
        process.terminate()
        process.wait(10)

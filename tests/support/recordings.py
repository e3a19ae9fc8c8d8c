"""Objects as they change: every state that the API server told of, in order, for tests to look back on."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from serin_operator.runtime import httproute

Json = dict[str, Any]


@dataclass(frozen=True)
class Moment:
    """One state of the object, and when this machine heard of it."""

    at: float
    """Unix time in seconds."""
    object: Json

    @property
    def status(self) -> Json:
        found: Json = self.object.get("status") or {}
        return found

    @property
    def weights(self) -> dict[str, int]:
        """Of an HTTPRoute: percent by backend of the rule that splits callers' requests."""
        found = httproute.split(self.object)
        return dict(found.weights) if found is not None else {}


class Recording:
    """What a watch has told so far; a watch that ends is begun again."""

    def __init__(self, command: list[str]) -> None:
        self._command = command
        self._moments: list[Moment] = []
        self._ended = threading.Event()
        self._process: subprocess.Popen[str] | None = None
        self._thread = threading.Thread(target=self._follow, daemon=True)

    @property
    def moments(self) -> list[Moment]:
        """All states so far, the oldest first."""
        return list(self._moments)

    @property
    def latest(self) -> Json:
        """The object as last heard of; empty before it was."""
        return self._moments[-1].object if self._moments else {}

    def since(self, at: float) -> list[Moment]:
        """The states heard of since that Unix time, and the one that stood then."""
        moments = self.moments
        first = max((index for index, moment in enumerate(moments) if moment.at <= at), default=0)
        return moments[first:]

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        if self._process is not None:
            self._process.terminate()
        self._thread.join(5)

    def _follow(self) -> None:
        while not self._ended.is_set():
            with subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            ) as process:
                self._process = process
                for line in process.stdout or ():
                    self._take(line)
            self._ended.wait(0.5)

    def _take(self, line: str) -> None:
        try:
            document = json.loads(line)
        except json.JSONDecodeError:
            return  # cut off by the end of the process; the next watch tells it whole
        known = self._moments[-1].object["metadata"]["resourceVersion"] if self._moments else ""
        if document["metadata"]["resourceVersion"] != known:
            self._moments.append(Moment(time.time(), document))


@contextmanager
def recording(kubectl: Callable[..., list[str]], kind: str, namespace: str, name: str) -> Iterator[Recording]:
    """Record one object, which need not exist yet, for the length of the block.

    Args:
        kubectl: makes a command of kubectl's words.
        kind: plural of the resource, with its group where it needs one.
        namespace: where the object lies.
        name: of the object.
    """
    # A field selector also waits for an object that is not there yet; a name would end in an error.
    words = ["get", kind, "-n", namespace, f"--field-selector=metadata.name={name}", "--watch"]
    found = Recording(kubectl(*words, "-o", 'jsonpath={@}{"\\n"}'))
    found.start()
    try:
        yield found
    finally:
        found.stop()

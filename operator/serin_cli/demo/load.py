"""Start a load in a process of its own and read what it counts; the end-to-end tests use it too."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import IO, Self

import msgspec

from serin_cli.demo.counts import Arm, Snapshot
from serin_cli.demo.drive import READY_SECONDS, Change, Settings, Value

__all__ = ["Arm", "Load", "LoadError", "Snapshot"]

STOP_SECONDS = 30.0
DRIVER = "serin_cli.demo.drive"

Wrap = Callable[[list[str]], list[str]]


class LoadError(RuntimeError):
    """The load could not start or did not go on; the message is what its process said."""


class Load:
    """A load on one model through a gateway: rows drawn at random, true labels posted after a random delay.

    Use it as a context manager, or call start and stop. The counts are those of the callers: a request fails
    by any connection error, a time-out, or any answer but a 200 with a prediction id.
    """

    def __init__(
        self,
        url: str,
        host: str,
        rows: Sequence[Sequence[Value | None]],
        labels: Sequence[Value],
        rate: float = 200.0,
        *,
        model: str = "digits",
        label_delay: tuple[float, float] = (1.0, 3.0),
        wrong_label_delay: tuple[float, float] | None = None,
        label_share: float = 1.0,
        fresh_share: float = 0.1,
        datatype: str = "FP64",
        seed: int = 0,
        wrap: Wrap | None = None,
    ) -> None:
        """Describe the load; nothing is sent before start.

        Args:
            url: address of the gateway, http://<address>:<port>.
            host: host name that the route answers to.
            rows: rows to draw from, as JSON values.
            labels: the true label of each row.
            rate: requests a second on average, whether or not earlier ones were answered.
            model: name of the ModelDeployment.
            label_delay: a label is posted after a random time between these two, in seconds.
            wrong_label_delay: the same for predictions that were wrong, where their labels come at another time.
            label_share: share of the predictions whose label ever comes.
            fresh_share: share of the requests that open a connection of their own.
            datatype: of the columns, by the Open Inference Protocol.
            seed: the same seed draws the same rows and delays.
            wrap: makes of a command one that runs elsewhere, such as Cluster.inside_command.

        Raises:
            ValueError: there is no row, or not one label for each.
        """
        if not rows or len(rows) != len(labels):
            raise ValueError(f"a load needs rows and one label for each; got {len(rows)} and {len(labels)}")
        self._settings = Settings(
            url=url,
            host=host,
            model=model,
            rows=[list(row) for row in rows],
            labels=list(labels),
            rate=rate,
            label_delay=label_delay,
            wrong_label_delay=wrong_label_delay,
            label_share=label_share,
            fresh_share=fresh_share,
            datatype=datatype,
            seed=seed,
        )
        self._wrap = wrap or (lambda argv: argv)
        self._process: subprocess.Popen[bytes] | None = None
        self._snapshot = Snapshot()
        self._said: list[str] = []
        self._readers: list[threading.Thread] = []

    def start(self, timeout: float = READY_SECONDS + 10.0) -> Self:
        """Start to send, and return once the gateway leads to a model server.

        Raises:
            LoadError: it does not within `timeout` seconds, or the process ended.
        """
        command = self._wrap([sys.executable, "-m", DRIVER])
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            # An interrupt from the keyboard is for whoever started this; the last answers are still awaited.
            start_new_session=True,
        )
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._readers = [
            threading.Thread(target=self._read_counts, args=(self._process.stdout,), daemon=True),
            threading.Thread(target=self._read_words, args=(self._process.stderr,), daemon=True),
        ]
        for reader in self._readers:
            reader.start()
        self._write(msgspec.json.encode(self._settings))
        limit = time.monotonic() + timeout
        while not self._snapshot.ready:
            if self._process.poll() is not None or time.monotonic() > limit:
                self._process.kill()
                self._clean(self._process)
                raise LoadError(f"the load did not start: {self._words() or 'its process said nothing'}")
            time.sleep(0.05)
        return self

    def snapshot(self) -> Snapshot:
        """What has been counted up to half a second ago.

        Raises:
            LoadError: the process ended by itself.
        """
        if self._process is not None and self._process.poll() not in (None, 0):
            raise LoadError(f"the load ended by itself: {self._words()}")
        return self._snapshot

    def change(self, *, rate: float | None = None, label_share: float | None = None) -> None:
        """Send at another rate (0 pauses), or post labels for another share of the predictions, from now on."""
        self._write(msgspec.json.encode(Change(rate=rate, label_share=label_share)))

    def stop(self) -> Snapshot:
        """Send no more, wait for the last answers and labels, and return the final counts."""
        process = self._process
        if process is not None:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
            self._clean(process)
        return self._snapshot

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _write(self, line: bytes) -> None:
        assert self._process is not None, "the load has not been started"
        assert self._process.stdin is not None
        try:
            # An unbuffered pipe takes a part at a time.
            rest = memoryview(line + b"\n")
            while rest:
                rest = rest[self._process.stdin.write(rest) or 0 :]
        except BrokenPipeError:
            self._clean(self._process)
            raise LoadError(f"the load ended by itself: {self._words()}") from None

    def _read_counts(self, lines: IO[bytes]) -> None:
        for line in lines:
            self._snapshot = msgspec.json.decode(line, type=Snapshot)

    def _read_words(self, lines: IO[bytes]) -> None:
        for line in lines:
            self._said = [*self._said[-20:], line.decode(errors="replace").rstrip()]

    def _words(self) -> str:
        for reader in self._readers:
            reader.join(1.0)
        return "\n".join(self._said)

    def _clean(self, process: subprocess.Popen[bytes]) -> None:
        """Read what an ended process still said, and close what led to it."""
        process.wait()
        for reader in self._readers:
            reader.join(STOP_SECONDS)
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()

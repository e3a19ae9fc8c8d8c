"""Tell a person what goes on: one line per stage, elapsed seconds, and a table at the end."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table

HEARTBEAT_SECONDS = 15.0


@dataclass
class Stage:
    """A step that is under way; `say` tells its present detail."""

    title: str
    started: float = field(default_factory=time.monotonic)
    detail: str = ""
    result: str = ""

    def say(self, detail: str) -> None:
        """Show what the stage does now; shown in place on a terminal, every 15 s elsewhere."""
        self.detail = detail

    def finish(self, result: str) -> None:
        """Set the words that stand behind the stage once it is done, such as "already built"."""
        self.result = result

    @property
    def seconds(self) -> float:
        """How long the stage has taken so far."""
        return time.monotonic() - self.started

    def line(self) -> str:
        """Return the stage as it stands now, in one line."""
        detail = f": {self.detail}" if self.detail else ""
        return f"{self.title}{detail} [{self.seconds:.0f} s]"


class Progress:
    """Shows stages one after another and remembers how long each took."""

    def __init__(self, console: Console | None = None) -> None:
        # Standard error, so that what a command answers on standard output stays clean for a program.
        self.console = console or Console(stderr=True, highlight=False)
        self.done: list[tuple[str, float, str]] = []

    def note(self, text: str) -> None:
        """Say one thing that belongs to no stage."""
        self.console.print(text, markup=False, soft_wrap=True)

    @contextmanager
    def stage(self, title: str) -> Iterator[Stage]:
        """Show `title` with its elapsed seconds until the block ends."""
        stage = Stage(title)
        stop = threading.Event()
        ticker = threading.Thread(target=self._tick, args=(stage, stop), daemon=True)
        ticker.start()
        try:
            yield stage
        except BaseException:
            self._end(stage, stop, ticker)
            self.note(f"✗ {stage.title} [{stage.seconds:.1f} s]")
            raise
        self._end(stage, stop, ticker)
        self.done.append((stage.title, stage.seconds, stage.result))
        result = f": {stage.result}" if stage.result else ""
        self.note(f"✓ {stage.title}{result} [{stage.seconds:.1f} s]")

    def table(self, title: str) -> None:
        """Print how long every stage took."""
        table = Table(title=title, title_justify="left")
        table.add_column("stage")
        table.add_column("seconds", justify="right")
        table.add_column("result")
        for name, seconds, result in self.done:
            table.add_row(name, f"{seconds:.1f}", result)
        table.add_row("all", f"{sum(seconds for _, seconds, _ in self.done):.1f}", "", style="bold")
        self.console.print(table)

    def _tick(self, stage: Stage, stop: threading.Event) -> None:
        if not self.console.is_terminal:
            while not stop.wait(HEARTBEAT_SECONDS):
                self.note(f"… {stage.line()}")
            return
        with self.console.status(stage.line()) as status:
            while not stop.wait(0.2):
                status.update(stage.line())

    @staticmethod
    def _end(stage: Stage, stop: threading.Event, ticker: threading.Thread) -> None:
        stop.set()
        ticker.join()
        stage.detail = ""

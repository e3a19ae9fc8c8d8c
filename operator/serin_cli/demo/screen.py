"""Where the story is shown: drawn in place on a terminal, line by line in a pipe; always on standard error."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from serin_cli.demo import view
from serin_cli.demo.counts import Snapshot
from serin_cli.demo.state import State

LINE_SECONDS = 2.0
DRAW_SECONDS = 0.5
QUIET_SECONDS_MAX = 10.0
"""In a pipe a line comes at least this often, so that a log tells a wait from a hang."""


class Screen:
    """Shows what is said, run and seen."""

    def __init__(self, console: Console | None = None) -> None:
        # Standard output is for the summary, so that a program can read it.
        self.console = console or Console(stderr=True, highlight=False)
        self._live: Live | None = None
        self._shown: object = None
        self._shown_at = 0.0
        self._weights: list[int] = []

    def say(self, text: str) -> None:
        """One line of the story."""
        self.console.print(text, markup=False, soft_wrap=True)

    def chapter(self, text: str) -> None:
        """The heading of what comes next."""
        self.console.print(Text(f"\n{text}", style="bold"), soft_wrap=True)

    def command(self, text: str) -> None:
        """A command as it is run."""
        self.console.print(Text(f"$ {text}", style="bold cyan"), soft_wrap=True)

    def look(self, title: str, state: State, counted: Snapshot, names: dict[str, str]) -> None:
        """The newest state; drawn no more often than a person can read."""
        now = time.monotonic()
        since = now - self._shown_at
        if self.console.is_terminal:
            if since >= DRAW_SECONDS:
                self._shown_at = now
                self._weights.append(state.weight)
                self._draw(title, state, counted, names)
            return
        fresh = view.changed(state) != self._shown
        if (fresh and since >= LINE_SECONDS) or since >= QUIET_SECONDS_MAX:
            self._shown, self._shown_at = view.changed(state), now
            self.say(f"{time.strftime('%H:%M:%S')} {view.line(state, counted, names)}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.rest()

    def rest(self) -> None:
        """Leave what is drawn as it is; what is said next comes below."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _draw(self, title: str, state: State, counted: Snapshot, names: dict[str, str]) -> None:
        drawn = view.render(title, state, counted, names, self._weights)
        if self._live is None:
            self._live = Live(drawn, console=self.console, auto_refresh=False)
            self._live.start()
        self._live.update(drawn, refresh=True)

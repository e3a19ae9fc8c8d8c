"""One line for each record on standard error: JSON, or text for a person at a terminal. No line holds a payload."""

from __future__ import annotations

import logging
import sys
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TextIO

import orjson

LINES_PER_SECOND_MAX = 20
"""Of one kind. Whatever callers do, the log takes little time, and what is rare is not buried."""
_KINDS_MAX = 256


class LineLimit(logging.Filter):
    """Lets through so many records of a kind a second, and says with the next one how many it left out.

    A kind is a logger and its text before the values are put in.
    """

    def __init__(self, each_max: int = LINES_PER_SECOND_MAX, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._each_max = each_max
        self._clock = clock
        self._second = 0
        self._passed: dict[tuple[str, str], int] = {}
        self._left_out: dict[tuple[str, str], int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written."""
        second = int(self._clock())
        if second != self._second:
            self._second, self._passed = second, {}
        kind = record.name, str(record.msg)
        passed = self._passed.get(kind, 0)
        if passed >= self._each_max or (not passed and len(self._passed) >= _KINDS_MAX):
            if kind in self._left_out or len(self._left_out) < _KINDS_MAX:
                self._left_out[kind] = self._left_out.get(kind, 0) + 1
            return False
        self._passed[kind] = passed + 1
        left_out = self._left_out.pop(kind, 0)
        if left_out:
            record.fields = {**getattr(record, "fields", {}), "left_out": left_out}
        return True


class LineFormatter(logging.Formatter):
    """Formats a record as one line of JSON, an exception as its type and place."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update(_fields(record))
        return orjson.dumps(line, default=str).decode()


class TextFormatter(logging.Formatter):
    """Formats a record as one line of text: time, level, message and the fields as key=value."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        at = datetime.fromtimestamp(record.created).astimezone().isoformat(sep=" ", timespec="milliseconds")[11:23]
        fields = [f"{name}={value}" for name, value in _fields(record).items()]
        # A message must not look like two.
        return " ".join([at, record.levelname.lower(), record.getMessage(), *fields]).replace("\n", "\\n")


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields = dict(getattr(record, "fields", {}))
    if record.exc_info and record.exc_info[0] is not None:
        # The text of an exception may quote a caller's values; its type and place cannot.
        fields["exception"] = record.exc_info[0].__name__
        fields["at"] = [
            f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(record.exc_info[2])[-6:]
        ]
    return fields


def set_up(stream: TextIO | None = None) -> None:
    """Send every record of this process to the stream, standard error by default."""
    stream = sys.stderr if stream is None else stream
    handler = logging.StreamHandler(stream)
    handler.setFormatter(TextFormatter() if stream.isatty() else LineFormatter())
    handler.addFilter(LineLimit())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    # Its own start and stop lines say nothing that ours do not.
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)

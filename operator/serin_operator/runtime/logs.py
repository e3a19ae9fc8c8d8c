"""Logs: one JSON object or one line of text per record, with the object and the pass it belongs to.

Nothing here prints request bodies, manifests or keys, and no caller may hand them in.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Literal

_object: ContextVar[str] = ContextVar("serin_object", default="")
_reconcile_id: ContextVar[str] = ContextVar("serin_reconcile_id", default="")

# Kopf tells of each object and each stream at INFO, which buries what the operator itself did.
_LIBRARY_LEVELS = {"kopf": logging.WARNING, "aiohttp.access": logging.WARNING, "asyncio": logging.WARNING}


@contextmanager
def about(name: str, reconcile_id: str) -> Iterator[None]:
    """Every record inside the block, in this task and its children, names the object and the pass."""
    object_token, id_token = _object.set(name), _reconcile_id.set(reconcile_id)
    try:
        yield
    finally:
        _object.reset(object_token)
        _reconcile_id.reset(id_token)


class JsonFormatter(logging.Formatter):
    """One JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line; a traceback is a field of it."""
        entry: dict[str, str] = {
            "time": _moment(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if name := _object.get():
            entry |= {"object": name, "reconcileID": _reconcile_id.get()}
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """For a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line, a traceback below it."""
        where = f" [{name} {_reconcile_id.get()}]" if (name := _object.get()) else ""
        line = f"{_moment(record.created)} {record.levelname:<7} {record.name}{where} {record.getMessage()}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def configure(log_format: Literal["json", "text"], level: str) -> None:
    """Send all logs of the process to standard error in that form.

    Raises:
        ValueError: there is no such level.
    """
    output = logging.StreamHandler(sys.stderr)
    output.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [output]
    root.setLevel(level)
    for name, library_level in _LIBRARY_LEVELS.items():
        logging.getLogger(name).setLevel(max(library_level, root.level))


def _moment(unix: float) -> str:
    return datetime.fromtimestamp(unix, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

"""What was seen and what was decided, as JSON files: so that a decision can be looked at again offline."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from pydantic import BaseModel

FILES_KEPT = 1000
BYTES_KEPT = 200 * 2**20
"""Of all files together: one may have the bins of hundreds of features, and a full volume would end the operator."""
TYPE_FIELD = "$type"
PAIRS_FIELD = "$pairs"
"""Holds the items of a mapping whose keys are no text."""


def encode(value: Any) -> Any:
    """The value as JSON values; a dataclass names its type, so that a reader can tell the actions apart."""
    match value:
        case BaseModel():
            return encode(value.model_dump(mode="json", by_alias=True, exclude_none=True))
        case msgspec.Struct():
            return encode(msgspec.to_builtins(value))
        case np.ndarray():
            return encode(value.tolist())
        case Mapping() if any(not isinstance(name, str) for name in value):
            return {PAIRS_FIELD: [[encode(name), encode(item)] for name, item in value.items()]}
        case Mapping():
            return {str(name): encode(item) for name, item in value.items()}
        case tuple() | list() | frozenset() | set():
            return [encode(item) for item in value]
        case float() if not math.isfinite(value):
            return repr(value)
        case _ if dataclasses.is_dataclass(value):
            fields = {field.name: encode(getattr(value, field.name)) for field in dataclasses.fields(value)}
            return {TYPE_FIELD: type(value).__name__} | fields
    return value


class Recorder:
    """Writes into a directory that holds a bounded number of records and bytes; the oldest go first."""

    def __init__(self, directory: Path | None, files_kept: int = FILES_KEPT, bytes_kept: int = BYTES_KEPT) -> None:
        """None records nothing."""
        self._directory = directory
        self._files_kept, self._bytes_kept = files_kept, bytes_kept

    def record(self, namespace: str, name: str, now: float, content: Mapping[str, Any]) -> None:
        """Write one record.

        Raises:
            OSError: the directory cannot be written.
        """
        if self._directory is None:
            return
        self._directory.mkdir(parents=True, exist_ok=True)
        path = self._directory / f"{round(now * 1000):015d}_{namespace}_{name}.json"
        unfinished = path.with_suffix(".part")
        unfinished.write_bytes(msgspec.json.format(msgspec.json.encode(encode(content)), indent=1))
        unfinished.rename(path)
        self._forget(self._directory)

    def _forget(self, directory: Path) -> None:
        """The oldest records beyond either bound go; the newest one stays, however large it is."""
        newest, *others = sorted(directory.glob("*.json"), reverse=True)
        files, size = 1, newest.stat().st_size
        for path in others:
            files, size = files + 1, size + path.stat().st_size
            if files > self._files_kept or size > self._bytes_kept:
                path.unlink(missing_ok=True)

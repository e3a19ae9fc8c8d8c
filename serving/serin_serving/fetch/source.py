"""What a scheme has to say: where each file of a bundle is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol
from urllib.parse import quote

from serin_contract.sources import ARCHIVES
from serin_contract.startup import StartupReason
from serin_serving.errors import RefusedError
from serin_serving.fetch.transport import Target


class Source(Protocol):
    """A place with one bundle."""

    @property
    def is_archive(self) -> bool:
        """Whether the bundle is one archive, asked for as the empty path."""

    def target(self, path: str) -> Target:
        """What is asked for a file of the bundle; made anew for each try.

        Raises:
            RefusedError: the place has no such file.
        """


class Directory:
    """A source whose files lie below one path, or whose archive is that path."""

    def __init__(self, root: str, made: Callable[[str], Target]) -> None:
        self._root, self._made = root.rstrip("/"), made
        self.is_archive = is_archive(self._root)

    def target(self, path: str) -> Target:
        """The file below the path, or the archive itself."""
        return self._made(f"{self._root}/{path}" if path else self._root)


def is_archive(path: str) -> bool:
    """Whether the path's end says that it is an archive."""
    return path.lower().endswith(ARCHIVES)


def quoted(path: str) -> str:
    """The path as a URL holds it."""
    return quote(path, safe="/-._~")


def refused(message: str) -> RefusedError:
    """A place that is not fetched from."""
    return RefusedError(StartupReason.SourceRefused, message)

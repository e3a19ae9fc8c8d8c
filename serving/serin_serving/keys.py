"""The keys of this deployment: read at start and read again when the mounted file changes."""

from __future__ import annotations

import logging
from pathlib import Path

from serin_contract import keys
from serin_contract.keys import KeyRing
from serin_contract.startup import StartupReason
from serin_serving.errors import RefusedError

CHECK_SECONDS = 5.0
"""How often the file's state is looked at, at most."""

_log = logging.getLogger(__name__)


class Keys:
    """The ring in use. A changed file that cannot be read leaves the old ring in place."""

    def __init__(self, path: Path, now: float) -> None:
        """Read the file.

        Raises:
            RefusedError: it is missing or malformed (SettingsInvalid).
        """
        self._path = path
        try:
            self._state = self._look()
            self._ring = keys.decode(path.read_bytes())
        except OSError as error:
            raise RefusedError(
                StartupReason.SettingsInvalid, f"the keys file cannot be read: {error.strerror}"
            ) from error
        except ValueError as error:
            raise RefusedError(StartupReason.SettingsInvalid, str(error)) from error
        self._next_look = now + CHECK_SECONDS

    def ring(self, now: float) -> KeyRing:
        """The ring at that time (seconds of any steady clock)."""
        if now >= self._next_look:
            self._next_look = now + CHECK_SECONDS
            self._refresh()
        return self._ring

    def _refresh(self) -> None:
        try:
            state = self._look()
            if state == self._state:
                return
            self._ring = keys.decode(self._path.read_bytes())
        except (OSError, ValueError) as error:
            _log.warning("the changed keys file cannot be read; the old keys stay: %s", type(error).__name__)
            return
        self._state = state
        _log.info("the keys were read again; new ids are signed under %s", self._ring.current)

    def _look(self) -> tuple[int, int, int]:
        # A Secret volume swaps a symbolic link, so the inode tells even where the times are equal.
        status = self._path.stat()
        return status.st_mtime_ns, status.st_ino, status.st_size

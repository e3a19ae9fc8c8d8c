"""Bundles that were fetched before, on a volume that pods share: by digest, trusted by none.

A bundle is a directory that is named by its digest and comes to be by one rename. Who takes one checks every byte of it
on the way, so that whatever else writes to the volume can cost a pod the time of a fetch and nothing more. A cache that
is full, slow to lock or broken is done without.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from serin_contract import labels
from serin_contract.startup import StartupReason
from serin_serving.errors import RefusedError
from serin_serving.fetch import bundle
from serin_serving.fetch.connect import Clock
from serin_serving.signers import Check

GIBIBYTES_MAX = 100_000
_HIDDEN = ".serin-"
"""Begins the names of what is being written or removed."""
_LOCK = ".serin-lock"
_NAME = re.compile(r"[0-9a-f]{64}")
"""Of a bundle; what else lies on the volume is none of the cache's."""

_log = logging.getLogger(__name__)


class Cache:
    """The directory of all kept bundles."""

    def __init__(self, directory: Path, bytes_max: int) -> None:
        self._directory, self.bytes_max = directory, bytes_max

    def take(self, digest: str, directory: Path, check_signed: Check) -> bool:
        """Copy a bundle from here; False where it is not here, or not any more what it was.

        Args:
            digest: of the bundle.
            directory: where it will be, whole or not at all.
            check_signed: refuses a manifest that is not signed as it must be.
        """
        kept = self._place(digest)
        found = _identity(kept)
        if found is None:
            return False
        try:
            bundle.copy(kept, directory, digest, check_signed)
        except RefusedError as refused:
            _log.warning("the cache's %s is not used: %s", digest, refused.message)
            # Unless another pod has removed it in the meantime, and perhaps put a good one there.
            if _identity(kept) == found:
                self._remove(kept)
            return False
        except OSError as error:
            _log.warning("the cache is done without: %s", error.strerror)
            return False
        # What was used last goes last.
        with suppress(OSError):
            os.utime(kept)
        return True

    def keep(self, digest: str, directory: Path, clock: Clock) -> None:
        """Put a bundle here and remove the ones that were used least recently, where there is no room for all.

        Args:
            digest: of the bundle.
            directory: where it is.
            clock: no file is begun when its time is over.
        """
        try:
            with self._locked() as is_mine:
                if is_mine:
                    self._keep(digest, directory, clock)
        except RefusedError as refused:
            _log.warning("the bundle is not kept in the cache: %s", refused.message)
        except OSError as error:
            # copytree says so of several files at once, and then without the system's own words.
            _log.warning("the bundle is not kept in the cache: %s", error.strerror or type(error).__name__)

    def _keep(self, digest: str, directory: Path, clock: Clock) -> None:
        def copied(source: str, target: str) -> None:
            clock.left()
            shutil.copyfile(source, target)

        self._sweep()
        size, place = _bytes_of(directory), self._place(digest)
        if place.exists() or size > self.bytes_max:
            return
        self._make_room(size)
        scratch = Path(tempfile.mkdtemp(prefix=_HIDDEN, dir=self._directory))
        try:
            shutil.copytree(directory, scratch, copy_function=copied, dirs_exist_ok=True)
            os.utime(scratch)
            scratch.rename(place)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        _log.info("kept in the cache for the next pod, %d bytes", size)

    def _make_room(self, size: int) -> None:
        entries = sorted(self._entries(), key=lambda entry: entry.stat().st_mtime)
        sizes = {entry: _bytes_of(entry) for entry in entries}
        left = sum(sizes.values())
        for entry in entries:
            if left + size <= self.bytes_max:
                return
            self._remove(entry)
            left -= sizes[entry]

    def _entries(self) -> list[Path]:
        return [entry for entry in self._directory.iterdir() if _NAME.fullmatch(entry.name)]

    def _sweep(self) -> None:
        """Remove what an earlier holder of the lock left when it was killed."""
        for entry in self._directory.iterdir():
            if entry.name.startswith(_HIDDEN) and entry.name != _LOCK:
                _rid(entry)

    def _remove(self, entry: Path) -> None:
        """Take it out of sight at once; whoever copies it at this moment finds files missing, and fetches."""
        try:
            hidden = Path(tempfile.mkdtemp(prefix=_HIDDEN, dir=self._directory))
        except OSError:
            return
        # Another pod may have been faster.
        with suppress(OSError):
            entry.rename(hidden / "removed")
        _rid(hidden)

    def _place(self, digest: str) -> Path:
        return self._directory / digest.removeprefix("sha256:")

    @contextmanager
    def _locked(self) -> Iterator[bool]:
        """Whether this pod may write; another one that does is not waited for. The lock ends with the process."""
        # Others write here too: a pipe or a link of this name must hold up nobody.
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(self._directory / _LOCK, flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
        finally:
            os.close(descriptor)


def from_env(env: Mapping[str, str]) -> Cache | None:
    """The cache of the container; None where it has none.

    Raises:
        RefusedError: its size is no number (SettingsInvalid).
    """
    directory = env.get(labels.ENV_CACHE_DIR, "")
    if not directory:
        return None
    text = env.get(labels.ENV_CACHE_GIBIBYTES, "") or str(labels.CACHE_GIBIBYTES)
    if not (text.isascii() and text.isdigit()) or not 0 < int(text) <= GIBIBYTES_MAX:
        raise RefusedError(
            StartupReason.SettingsInvalid, f"{labels.ENV_CACHE_GIBIBYTES} must be a number from 1 to {GIBIBYTES_MAX}"
        )
    return Cache(Path(directory), int(text) * 1024**3)


def _identity(directory: Path) -> tuple[int, int] | None:
    """What tells a directory from a later one of its name; None where there is none."""
    try:
        status = directory.lstat()
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISDIR(status.st_mode) else None


def _bytes_of(directory: Path) -> int:
    """Of all files below; one that goes in the meantime has none."""
    total = 0
    for root, _, names in os.walk(directory):
        for name in names:
            try:
                total += (Path(root) / name).lstat().st_size
            except FileNotFoundError:
                continue
    return total


def _rid(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)

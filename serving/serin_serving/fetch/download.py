"""Bytes from a target to memory or to a file: hashed while they come, tried again, taken up where they stopped."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, TypeVar

from serin_contract.bundle import FileEntry
from serin_contract.startup import StartupReason
from serin_serving.errors import RefusedError
from serin_serving.fetch.connect import Clock, PassingError
from serin_serving.fetch.transport import Answer, Target, Transport

TRIES_MAX = 5
"""In a row without a new byte."""
CHUNK_BYTES = 1024 * 1024
_PAUSE_SECONDS = 0.5

_T = TypeVar("_T")
_Wanted = Target | Callable[[], Target]
"""A target, or what makes one for each try, since signatures and tokens grow old."""


class Downloads:
    """Fetches with patience."""

    def __init__(self, transport: Transport, clock: Clock, pause: Callable[[float], None] = time.sleep) -> None:
        self._transport, self._clock, self._pause = transport, clock, pause

    def small(
        self, wanted: _Wanted, bytes_max: int, statuses: tuple[int, ...] = ()
    ) -> tuple[int, Callable[[str], str], bytes]:
        """Status, headers and body of a small answer.

        Raises:
            RefusedError: it is refused, too long or does not come (SourceUnavailable).
        """

        def once() -> tuple[int, Callable[[str], str], bytes]:
            target = _target(wanted)
            with self._transport.get(target, statuses=statuses) as answer:
                body = b""
                while chunk := answer.read(bytes_max + 1 - len(body)):
                    body += chunk
                    if len(body) > bytes_max:
                        raise _invalid(f"{target.what}: it has more than {bytes_max} bytes")
                if answer.length() not in (None, len(body)):
                    raise PassingError(f"{target.what}: the source stopped in the middle of its answer")
                return answer.status, answer.header, body

        return self._patiently(once, lambda: 0)

    def file(self, wanted: _Wanted, path: Path, entry: FileEntry) -> None:
        """A file of known size and hash.

        Raises:
            RefusedError: it is refused or does not come, or is another file (DigestMismatch).
        """
        taken = _Taking(path, entry.size, exact=True)
        self._take(wanted, taken)
        if taken.resumed and taken.sha256.hexdigest() != entry.sha256:
            # Two versions may have been pasted together: once more in one piece.
            taken = _Taking(path, entry.size, exact=True)
            self._take(wanted, taken)
        if taken.sha256.hexdigest() != entry.sha256:
            raise RefusedError(
                StartupReason.DigestMismatch,
                f"{_target(wanted).what} is not the file in the manifest: its SHA-256 is not the recorded one",
            )

    def whole(self, wanted: _Wanted, path: Path, bytes_max: int) -> None:
        """A file of unknown size, such as an archive.

        Raises:
            RefusedError: it is refused, too long or does not come.
        """
        self._take(wanted, _Taking(path, bytes_max, exact=False))

    def _take(self, wanted: _Wanted, taken: _Taking) -> None:
        def once() -> None:
            target = _target(wanted)
            with self._transport.get(target, taken.bytes, taken.validator, statuses=(416,)) as answer:
                taken.go_on(answer, target.what)

        with taken:
            self._patiently(once, lambda: taken.bytes)

    def _patiently(self, once: Callable[[], _T], progress: Callable[[], int]) -> _T:
        tries, furthest = 0, 0
        while True:
            try:
                return once()
            except PassingError as error:
                tries = 1 if progress() > furthest else tries + 1
                furthest = max(furthest, progress())
                seconds = max(_PAUSE_SECONDS * 2 ** (tries - 1), error.wait_seconds)
                if tries >= TRIES_MAX or seconds >= self._clock.left():
                    raise RefusedError(
                        StartupReason.SourceUnavailable, f"{error.sentence}; tried {tries} times in a row"
                    ) from error
                self._pause(seconds)


class _Taking:
    """A file on its way: how far it is, and the hash of what is there."""

    def __init__(self, path: Path, bytes_max: int, *, exact: bool) -> None:
        self._path, self._bytes_max, self._exact = path, bytes_max, exact
        self.bytes = 0
        self.validator = ""
        self.resumed = False
        self.sha256 = hashlib.sha256()

    def __enter__(self) -> None:
        self._file: BinaryIO = self._path.open("wb")

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def go_on(self, answer: Answer, what: str) -> None:
        """Append the body; where it begins elsewhere than asked, begin anew."""
        if answer.status == 416:
            self._restart()
            raise PassingError(f"{what}: the source has fewer bytes than it had")
        if answer.begins_at() != self.bytes:
            if answer.begins_at():
                raise PassingError(f"{what}: the source answered with another range")
            self._restart()
        self.resumed = self.resumed or self.bytes > 0
        self._judge(answer.length(), what)
        self.validator = _strong(answer.header("ETag"))
        length = answer.length()
        total = self.bytes + length if length is not None else self._bytes_max if self._exact else 0
        while chunk := answer.read(CHUNK_BYTES):
            self._append(chunk, what)
        if self.bytes < total:
            raise PassingError(f"{what}: the source stopped in the middle of its answer")

    def _judge(self, length: int | None, what: str) -> None:
        """A length that is said to be wrong need not be waited for."""
        if length is None:
            return
        total = self.bytes + length
        if total > self._bytes_max or (self._exact and total != self._bytes_max):
            raise self._wrong_size(what, total)

    def _append(self, chunk: bytes, what: str) -> None:
        self.bytes += len(chunk)
        if self.bytes > self._bytes_max:
            raise self._wrong_size(what, self.bytes)
        self.sha256.update(chunk)
        self._file.write(chunk)

    def _restart(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self.bytes, self.validator, self.sha256 = 0, "", hashlib.sha256()

    def _wrong_size(self, what: str, size: int) -> RefusedError:
        if self._exact:
            return RefusedError(
                StartupReason.DigestMismatch,
                f"{what} is not the file in the manifest: it has {size} bytes or more, {self._bytes_max} are recorded",
            )
        return _invalid(f"{what}: it has more than {self._bytes_max} bytes")


def _target(wanted: _Wanted) -> Target:
    return wanted if isinstance(wanted, Target) else wanted()


def _strong(etag: str) -> str:
    """The validator that a range may be asked with; a weak one says nothing of bytes."""
    return etag if etag.startswith('"') and len(etag) < 256 else ""


def _invalid(message: str) -> RefusedError:
    return RefusedError(StartupReason.BundleInvalid, message)

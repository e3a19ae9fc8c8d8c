"""A bundle in a tar or a zip: only what the manifest names is unpacked, and never more than it says.

Nothing of an archive is trusted: names, kinds, numbers and sizes are checked before a byte is written, and the
packed bytes are unpacked through a reader that ends at the limits.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO, cast

from serin_contract.bundle import FETCHED_BYTES_MAX, MANIFEST_BYTES_MAX, MANIFEST_FILE, FileEntry, Manifest
from serin_contract.startup import StartupReason
from serin_serving.errors import RefusedError
from serin_serving.fetch.connect import Clock

MEMBERS_MAX = 10_000
PIECE_BYTES_MAX = 4 * 1024**2
"""Of one read: names and extended headers of a tar are read in one piece, whatever length they claim."""
ZIP_DIRECTORY_BYTES_MAX = 4 * 1024**2
_CHUNK_BYTES = 1024**2
_GZIP, _ZIP = b"\x1f\x8b", b"PK"
_ZIP_END = b"PK\x05\x06"
_ZIP_END_BYTES = 22
_ZIP_COMMENT_BYTES_MAX = 65535
_DAMAGED = (
    tarfile.TarError,
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    OverflowError,
    ValueError,
)

Member = tuple[str, Callable[[], IO[bytes]]]
"""The plain name of a file in the archive, and what opens it."""


class Archive:
    """An archive on disk."""

    def __init__(self, packed: Path, clock: Clock) -> None:
        self._packed, self._clock = packed, clock
        self._root = ""

    def manifest(self) -> bytes:
        """The bytes of the manifest that lies nearest to the archive's root.

        Raises:
            RefusedError: there is none or several (BundleMissing), or the archive is damaged or unsafe (BundleInvalid).
        """
        found: dict[str, bytes] = {}
        with self._opened() as members:
            for name, opened in members:
                if PurePosixPath(name).name == MANIFEST_FILE:
                    found[name] = _read(opened(), MANIFEST_BYTES_MAX)
        depths = sorted(name.count("/") for name in found)
        if not found:
            raise RefusedError(StartupReason.BundleMissing, f"the archive holds no {MANIFEST_FILE}")
        if depths[:2] == depths[:1] * 2:
            raise _invalid(f"the archive holds several of {MANIFEST_FILE}")
        nearest = min(found, key=lambda name: name.count("/"))
        self._root = nearest.removesuffix(MANIFEST_FILE)
        return found[nearest]

    def beside(self, name: str, bytes_max: int) -> bytes:
        """The bytes of a file that lies beside the manifest and is not named by it.

        Raises:
            RefusedError: it is missing (BundleMissing) or too long (BundleInvalid).
        """
        with self._opened() as members:
            for member, opened in members:
                if member == self._root + name:
                    return _read(opened(), bytes_max)
        raise RefusedError(StartupReason.BundleMissing, f"the archive holds no {name}")

    def unpack(self, manifest: Manifest, place: Callable[[str], Path]) -> None:
        """Write the files of the manifest, each checked on its way.

        Raises:
            RefusedError: one is missing (BundleMissing) or another than recorded (DigestMismatch).
        """
        left = dict(manifest.files)
        with self._opened() as members:
            for name, opened in members:
                path = name.removeprefix(self._root)
                if name.startswith(self._root) and path in left:
                    _write(opened(), place(path), path, left.pop(path))
        if left:
            raise RefusedError(StartupReason.BundleMissing, f"the archive does not hold {min(left)}")

    def _opened(self) -> _Members:
        return _Members(self._packed, self._clock)


class _Members:
    """The files of an archive, in order."""

    def __init__(self, packed: Path, clock: Clock) -> None:
        self._file: BinaryIO = packed.open("rb")
        self._clock = clock

    def __enter__(self) -> Iterator[Member]:
        return self._all()

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        self._file.close()
        if isinstance(error, _DAMAGED):
            raise _invalid("the archive is damaged, or packed in a way that is not known") from None

    def _all(self) -> Iterator[Member]:
        names: set[str] = set()
        head = self._file.read(2)
        self._file.seek(0)
        for number, (name, opened) in enumerate(self._zip() if head == _ZIP else self._tar(head)):
            if number >= MEMBERS_MAX:
                raise _invalid(f"the archive has more than {MEMBERS_MAX} members")
            if opened is None:
                continue
            if name in names:
                raise _invalid("the archive holds one name twice")
            names.add(name)
            yield name, opened

    def _tar(self, head: bytes) -> Iterator[tuple[str, Callable[[], IO[bytes]] | None]]:
        unpacked = cast("BinaryIO", gzip.GzipFile(fileobj=self._file)) if head == _GZIP else self._file
        bounded = _Bounded(unpacked, self._clock)
        with tarfile.open(fileobj=bounded, mode="r:") as tar:
            for member in tar:
                # The archive remembers every member, of which nothing is needed again.
                tar.members = []  # type: ignore[attr-defined]
                if not (member.isreg() or member.isdir()):
                    raise _invalid("the archive holds a link or a device; pack plain files only")
                if member.issparse():
                    raise _invalid("the archive holds a file with holes; pack plain files only")
                name = _plain(member.name)
                yield name, None if member.isdir() else lambda member=member: _opened(tar, member)  # type: ignore[misc]

    def _zip(self) -> Iterator[tuple[str, Callable[[], IO[bytes]] | None]]:
        _check_zip_directory(self._file)
        with zipfile.ZipFile(_Bounded(self._file, self._clock)) as archive:
            for member in archive.infolist():
                kind = stat.S_IFMT(member.external_attr >> 16)
                if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                    raise _invalid("the archive holds a link or a device; pack plain files only")
                if member.flag_bits & 1 or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise _invalid("the archive is encrypted, or packed by something else than deflate")
                name = _plain(member.filename)
                yield name, None if member.is_dir() else lambda member=member: archive.open(member)  # type: ignore[misc]


class _Bounded(io.RawIOBase):
    """A reader that ends at the limits of bytes and time."""

    def __init__(self, file: BinaryIO, clock: Clock) -> None:
        self._file, self._clock = file, clock

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._file.tell()

    def read(self, size: int = -1, /) -> bytes:
        self._clock.left()
        self._check(self._file.tell())
        piece = self._file.read(min(size, PIECE_BYTES_MAX + 1) if size >= 0 else PIECE_BYTES_MAX + 1)
        if len(piece) > PIECE_BYTES_MAX:
            raise _invalid("the archive claims a name or a header of several MiB")
        return piece

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        self._clock.left()
        if whence == io.SEEK_SET:
            self._check(offset)
        return self._file.seek(offset, whence)

    @staticmethod
    def _check(position: int) -> None:
        if position > FETCHED_BYTES_MAX:
            raise _invalid(f"the archive unpacks to more than {FETCHED_BYTES_MAX // 1024**3} GiB")


def _opened(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    file = tar.extractfile(member)
    assert file is not None, "only regular files are opened"
    return file


def _plain(name: str) -> str:
    """The name without what says nothing.

    Raises:
        RefusedError: it leads out of the archive (BundleInvalid).
    """
    parts = PurePosixPath(name).parts
    if name.startswith("/") or "\\" in name or "\0" in name or ".." in parts:
        raise _invalid("the archive holds a path that leads out of it")
    return "/".join(parts)


def _read(file: IO[bytes], bytes_max: int) -> bytes:
    data = file.read(bytes_max + 1)
    if len(data) > bytes_max:
        raise _invalid(f"{MANIFEST_FILE} in the archive has more than {bytes_max} bytes")
    return data


def _write(file: IO[bytes], place: Path, path: str, entry: FileEntry) -> None:
    sha256, size = hashlib.sha256(), 0
    with place.open("wb") as out:
        while chunk := file.read(min(_CHUNK_BYTES, entry.size + 1 - size)):
            size += len(chunk)
            sha256.update(chunk)
            out.write(chunk)
    if size != entry.size or sha256.hexdigest() != entry.sha256:
        why = "its SHA-256 is not the recorded one" if size == entry.size else f"it has not the {entry.size} bytes"
        raise RefusedError(StartupReason.DigestMismatch, f"{path} is not the file in the manifest: {why} recorded")


def _check_zip_directory(file: BinaryIO) -> None:
    """The list of members is read as a whole, so its length is looked at first."""
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - _ZIP_END_BYTES - _ZIP_COMMENT_BYTES_MAX))
    end = file.read()
    at = end.rfind(_ZIP_END)
    file.seek(0)
    if at < 0 or len(end) - at < _ZIP_END_BYTES:
        raise _invalid("the archive is damaged, or packed in a way that is not known")
    members = int.from_bytes(end[at + 10 : at + 12], "little")
    directory_bytes = int.from_bytes(end[at + 12 : at + 16], "little")
    if members > MEMBERS_MAX or directory_bytes > ZIP_DIRECTORY_BYTES_MAX:
        raise _invalid(f"the archive has more than {MEMBERS_MAX} members, or is a zip of more than 4 GiB; use tar")


def _invalid(message: str) -> RefusedError:
    return RefusedError(StartupReason.BundleInvalid, message)

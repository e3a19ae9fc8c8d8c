"""Read a bundle and check every byte of it before anything is parsed.

A file is read once: the bytes that were hashed are the bytes that are parsed, so a volume that changes in
between cannot slip something in.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import msgspec

from serin_contract.bundle import (
    BUNDLE_FORMAT,
    FILE_BYTES_MAX,
    GOLDEN_FILE,
    MANIFEST_BYTES_MAX,
    MANIFEST_FILE,
    MODEL_FILE,
    MODEL_FILES,
    PROFILE_FILE,
    SIGNATURE_FILE,
    FileEntry,
    Manifest,
)
from serin_contract.signed import SIGNED_BYTES_MAX, SIGNED_FILE
from serin_contract.startup import StartupReason
from serin_serving.errors import RefusedError
from serin_serving.signers import Check, anybody

REQUIRED_FILES = (PROFILE_FILE, SIGNATURE_FILE, GOLDEN_FILE)
_CHUNK_BYTES = 1024 * 1024


class Bundle(msgspec.Struct, frozen=True):
    """A bundle whose every file has the recorded hash."""

    digest: str
    manifest: Manifest
    files: dict[str, bytes]
    """The files that were asked for, by path."""

    @property
    def model_file(self) -> str:
        """The one file of MODEL_FILES that it has."""
        return next(path for path in MODEL_FILES if path in self.manifest.files)


def read_bundle(
    directory: Path,
    pinned: str | None,
    keep: tuple[str, ...] = (*MODEL_FILES, *REQUIRED_FILES),
    check_signed: Check = anybody,
) -> Bundle:
    """Check the manifest against the pinned digest and its signature, and every file against the manifest.

    Args:
        directory: where the bundle is mounted.
        pinned: the digest that the manifest must have; None accepts any.
        keep: paths whose bytes are handed back; other files are only checked.
        check_signed: refuses a manifest that is not signed as it must be.

    Raises:
        RefusedError: something is missing (BundleMissing), cannot be read as a manifest (BundleInvalid), is not
            what was pinned or recorded (DigestMismatch), or not signed (NotSigned).
    """
    data = _read(directory, MANIFEST_FILE, MANIFEST_BYTES_MAX)
    digest, manifest = read_manifest(
        data, pinned, lambda: check_signed(data, lambda: _read(directory, SIGNED_FILE, SIGNED_BYTES_MAX))
    )
    files: dict[str, bytes] = {}
    for path, entry in sorted(manifest.files.items()):
        content = _checked(directory, path, entry, keep=path in keep)
        if content is not None:
            files[path] = content
    return Bundle(digest=digest, manifest=manifest, files=files)


def read_manifest(
    data: bytes, pinned: str | None, check_signed: Callable[[], None] = lambda: None
) -> tuple[str, Manifest]:
    """The digest of a manifest, and what it says.

    Nothing of it is parsed before the digest is the pinned one and the signature holds.

    Raises:
        RefusedError: it is another one (DigestMismatch), is not signed (NotSigned), or cannot be read as a manifest
            (BundleInvalid).
    """
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    if pinned is not None and digest != pinned:
        raise RefusedError(
            StartupReason.DigestMismatch, f"the bundle's manifest has digest {digest}; {pinned} was pinned"
        )
    check_signed()
    return digest, _manifest(data)


def read_more(directory: Path, bundle: Bundle, path: str) -> bytes:
    """One more file of a bundle that was read, held against the same manifest again.

    Raises:
        RefusedError: as in `read_bundle`; a file that the manifest does not list is missing.
    """
    entry = bundle.manifest.files.get(path)
    if entry is None:
        raise RefusedError(StartupReason.BundleMissing, f"the manifest does not list {path}")
    content = _checked(directory, path, entry, keep=True)
    assert content is not None
    return content


def _manifest(data: bytes) -> Manifest:
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except msgspec.MsgspecError as error:
        raise RefusedError(StartupReason.BundleInvalid, f"{MANIFEST_FILE} is no manifest: {error}") from error
    if manifest.format != BUNDLE_FORMAT:
        raise RefusedError(
            StartupReason.BundleInvalid,
            f"the bundle has format {manifest.format}; this server reads format {BUNDLE_FORMAT}",
        )
    for path in manifest.files:
        if not _is_inside(path):
            raise RefusedError(StartupReason.BundleInvalid, f"the manifest names {path!r}, outside the bundle")
    models = [path for path in MODEL_FILES if path in manifest.files]
    if len(models) > 1:
        raise RefusedError(StartupReason.BundleInvalid, f"the manifest lists two models: {' and '.join(models)}")
    for path in (*(models or [MODEL_FILE]), *REQUIRED_FILES):
        if path not in manifest.files:
            raise RefusedError(StartupReason.BundleInvalid, f"the manifest does not list {path}")
    return manifest


def _is_inside(path: str) -> bool:
    parts = PurePosixPath(path).parts
    return bool(parts) and not path.startswith("/") and ".." not in parts and "\0" not in path


def _checked(directory: Path, path: str, entry: FileEntry, *, keep: bool) -> bytes | None:
    check_size(path, entry)
    if keep:
        content = _read(directory, path, entry.size)
        found, size = hashlib.sha256(content).hexdigest(), len(content)
    else:
        content = None
        found, size = _hashed(directory, path, entry.size)
    _compare(path, entry, found, size)
    return content


def copy_file(directory: Path, path: str, entry: FileEntry, place: Path) -> None:
    """Copy a file of a bundle; the bytes that are written are the bytes that were checked.

    Raises:
        RefusedError: it is missing (BundleMissing), or not the recorded one (DigestMismatch, BundleInvalid).
        OSError: it cannot be written.
    """
    check_size(path, entry)
    with place.open("wb") as out:
        found, size = _hashed(directory, path, entry.size, out)
    _compare(path, entry, found, size)


def read_small(directory: Path, path: str, bytes_max: int) -> bytes:
    """A file that no manifest describes, such as the manifest itself.

    Raises:
        RefusedError: it is missing (BundleMissing), no file (BundleInvalid) or too long (DigestMismatch).
    """
    return _read(directory, path, bytes_max)


def _compare(path: str, entry: FileEntry, found: str, size: int) -> None:
    if size != entry.size:
        raise _mismatch(path, f"it has {size} bytes, {entry.size} are recorded")
    if found != entry.sha256:
        raise _mismatch(path, "its SHA-256 is not the recorded one")


def check_size(path: str, entry: FileEntry) -> None:
    """Refuse a file that is recorded as larger than any may be.

    Raises:
        RefusedError: it is (BundleInvalid).
    """
    if not 0 <= entry.size <= FILE_BYTES_MAX:
        raise RefusedError(
            StartupReason.BundleInvalid, f"{path} is recorded with {entry.size} bytes; at most 4 GiB may be"
        )


def _mismatch(path: str, why: str) -> RefusedError:
    return RefusedError(StartupReason.DigestMismatch, f"{path} is not the file in the manifest: {why}")


def _read(directory: Path, path: str, size_max: int) -> bytes:
    """The whole file; a file above `size_max` bytes is refused unread."""
    descriptor = _open(directory, path, size_max)
    with os.fdopen(descriptor, "rb") as file:
        try:
            return file.read(size_max + 1)
        except OSError as error:
            raise _unreadable(path, error) from error


def _hashed(directory: Path, path: str, size_max: int, out: BinaryIO | None = None) -> tuple[str, int]:
    """SHA-256 in hexadecimal and size in bytes, of what is written to `out` too; a file that grows is not followed."""
    sha256, size = hashlib.sha256(), 0
    with os.fdopen(_open(directory, path, size_max), "rb") as file:
        while size <= size_max and (chunk := _chunk(file, path)):
            sha256.update(chunk)
            size += len(chunk)
            if out is not None:
                out.write(chunk)
    return sha256.hexdigest(), size


def _chunk(file: BinaryIO, path: str) -> bytes:
    try:
        return file.read(_CHUNK_BYTES)
    except OSError as error:
        raise _unreadable(path, error) from error


def _open(directory: Path, path: str, size_max: int) -> int:
    """A descriptor of a regular file of at most that many bytes; anything else could block or fill memory."""
    try:
        descriptor = os.open(directory / path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        status = os.fstat(descriptor)
    except OSError as error:
        raise _unreadable(path, error) from error
    if stat.S_ISREG(status.st_mode) and status.st_size <= size_max:
        return descriptor
    os.close(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise RefusedError(StartupReason.BundleInvalid, f"{path} in the bundle is no regular file")
    raise _mismatch(path, f"it has {status.st_size} bytes, at most {size_max} are allowed")


def _unreadable(path: str, error: OSError) -> RefusedError:
    return RefusedError(StartupReason.BundleMissing, f"{path} in the bundle cannot be read: {error.strerror}")

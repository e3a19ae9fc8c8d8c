"""From a source to a directory: the manifest first, then exactly the files that it names, then one rename."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from serin_contract.bundle import FETCHED_BYTES_MAX, FETCHED_FILES_MAX, MANIFEST_BYTES_MAX, MANIFEST_FILE, Manifest
from serin_contract.signed import SIGNED_BYTES_MAX, SIGNED_FILE
from serin_contract.startup import StartupReason
from serin_serving.bundle_files import check_size, copy_file, read_bundle, read_manifest, read_small
from serin_serving.errors import RefusedError
from serin_serving.fetch.archive import Archive
from serin_serving.fetch.connect import Clock
from serin_serving.fetch.download import Downloads
from serin_serving.fetch.source import Source
from serin_serving.signers import Check, anybody

_log = logging.getLogger(__name__)


def is_there(directory: Path, pinned: str | None, check_signed: Check = anybody) -> bool:
    """Whether an earlier run of this container has fetched the pinned bundle already."""
    if pinned is None or not directory.is_dir():
        return False
    try:
        read_bundle(directory, pinned, keep=(), check_signed=check_signed)
    except RefusedError:
        return False
    return True


def fetch(
    source: Source,
    directory: Path,
    pinned: str | None,
    downloads: Downloads,
    clock: Clock,
    check_signed: Check = anybody,
) -> str:
    """Fetch the bundle into the directory, whole or not at all; returns its digest.

    Args:
        source: where it lies.
        directory: where it will be; its parent is written to on the way.
        pinned: the digest that its manifest must have; None accepts any.
        downloads: what fetches.
        clock: the time that is left.
        check_signed: refuses a manifest that is not signed as it must be; the signature comes along where it looks
            at one.

    Raises:
        RefusedError: what came is not the bundle, or nothing came.
    """
    building, packed = directory.with_name(".building"), directory.with_name(".archive")
    for old in (building, directory):
        shutil.rmtree(old, ignore_errors=True)
    building.mkdir(parents=True)
    try:
        if source.is_archive:
            downloads.whole(lambda: source.target(""), packed, FETCHED_BYTES_MAX)
            digest = _unpack(packed, building, pinned, clock, check_signed)
        else:
            digest = _file_by_file(source, building, pinned, downloads, check_signed)
        building.rename(directory)
    finally:
        packed.unlink(missing_ok=True)
        shutil.rmtree(building, ignore_errors=True)
    return digest


def copy(kept: Path, directory: Path, digest: str, check_signed: Check) -> None:
    """Copy a bundle from a directory that others write to, whole or not at all, checked as one that is fetched.

    Raises:
        RefusedError: what lies there is not the bundle.
        OSError: the copy cannot be written.
    """
    building = directory.with_name(".building")
    for old in (building, directory):
        shutil.rmtree(old, ignore_errors=True)
    building.mkdir(parents=True)
    try:
        data = read_small(kept, MANIFEST_FILE, MANIFEST_BYTES_MAX)
        signature = _kept(building, lambda: read_small(kept, SIGNED_FILE, SIGNED_BYTES_MAX))
        _, manifest = _judged(data, digest, lambda: check_signed(data, signature))
        for path, entry in sorted(manifest.files.items()):
            copy_file(kept, path, entry, _place(building, path))
        (building / MANIFEST_FILE).write_bytes(data)
        building.rename(directory)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _file_by_file(source: Source, building: Path, pinned: str | None, downloads: Downloads, check_signed: Check) -> str:
    _, _, data = downloads.small(lambda: source.target(MANIFEST_FILE), MANIFEST_BYTES_MAX)
    signature = _kept(building, lambda: downloads.small(lambda: source.target(SIGNED_FILE), SIGNED_BYTES_MAX)[2])
    digest, manifest = _judged(data, pinned, lambda: check_signed(data, signature))
    for path, entry in sorted(manifest.files.items()):
        downloads.file(lambda path=path: source.target(path), _place(building, path), entry)  # type: ignore[misc]
        _log.info("fetched %s, %d bytes", path, entry.size)
    (building / MANIFEST_FILE).write_bytes(data)
    return digest


def _unpack(packed: Path, building: Path, pinned: str | None, clock: Clock, check_signed: Check) -> str:
    archive = Archive(packed, clock)
    data = archive.manifest()
    signature = _kept(building, lambda: archive.beside(SIGNED_FILE, SIGNED_BYTES_MAX))
    digest, manifest = _judged(data, pinned, lambda: check_signed(data, signature))
    archive.unpack(manifest, lambda path: _place(building, path))
    (building / MANIFEST_FILE).write_bytes(data)
    return digest


def _kept(building: Path, read: Callable[[], bytes]) -> Callable[[], bytes]:
    """Reads the signature and puts it beside the manifest, where the server looks at it again."""

    def reads() -> bytes:
        data = read()
        (building / SIGNED_FILE).write_bytes(data)
        return data

    return reads


def _judged(data: bytes, pinned: str | None, check_signed: Callable[[], None]) -> tuple[str, Manifest]:
    """The digest and the manifest, once it names no more than may be fetched."""
    digest, manifest = read_manifest(data, pinned, check_signed)
    if len(manifest.files) > FETCHED_FILES_MAX:
        raise _invalid(f"the manifest names {len(manifest.files)} files; at most {FETCHED_FILES_MAX} are fetched")
    for path, entry in manifest.files.items():
        check_size(path, entry)
        if PurePosixPath(path).as_posix() != path or path in (MANIFEST_FILE, SIGNED_FILE):
            raise _invalid("the manifest names a file in a way that is not the plain one")
    if sum(entry.size for entry in manifest.files.values()) > FETCHED_BYTES_MAX:
        raise _invalid(f"the files of the manifest have more than {FETCHED_BYTES_MAX // 1024**3} GiB together")
    return digest, manifest


def _place(building: Path, path: str) -> Path:
    """Where a file is written. read_manifest has refused paths that lead outside."""
    place = building / path
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise _invalid("the manifest names one path as a file and as a directory") from error
    return place


def _invalid(message: str) -> RefusedError:
    return RefusedError(StartupReason.BundleInvalid, message)

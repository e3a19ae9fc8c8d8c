"""Read a bundle back and check every file: for people, before they roll it out."""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import msgspec

from serin_bundle.errors import BundleError
from serin_bundle.manifest import digest_of
from serin_contract import profile as profiles
from serin_contract.bundle import (
    MANIFEST_BYTES_MAX,
    MANIFEST_FILE,
    METRICS_FILE,
    PROFILE_FILE,
    SIGNATURE_FILE,
    FileEntry,
    Manifest,
    Signature,
)
from serin_contract.compiled import COMPILED_FILE, Compiled
from serin_contract.profile import Profile

_T = TypeVar("_T")


class FileCheck(msgspec.Struct, frozen=True):
    """One file held against the manifest."""

    path: str
    size: int
    """Bytes, as recorded."""
    problem: str | None
    """None where the file is the recorded one."""


class BundleReport(msgspec.Struct, frozen=True):
    """What a bundle holds. A document whose file is damaged is None."""

    digest: str
    manifest: Manifest
    files: list[FileCheck]
    signature: Signature | None
    profile: Profile | None
    metrics: dict[str, Any] | None
    compiled: Compiled | None
    """None also in bundles that were made before models were compiled."""

    @property
    def intact(self) -> bool:
        """Whether every file is the recorded one."""
        return all(file.problem is None for file in self.files)


def inspect(directory: str | Path) -> BundleReport:
    """Check every file of the bundle and read what it says of itself; the model is not loaded.

    Raises:
        BundleError: there is no readable manifest, or an intact file cannot be parsed.
    """
    base = Path(directory)
    data = _manifest_bytes(base)
    manifest = _decode(data, Manifest, MANIFEST_FILE)
    files = [_check(base, path, entry) for path, entry in sorted(manifest.files.items())]
    intact = {file.path for file in files if file.problem is None}
    contents = {
        path: (base / path).read_bytes()
        for path in (SIGNATURE_FILE, PROFILE_FILE, METRICS_FILE, COMPILED_FILE)
        if path in intact
    }
    try:
        profile = profiles.decode(contents[PROFILE_FILE]) if PROFILE_FILE in contents else None
    except ValueError as error:
        raise BundleError(f"{PROFILE_FILE}: {error}") from error
    return BundleReport(
        digest=digest_of(data),
        manifest=manifest,
        files=files,
        signature=_optional(contents, SIGNATURE_FILE, Signature),
        profile=profile,
        metrics=_optional(contents, METRICS_FILE, dict[str, Any]),
        compiled=_optional(contents, COMPILED_FILE, Compiled),
    )


def _manifest_bytes(base: Path) -> bytes:
    path = base / MANIFEST_FILE
    try:
        if path.stat().st_size > MANIFEST_BYTES_MAX:
            raise BundleError(f"{path} is larger than {MANIFEST_BYTES_MAX} bytes: no manifest of a bundle")
        return path.read_bytes()
    except OSError as error:
        raise BundleError(f"{base} holds no bundle: {MANIFEST_FILE}: {error.strerror}") from error


def _check(base: Path, path: str, entry: FileEntry) -> FileCheck:
    return FileCheck(path=path, size=entry.size, problem=_problem(base, path, entry))


def _problem(base: Path, path: str, entry: FileEntry) -> str | None:
    if path.startswith("/") or ".." in PurePosixPath(path).parts:
        return "its path leads out of the bundle"
    file = base / path
    if not file.is_file():
        return "it is missing"
    if file.stat().st_size != entry.size:
        return f"it has {file.stat().st_size} bytes, {entry.size} are recorded"
    with file.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    return None if found == entry.sha256 else "its SHA-256 is not the recorded one"


def _optional(contents: dict[str, bytes], path: str, kind: type[_T]) -> _T | None:
    return _decode(contents[path], kind, path) if path in contents else None


def _decode(data: bytes, kind: type[_T], path: str) -> _T:
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.MsgspecError as error:
        raise BundleError(f"{path} cannot be read: {error}") from error

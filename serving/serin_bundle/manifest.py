"""The manifest and the directory: every file with its hash, written whole or not at all."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from serin_bundle.errors import BundleError
from serin_contract.bundle import MANIFEST_FILE, FileEntry, Manifest

_LIBRARIES = ("scikit-learn", "numpy", "scipy", "skops")


def encode(document: Any) -> bytes:
    """A document as JSON that a person can read; equal documents give equal bytes."""
    return msgspec.json.format(msgspec.json.encode(document, order="deterministic"), indent=1) + b"\n"


def encode_manifest(name: str, files: dict[str, bytes]) -> bytes:
    """The manifest of these files and of the libraries that are installed here."""
    entries = {
        path: FileEntry(sha256=hashlib.sha256(content).hexdigest(), size=len(content))
        for path, content in files.items()
    }
    versions = {library: version(library) for library in _LIBRARIES}
    versions["python"] = platform.python_version()
    return encode(Manifest(name=name, files=entries, versions=versions))


def digest_of(manifest: bytes) -> str:
    """The bundle's digest."""
    return f"sha256:{hashlib.sha256(manifest).hexdigest()}"


def write_bundle(out: Path, files: dict[str, bytes]) -> None:
    """Write the files, manifest among them, as the directory `out`.

    A bundle with the same manifest that is there already is left as it is.

    Raises:
        BundleError: something else is there, or the directory cannot be written.
    """
    if _is_there(out, files[MANIFEST_FILE]):
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        for path, content in files.items():
            _write(scratch / path, content)
        # The server runs as another user than whoever trains.
        scratch.chmod(0o755)
        # A rename replaces an empty directory and fails on any other: no bundle is ever half there.
        scratch.rename(out)
    except OSError as error:
        shutil.rmtree(scratch, ignore_errors=True)
        raise BundleError(f"the bundle cannot be written to {out}: {error.strerror}") from error


def _is_there(out: Path, manifest: bytes) -> bool:
    if not out.exists():
        return False
    if not out.is_dir():
        raise BundleError(f"{out} is a file; a bundle is a directory")
    present = out / MANIFEST_FILE
    if present.is_file():
        if present.read_bytes() == manifest:
            return True
        raise BundleError(
            f"{out} holds another bundle ({digest_of(present.read_bytes())}); "
            "bundles are never overwritten: choose another directory"
        )
    if any(out.iterdir()):
        raise BundleError(f"{out} is not empty and holds no bundle; choose another directory")
    return False


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    path.chmod(0o644)

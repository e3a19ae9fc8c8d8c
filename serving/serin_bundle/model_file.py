"""Write a model as skops, byte for byte the same each time, and only if the server would load it."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import skops.io

from serin_bundle.errors import BundleError
from serin_contract.model_types import MODEL_TYPES_ALLOWED

_TIME = (1980, 1, 1, 0, 0, 0)


def dump_model(model: Any) -> bytes:
    """The model as a skops file.

    Raises:
        BundleError: skops cannot write it, or it holds types that the server does not load.
    """
    try:
        data = skops.io.dumps(model)
        untrusted = refused_types(data)
    except (TypeError, ValueError, AttributeError, ImportError) as error:
        raise BundleError(f"the model cannot be written as skops: {error}") from error
    if untrusted:
        raise BundleError("the model holds types that the model server does not load: " + ", ".join(untrusted))
    return _canonical(data)


def load_model(data: bytes) -> Any:
    """Load a skops file by the server's own allow-list.

    Raises:
        BundleError: it is no skops file, or holds types outside the list.
    """
    try:
        untrusted = refused_types(data)
        if untrusted:
            raise BundleError("the model file holds types that are not loaded: " + ", ".join(untrusted))
        return skops.io.loads(data, trusted=list(MODEL_TYPES_ALLOWED))
    except (TypeError, KeyError, AttributeError, ImportError, zipfile.BadZipFile) as error:
        raise BundleError(f"the model file cannot be loaded as skops: {error}") from error


def refused_types(data: bytes) -> list[str]:
    """The types in a skops file that the server would refuse."""
    return sorted(set(skops.io.get_untrusted_types(data=data)) - set(MODEL_TYPES_ALLOWED))


def _canonical(data: bytes) -> bytes:
    """The same archive without memory addresses, random names and the time: equal models give equal bytes."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        schema = json.loads(archive.read("schema.json"))
        renaming = _Renaming()
        renaming.apply(schema)
        members = {name: _without_time(archive.read(original)) for original, name in renaming.files.items()}
    members["schema.json"] = json.dumps(schema, separators=(",", ":")).encode()
    return _archive(members)


def _without_time(data: bytes) -> bytes:
    """A sparse matrix is an archive inside the archive."""
    if not data.startswith(b"PK\x03\x04"):
        return data
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return _archive({name: archive.read(name) for name in archive.namelist()})


def _archive(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name, _TIME), content)
    return buffer.getvalue()


class _Renaming:
    """Numbers ids and files in the order in which the schema names them."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {}
        self._ids: dict[int, int] = {}
        self._next = 0

    def apply(self, node: Any) -> None:
        """Rename in place."""
        if isinstance(node, list):
            for child in node:
                self.apply(child)
        if not isinstance(node, dict):
            return
        if isinstance(node.get("__id__"), int):
            node["__id__"] = self._number(node["__id__"], shared=node.get("__loader__") != "JsonNode")
        if isinstance(node.get("file"), str):
            node["file"] = self._file(node["file"])
        for child in node.values():
            self.apply(child)

    def _number(self, identity: int, *, shared: bool) -> int:
        # Whether two equal constants are one object is an accident of the interpreter and means nothing.
        if shared and identity in self._ids:
            return self._ids[identity]
        self._next += 1
        if shared:
            self._ids[identity] = self._next
        return self._next

    def _file(self, name: str) -> str:
        suffix = name[name.rfind(".") :]
        return self.files.setdefault(name, f"{len(self.files)}{suffix}")

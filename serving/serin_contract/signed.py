"""What a signature of a bundle looks like: the key-based format of sigstore's `model_signing`, version 1.

A sigstore bundle holds a DSSE envelope, whose payload is an in-toto statement, which names every signed file with its
hash. The manifest is one of these files and holds the hash of every other, so that only the manifest's is looked at.
Nothing here computes or checks a signature.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

import msgspec

from serin_contract.bundle import MANIFEST_FILE, Manifest

SIGNED_FILE = "model.sig"
"""Lies beside the manifest and is not named by it."""
SIGNED_BYTES_MAX = 2 * 1024**2
PAYLOAD_TYPE: Literal["application/vnd.in-toto+json"] = "application/vnd.in-toto+json"
_MEDIA_TYPE: Literal["application/vnd.dev.sigstore.bundle.v0.3+json"] = "application/vnd.dev.sigstore.bundle.v0.3+json"
_STATEMENT_TYPE: Literal["https://in-toto.io/Statement/v1"] = "https://in-toto.io/Statement/v1"
_PREDICATE_TYPE: Literal["https://model_signing/signature/v1.0"] = "https://model_signing/signature/v1.0"
_ALGORITHM = "sha256"


class _Camel(msgspec.Struct, frozen=True, rename="camel"):
    """Field names as they are written in JSON."""


class Signed(msgspec.Struct, frozen=True):
    """One signature in the envelope."""

    sig: bytes
    keyid: str = ""


class Envelope(_Camel, frozen=True):
    """What was signed, and the signature."""

    payload: bytes
    signatures: Annotated[list[Signed], msgspec.Meta(min_length=1, max_length=1)]
    payload_type: Literal["application/vnd.in-toto+json"] = PAYLOAD_TYPE


class PublicKey(msgspec.Struct, frozen=True):
    """Which key signed, by the SHA-256 of its PEM text: a hint that proves nothing."""

    hint: str | None = None


class Material(_Camel, frozen=True):
    """How the signature may be verified; a certificate in place of a key is another format."""

    public_key: PublicKey
    tlog_entries: list[msgspec.Raw] = []


class SignedFile(_Camel, frozen=True):
    """The whole of SIGNED_FILE."""

    verification_material: Material
    dsse_envelope: Envelope
    media_type: Literal["application/vnd.dev.sigstore.bundle.v0.3+json"] = _MEDIA_TYPE


class _Resource(msgspec.Struct, frozen=True):
    name: str
    digest: str
    algorithm: str = _ALGORITHM


class _Subject(msgspec.Struct, frozen=True):
    name: str
    digest: dict[str, str]


class _Serialization(msgspec.Struct, frozen=True):
    """How `model_signing verify` reads the directory again."""

    method: str = "files"
    hash_type: str = _ALGORITHM
    allow_symlinks: bool = False
    ignore_paths: tuple[str, ...] = (SIGNED_FILE,)


class _Predicate(msgspec.Struct, frozen=True):
    resources: list[_Resource]
    serialization: _Serialization = _Serialization()


class _Statement(_Camel, frozen=True):
    subject: list[_Subject]
    predicate: _Predicate
    predicate_type: Literal["https://model_signing/signature/v1.0"] = _PREDICATE_TYPE
    statement_type: Literal["https://in-toto.io/Statement/v1"] = msgspec.field(name="_type", default=_STATEMENT_TYPE)


def statement(manifest: Manifest, data: bytes) -> bytes:
    """The payload to sign: that the manifest with these bytes, and each file that it names, belong together."""
    digests = {path: entry.sha256 for path, entry in manifest.files.items()}
    digests[MANIFEST_FILE] = hashlib.sha256(data).hexdigest()
    resources = [_Resource(path, digest) for path, digest in sorted(digests.items())]
    root = hashlib.sha256(b"".join(bytes.fromhex(resource.digest) for resource in resources)).hexdigest()
    return msgspec.json.encode(_Statement([_Subject(manifest.name, {_ALGORITHM: root})], _Predicate(resources)))


def manifest_digest(payload: bytes) -> str | None:
    """SHA-256 of the manifest that a payload vouches for, in hexadecimal; None where it vouches for none.

    Raises:
        ValueError: the payload is no statement of this format.
    """
    resources = msgspec.json.decode(payload, type=_Statement).predicate.resources
    found = [item.digest for item in resources if (item.name, item.algorithm) == (MANIFEST_FILE, _ALGORITHM)]
    return found[0] if len(found) == 1 else None


def signed_bytes(payload: bytes) -> bytes:
    """The bytes that the key signs: DSSE's encoding, which ties a payload to its type."""
    return b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)


def encode(payload: bytes, signature: bytes, hint: str) -> bytes:
    """The file of one signature of a payload."""
    return msgspec.json.encode(SignedFile(Material(PublicKey(hint)), Envelope(payload, [Signed(signature)])))


def decode(data: bytes) -> tuple[bytes, bytes]:
    """Payload and signature of a file.

    Raises:
        ValueError: it is no file of this format.
    """
    envelope = msgspec.json.decode(data, type=SignedFile).dsse_envelope
    return envelope.payload, envelope.signatures[0].sig

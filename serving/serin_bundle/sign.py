"""Sign a bundle with a key, in the format that `model_signing` verifies too."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from serin_bundle.errors import BundleError
from serin_bundle.inspect import inspect
from serin_contract import signed
from serin_contract.bundle import MANIFEST_FILE

_HASHES: dict[str, hashes.HashAlgorithm] = {
    "secp256r1": hashes.SHA256(),
    "secp384r1": hashes.SHA384(),
    "secp521r1": hashes.SHA512(),
}


def sign(directory: Path, pem: bytes, password: bytes | None = None) -> Path:
    """Write the signature beside the manifest, in place of one that is there; returns its path.

    Args:
        directory: the bundle.
        pem: the private key: ECDSA on P-256, P-384 or P-521.
        password: what the key is encrypted by, if it is.

    Raises:
        BundleError: a file of the bundle is not the recorded one, or the key is none that signs.
    """
    report = inspect(directory)
    damaged = [file for file in report.files if file.problem is not None]
    if damaged:
        raise BundleError(f"{damaged[0].path}: {damaged[0].problem}; a damaged bundle is not signed")
    data = (directory / MANIFEST_FILE).read_bytes()
    if f"sha256:{hashlib.sha256(data).hexdigest()}" != report.digest:
        raise BundleError(f"{MANIFEST_FILE} changes while it is signed")
    key = _private_key(pem, password)
    payload = signed.statement(report.manifest, data)
    signature = key.sign(signed.signed_bytes(payload), ec.ECDSA(_HASHES[key.curve.name]))
    path = directory / signed.SIGNED_FILE
    _replace(path, signed.encode(payload, signature, _hint(key.public_key())))
    return path


def _private_key(pem: bytes, password: bytes | None) -> ec.EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(pem, password)
    except TypeError as error:
        # The library tells a password that is wanted and one that is too many by this type alone.
        raise BundleError("the key is encrypted and there is no password, or the other way round") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BundleError("the key is no private key in PEM, or the password is wrong") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name not in _HASHES:
        raise BundleError("the key must be for ECDSA on P-256, P-384 or P-521")
    return key


def _hint(key: ec.EllipticCurvePublicKey) -> str:
    return hashlib.sha256(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def _replace(path: Path, data: bytes) -> None:
    """Write whole or not at all: a server that reads at this moment sees one signature or the other."""
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        scratch = Path(name)
        scratch.chmod(0o644)
        scratch.replace(path)
    except OSError as error:
        raise BundleError(f"the signature cannot be written to {path}: {error.strerror}") from error

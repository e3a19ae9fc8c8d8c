"""Who may sign a bundle, and whether one of them has: asked before anything of the manifest is parsed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from serin_contract import signed
from serin_contract.signed import SIGNED_FILE
from serin_contract.startup import StartupReason
from serin_serving.errors import RefusedError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

KEYS_MAX = 16
KEY_FILE_BYTES_MAX = 64 * 1024
_PEM = re.compile(rb"-----BEGIN PUBLIC KEY-----[^-]{1,8192}-----END PUBLIC KEY-----")

Check = Callable[[bytes, Callable[[], bytes]], None]
"""Raises where the manifest's bytes are not signed; the second argument reads the bytes of SIGNED_FILE."""


def anybody(_manifest: bytes, _signature: Callable[[], bytes]) -> None:
    """The check of a deployment that asks for no signature: none is read."""


class Signers:
    """The public keys of which one must have signed."""

    def __init__(self, paths: Iterable[Path]) -> None:
        """Read the files.

        Raises:
            RefusedError: there is no key, or something else than keys (SettingsInvalid).
        """
        self._keys = [(path.name, key) for path in paths for key in _keys_of(path)]
        if not self._keys:
            raise _invalid("a signature is asked for, and there is no key that it could be of")
        if len(self._keys) > KEYS_MAX:
            raise _invalid(f"there are {len(self._keys)} keys of signers; at most {KEYS_MAX} may be")

    def check(self, manifest: bytes, signature: Callable[[], bytes]) -> None:
        """Refuse a manifest that none of them has signed.

        Args:
            manifest: its bytes, of which nothing was parsed.
            signature: reads the bytes of SIGNED_FILE; refuses with BundleMissing where there is none.

        Raises:
            RefusedError: the signature is missing, or not what it must be (NotSigned), or does not come.
        """
        try:
            data = signature()
        except RefusedError as refused:
            if refused.reason is not StartupReason.BundleMissing:
                raise
            raise _not_signed(f"the bundle has no {SIGNED_FILE}, and a signature is asked for") from refused
        payload = self._signed_payload(data)
        if _manifest_digest(payload) != hashlib.sha256(manifest).hexdigest():
            raise _not_signed(f"{SIGNED_FILE} is the signature of another bundle")

    def _signed_payload(self, data: bytes) -> bytes:
        """The payload, once one of the keys is known to have signed it."""
        try:
            payload, signature = signed.decode(data)
        except (msgspec.MsgspecError, ValueError) as error:
            raise _not_signed(f"{SIGNED_FILE} is no signature by a key that can be read") from error
        if not any(_has_signed(key, payload, signature) for _, key in self._keys):
            names = ", ".join(dict.fromkeys(name for name, _ in self._keys))
            raise _not_signed(f"{SIGNED_FILE} was made by none of the keys that may sign, which are {names}")
        return payload


def signers_of(directory: Path | None) -> Check:
    """The check by the keys of a mounted ConfigMap or Secret; None asks for no signature.

    Raises:
        RefusedError: as of `Signers`.
    """
    if directory is None:
        return anybody
    try:
        # The names that begin with dots are how the kubelet swaps a whole volume at once.
        paths = sorted(path for path in directory.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise _invalid(f"the keys of the signers cannot be read: {error.strerror}") from error
    return Signers(paths).check


def _manifest_digest(payload: bytes) -> str | None:
    try:
        return signed.manifest_digest(payload)
    except (msgspec.MsgspecError, ValueError) as error:
        raise _not_signed(f"{SIGNED_FILE} signs something else than files") from error


def _keys_of(path: Path) -> Iterator[EllipticCurvePublicKey]:
    """The keys of one file; one that is anything else too is not silently half believed."""
    try:
        with path.open("rb") as file:
            data = file.read(KEY_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise _invalid(f"{path.name} among the keys of the signers cannot be read: {error.strerror}") from error
    blocks = _PEM.findall(data) if len(data) <= KEY_FILE_BYTES_MAX else []
    if not blocks or data.count(b"-----BEGIN") != len(blocks):
        raise _invalid(f"{path.name} must hold public keys in PEM, and nothing else")
    for block in blocks:
        yield _key(block, path.name)


def _key(block: bytes, name: str) -> EllipticCurvePublicKey:
    # Imported only where a signature is asked for: no other server pays for it.
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
    except ImportError as error:
        raise _invalid("this image cannot check signatures: it lacks the package cryptography") from error
    try:
        key = load_pem_public_key(block)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _invalid(f"{name} holds a public key that cannot be read") from error
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1 | ec.SECP521R1):
        return key
    raise _invalid(f"{name} holds a public key of another kind than ECDSA on P-256, P-384 or P-521")


def _has_signed(key: EllipticCurvePublicKey, payload: bytes, signature: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA

    of_size: dict[int, hashes.HashAlgorithm] = {256: hashes.SHA256(), 384: hashes.SHA384(), 521: hashes.SHA512()}
    try:
        key.verify(signature, signed.signed_bytes(payload), ECDSA(of_size[key.key_size]))
    except InvalidSignature:
        return False
    return True


def _not_signed(message: str) -> RefusedError:
    return RefusedError(StartupReason.NotSigned, message)


def _invalid(message: str) -> RefusedError:
    return RefusedError(StartupReason.SettingsInvalid, message)

"""Keys, and signatures that are good or nearly so."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from serin_bundle.sign import sign
from serin_contract.signed import SIGNED_FILE, signed_bytes

Change = Callable[[dict[str, Any]], object]


class Signer:
    """A key pair."""

    def __init__(self, curve: ec.EllipticCurve | None = None) -> None:
        self.key = ec.generate_private_key(curve or ec.SECP256R1())

    @property
    def public(self) -> bytes:
        """The public key in PEM."""
        return public_pem(self.key)

    def private(self, password: bytes | None = None) -> bytes:
        """The private key in PEM."""
        kept = NoEncryption() if password is None else BestAvailableEncryption(password)
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, kept)

    def sign(self, bundle: Path) -> None:
        """Sign it as `serin sign` does."""
        sign(bundle, self.private())

    def sign_otherwise(self, bundle: Path, change: Change) -> None:
        """Sign it by a statement that was changed before: the signature of what it says is good."""
        self.sign(bundle)
        document = json.loads((bundle / SIGNED_FILE).read_bytes())
        said = json.loads(base64.b64decode(document["dsseEnvelope"]["payload"]))
        change(said)
        payload = json.dumps(said).encode()
        signature = self.key.sign(signed_bytes(payload), ec.ECDSA(hashes.SHA256()))
        document["dsseEnvelope"]["payload"] = base64.b64encode(payload).decode()
        document["dsseEnvelope"]["signatures"][0]["sig"] = base64.b64encode(signature).decode()
        (bundle / SIGNED_FILE).write_text(json.dumps(document))

    def trusted_in(self, directory: Path, name: str = "release.pub") -> Path:
        """The directory, with the public key as one more file."""
        directory.mkdir(exist_ok=True)
        (directory / name).write_bytes(self.public)
        return directory


def public_pem(key: Any) -> bytes:
    """The public half of any key, in PEM."""
    made: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return made


def tamper(bundle: Path, change: Change) -> None:
    """Change the signature's file and sign nothing anew."""
    path = bundle / SIGNED_FILE
    document = json.loads(path.read_bytes())
    change(document)
    path.write_text(json.dumps(document))

"""`serin sign` and `serin verify`."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.support import bundles
from tests.support.signing import Signer

from serin_cli.main import serin


class Release:
    """A bundle, its signer's files, and the command line."""

    def __init__(self, directory: Path) -> None:
        self.bundle, self.signer, self.directory = directory / "wine-7", Signer(), directory
        self.digest = bundles.wine(self.bundle)
        self.key = self.write("release.key", self.signer.private())
        self.public = self.write("release.pub", self.signer.public)

    def write(self, name: str, data: bytes) -> Path:
        (self.directory / name).write_bytes(data)
        return self.directory / name

    def sign(self, *more: str, key: Path | None = None) -> Result:
        return CliRunner().invoke(serin, ["sign", str(self.bundle), "--key", str(key or self.key), *more])

    def verify(self, *keys: Path) -> Result:
        options = [word for key in keys for word in ("--key", str(key))]
        return CliRunner().invoke(serin, ["verify", str(self.bundle), *options])


@pytest.fixture
def release(tmp_path: Path) -> Release:
    return Release(tmp_path)


def test_what_is_signed_is_verified_and_keeps_its_digest(release: Release) -> None:
    signed = release.sign()
    assert (signed.exit_code, signed.output.strip()) == (0, str(release.bundle / "model.sig"))
    verified = release.verify(release.public)
    assert verified.exit_code == 0
    assert f"digest   {release.digest}" in verified.output
    assert "signed   by one of release.pub; every file is the recorded one" in verified.output
    assert (release.bundle / "model.sig").stat().st_mode & 0o777 == 0o644, "a server of another user reads it"
    assert [path.name for path in release.bundle.iterdir() if path.name.startswith(".")] == []


def test_one_of_several_keys_suffices_and_a_stranger_does_not(release: Release) -> None:
    stranger = release.write("stranger.pub", Signer().public)
    release.sign()
    assert release.verify(stranger, release.public).exit_code == 0
    refused = release.verify(stranger)
    assert refused.exit_code == 1
    assert "NotSigned: model.sig was made by none of the keys that may sign, which are stranger.pub" in refused.output


def test_a_new_signature_takes_the_place_of_an_old_one(release: Release) -> None:
    release.sign(key=release.write("old.key", Signer().private()))
    release.sign()
    assert release.verify(release.public).exit_code == 0


def test_a_damaged_bundle_is_neither_signed_nor_verified(release: Release) -> None:
    release.sign()
    bundles.damage(release.bundle)
    signed = release.sign()
    assert signed.exit_code == 1
    assert "a damaged bundle is not signed" in signed.output
    assert "DigestMismatch: model.skops" in release.verify(release.public).output


def test_an_encrypted_key_asks_for_its_password(release: Release) -> None:
    key = release.write("release.key", release.signer.private(b"hush"))
    assert "the key is encrypted and there is no password" in release.sign(key=key).output
    wrong = release.sign("--password-file", str(release.write("wrong", b"other\n")), key=key)
    assert "the password is wrong" in wrong.output
    assert release.sign("--password-file", str(release.write("password", b"hush\n")), key=key).exit_code == 0
    assert release.verify(release.public).exit_code == 0


ED25519 = ed25519.Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.mark.parametrize(
    ("sentence", "key", "words"),
    [
        ("text", b"release", "no private key in PEM"),
        ("a public key", Signer().public, "no private key in PEM"),
        ("another algorithm", ED25519, "ECDSA on P-256"),
        ("another curve", Signer(ec.SECP256K1()).private(), "ECDSA on P-256"),
    ],
)
def test_what_does_not_sign_is_told_apart(release: Release, sentence: str, key: bytes, words: str) -> None:
    refused = release.sign(key=release.write("bad.key", key))
    assert refused.exit_code == 1, sentence
    assert words in refused.output
    assert not (release.bundle / "model.sig").exists()


def test_the_help_teaches_by_an_example() -> None:
    for command in ("sign", "verify"):
        assert "bundles/wine-7 --key release" in CliRunner().invoke(serin, [command, "--help"]).output

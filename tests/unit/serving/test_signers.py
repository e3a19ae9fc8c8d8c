"""A bundle that must be signed is, by one of the keys, or nothing of it is read."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from tests.support import bundles, signing
from tests.support.signing import Signer
from tests.unit.serving.running import Case

from serin_contract import labels, startup
from serin_contract.signed import SIGNED_BYTES_MAX, SIGNED_FILE
from serin_contract.startup import EXIT_REFUSED, StartupReason
from serin_serving.bundle_files import Bundle, read_bundle
from serin_serving.errors import RefusedError
from serin_serving.main import main
from serin_serving.signers import KEY_FILE_BYTES_MAX, KEYS_MAX, Signers, signers_of

BY_ANOTHER_PROGRAM = Path(signing.__file__).parent / "model_signing"


class World:
    """A bundle, who may sign it, and a stranger."""

    def __init__(self, directory: Path, case: Case) -> None:
        self.bundle = bundles.copy(case.path, directory / "bundle")
        self.release, self.stranger = Signer(), Signer()
        self.keys = self.release.trusted_in(directory / "keys")

    def read(self) -> Bundle:
        return read_bundle(self.bundle, None, keep=(), check_signed=signers_of(self.keys))

    def write_statement(self, change: Callable[[dict[str, Any]], object]) -> None:
        self.release.sign_otherwise(self.bundle, change)

    def tamper(self, change: Callable[[dict[str, Any]], object]) -> None:
        self.release.sign(self.bundle)
        signing.tamper(self.bundle, change)


@pytest.fixture
def world(tmp_path: Path, wine: Case) -> World:
    return World(tmp_path, wine)


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: curve.name)
def test_a_bundle_that_one_of_the_keys_has_signed_is_read(world: World, curve: ec.EllipticCurve) -> None:
    other = Signer(curve)
    other.trusted_in(world.keys, "rotated.pub")
    other.sign(world.bundle)
    assert world.read().digest == bundles.digest(world.bundle)


def test_keys_may_share_a_file_and_what_the_kubelet_hides_is_none(world: World) -> None:
    (world.keys / "release.pub").write_bytes(world.stranger.public + b"\n" + world.release.public)
    (world.keys / "..data").mkdir()
    world.release.sign(world.bundle)
    world.read()


def test_a_signature_by_model_signing_holds() -> None:
    manifest = (BY_ANOTHER_PROGRAM / "manifest.json").read_bytes()
    check = Signers([BY_ANOTHER_PROGRAM / "release.pub"]).check
    check(manifest, (BY_ANOTHER_PROGRAM / SIGNED_FILE).read_bytes)
    with pytest.raises(RefusedError, match="another bundle"):
        check(manifest + b" ", (BY_ANOTHER_PROGRAM / SIGNED_FILE).read_bytes)


def _resources(said: dict[str, Any]) -> list[dict[str, str]]:
    found: list[dict[str, str]] = said["predicate"]["resources"]
    return found


def _manifest_of(said: dict[str, Any]) -> dict[str, str]:
    return next(item for item in _resources(said) if item["name"] == "manifest.json")


def _another_manifest(world: World) -> None:
    """Every file is the recorded one: whoever may write the bundle may write a manifest too."""
    world.release.sign(world.bundle)
    bundles.rewrite(world.bundle, golden_json=(world.bundle / "golden.json").read_bytes() + b" ")


def _too_long(world: World) -> None:
    (world.bundle / SIGNED_FILE).write_bytes(b" " * (SIGNED_BYTES_MAX + 1))


def _a_pipe(world: World) -> None:
    os.mkfifo(world.bundle / SIGNED_FILE)


def _pasted(world: World) -> None:
    """The statement of a bundle that the stranger made, under a signature of the release key."""
    world.stranger.sign(world.bundle)
    payload = json.loads((world.bundle / SIGNED_FILE).read_bytes())["dsseEnvelope"]["payload"]
    bundles.rewrite(world.bundle, golden_json=b"[]")
    world.tamper(lambda file: file["dsseEnvelope"].update(payload=payload))


UNSIGNED: dict[str, tuple[Callable[[World], object], str]] = {
    "no signature": (lambda _: None, "has no model.sig"),
    "a signature by somebody else": (lambda w: w.stranger.sign(w.bundle), "none of the keys that may sign, which are "),
    "a manifest that was written after the signature": (_another_manifest, "signature of another bundle"),
    "a statement under the signature of another": (_pasted, "none of the keys"),
    "a signature of no bytes": (
        lambda w: w.tamper(lambda file: file["dsseEnvelope"]["signatures"][0].update(sig="")), "none of the keys"
    ),
    "no signature in the envelope": (
        lambda w: w.tamper(lambda file: file["dsseEnvelope"].update(signatures=[])), "no signature by a key"
    ),
    "two signatures, of which one could be anybody's": (
        lambda w: w.tamper(lambda file: file["dsseEnvelope"]["signatures"].append({"sig": "AAAA"})),
        "no signature by a key",
    ),
    "another type of payload": (
        lambda w: w.tamper(lambda file: file["dsseEnvelope"].update(payloadType="text/plain")), "no signature by a key"
    ),
    "a signature by a certificate": (
        lambda w: w.tamper(lambda file: file.update(verificationMaterial={"certificate": {"rawBytes": "AAAA"}})),
        "no signature by a key",
    ),
    "no base64": (
        lambda w: w.tamper(lambda file: file["dsseEnvelope"].update(payload="§")), "no signature by a key"
    ),
    "no JSON": (lambda w: (w.bundle / SIGNED_FILE).write_bytes(b"\x80"), "no signature by a key"),
    "a bare signature": (
        lambda w: (w.bundle / SIGNED_FILE).write_bytes(base64.b64encode(b"MEQ")), "no signature by a key"
    ),
    "a signed statement of another kind": (
        lambda w: w.write_statement(lambda said: said.update(predicateType="https://slsa.dev/provenance/v1")),
        "something else than files",
    ),
    "a signed statement that leaves the manifest out": (
        lambda w: w.write_statement(lambda said: _resources(said).remove(_manifest_of(said))), "another bundle"
    ),
    "a signed statement that names the manifest twice": (
        lambda w: w.write_statement(lambda said: _resources(said).append(_manifest_of(said))), "another bundle"
    ),
    "a manifest that was hashed otherwise": (
        lambda w: w.write_statement(lambda said: _manifest_of(said).update(algorithm="blake2b")), "another bundle"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", UNSIGNED)
def test_what_is_not_signed_is_refused(world: World, name: str) -> None:
    spoil, words = UNSIGNED[name]
    spoil(world)
    with pytest.raises(RefusedError) as refused:
        world.read()
    assert refused.value.reason is StartupReason.NotSigned
    assert words in refused.value.message


@pytest.mark.parametrize(
    ("sentence", "spoil", "reason"),
    [
        ("a file that is too long is not read", _too_long, StartupReason.DigestMismatch),
        ("a pipe is not waited for", _a_pipe, StartupReason.BundleInvalid),
    ],
)
def test_a_signature_that_cannot_be_read_keeps_its_reason(
    world: World, sentence: str, spoil: Callable[[World], object], reason: StartupReason
) -> None:
    spoil(world)
    with pytest.raises(RefusedError) as refused:
        world.read()
    assert refused.value.reason is reason, sentence


def test_the_signature_is_checked_before_the_manifest_is_parsed_and_after_its_digest(world: World) -> None:
    world.stranger.sign(world.bundle)
    (world.bundle / "manifest.json").write_bytes(b"[")
    with pytest.raises(RefusedError) as refused:
        world.read()
    assert refused.value.reason is StartupReason.NotSigned
    with pytest.raises(RefusedError) as refused:
        read_bundle(world.bundle, "sha256:" + "0" * 64, check_signed=signers_of(world.keys))
    assert refused.value.reason is StartupReason.DigestMismatch


def test_a_signature_vouches_for_every_file_through_the_manifest(world: World) -> None:
    world.release.sign(world.bundle)
    bundles.damage(world.bundle)
    with pytest.raises(RefusedError) as refused:
        world.read()
    assert refused.value.reason is StartupReason.DigestMismatch


def test_where_no_signature_is_asked_for_a_bad_one_does_not_matter(world: World) -> None:
    (world.bundle / SIGNED_FILE).write_bytes(b"nonsense")
    read_bundle(world.bundle, None, keep=(), check_signed=signers_of(None))


_P256 = Signer().public
BAD_KEYS: dict[str, tuple[bytes | None, str]] = {
    "no key at all": (None, "there is no key"),
    "text": (b"release", "public keys in PEM"),
    "a private key": (Signer().private(), "public keys in PEM"),
    "a private key beside a public one": (_P256 + Signer().private(), "public keys in PEM, and nothing else"),
    "a block that is no key": (
        b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "a public key that cannot be read"
    ),
    "a key of RSA": (signing.public_pem(rsa.generate_private_key(65537, 2048)), "another kind than ECDSA"),
    "a key of Ed25519": (signing.public_pem(ed25519.Ed25519PrivateKey.generate()), "another kind than ECDSA"),
    "a curve that is not known": (Signer(ec.SECP256K1()).public, "another kind than ECDSA"),
    "more keys than may be": (_P256 * (KEYS_MAX + 1), f"at most {KEYS_MAX}"),
    "a file without end": (_P256 + b" " * KEY_FILE_BYTES_MAX, "public keys in PEM"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_KEYS)
def test_keys_that_cannot_be_used_are_a_fault_of_the_settings(world: World, name: str) -> None:
    data, words = BAD_KEYS[name]
    (world.keys / "release.pub").unlink()
    if data is not None:
        (world.keys / "release.pub").write_bytes(data)
    with pytest.raises(RefusedError) as refused:
        world.read()
    assert refused.value.reason is StartupReason.SettingsInvalid
    assert words in refused.value.message


def test_a_directory_of_keys_that_is_not_there_is_no_leave_to_go_unsigned(world: World) -> None:
    with pytest.raises(RefusedError) as refused:
        signers_of(world.keys / "gone")
    assert refused.value.reason is StartupReason.SettingsInvalid


@pytest.mark.parametrize("command", ["resolve", "serve"])
def test_both_programs_of_the_image_ask_for_the_signature(world: World, keys_file: Path, command: str) -> None:
    log = world.bundle.parent / "termination-log"
    env = {
        labels.ENV_DEPLOYMENT: "wine",
        labels.ENV_REVISION: "wine-1",
        labels.ENV_POD_UID: "pod-1",
        labels.ENV_BUNDLE_DIR: str(world.bundle),
        labels.ENV_BUNDLE_DIGEST: bundles.digest(world.bundle),
        labels.ENV_KEYS_FILE: str(keys_file),
        labels.ENV_SIGNERS_DIR: str(world.keys),
        "SERIN_TERMINATION_LOG": str(log),
    }
    assert main([command], env) == EXIT_REFUSED
    failure = startup.decode_failure(log.read_text())
    assert failure is not None
    assert failure.reason is StartupReason.NotSigned
    world.release.sign(world.bundle)
    assert main(["resolve"], env) == 0

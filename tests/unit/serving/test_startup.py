from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.unit.serving.running import Case

from serin_contract import labels, startup
from serin_contract.keys import KeyRing, derive_ring, encode
from serin_contract.startup import EXIT_REFUSED, StartupReason
from serin_serving import bundle_files
from serin_serving.errors import RefusedError
from serin_serving.keys import CHECK_SECONDS, Keys
from serin_serving.main import main
from serin_serving.settings import from_env


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def env(wine: Case, keys_file: Path, tmp_path: Path) -> dict[str, str]:
    bundle = tmp_path / "bundle"
    shutil.copytree(wine.path, bundle)
    return {
        "SERIN_DEPLOYMENT": "wine",
        "SERIN_REVISION": "wine-1",
        "SERIN_POD_UID": "pod-1",
        "SERIN_BUNDLE_DIR": str(bundle),
        "SERIN_BUNDLE_DIGEST": wine.digest,
        "SERIN_KEYS_FILE": str(keys_file),
        "SERIN_TERMINATION_LOG": str(tmp_path / "termination-log"),
        "SERIN_HOST": "127.0.0.1",
    }


def termination(env: dict[str, str]) -> str:
    return Path(env["SERIN_TERMINATION_LOG"]).read_text()


def bundle(env: dict[str, str]) -> Path:
    return Path(env["SERIN_BUNDLE_DIR"])


def repin(env: dict[str, str], change: Callable[[dict], None]) -> None:
    """Change the manifest and pin the changed one."""
    path = bundle(env) / "manifest.json"
    document = json.loads(path.read_bytes())
    change(document)
    path.write_text(json.dumps(document))
    env["SERIN_BUNDLE_DIGEST"] = bundle_digest(path)


def bundle_digest(path: Path) -> str:
    import hashlib

    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def rewrite(env: dict[str, str], name: str, data: bytes) -> None:
    """Replace a file and record the new one."""
    import hashlib

    (bundle(env) / name).write_bytes(data)
    entry = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    repin(env, lambda manifest: manifest["files"].update({name: entry}))


def flip(env: dict[str, str], name: str) -> None:
    path = bundle(env) / name
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def wrong_golden(env: dict[str, str]) -> None:
    golden = json.loads((bundle(env) / "golden.json").read_bytes())
    golden["predictions"][0] = 2 if golden["predictions"][0] != 2 else 1
    rewrite(env, "golden.json", json.dumps(golden).encode())


def list_a_path(path: str) -> Callable[[dict[str, str]], None]:
    def damage(env: dict[str, str]) -> None:
        repin(env, lambda manifest: manifest["files"].update({path: {"sha256": "0" * 64, "size": 1}}))

    return damage


def unlist(env: dict[str, str]) -> None:
    repin(env, lambda manifest: manifest["files"].pop("model.skops"))


def fifo(env: dict[str, str]) -> None:
    (bundle(env) / "profile.json").unlink()
    os.mkfifo(bundle(env) / "profile.json")


def other_columns(env: dict[str, str]) -> None:
    profile = json.loads((bundle(env) / "profile.json").read_bytes())
    profile["features"][0]["name"] = "height"
    rewrite(env, "profile.json", json.dumps(profile).encode())


def pickled(env: dict[str, str]) -> None:
    rewrite(env, "model.skops", b"\x80\x04N.")
    env["SERIN_COMPILE"] = "never"


DAMAGES: dict[str, tuple[Callable[[dict[str, str]], object], StartupReason, str]] = {
    "no bundle at all": (lambda env: shutil.rmtree(bundle(env)), StartupReason.BundleMissing, "manifest.json"),
    "a file that is gone": (lambda env: (bundle(env) / "golden.json").unlink(), StartupReason.BundleMissing, "golden"),
    "a changed file": (lambda env: flip(env, "model.skops"), StartupReason.DigestMismatch, "model.skops"),
    "a longer file": (
        lambda env: (bundle(env) / "metrics.json").write_bytes(b" " * 9999), StartupReason.DigestMismatch, "metrics"
    ),
    "a changed manifest": (lambda env: flip(env, "manifest.json"), StartupReason.DigestMismatch, "was pinned"),
    "a manifest that is none": (lambda env: rewrite_manifest(env), StartupReason.BundleInvalid, "is no manifest"),
    "a manifest of another format": (
        lambda env: repin(env, lambda m: m.update(format=2)), StartupReason.BundleInvalid, "format 2"
    ),
    "a path out of the bundle": (list_a_path("../secret"), StartupReason.BundleInvalid, "outside the bundle"),
    "an absolute path": (list_a_path("/etc/passwd"), StartupReason.BundleInvalid, "outside the bundle"),
    "a manifest without a model": (unlist, StartupReason.BundleInvalid, "does not list model.skops"),
    "a pipe where a file belongs": (fifo, StartupReason.BundleInvalid, "no regular file"),
    "a signature that is none": (
        lambda env: rewrite(env, "signature.json", b"{}"), StartupReason.BundleInvalid, "signature.json"
    ),
    "a profile of other columns": (other_columns, StartupReason.BundleInvalid, "does not describe the columns"),
    "a model that is a pickle": (
        pickled,
        StartupReason.BundleInvalid, "cannot be read",
    ),
    "golden rows answered otherwise": (wrong_golden, StartupReason.SelfTestFailed, "golden row 0"),
    "no keys file": (lambda env: env.update(SERIN_KEYS_FILE="/nowhere"), StartupReason.SettingsInvalid, "keys file"),
    "a compile policy that is none": (
        lambda env: env.update(SERIN_COMPILE="always"), StartupReason.SettingsInvalid, "auto, never, require"
    ),
    "no pod uid": (lambda env: env.pop("SERIN_POD_UID"), StartupReason.SettingsInvalid, "SERIN_POD_UID is not set"),
    "a digest that is none": (
        lambda env: env.update(SERIN_BUNDLE_DIGEST="latest"), StartupReason.SettingsInvalid, "SERIN_BUNDLE_DIGEST"
    ),
    "a broken stable profile": (
        lambda env: env.update(SERIN_STABLE_PROFILE_FILE=env["SERIN_KEYS_FILE"]), StartupReason.SettingsInvalid,
        "stable profile",
    ),
}  # fmt: skip


def rewrite_manifest(env: dict[str, str]) -> None:
    path = bundle(env) / "manifest.json"
    path.write_text("[]")
    env["SERIN_BUNDLE_DIGEST"] = bundle_digest(path)


@pytest.mark.parametrize("name", DAMAGES)
def test_it_refuses_to_serve(env: dict[str, str], name: str) -> None:
    damage, reason, part = DAMAGES[name]
    damage(env)
    assert main(["serve"], env) == EXIT_REFUSED
    failure = startup.decode_failure(termination(env))
    assert failure is not None
    assert failure.reason is reason
    assert part in failure.message


def test_resolve_reports_the_digest_of_an_intact_bundle(env: dict[str, str], wine: Case) -> None:
    del env["SERIN_BUNDLE_DIGEST"]
    assert main(["resolve"], env) == 0
    assert startup.decode_digest(termination(env)) == wine.digest


def test_resolve_refuses_a_damaged_bundle(env: dict[str, str]) -> None:
    del env["SERIN_BUNDLE_DIGEST"]
    flip(env, "model.skops")
    assert main(["resolve"], env) == EXIT_REFUSED
    failure = startup.decode_failure(termination(env))
    assert failure is not None
    assert failure.reason is StartupReason.DigestMismatch


def test_what_was_hashed_is_what_is_handed_back(wine: Case) -> None:
    found = bundle_files.read_bundle(wine.path, wine.digest)
    assert found.digest == wine.digest
    assert found.files["model.skops"] == (wine.path / "model.skops").read_bytes()
    assert "metrics.json" not in found.files


SETTINGS = {
    "a drain that is no number": ("SERIN_DRAIN_SECONDS", "soon"),
    "a log of requests that is neither on nor off": ("SERIN_ACCESS_LOG", "yes"),
    "a negative drain": ("SERIN_DRAIN_SECONDS", "-1"),
    "a drain without end": ("SERIN_DRAIN_SECONDS", "inf"),
    "a port that is no number": ("SERIN_STATS_PORT", "http"),
    "a port of gRPC that is none": ("SERIN_GRPC_PORT", "-1"),
    "a port that is too large": ("SERIN_INFERENCE_PORT", "65536"),
    "a name with a slash": ("SERIN_DEPLOYMENT", "a/b"),
    "a name with a line break": ("SERIN_DEPLOYMENT", "wine\n"),
    "an empty revision": ("SERIN_REVISION", ""),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_refuse(env: dict[str, str], name: str) -> None:
    variable, value = SETTINGS[name]
    with pytest.raises(RefusedError, match=variable):
        from_env({**env, variable: value})


def test_settings_default_to_the_contract(env: dict[str, str]) -> None:
    found = from_env({name: value for name, value in env.items() if name not in ("SERIN_KEYS_FILE", "SERIN_HOST")})
    assert (found.inference_port, found.stats_port) == (8080, 8081)
    assert found.drain_seconds == labels.DRAIN_SECONDS
    assert str(found.keys_file) == "/etc/serin/keys/keys.json"
    assert found.stable_profile_file is None


def test_changed_keys_are_read_again_and_broken_ones_are_not(tmp_path: Path, ring: KeyRing) -> None:
    path = tmp_path / "keys.json"
    path.write_bytes(encode(ring))
    keys = Keys(path, now=0)
    newer = derive_ring({"m2": b"2" * 32, "m3": b"3" * 32}, "m3", "uid-of-wine")
    replace(path, encode(newer))
    assert keys.ring(CHECK_SECONDS - 1).current == "m2"
    assert keys.ring(CHECK_SECONDS).current == "m3"
    replace(path, b"{}")
    assert keys.ring(2 * CHECK_SECONDS).current == "m3"
    replace(path, encode(ring))
    assert keys.ring(3 * CHECK_SECONDS).current == "m2"


def replace(path: Path, data: bytes) -> None:
    other = path.with_suffix(".new")
    other.write_bytes(data)
    other.rename(path)

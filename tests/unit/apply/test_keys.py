"""Key rings: from mounted master keys to Secrets, with no key in any text."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from serin_contract import keys
from serin_operator.apply.keys import KeyRings, read_masters
from serin_operator.errors import SettingsError

ONE, TWO = b"1" * 32, b"2" * 32


def mounted(directory: Path, **masters: bytes) -> Path:
    """As the kubelet mounts a Secret: files are links into a directory of their version."""
    version = directory / "..2026_11_01"
    version.mkdir(exist_ok=True)
    data = directory / "..data"
    if not data.is_symlink():
        data.symlink_to(version.name)
    for name, master in masters.items():
        (version / name).write_bytes(master)
        if not (directory / name).is_symlink():
            (directory / name).symlink_to(f"..data/{name}")
    return directory


def test_the_last_id_is_current_and_the_kubelets_directories_are_no_keys(tmp_path: Path) -> None:
    masters = read_masters(mounted(tmp_path, k1=ONE, k2=TWO))
    assert masters.current == "k2"
    assert masters.by_id == {"k1": ONE, "k2": TWO}
    assert "1111" not in repr(masters)


@pytest.mark.parametrize(
    ("masters", "said"),
    [
        ({}, "holds no master key"),
        ({"k1": b"short-secret"}, "k1 must have at least 32 bytes"),
        ({"a-far-too-long-id": ONE}, "at most 16 characters"),
    ],
)
def test_what_is_wrong_is_a_sentence_without_a_key(tmp_path: Path, masters: dict[str, bytes], said: str) -> None:
    with pytest.raises(SettingsError, match=said) as caught:
        read_masters(mounted(tmp_path, **masters))
    assert "short-secret" not in str(caught.value)


def test_a_directory_that_is_missing_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="mount the Secret"):
        read_masters(tmp_path / "none")


def test_the_secret_holds_the_ring_that_pods_can_read(tmp_path: Path) -> None:
    rings = KeyRings(mounted(tmp_path, k1=ONE))
    secret = rings.secret("ns", "m-keys", "m", "uid-1")
    ring = keys.decode(base64.b64decode(secret["data"]["keys.json"]))
    assert ring == keys.derive_ring({"k1": ONE}, "k1", "uid-1")
    assert secret["metadata"]["ownerReferences"][0]["uid"] == "uid-1"


def test_fingerprints_tell_rings_apart_and_hold_no_key(tmp_path: Path) -> None:
    rings = KeyRings(mounted(tmp_path, k1=ONE))
    first = rings.fingerprint("uid-1")
    assert first == rings.fingerprint("uid-1") != rings.fingerprint("uid-2")
    assert len(first) == 16
    mounted(tmp_path, k2=TWO)
    rings.refresh()
    assert rings.fingerprint("uid-1") != first


def test_a_rotation_makes_a_ring_that_was_written_unwritten(tmp_path: Path) -> None:
    rings = KeyRings(mounted(tmp_path, k1=ONE))
    assert not rings.applied("uid-1")
    rings.written("uid-1", rings.fingerprint("uid-1"))
    assert rings.applied("uid-1")
    mounted(tmp_path, k2=TWO)
    rings.refresh()
    assert not rings.applied("uid-1")


def test_what_is_gone_is_forgotten(tmp_path: Path) -> None:
    rings = KeyRings(mounted(tmp_path, k1=ONE))
    rings.written("uid-1", rings.fingerprint("uid-1"))
    rings.keep_only(["uid-2"])
    assert not rings.applied("uid-1")

"""Bundles that pods of one claim keep for each other, and none of them trusts."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.support import bundles
from tests.support.signing import Signer
from tests.support.web import Web
from tests.unit.serving.fetch.conftest import Pod
from tests.unit.serving.running import Case

from serin_contract.startup import StartupReason
from serin_serving.fetch.cache import Cache, from_env
from serin_serving.fetch.connect import Clock
from serin_serving.signers import anybody


class Node:
    """A claim, and pods that come one after another."""

    def __init__(self, directory: Path, web: Web, case: Case) -> None:
        self.directory, self.web, self.case = directory, web, case
        self.claim = directory / "claim"
        self.claim.mkdir()
        web.put(case.path, "/models/wine")
        self.uri = f"{web.url}/models/wine"
        self.pods = 0

    @property
    def kept(self) -> Path:
        return self.claim / self.case.digest.removeprefix("sha256:")

    def pod(self) -> Pod:
        self.pods += 1
        home = self.directory / f"pod-{self.pods}"
        home.mkdir()
        pod = Pod(home, self.case)
        pod.env["SERIN_CACHE_DIR"] = str(self.claim)
        return pod

    def asked(self) -> int:
        """How many requests came since the last look."""
        count = len(self.web.asked)
        self.web.asked.clear()
        return count


@pytest.fixture
def node(tmp_path: Path, web: Web, wine: Case) -> Node:
    return Node(tmp_path, web, wine)


def files(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_the_second_pod_asks_nobody(node: Node) -> None:
    assert node.pod().fetch(node.uri) == files(node.case.path)
    assert node.asked() > 0
    assert node.pod().fetch(node.uri) == files(node.case.path)
    assert node.asked() == 0
    assert sorted(path.name for path in node.claim.iterdir()) == [".serin-lock", node.kept.name]


def test_a_pod_that_resolves_asks_the_place_and_fills_the_cache_for_those_that_serve(node: Node) -> None:
    for _ in range(2):
        resolving = node.pod()
        resolving.unpin()
        resolving.fetch(node.uri)
        assert node.asked() > 0, "only the place says what the bundle is today"
    node.pod().fetch(node.uri)
    assert node.asked() == 0


def test_without_a_cache_nothing_is_kept(node: Node) -> None:
    pod = node.pod()
    del pod.env["SERIN_CACHE_DIR"]
    pod.fetch(node.uri)
    assert list(node.claim.iterdir()) == []


def _another_manifest(kept: Path) -> None:
    bundles.rewrite(kept, golden_json=b"[]")


def _a_link(kept: Path) -> None:
    (kept / "model.skops").unlink()
    (kept / "model.skops").symlink_to("/etc/hostname")


def _a_pipe(kept: Path) -> None:
    (kept / "manifest.json").unlink()
    os.mkfifo(kept / "manifest.json")


SPOILT: dict[str, Callable[[Path], object]] = {
    "a bit that flipped": bundles.damage,
    "a file that went": lambda kept: (kept / "golden.json").unlink(),
    "no manifest": lambda kept: (kept / "manifest.json").unlink(),
    "a file that grew": lambda kept: (kept / "metrics.json").write_bytes(b" " * 9999),
    "a manifest that vouches for other files": _another_manifest,
    "a link out of the cache": _a_link,
    "a pipe that never ends": _a_pipe,
}


@pytest.mark.parametrize("name", SPOILT)
def test_what_is_not_the_bundle_any_more_is_fetched_and_replaced(node: Node, name: str) -> None:
    node.pod().fetch(node.uri)
    SPOILT[name](node.kept)
    node.asked()
    assert node.pod().fetch(node.uri) == files(node.case.path)
    assert node.asked() > 0
    assert files(node.kept) == files(node.case.path)
    node.pod().fetch(node.uri)
    assert node.asked() == 0


def test_a_file_in_the_place_of_a_bundle_costs_the_fetch_only(node: Node) -> None:
    node.kept.write_bytes(b"no directory")
    assert node.pod().fetch(node.uri) == files(node.case.path)


def test_who_asks_for_a_signature_gets_none_that_was_kept_without(node: Node, tmp_path: Path) -> None:
    node.pod().fetch(node.uri)
    signer, signed = Signer(), bundles.copy(node.case.path, tmp_path / "signed")
    strict = node.pod()
    strict.env["SERIN_SIGNERS_DIR"] = str(signer.trusted_in(tmp_path / "signers"))
    assert strict.refusal(node.uri).reason is StartupReason.NotSigned
    signer.sign(signed)
    node.web.put(signed, "/models/wine")
    assert strict.fetch(node.uri) == files(signed)
    again = node.pod()
    again.env["SERIN_SIGNERS_DIR"] = strict.env["SERIN_SIGNERS_DIR"]
    node.asked()
    assert again.fetch(node.uri) == files(signed)
    assert node.asked() == 0


@pytest.mark.parametrize(
    ("sentence", "spoil"),
    [
        ("it is not there", lambda claim: shutil.rmtree(claim)),
        ("it is a file", lambda claim: (shutil.rmtree(claim), claim.write_bytes(b""))),
        ("its lock is a pipe", lambda claim: os.mkfifo(claim / ".serin-lock")),
        ("its lock is a link", lambda claim: (claim / ".serin-lock").symlink_to("/dev/null")),
    ],
)
def test_a_cache_that_does_not_work_is_done_without(node: Node, sentence: str, spoil: Callable[[Path], object]) -> None:
    spoil(node.claim)
    assert node.pod().fetch(node.uri) == files(node.case.path), sentence


def test_a_pod_that_writes_is_not_waited_for(node: Node) -> None:
    with (node.claim / ".serin-lock").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert node.pod().fetch(node.uri) == files(node.case.path)
    assert not node.kept.exists()
    node.pod().fetch(node.uri)
    assert node.kept.exists()


def test_what_a_killed_pod_left_is_swept(node: Node) -> None:
    (node.claim / ".serin-half").mkdir()
    (node.claim / ".serin-half" / "model.skops").write_bytes(b"half")
    (node.claim / ".serin-odd").write_bytes(b"odd")
    (node.claim / ".snapshot").mkdir()
    node.pod().fetch(node.uri)
    assert sorted(path.name for path in node.claim.iterdir()) == [".serin-lock", ".snapshot", node.kept.name]


def test_without_time_nothing_is_begun(node: Node) -> None:
    Cache(node.claim, 1024**3).keep(node.case.digest, node.case.path, Clock(0))
    assert [path.name for path in node.claim.iterdir()] == [".serin-lock"]


@pytest.mark.parametrize("text", ["0", "-1", "many", "1.5", "999999999"])
def test_a_size_that_is_none_is_a_fault_of_the_settings(node: Node, text: str) -> None:
    pod = node.pod()
    pod.env["SERIN_CACHE_GIBIBYTES"] = text
    refused = pod.refusal(node.uri)
    assert (refused.reason, "SERIN_CACHE_GIBIBYTES" in refused.message) == (StartupReason.SettingsInvalid, True)


def test_a_cache_holds_what_the_spec_says(tmp_path: Path) -> None:
    assert from_env({}) is None
    for env, gibibytes in (({}, 32), ({"SERIN_CACHE_GIBIBYTES": "5"}, 5)):
        made = from_env({"SERIN_CACHE_DIR": str(tmp_path), **env})
        assert made is not None
        assert made.bytes_max == gibibytes * 1024**3


class Shelf:
    """A cache for bundles of 1,000 bytes and a little, of which it holds two."""

    def __init__(self, directory: Path, case: Case) -> None:
        self.directory, self.claim = directory, directory / "claim"
        self.claim.mkdir()
        self.sources = {}
        for number in range(3):
            source = bundles.copy(case.path, directory / f"source-{number}")
            self.sources[bundles.rewrite(source, metrics_json=b'{"n": %d}' % number)] = source
        size = sum(path.stat().st_size for path in source.iterdir())
        self.cache = Cache(self.claim, 2 * size + 100)

    def keep(self, digest: str) -> None:
        self.cache.keep(digest, self.sources[digest], Clock(60))

    def held(self) -> set[str]:
        return {f"sha256:{path.name}" for path in self.claim.iterdir() if path.name != ".serin-lock"}


@pytest.fixture
def shelf(tmp_path: Path, wine: Case) -> Shelf:
    return Shelf(tmp_path, wine)


def test_the_bundle_that_was_used_least_recently_goes_first(shelf: Shelf) -> None:
    first, second, third = shelf.sources
    (shelf.claim / "lost+found").mkdir()
    os.utime(shelf.claim / "lost+found", (0, 0))
    for seconds, digest in enumerate((first, second)):
        shelf.keep(digest)
        place = shelf.claim / digest.removeprefix("sha256:")
        os.utime(place, (seconds, seconds))
    assert shelf.cache.take(first, shelf.directory / "bundle", anybody)
    shelf.keep(third)
    assert shelf.held() == {first, third, "sha256:lost+found"}


def test_a_bundle_that_is_larger_than_the_cache_drives_nobody_out(shelf: Shelf) -> None:
    first, second, _ = shelf.sources
    shelf.keep(first)
    (shelf.sources[second] / "more.bin").write_bytes(b" " * shelf.cache.bytes_max)
    shelf.keep(second)
    assert shelf.held() == {first}


def test_pods_that_take_keep_and_evict_at_once_get_whole_bundles(shelf: Shelf) -> None:
    """Three bundles in a cache for two: at every moment one is being removed that others may be copying."""

    def live(number: int) -> None:
        for turn in range(20):
            digest = list(shelf.sources)[(number + turn // 3) % 3]
            directory = shelf.directory / f"pod-{number}" / "bundle"
            shutil.rmtree(directory, ignore_errors=True)
            if shelf.cache.take(digest, directory, anybody):
                assert files(directory) == files(shelf.sources[digest])
            else:
                assert not directory.exists()
                shelf.keep(digest)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(live, range(8)))
    assert len(shelf.held()) <= 2
    for digest in shelf.sources:
        shelf.keep(digest)
        assert shelf.cache.take(digest, shelf.directory / "after" / "bundle", anybody)

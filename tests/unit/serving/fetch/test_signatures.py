"""Where a signature is asked for it is fetched beside the manifest, and before any other file."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support import bundles
from tests.support.signing import Signer
from tests.support.web import Reply, Web
from tests.unit.serving.fetch.conftest import Pod
from tests.unit.serving.fetch.test_oci import Registry

from serin_contract.startup import StartupReason

BASE = "/models/wine"


class Release:
    """A signed bundle, and the pod that asks for the signature."""

    def __init__(self, directory: Path, pod: Pod, web: Web) -> None:
        self.web, self.pod, self.signer = web, pod, Signer()
        self.bundle = bundles.copy(pod.case.path, directory / "signed")
        self.signer.sign(self.bundle)
        pod.env["SERIN_SIGNERS_DIR"] = str(self.signer.trusted_in(directory / "signers"))
        self.uri = f"{web.url}{BASE}"
        web.put(self.bundle, BASE)

    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted(self.bundle.iterdir())}

    def as_files(self) -> str:
        return self.uri

    def as_archive(self) -> str:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w:gz") as tar:
            for name, data in self.files().items():
                member = tarfile.TarInfo(f"wine-7/{name}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
        self.web.files["/wine.tgz"] = out.getvalue()
        return f"{self.web.url}/wine.tgz"

    def as_artefact(self) -> str:
        registry = Registry(self.web, self.pod)
        registry.files = self.files()
        registry.pushed()
        return f"{registry.uri}:7"

    def as_image(self) -> str:
        registry = Registry(self.web, self.pod)
        registry.files = self.files()
        registry.image()
        return f"{registry.uri}:7"


@pytest.fixture
def release(tmp_path: Path, pod: Pod, web: Web) -> Release:
    return Release(tmp_path, pod, web)


PLACES: list[Callable[[Release], str]] = [Release.as_files, Release.as_archive, Release.as_artefact, Release.as_image]


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
def test_a_signed_bundle_comes_with_its_signature(release: Release, place: Callable[[Release], str]) -> None:
    assert release.pod.fetch(place(release)) == release.files()


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
def test_a_bundle_without_one_is_refused_and_nothing_is_left(release: Release, place: Callable[[Release], str]) -> None:
    (release.bundle / "model.sig").unlink()
    del release.web.files[f"{BASE}/model.sig"]
    refused = release.pod.refusal(place(release))
    assert refused.reason is StartupReason.NotSigned
    assert "has no model.sig" in refused.message


def test_the_signature_is_asked_for_before_any_other_file(release: Release) -> None:
    release.pod.fetch(release.uri)
    assert [asked.path for asked in release.web.asked][:2] == [f"{BASE}/manifest.json", f"{BASE}/model.sig"]


def test_of_a_bundle_that_a_stranger_signed_no_file_is_asked_for(release: Release) -> None:
    Signer().sign(release.bundle)
    release.web.put(release.bundle, BASE)
    refused = release.pod.refusal(release.uri)
    assert refused.reason is StartupReason.NotSigned
    assert len(release.web.asked) == 2


def test_where_none_is_asked_for_it_stays_where_it_is(release: Release) -> None:
    del release.pod.env["SERIN_SIGNERS_DIR"]
    assert release.pod.fetch(release.uri) == release.pod.whole()
    assert release.web.times(f"{BASE}/model.sig") == 0


def test_a_bundle_that_is_there_is_taken_only_with_a_signature_that_holds(release: Release) -> None:
    release.pod.fetch(release.uri)
    Signer().sign(release.pod.out)
    assert release.pod.fetch(release.uri) == release.files()
    before = len(release.web.asked)
    release.pod.fetch(release.uri)
    assert len(release.web.asked) == before


def test_a_place_that_does_not_answer_is_no_missing_signature(release: Release) -> None:
    release.web.answers[f"{BASE}/model.sig"] = Reply(b"", 503)
    assert release.pod.refusal(release.uri).reason is StartupReason.SourceUnavailable


def test_a_manifest_may_not_name_the_signature_as_a_file_of_its_own(release: Release) -> None:
    release.pod.unpin()
    document = json.loads(release.web.files[f"{BASE}/manifest.json"])
    document["files"]["model.sig"] = {"sha256": hashlib.sha256(b"").hexdigest(), "size": 0}
    (release.bundle / "manifest.json").write_text(json.dumps(document))
    (release.bundle / "model.sig").write_bytes(b"")
    release.signer.sign(release.bundle)
    release.web.put(release.bundle, BASE)
    refused = release.pod.refusal(release.uri)
    assert refused.reason is StartupReason.BundleInvalid
    assert "not the plain one" in refused.message

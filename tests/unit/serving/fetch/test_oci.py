"""`oci://`: a registry that speaks the distribution API, with the logins that registries ask for."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import platform
import tarfile
from typing import Any

import pytest
from tests.support.web import Asked, Reply, Web
from tests.unit.serving.fetch.conftest import Pod

TITLE = "org.opencontainers.image.title"
TAR = "application/vnd.oci.image.layer.v1.tar"
MACHINE = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class Registry:
    """One repository, `team/wine`."""

    def __init__(self, web: Web, pod: Pod) -> None:
        self.web, self.files = web, pod.whole()
        self.base = "/v2/team/wine"
        self.uri = f"oci+http://{web.host}/team/wine"
        web.answers["/v2/"] = Reply(b"{}")

    def blob(self, data: bytes, media_type: str, **annotations: str) -> dict[str, Any]:
        self.web.files[f"{self.base}/blobs/{digest(data)}"] = data
        entry = {"digest": digest(data), "size": len(data), "mediaType": media_type}
        return {**entry, **({"annotations": {TITLE: annotations["title"]}} if annotations else {})}

    def put(self, document: dict[str, Any], tag: str = "7") -> str:
        """Put a manifest or an index there, under a tag and its digest."""
        data = json.dumps(document).encode()
        for reference in (tag, digest(data)):
            self.web.files[f"{self.base}/manifests/{reference}"] = data
        return digest(data)

    def pushed(self, tag: str = "7") -> str:
        """What `oras push` makes of the bundle's files."""
        layers = [self.blob(data, "application/octet-stream", title=name) for name, data in self.files.items()]
        return self.put({"schemaVersion": 2, "layers": layers}, tag)

    def image(self, packed: bool = True, tag: str = "7") -> str:
        """What COPY makes of the bundle, on top of some other layer."""
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as tar:
            for name, data in self.files.items():
                member = tarfile.TarInfo(f"models/{name}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
        data = gzip.compress(out.getvalue()) if packed else out.getvalue()
        layers = [self.blob(b"base", TAR), self.blob(data, f"{TAR}+gzip" if packed else TAR)]
        return self.put({"schemaVersion": 2, "layers": layers}, tag)

    def index(self, *platforms: dict[str, str], of: str) -> str:
        entries = [{"digest": of, "mediaType": "m", "platform": one} for one in platforms]
        return self.put({"schemaVersion": 2, "manifests": entries}, "many")

    def guard(self, header: str, challenge: str) -> None:
        """Ask for this Authorization, by this challenge."""
        denied = Reply(b"{}", 401, {"WWW-Authenticate": challenge})
        del self.web.answers["/v2/"]

        def answer(asked: Asked) -> Reply | None:
            if asked.path == "/token" or asked.headers.get("Authorization") == header:
                return Reply(b"{}") if asked.path == "/v2/" else None
            return denied

        self.web.fallback = answer


@pytest.fixture
def registry(web: Web, pod: Pod) -> Registry:
    return Registry(web, pod)


def test_files_that_were_pushed_are_layers_with_titles(pod: Pod, registry: Registry) -> None:
    registry.pushed()
    assert pod.fetch(f"{registry.uri}:7") == pod.whole()


def test_an_artefact_is_named_by_tag_by_digest_or_not_at_all(pod: Pod, registry: Registry) -> None:
    named = registry.pushed("latest")
    for uri in (registry.uri, f"{registry.uri}@{named}", f"{registry.uri}:gone@{named}"):
        (pod.out / "manifest.json").unlink(missing_ok=True)
        assert pod.fetch(uri) == pod.whole()


@pytest.mark.parametrize("packed", [True, False])
def test_the_last_layer_of_an_image_holds_the_bundle(pod: Pod, registry: Registry, packed: bool) -> None:
    registry.image(packed)
    assert pod.fetch(f"{registry.uri}:7") == pod.whole()


def test_an_index_leads_to_the_image_of_this_machine(pod: Pod, registry: Registry) -> None:
    registry.index(
        {"os": "linux", "architecture": "other"}, {"os": "linux", "architecture": MACHINE}, of=registry.image()
    )
    assert pod.fetch(f"{registry.uri}:many") == pod.whole()


AUTH = base64.b64encode(b"ann:pw").decode()


@pytest.mark.parametrize("key", [".dockerconfigjson", "config.json"])
@pytest.mark.parametrize("entry", [{"auth": AUTH}, {"username": "ann", "password": "pw"}])
def test_a_login_is_the_one_of_dockers_configuration(
    web: Web, pod: Pod, registry: Registry, key: str, entry: dict[str, str]
) -> None:
    registry.pushed()
    registry.guard(f"Basic {AUTH}", 'Basic realm="r"')
    pod.credential(**{key: json.dumps({"auths": {"other.example.com": {"auth": "x"}, web.host: entry}})})
    assert pod.fetch(f"{registry.uri}:7") == pod.whole()


def test_a_token_is_asked_for_by_the_login_and_used_for_all(web: Web, pod: Pod, registry: Registry) -> None:
    registry.pushed()
    registry.guard("Bearer t0ken", f'Bearer realm="{web.url}/token",service="reg",scope="x"')
    web.answers["/token"] = Reply(b'{"token": "t0ken"}')
    pod.credential(username="ann", password="pw")
    assert pod.fetch(f"{registry.uri}:7") == pod.whole()
    (asked,) = [asked for asked in web.asked if asked.path == "/token"]
    assert asked.query == "scope=repository%3Ateam%2Fwine%3Apull&service=reg"
    assert asked.headers["Authorization"] == f"Basic {AUTH}"


def changed(registry: Registry) -> str:
    """A manifest that is not the one of its digest."""
    named = registry.pushed()
    registry.web.files[f"{registry.base}/manifests/{named}"] += b" "
    return f"@{named}"


def without_model(registry: Registry) -> str:
    del registry.files["model.skops"]
    registry.pushed()
    return ":7"


def a_document(document: dict[str, Any] | bytes) -> Any:
    def spoil(registry: Registry) -> str:
        if isinstance(document, bytes):
            registry.web.files[f"{registry.base}/manifests/7"] = document
        else:
            registry.put(document)
        return ":7"

    return spoil


def a_challenge(challenge: str, token: bytes = b"{}") -> Any:
    def spoil(registry: Registry) -> str:
        registry.guard("Bearer t", challenge.replace("WEB", registry.web.url))
        registry.web.answers["/token"] = Reply(token)
        return ":7"

    return spoil


def another_machine(registry: Registry) -> str:
    registry.index(
        {"os": "linux", "architecture": "a"}, {"os": "windows", "architecture": MACHINE}, of=registry.image()
    )
    return ":many"


TOKEN = 'Bearer realm="WEB/token"'
LAYER = {"digest": f"sha256:{'0' * 64}"}
BAD = [
    ("no such tag", lambda _: ":8", "BundleMissing", "the artefact: it is not there"),
    ("a manifest that is not its digest's", changed, "DigestMismatch", "not the one of its digest"),
    ("no layer for the model", without_model, "BundleMissing", "no layer with the title model.skops"),
    ("no layers", a_document({"layers": []}), "BundleMissing", "no layers"),
    ("a page for a manifest", a_document(b"<html>"), "SourceRefused", "cannot be read"),
    ("a layer that leads elsewhere", a_document({"layers": [{"digest": "../../x"}]}), "SourceRefused", "SHA-256"),
    ("a layer packed by zstd", a_document({"layers": [LAYER | {"mediaType": f"{TAR}+zstd"}]}), "SourceRefused", "zstd"),
    ("no image for this machine", another_machine, "SourceRefused", f"linux/{MACHINE}"),
    ("a login that is not known", a_challenge("Digest x"), "SourceRefused", "in a way that is not known"),
    ("a token from nowhere", a_challenge('Bearer realm="file:///etc"'), "SourceRefused", "not known"),
    ("no token", a_challenge(TOKEN), "SourceRefused", "no token"),
    ("a token of two lines", a_challenge(TOKEN, b'{"token": "a\\nX: y"}'), "SourceRefused", "no token"),
    ("a token of the node", a_challenge('Bearer realm="http://169.254.169.254/"'), "SourceRefused", "not public"),
    ("a token that opens nothing", a_challenge(TOKEN, b'{"token": "u"}'), "SourceDenied", "401"),
]  # fmt: skip


@pytest.mark.parametrize(("spoil", "reason", "words"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_a_bad_registry_gets_its_reason_and_a_sentence(
    pod: Pod, registry: Registry, spoil: Any, reason: str, words: str
) -> None:
    refused = pod.refusal(registry.uri + spoil(registry))
    assert (refused.reason, words in refused.message) == (reason, True), refused.message


@pytest.mark.parametrize("text", ["{hush", '{"auths": [1]}', '{"auths": {"HOST": {"auth": "hush!"}}}'])
def test_a_docker_configuration_that_cannot_be_read_is_named_and_not_quoted(
    web: Web, pod: Pod, registry: Registry, text: str
) -> None:
    pod.credential(**{"config.json": text.replace("HOST", web.host)})
    refused = pod.refusal(registry.uri)
    assert (refused.reason, "hush" in refused.message) == ("SettingsInvalid", False)

"""`oci://registry/repository:tag`: an artefact whose layers are the bundle's files, or an image that holds it.

Files are what `oras push` makes of them: one layer each, named by its title. Else the last layer must be a tar,
plain or by gzip, that holds the whole bundle, as `FROM scratch` and one COPY make it.
"""

from __future__ import annotations

import hashlib
import platform
import re
import time
from typing import Any
from urllib.parse import urlencode, urlsplit

import msgspec

from serin_contract.bundle import MANIFEST_FILE
from serin_contract.startup import StartupReason
from serin_serving.errors import RefusedError
from serin_serving.fetch.credentials import Credentials, basic, header
from serin_serving.fetch.download import Downloads
from serin_serving.fetch.source import refused
from serin_serving.fetch.transport import Target

DOCUMENT_BYTES_MAX = 4 * 1024**2
TOKEN_SECONDS = 60.0
"""As long as registries promise at least that a token lives."""
_TITLE = "org.opencontainers.image.title"
_ACCEPT = ", ".join(
    (
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    )
)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_BASE64 = re.compile(r"[A-Za-z0-9+/]{1,8192}={0,2}")
_CHALLENGE = re.compile(r'([a-z_]+)="([^"\\]{0,2048})"')
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


class _Layer(msgspec.Struct, frozen=True):
    digest: str
    media_type: str = msgspec.field(name="mediaType", default="")
    annotations: dict[str, str] | None = None
    platform: dict[str, Any] | None = None


class _Document(msgspec.Struct, frozen=True):
    """An image manifest, or an index of several."""

    layers: list[_Layer] = []
    manifests: list[_Layer] = []


class _Login(msgspec.Struct, frozen=True):
    auth: str = ""
    username: str = ""
    password: str = ""


class _DockerConfiguration(msgspec.Struct, frozen=True):
    auths: dict[str, _Login] = {}


class Artefact:
    """One artefact or image of a registry."""

    def __init__(self, registry: _Registry, layers: list[_Layer]) -> None:
        self._registry = registry
        titled = {(layer.annotations or {}).get(_TITLE, ""): layer.digest for layer in layers}
        titled.pop("", None)
        self.is_archive = MANIFEST_FILE not in titled
        if self.is_archive and not layers:
            raise RefusedError(StartupReason.BundleMissing, "the artefact has no layers")
        self._blobs = {"": layers[-1].digest} if self.is_archive else titled
        if self.is_archive and "zstd" in layers[-1].media_type:
            raise refused("the artefact's layer is packed by zstd; use gzip or oras push")

    def target(self, path: str) -> Target:
        """The layer of a file."""
        digest = self._blobs.get(path)
        if digest is None:
            raise RefusedError(StartupReason.BundleMissing, f"the artefact has no layer with the title {path}")
        return self._registry.target(f"blobs/{digest}", f"{path or 'the layer'} of the artefact")


def artefact(uri: str, credentials: Credentials, downloads: Downloads) -> Artefact:
    """The artefact of the URI, its documents checked against the digests that name them.

    Raises:
        RefusedError: it is not there, not readable or not what its digest says.
    """
    scheme, _, rest = uri.partition("://")
    host, _, rest = rest.partition("/")
    rest, _, digest = rest.partition("@")
    repository, _, tag = rest.partition(":")
    registry = _Registry("http" if scheme == "oci+http" else "https", host, repository, credentials, downloads)
    document = registry.document(digest or tag or "latest")
    if document.manifests:
        document = registry.document(_of_this_machine(document.manifests))
    for layer in document.layers:
        if not _DIGEST.fullmatch(layer.digest):
            raise refused("the artefact names a layer by another digest than a SHA-256")
    return Artefact(registry, document.layers)


class _Registry:
    """The distribution API of one repository."""

    def __init__(self, scheme: str, host: str, repository: str, credentials: Credentials, downloads: Downloads) -> None:
        if host == "docker.io":
            host, repository = "registry-1.docker.io", repository if "/" in repository else f"library/{repository}"
        self._base = f"{scheme}://{host}/v2/{repository}"
        self._repository, self._downloads = repository, downloads
        self._login = _login(host, credentials)
        self._authorization: str | None = None
        self._until = 0.0

    def document(self, reference: str) -> _Document:
        """The manifest or index; named by a digest it must have it."""
        _, _, body = self._downloads.small(
            lambda: self.target(f"manifests/{reference}", "the artefact", {"Accept": _ACCEPT}), DOCUMENT_BYTES_MAX
        )
        if _DIGEST.fullmatch(reference) and hashlib.sha256(body).hexdigest() != reference.removeprefix("sha256:"):
            raise RefusedError(StartupReason.DigestMismatch, "the registry's manifest is not the one of its digest")
        try:
            return msgspec.json.decode(body, type=_Document)
        except msgspec.MsgspecError as error:
            raise refused("the registry's manifest cannot be read") from error

    def target(self, path: str, what: str, headers: dict[str, str] | None = None) -> Target:
        """What is asked for something of the repository, with a token that is fresh enough."""
        if time.monotonic() >= self._until:
            self._authorization = self._authorized()
            self._until = time.monotonic() + TOKEN_SECONDS
        return Target(f"{self._base}/{path}", what, headers or {}, header(self._authorization))

    def _authorized(self) -> str | None:
        """How the registry wants to be asked: not at all, by the login, or by a token that the login gets."""
        versions = Target(self._base.partition("/v2/")[0] + "/v2/", "the registry")
        status, found, _ = self._downloads.small(versions, DOCUMENT_BYTES_MAX, statuses=(401, 404))
        if status != 401:
            return self._login
        kind, _, words = found("WWW-Authenticate").partition(" ")
        if kind.lower() == "basic":
            return self._login
        asked = dict(_CHALLENGE.findall(words))
        realm = asked.get("realm", "")
        if kind.lower() != "bearer" or not _is_as_safe(realm, self._base):
            raise refused("the registry asks for a login in a way that is not known")
        return self._token(realm, asked.get("service", ""))

    def _token(self, realm: str, service: str) -> str:
        query = {"scope": f"repository:{self._repository}:pull", **({"service": service} if service else {})}
        url = f"{realm}{'&' if '?' in realm else '?'}{urlencode(query)}"
        _, _, body = self._downloads.small(
            Target(url, "the registry's token", {}, header(self._login)), DOCUMENT_BYTES_MAX
        )
        try:
            answer = msgspec.json.decode(body, type=dict[str, Any])
        except msgspec.MsgspecError:
            answer = {}
        token = answer.get("token") or answer.get("access_token")
        if not isinstance(token, str) or not re.fullmatch(r"[\x21-\x7e]+", token):
            raise refused("the registry gives no token that can be used")
        return f"Bearer {token}"


def _login(host: str, credentials: Credentials) -> str | None:
    """The Authorization of a docker configuration for this host, else of `token` or `username` and `password`."""
    text = credentials.text(".dockerconfigjson") or credentials.text("config.json")
    if text is None:
        return credentials.authorization()
    try:
        entries = msgspec.json.decode(text, type=_DockerConfiguration).auths
        names = ("https://index.docker.io/v1/", "docker.io") if host == "registry-1.docker.io" else ()
    except msgspec.MsgspecError:
        raise _unreadable_login() from None
    names = ("https://index.docker.io/v1/", "docker.io") if host == "registry-1.docker.io" else ()
    entry = next((entries[name] for name in (host, f"https://{host}", *names) if name in entries), _Login())
    if entry.auth and not _BASE64.fullmatch(entry.auth):
        raise _unreadable_login()
    if entry.auth:
        return f"Basic {entry.auth}"
    return basic(entry.username, entry.password) if entry.username else None


def _unreadable_login() -> RefusedError:
    return RefusedError(StartupReason.SettingsInvalid, "the docker configuration of the credentials cannot be read")


def _is_as_safe(realm: str, base: str) -> bool:
    """Whether the login may go there: by TLS, unless the registry itself is asked without."""
    try:
        url = urlsplit(realm)
    except ValueError:
        return False
    return bool(url.hostname) and url.scheme in ("https", base.partition(":")[0])


def _of_this_machine(manifests: list[_Layer]) -> str:
    machine = _MACHINES.get(platform.machine(), platform.machine())
    wanted = {"os": "linux", "architecture": machine}
    for manifest in manifests:
        if wanted.items() <= (manifest.platform or {}).items() and _DIGEST.fullmatch(manifest.digest):
            return manifest.digest
    if len(manifests) == 1 and _DIGEST.fullmatch(manifests[0].digest):
        return manifests[0].digest
    raise refused(f"the artefact has no image for linux/{machine}")

from __future__ import annotations

import ipaddress
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support import web as servers
from tests.support.web import Certificate, Web
from tests.unit.serving.running import Case

from serin_serving.errors import RefusedError
from serin_serving.fetch import command

LOOPBACK = "127.0.0.0/8"


@pytest.fixture
def web() -> Iterator[Web]:
    with servers.serving() as web:
        yield web


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return servers.certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def tls(certificate: Certificate) -> Iterator[Web]:
    with servers.serving(certificate) as web:
        yield web


class Pod:
    """The fetching container: its environment, its Secret, its volume."""

    def __init__(self, directory: Path, case: Case) -> None:
        self.case = case
        self.out = directory / "model" / "bundle"
        self.secret = directory / "credentials"
        self.secret.mkdir()
        self.env = {
            "SERIN_BUNDLE_DIR": str(self.out),
            "SERIN_BUNDLE_DIGEST": case.digest,
            "SERIN_FETCH_RANGES": LOOPBACK,
            "SERIN_CREDENTIALS_DIR": str(self.secret),
        }
        self.pauses: list[float] = []
        self.names: dict[str, list[str]] = {}
        """Addresses of names that no resolver knows."""
        self.total_seconds = 60.0

    def unpin(self) -> None:
        """Accept whatever the manifest says."""
        del self.env["SERIN_BUNDLE_DIGEST"]

    def credential(self, **values: str) -> None:
        """Put values into the Secret."""
        for key, value in values.items():
            (self.secret / key).write_text(value)

    def fetch(self, uri: str) -> dict[str, bytes]:
        """Run the command; returns what lies there then, by name."""
        command.run({**self.env, "SERIN_MODEL_URI": uri}, self._resolve, self.pauses.append, self.total_seconds)
        return {path.name: path.read_bytes() for path in self.out.iterdir()}

    def refusal(self, uri: str) -> RefusedError:
        """What the command says to a source that it does not take; nothing is left behind."""
        with pytest.raises(RefusedError) as refused:
            self.fetch(uri)
        left = list(self.out.parent.rglob("*")) if self.out.parent.exists() else []
        assert left == [], "half a bundle is none"
        return refused.value

    def whole(self) -> dict[str, bytes]:
        """The bundle as it was packaged."""
        return {path.name: path.read_bytes() for path in self.case.path.iterdir()}

    def _resolve(self, host: str, _port: int) -> list[str]:
        if host == "localhost":
            return ["127.0.0.1"]
        try:
            return [str(ipaddress.ip_address(host))]
        except ValueError:
            pass
        if host not in self.names:
            raise socket.gaierror
        return self.names[host]


@pytest.fixture
def pod(tmp_path: Path, wine: Case) -> Pod:
    return Pod(tmp_path, wine)


def manifest(files: dict[str, tuple[int, str]]) -> bytes:
    """A manifest that names these files, by size and SHA-256, besides what every one must."""
    required = dict.fromkeys(("model.skops", "profile.json", "signature.json", "golden.json"), (1, "0" * 64))
    entries = {name: {"size": size, "sha256": sha256} for name, (size, sha256) in {**required, **files}.items()}
    return json.dumps({"name": "bad", "files": entries, "versions": {}}).encode()

"""A Kubernetes API server alone: etcd and kube-apiserver on loopback, thrown away at the end.

What validates, merges and authorises is all there; what runs pods is not. It starts in a few seconds.
"""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from serin_cli.cluster.paths import cache_root

ADMIN_TOKEN = "admin-of-a-throw-away-server"
START_SECONDS = 60.0
APPLY = "application/apply-patch+yaml"

Json = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """What the API server said."""

    status: int
    body: Json

    @property
    def ok(self) -> bool:
        return self.status < 300

    @property
    def message(self) -> str:
        """Why it refused."""
        return str(self.body.get("message", ""))


@dataclass(frozen=True)
class ApiServer:
    """A running server and what is needed to talk to it."""

    url: str
    directory: Path
    kubectl_program: Path

    @property
    def kubeconfig(self) -> Path:
        return self.directory / "kubeconfig"

    def request(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        *,
        content_type: str = "application/json",
        user: str | None = None,
    ) -> Answer:
        """Send one request as the administrator, or as `user` by impersonation."""
        headers = {"Authorization": f"Bearer {ADMIN_TOKEN}", "Content-Type": content_type}
        if user is not None:
            headers["Impersonate-User"] = user
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        context = ssl.create_default_context(cafile=str(self.directory / "apiserver.crt"))
        try:
            with urllib.request.urlopen(request, context=context, timeout=20) as response:
                return Answer(response.status, _parsed(response.read()))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, _parsed(error.read()))

    def apply(self, path: str, body: Json, *, manager: str = "test", user: str | None = None) -> Answer:
        """Server-side apply with strict field validation, as the operator does it."""
        query = f"?fieldManager={manager}&force=true&fieldValidation=Strict"
        return self.request("PATCH", path + query, body, content_type=APPLY, user=user)

    def kubectl(self, *words: str) -> str:
        """Run kubectl as the administrator and return what it printed."""
        done = self._kubectl(words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def kubectl_refused(self, *words: str) -> str:
        """Run kubectl where it must fail and return what it complained of."""
        done = self._kubectl(words)
        assert done.returncode != 0, done.stdout
        return done.stderr

    def _kubectl(self, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
        command = [str(self.kubectl_program), f"--kubeconfig={self.kubeconfig}", *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def _parsed(data: bytes) -> Json:
    """A path that is not served at all is answered in plain text."""
    try:
        body: Json = json.loads(data)
    except json.JSONDecodeError:
        return {"message": data.decode(errors="replace")}
    return body


def find_program(name: str) -> Path | None:
    """The program as `serin cluster` built it, the newest first, or else from PATH."""
    built = sorted(cache_root().glob(f"bin/*/{name}"), key=lambda path: path.stat().st_mtime)
    if built:
        return built[-1]
    found = shutil.which(name)
    return Path(found) if found else None


def missing_programs() -> list[str]:
    """What must be there before a server can be started."""
    return [name for name in ("etcd", "kube-apiserver", "kubectl", "openssl") if find_program(name) is None]


@contextmanager
def running(directory: Path) -> Iterator[ApiServer]:
    """Start a server whose files lie in `directory`, and end it with the block.

    Raises:
        RuntimeError: it did not get ready; the text quotes the end of its log.
    """
    etcd_url = f"http://127.0.0.1:{_free_port()}"
    port = _free_port()
    kubectl = find_program("kubectl")
    assert kubectl is not None
    server = ApiServer(f"https://127.0.0.1:{port}", directory, kubectl)
    _write_credentials(directory)
    with ExitStack() as stack:
        stack.enter_context(_process(directory, "etcd", _etcd_arguments(directory, etcd_url)))
        process = stack.enter_context(
            _process(directory, "kube-apiserver", _server_arguments(directory, etcd_url, port))
        )
        _wait_until_ready(server, process)
        _write_kubeconfig(server)
        yield server


@contextmanager
def _process(directory: Path, name: str, arguments: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    program = find_program(name)
    assert program is not None
    with (directory / f"{name}.log").open("wb") as log:
        process = subprocess.Popen([program, *arguments], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            yield process
        finally:
            process.kill()
            process.wait(timeout=10)


def _etcd_arguments(directory: Path, url: str) -> list[str]:
    peer = f"http://127.0.0.1:{_free_port()}"
    return [
        f"--data-dir={directory / 'etcd'}",
        f"--listen-client-urls={url}",
        f"--advertise-client-urls={url}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",
    ]


def _server_arguments(directory: Path, etcd_url: str, port: int) -> list[str]:
    key = directory / "service-account.key"
    return [
        f"--etcd-servers={etcd_url}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        f"--secure-port={port}",
        f"--cert-dir={directory}",
        f"--token-auth-file={directory / 'tokens.csv'}",
        "--authorization-mode=RBAC",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
        "--service-cluster-ip-range=203.0.113.0/24",
        # There is no controller that would make the accounts and tokens that this plugin waits for.
        "--disable-admission-plugins=ServiceAccount",
        # The address of this server is loopback, which no Endpoints object may hold.
        "--endpoint-reconciler-type=none",
    ]


def _write_credentials(directory: Path) -> None:
    (directory / "tokens.csv").write_text(f"{ADMIN_TOKEN},admin,admin,system:masters\n")
    key = directory / "service-account.key"
    subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True, timeout=60)


def _write_kubeconfig(server: ApiServer) -> None:
    cluster = {"server": server.url, "certificate-authority": str(server.directory / "apiserver.crt")}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": "admin", "user": {"token": ADMIN_TOKEN}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
    }
    server.kubeconfig.write_text(yaml.safe_dump(config))


def _wait_until_ready(server: ApiServer, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if server.request("GET", "/api/v1/namespaces/default").ok:
                return
        except OSError:
            pass
        time.sleep(0.2)
    log = (server.directory / "kube-apiserver.log").read_text().splitlines()
    raise RuntimeError("kube-apiserver did not get ready:\n" + "\n".join(log[-20:]))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port

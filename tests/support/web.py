"""A web server on loopback that answers, lies, dawdles and hangs up as a test tells it."""

from __future__ import annotations

import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit


@dataclass
class Asked:
    """One request that came."""

    path: str
    query: str
    headers: Mapping[str, str]


@dataclass
class Reply:
    """What goes back."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None
    """What Content-Length says, where that is not the truth."""
    cut: int | None = None
    """Bytes of the body after which the connection ends."""
    holds: bool = False
    """Whether the connection stays open after what is sent."""
    drip_seconds: float | None = None
    """Between two bytes of the head, for ever."""


Answer = Callable[[Asked], Reply | None] | Reply | list[Reply]
"""What a path answers: always this, these one after another and then the file, or what a function says."""


class Web:
    """Answers by path, files by default; what is not there is a 404."""

    def __init__(self, url: str, stopped: threading.Event) -> None:
        self.url = url
        self.files: dict[str, bytes] = {}
        self.answers: dict[str, Answer] = {}
        self.fallback: Answer | None = None
        """For every path that has no answer of its own."""
        self.ranges = True
        self.asked: list[Asked] = []
        self.stopped = stopped

    @property
    def host(self) -> str:
        """With the port."""
        return urlsplit(self.url).netloc

    def put(self, directory: Path, below: str) -> None:
        """Serve the files of a directory below a path."""
        for path in directory.iterdir():
            self.files[f"{below}/{path.name}"] = path.read_bytes()

    def times(self, path: str) -> int:
        """How often it was asked for."""
        return sum(asked.path == path for asked in self.asked)

    def reply(self, asked: Asked) -> Reply:
        """What goes back to a request."""
        self.asked.append(asked)
        answer = self.answers.get(asked.path, self.fallback)
        if isinstance(answer, list):
            special = answer.pop(0) if answer else None
        else:
            special = answer(asked) if callable(answer) else answer
        return special or self.file(asked, self.files.get(asked.path))

    def file(self, asked: Asked, body: bytes | None) -> Reply:
        """A file, or the part of it that is asked for."""
        if body is None:
            return Reply(b"secret words of a 404", 404)
        wanted = asked.headers.get("Range", "")
        if not wanted or not self.ranges:
            return Reply(body, headers={"ETag": '"v1"'})
        first = int(wanted.removeprefix("bytes=").rstrip("-"))
        if first >= len(body):
            return Reply(b"", 416)
        where = {"Content-Range": f"bytes {first}-{len(body) - 1}/{len(body)}", "ETag": '"v1"'}
        return Reply(body[first:], 206, where)


def _handler(web: Web) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            reply = web.reply(Asked(unquote(url.path), url.query, dict(self.headers)))
            if reply.drip_seconds is not None:
                self._drip(reply.drip_seconds)
                return
            self.send_response(reply.status)
            length = len(reply.body) if reply.length is None else reply.length
            for name, value in {"Content-Length": str(length), **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body[: reply.cut])
            if reply.holds:
                web.stopped.wait()

        def _drip(self, seconds: float) -> None:
            while not web.stopped.wait(seconds):
                try:
                    self.wfile.write(b"H")
                except OSError:
                    return

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@contextmanager
def serving(certificate: Certificate | None = None) -> Iterator[Web]:
    """A server on a free port of 127.0.0.1, by TLS where there is a certificate."""
    stopped = threading.Event()
    web = Web("", stopped)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(web))
    server.daemon_threads = True
    # A caller that hangs up, or refuses the certificate, is what some tests are about.
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.file, certificate.key)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    scheme, name = ("http", "127.0.0.1") if certificate is None else ("https", "localhost")
    web.url = f"{scheme}://{name}:{server.server_port}"
    thread = threading.Thread(target=lambda: server.serve_forever(0.01))
    thread.start()
    try:
        yield web
    finally:
        stopped.set()
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass(frozen=True)
class Certificate:
    """Of one host, signed by itself."""

    file: Path
    key: Path


def certificate(directory: Path, host: str = "localhost") -> Certificate:
    """Make one."""
    made = Certificate(directory / "server.crt", directory / "server.key")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", f"subjectAltName=DNS:{host}",
         "-keyout", str(made.key), "-out", str(made.file)],
        check=True, capture_output=True,
    )  # fmt: skip
    return made

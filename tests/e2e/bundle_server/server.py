"""A web server with bundles, as small as one can be: plain and by TLS, and one directory that wants a token.

Each answer is a line of its log, by which the stories know what was asked for.
"""

from __future__ import annotations

import hmac
import os
import ssl
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

DIRECTORY = "/models"
TLS = Path("/tls")
PRIVATE = "/private/"
"""Below it lies what lies beside it, for those who bring the token."""


class Handler(SimpleHTTPRequestHandler):
    """One request."""

    def send_head(self) -> object:  # type: ignore[override]
        """What was asked for, or a refusal."""
        if self.path.startswith(PRIVATE):
            token = self.headers.get("authorization", "").removeprefix("Bearer ")
            if not hmac.compare_digest(token.encode(), os.environ["TOKEN"].encode()):
                self.send_error(401)
                return None
            self.path = self.path.removeprefix(PRIVATE.rstrip("/"))
        return super().send_head()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:  # noqa: ARG002 — the base's own
        """Path and status."""
        print(self.path, int(code), flush=True)

    def log_error(self, format: str, *args: object) -> None:  # noqa: A002 — the name in the standard library
        """The status says it."""


def serve(port: int, context: ssl.SSLContext | None = None) -> None:
    """Answer until the process ends."""
    server = ThreadingHTTPServer(("", port), partial(Handler, directory=DIRECTORY))
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.serve_forever()


if __name__ == "__main__":
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    made.load_cert_chain(TLS / "tls.crt", TLS / "tls.key")
    threading.Thread(target=serve, args=(8443, made), daemon=True).start()
    serve(8080)

"""A model server of a user's own, as small as one can be. What is wrong with it stands in its environment.

Like many servers it accepts nothing more from the moment that it is told to end: that callers lose nothing is for the
one who tells it to bring about. The two headers are for the test's callers, who count by them.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT = 9000
HEADERS = {"x-serin-revision": os.environ["SERIN_REVISION"], "x-serin-prediction-id": "none"}


class Handler(BaseHTTPRequestHandler):
    """One request on one connection."""

    def do_GET(self) -> None:
        """Ready, or not known."""
        self._answer(200 if self.path.endswith("/ready") else 404, HEADERS)

    def do_POST(self) -> None:
        """Whatever is asked, the answer is the same."""
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self._answer(200, HEADERS)

    def _answer(self, status: int, headers: dict[str, str]) -> None:
        body = b'{"outputs": [{"name": "predict", "datatype": "INT64", "shape": [1], "data": [0]}]}'
        self.send_response(status)
        for name, value in {"content-type": "application/json", "content-length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 — the name in the standard library
        """Say nothing."""


if __name__ == "__main__":
    if "CRASHES" in os.environ:
        sys.exit("it cannot start")
    server = ThreadingHTTPServer(("", PORT), Handler)
    server.daemon_threads = False
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever()
    server.server_close()

"""The backend of the suite: it says which arm it is and what reached it. It needs the standard library alone.

Every answer carries the arm in `x-arm`. Its body is JSON: arm, pod, path, the headers as they arrived, and how many
requests with the same `x-mark` this pod saw before. A request asks for another status by `x-answer-status` and
for a cookie by `x-answer-cookie`; `x-die` ends the process at once, in the midst of whatever it does.

On SIGTERM it drains as Serin's model server does: it goes on answering for DRAIN_SECONDS, tells callers to close their
connections, then leaves.
"""

from __future__ import annotations

import collections
import http.server
import json
import os
import signal
import threading
import time

ARM = os.environ.get("ARM", "")
POD = os.environ.get("HOSTNAME", "")
DRAIN_SECONDS = float(os.environ.get("DRAIN_SECONDS", "5"))
PORT = int(os.environ.get("PORT", "8080"))
BODY_BYTES_MAX = 65536

_marks: collections.Counter[str] = collections.Counter()
_leaving = threading.Event()


class Echo(http.server.BaseHTTPRequestHandler):
    """Answers every request alike."""

    protocol_version = "HTTP/1.1"
    # Head and body leave in one packet, or delayed acknowledgements would cost 40 ms an answer.
    wbufsize = -1
    disable_nagle_algorithm = True
    # Longer than any gateway keeps an idle connection, so that this side never closes one that is about to be used.
    timeout = 600

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length")
        if length is None or not length.isdigit() or int(length) > BODY_BYTES_MAX:
            self.close_connection = True
            self._answer(411, {"error": f"a length of at most {BODY_BYTES_MAX} is needed"})
            return
        self.rfile.read(int(length))
        self.do_GET()

    def do_GET(self) -> None:
        if self.headers.get("x-die"):
            os._exit(1)
        mark = self.headers.get("x-mark")
        seen = _marks[mark] if mark else 0
        if mark:
            _marks[mark] += 1
        told = {"arm": ARM, "pod": POD, "path": self.path, "headers": self.headers.items(), "seen": seen}
        self._answer(int(self.headers.get("x-answer-status", "200")), told)

    def _answer(self, status: int, told: dict[str, object]) -> None:
        body = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("x-arm", ARM)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if cookie := self.headers.get("x-answer-cookie"):
            self.send_header("Set-Cookie", cookie)
        if _leaving.is_set():
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, *_: object) -> None:
        """Hundreds of requests a second leave no trace."""


class Server(http.server.ThreadingHTTPServer):
    """A server whose callers may come all at once."""

    request_queue_size = 256
    daemon_threads = True


def main() -> None:
    """Answer until SIGTERM and the end of the drain."""
    server = Server(("", PORT), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: _leaving.set())
    # In pieces, because a signal is handled only between them.
    while not _leaving.wait(0.1):
        pass
    time.sleep(DRAIN_SECONDS)


if __name__ == "__main__":
    main()

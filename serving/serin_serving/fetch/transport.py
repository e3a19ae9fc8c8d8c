"""One GET: redirects by hand, every status a reason, nothing of an answer quoted."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException, HTTPResponse
from urllib.parse import SplitResult, urljoin, urlsplit

import msgspec

from serin_contract.startup import StartupReason
from serin_serving.errors import RefusedError
from serin_serving.fetch.connect import Connector, PassingError

REDIRECTS_MAX = 3
WAIT_SECONDS_MAX = 60.0
"""The longest pause that a source may ask for."""
_REDIRECTS = (301, 302, 303, 307, 308)
_PASSING = (408, 425, 429)
_HEADERS = {"User-Agent": "serin-serving", "Accept-Encoding": "identity", "Connection": "close"}
_RANGE = re.compile(r"bytes ([0-9]{1,19})-[0-9]{1,19}/([0-9]{1,19}|\*)")


class Target(msgspec.Struct, frozen=True):
    """What is asked for."""

    url: str
    what: str
    """Its name in sentences."""
    headers: Mapping[str, str] = {}
    secret: Mapping[str, str] = {}
    """Headers that go to this origin only, by TLS only, and never along a redirect to another one."""

    is_signed: bool = False
    """Whether the URL itself is a credential."""

    def __repr__(self) -> str:
        return f"Target({self.what})"


class Answer:
    """An answer whose head is read."""

    def __init__(self, response: HTTPResponse, target: Target) -> None:
        self._response, self._target = response, target
        self.status = response.status

    def header(self, name: str) -> str:
        """The value, or nothing."""
        return self._response.headers.get(name, "")

    def length(self) -> int | None:
        """Bytes that the body has by its own word."""
        text = self.header("Content-Length")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None

    def begins_at(self) -> int:
        """The first byte of the whole that the body holds: not 0 only for an answer to a range."""
        if self.status != 206:
            return 0
        found = _RANGE.fullmatch(self.header("Content-Range"))
        if found is None:
            raise PassingError(f"{self._target.what}: the source answered with no range that can be read")
        return int(found[1])

    def read(self, size: int) -> bytes:
        """Up to that many bytes; none at the end, which may come too early."""
        try:
            return self._response.read(size)
        except (OSError, HTTPException) as error:
            raise PassingError(f"{self._target.what}: the source stopped in the middle of its answer") from error


class Transport:
    """Asks sources."""

    def __init__(self, connector: Connector) -> None:
        self._connector = connector

    @contextmanager
    def get(
        self, target: Target, offset: int = 0, validator: str = "", statuses: tuple[int, ...] = ()
    ) -> Iterator[Answer]:
        """The answer to a GET, from that byte on.

        Args:
            target: what is asked for.
            offset: the first byte that is wanted.
            validator: the ETag that the first bytes came with; where it has changed, all comes again.
            statuses: further ones than 200 and 206 that the caller understands.

        Raises:
            RefusedError: the source, or one that it redirects to, is not asked, or says no.
            PassingError: it did not answer, or says that it cannot now.
        """
        url, headers, secret = urlsplit(target.url), {**target.headers, **_HEADERS}, dict(target.secret)
        if offset:
            headers["Range"] = f"bytes={offset}-"
            if validator:
                headers["If-Range"] = validator
        is_signed = target.is_signed
        for _ in range(REDIRECTS_MAX + 1):
            connection, channel = self._connector.open(url, secret=bool(secret) or is_signed)
            try:
                answer = Answer(_asked(connection, url, headers | secret, target), target)
                channel.body_begins()
                if answer.status not in _REDIRECTS:
                    _check(answer, target, offset, statuses)
                    yield answer
                    return
                following = _following(url, answer.header("Location"), target)
                secret = secret if _origin(following) == _origin(url) else {}
                url, is_signed = following, False
            finally:
                connection.close()
                channel.shut()
        raise _refused(f"{target.what}: the source redirects more than {REDIRECTS_MAX} times")


def _asked(connection: HTTPConnection, url: SplitResult, headers: dict[str, str], target: Target) -> HTTPResponse:
    path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    try:
        connection.request("GET", path, headers=headers)
        return connection.getresponse()
    except (OSError, HTTPException) as error:
        raise PassingError(f"{target.what}: the source did not answer") from error


def _following(url: SplitResult, location: str, target: Target) -> SplitResult:
    try:
        following = urlsplit(urljoin(url.geturl(), location))
        port_is_one = following.port is None or following.port > 0
    except ValueError as error:
        raise _refused(f"{target.what}: the source redirects to what is no URL") from error
    if following.scheme not in ("http", "https") or (url.scheme == "https" and following.scheme == "http"):
        raise _refused(f"{target.what}: the source redirects to another scheme than https")
    if not location or not following.hostname or not port_is_one or following.username is not None:
        raise _refused(f"{target.what}: the source redirects to what is no URL")
    return following


def _origin(url: SplitResult) -> tuple[str, str | None, int | None]:
    return url.scheme, url.hostname, url.port


def _check(answer: Answer, target: Target, offset: int, statuses: tuple[int, ...]) -> None:
    status, what = answer.status, target.what
    if status in (200, *statuses) or (status == 206 and offset):
        if answer.header("Content-Encoding").lower() not in ("", "identity"):
            raise _refused(f"{what}: the source answers compressed, which was not asked for")
        return
    if status in (404, 410):
        raise RefusedError(StartupReason.BundleMissing, f"{what}: it is not there (status {status})")
    if status in (401, 403, 407):
        raise RefusedError(
            StartupReason.SourceDenied,
            f"{what}: the source refuses access (status {status}); name credentials that may read it, and see that it "
            "is there, since some stores say so of what is missing",
        )
    if status in _PASSING or status >= 500:
        raise PassingError(f"{what}: the source answered with status {status}", _pause_seconds(answer))
    raise _refused(f"{what}: the source answered with status {status}, which cannot be used")


def _pause_seconds(answer: Answer) -> float:
    text = answer.header("Retry-After")
    return min(float(text), WAIT_SECONDS_MAX) if text.isascii() and text.isdigit() and len(text) < 9 else 0.0


def _refused(message: str) -> RefusedError:
    return RefusedError(StartupReason.SourceRefused, message)

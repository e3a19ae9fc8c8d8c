"""Connections to checked addresses only: a name is looked up once, and what was checked is what is connected to."""

from __future__ import annotations

import functools
import io
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from http.client import HTTPConnection, HTTPSConnection
from urllib.parse import SplitResult

from serin_contract import addresses
from serin_contract.addresses import IPNetwork
from serin_contract.startup import StartupReason
from serin_serving.errors import RefusedError

CONNECT_SECONDS = 10.0
READ_SECONDS = 30.0
"""Between two pieces of an answer."""
HEADER_SECONDS = 60.0
"""From the request to the last line of the answer's head, however many pieces it comes in."""

Resolve = Callable[[str, int], Sequence[str]]
"""From a host and a port to its addresses."""


class PassingError(Exception):
    """What went wrong may pass by itself; the sentence quotes nothing of an answer."""

    def __init__(self, sentence: str, wait_seconds: float = 0.0) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.wait_seconds = wait_seconds
        """How long the source asked to be left alone."""


class Clock:
    """The time that one fetch has in all."""

    def __init__(self, total_seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.total_seconds = total_seconds
        self._monotonic = monotonic
        self._end = monotonic() + total_seconds

    def left(self) -> float:
        """Seconds that are left.

        Raises:
            RefusedError: none are (SourceUnavailable).
        """
        seconds = self._end - self._monotonic()
        if seconds <= 0:
            raise RefusedError(
                StartupReason.SourceUnavailable, f"the bundle was not there after {self.total_seconds:g} s"
            )
        return seconds


class Channel(io.RawIOBase):
    """A connected socket whose every read ends in time, as http.client wants to have it."""

    def __init__(self, connected: socket.socket, clock: Clock) -> None:
        self._socket = connected
        self._clock = clock
        self._head_until: float | None = time.monotonic() + HEADER_SECONDS

    def body_begins(self) -> None:
        """The head is read; from here only the pauses and the whole count."""
        self._head_until = None

    def sendall(self, data: bytes) -> None:
        """Send the head of a request."""
        self._socket.settimeout(self._seconds())
        self._socket.sendall(data)

    def makefile(self, *_: object) -> io.BufferedReader:
        """A reader over this channel."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        """It can be read."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Receive a piece."""
        self._socket.settimeout(self._seconds())
        return self._socket.recv_into(buffer)

    def close(self) -> None:
        """http.client closes its socket while the answer is still read; the owner calls `shut`."""

    def shut(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _seconds(self) -> float:
        seconds = min(READ_SECONDS, self._clock.left())
        if self._head_until is None:
            return seconds
        head = self._head_until - time.monotonic()
        if head <= 0:
            raise TimeoutError
        return min(seconds, head)


class Connector:
    """Makes connections to public addresses, and to those of the ranges that the operator allows."""

    def __init__(
        self,
        clock: Clock,
        allowed: tuple[IPNetwork, ...] = (),
        authorities: str | None = None,
        resolve: Resolve | None = None,
    ) -> None:
        self._clock, self._allowed, self._resolve = clock, allowed, resolve or look_up
        if authorities is not None:
            self._trust(authorities)

    def open(self, url: SplitResult, *, secret: bool) -> tuple[HTTPConnection, Channel]:
        """A connection for one request, and the channel below it, which the caller shuts.

        Args:
            url: where to; http or https.
            secret: whether the request carries a credential, which a plain connection to a public address must not.

        Raises:
            RefusedError: the name leads to refused addresses only, or the certificate does not hold.
            PassingError: it cannot be found or connected to.
        """
        host = url.hostname or ""
        port = url.port or (443 if url.scheme == "https" else 80)
        found = self._addresses(host, port)
        if secret and url.scheme == "http" and not all(addresses.is_within(one, self._allowed) for one in found):
            raise RefusedError(
                StartupReason.SourceRefused,
                f"{host} is asked by plain http, which would show the credentials to others; use https, or have the "
                "operator allow its range",
            )
        connected = self._connect(host, port, found)
        if url.scheme == "http":
            connection: HTTPConnection = HTTPConnection(host, port)
        else:
            connected = self._wrap(connected, host)
            connection = HTTPSConnection(host, port, context=self._tls)
        channel = Channel(connected, self._clock)
        connection.sock = channel
        return connection, channel

    def _addresses(self, host: str, port: int) -> list[addresses.IPAddress]:
        try:
            texts = self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise PassingError(f"the name {host} is not found") from error
        found = [ipaddress.ip_address(text.partition("%")[0]) for text in texts]
        good = [one for one in found if addresses.is_public(one) or addresses.is_within(one, self._allowed)]
        if found and not good:
            raise RefusedError(
                StartupReason.SourceRefused,
                f"{host} leads to an address that is not public, which is not fetched from; the operator's chart can "
                "allow ranges by artefacts.allowedRanges",
            )
        return good

    def _connect(self, host: str, port: int, found: list[addresses.IPAddress]) -> socket.socket:
        for address in found:
            try:
                # The address and not the name: a second look-up could lead elsewhere.
                return socket.create_connection((str(address), port), min(CONNECT_SECONDS, self._clock.left()))
            except OSError:
                continue
        raise PassingError(f"{host} cannot be connected to")

    @functools.cached_property
    def _tls(self) -> ssl.SSLContext:
        """With the system's authorities: they take 50 ms to be read, and only https needs them."""
        return ssl.create_default_context()

    def _wrap(self, connected: socket.socket, host: str) -> socket.socket:
        try:
            connected.settimeout(min(CONNECT_SECONDS, self._clock.left()))
            return self._tls.wrap_socket(connected, server_hostname=host)
        except ssl.SSLCertVerificationError as error:
            connected.close()
            raise RefusedError(
                StartupReason.SourceRefused,
                f"the certificate of {host} does not hold; put its authority under ca.crt in the credentials",
            ) from error
        except OSError as error:
            connected.close()
            raise PassingError(f"no TLS connection to {host} comes about") from error

    def _trust(self, authorities: str) -> None:
        try:
            self._tls.load_verify_locations(cadata=authorities)
        except (ssl.SSLError, ValueError) as error:
            raise RefusedError(
                StartupReason.SettingsInvalid, "ca.crt of the credentials holds no certificate"
            ) from error


def look_up(host: str, port: int) -> list[str]:
    """The addresses of a host, as the system's resolver gives them."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))

"""Connections to what is not Serin's own: gateways, and the sources of custom gates."""

from __future__ import annotations

import functools
import ssl
from collections.abc import Mapping

import aiohttp

HEADER_BYTES_MAX = 16 * 1024
BODY_BYTES_MAX = 64 * 1024
"""More than this is not even taken off a connection ahead of its reader."""


def session(
    headers: Mapping[str, str] | None = None, socket_factory: aiohttp.SocketFactoryType | None = None
) -> aiohttp.ClientSession:
    """Connections that serve one request each, no cookies, no proxies, and the system's authorities.

    Args:
        headers: that every request has.
        socket_factory: makes the sockets, and may refuse an address; the system's where None.
    """
    connector = aiohttp.TCPConnector(force_close=True, ssl=_trust(), socket_factory=socket_factory)
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        auto_decompress=False,
        headers=headers,
        read_bufsize=BODY_BYTES_MAX,
        max_line_size=HEADER_BYTES_MAX,
        max_field_size=HEADER_BYTES_MAX,
    )


@functools.cache
def _trust() -> ssl.SSLContext:
    """The system's authorities, read once: that takes 50 ms, and all sessions may share them."""
    return ssl.create_default_context()

"""The headers of a request that this server looks at, found in one walk for all who ask."""

from __future__ import annotations

from collections.abc import Iterable

from serin_contract import http
from serin_serving.wire import Scope

COHORT = http.COHORT_HEADER.encode()
STICKINESS = http.STICKINESS_HEADER.encode()
COOKIE = b"cookie"
REQUEST_ID = http.REQUEST_ID_HEADER.encode()
JSON_LENGTH = http.JSON_LENGTH_HEADER.encode()
CONTENT_ENCODING = b"content-encoding"
EXPECT = b"expect"
LOOKED_AT = frozenset({COHORT, STICKINESS, COOKIE, REQUEST_ID, JSON_LENGTH, CONTENT_ENCODING, EXPECT})

Named = dict[bytes, list[bytes]]
"""The values of each header that came, in their order."""

_NAMED = "serin.headers"


def sorted_out(headers: Iterable[tuple[bytes, bytes]]) -> Named:
    """Those that are looked at; a header's name is in small letters, as ASGI has it."""
    named: Named = {}
    for name, value in headers:
        if name in LOOKED_AT:
            if name in named:
                named[name].append(value)
            else:
                named[name] = [value]
    return named


def named(scope: Scope) -> Named:
    """Those of a request."""
    found: Named | None = scope.get(_NAMED)
    if found is None:
        found = scope[_NAMED] = sorted_out(scope["headers"])
    return found


def keep(scope: Scope, found: Named) -> None:
    """Let nobody walk again: these are the request's."""
    scope[_NAMED] = found

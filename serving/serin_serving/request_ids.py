"""The id under which a caller, a gateway and this server's log speak of one request.

It is the caller's where it sent a fit one. Otherwise one is made only where something went wrong, and so somebody
may ask: a good answer costs nothing more.
"""

from __future__ import annotations

import re
import secrets

from serin_serving.headers import REQUEST_ID, named
from serin_serving.wire import Scope

REQUEST_ID_CHARS_MAX = 128

_MADE = "serin.request_id"
_fit = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:/+=@-]{0,127}\Z")


def given(scope: Scope) -> str:
    """The caller's id; empty where it sent none, more than one, or one that is too long or has odd characters."""
    made_before: str | None = scope.get(_MADE)
    return _sent(scope).decode() if made_before is None else made_before


def made(scope: Scope) -> str:
    """The caller's id, or a new one, the same however often it is asked for."""
    request_id = given(scope)
    if not request_id:
        request_id = scope[_MADE] = secrets.token_hex(16)
    return request_id


def header(scope: Scope, status: int) -> tuple[bytes, bytes] | None:
    """The header of an answer with that status; None where it has none."""
    request_id = _sent(scope)
    if request_id:
        return REQUEST_ID, request_id
    return (REQUEST_ID, made(scope).encode()) if status >= 400 else None


def _sent(scope: Scope) -> bytes:
    sent = named(scope).get(REQUEST_ID)
    return sent[0] if sent is not None and len(sent) == 1 and _fit.match(sent[0]) else b""

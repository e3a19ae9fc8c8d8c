"""One bounded GET for a custom gate, and the one number in its answer. What goes wrong is said without quoting it."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import math
import socket
from collections.abc import Collection
from typing import Any

import aiohttp

from serin_contract import addresses
from serin_contract.addresses import IPNetwork
from serin_operator.observe import sessions
from serin_operator.observe.sessions import BODY_BYTES_MAX

REQUEST_SECONDS = 5.0
_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity"}


class SourceError(Exception):
    """No number came; the text says why and quotes nothing of the answer."""


class _RefusedAddressError(OSError):
    """The name led to an address that is not asked."""


def session(allowed: Collection[IPNetwork] = ()) -> aiohttp.ClientSession:
    """Connections that serve one request each, to no loopback, link-local or metadata address but in these ranges.

    The address is checked where the socket is made, so a name that changes its mind between two look-ups gains nothing.
    """
    return sessions.session(_HEADERS, _socket_factory(tuple(allowed)))


def trusting_session() -> aiohttp.ClientSession:
    """The same for the address of the operator's own settings: a proxy beside the operator may well stand there."""
    return sessions.session(_HEADERS)


def _socket_factory(allowed: tuple[IPNetwork, ...]) -> aiohttp.SocketFactoryType:
    def make(address: Any) -> socket.socket:
        family, kind, protocol, _, where = address
        if is_refused(ipaddress.ip_address(str(where[0]).partition("%")[0]), allowed):
            raise _RefusedAddressError("a refused address")
        return socket.socket(family=family, type=kind, proto=protocol)

    return make


def is_refused(address: addresses.IPAddress, allowed: tuple[IPNetwork, ...] = ()) -> bool:
    """Whether it is the operator itself, its node or a source of credentials; addresses of the cluster are not."""
    return addresses.is_special(address) and not addresses.is_within(address, allowed)


async def document(
    session: aiohttp.ClientSession, url: str, parameters: dict[str, str] | None = None, seconds: float = REQUEST_SECONDS
) -> Any:
    """The JSON document there.

    Raises:
        SourceError: it does not answer in time, with 200, with JSON and within BODY_BYTES_MAX.
    """
    try:
        async with asyncio.timeout(seconds), session.get(url, params=parameters, allow_redirects=False) as answer:
            if 300 <= answer.status < 400:
                raise SourceError(f"it answers with a redirect ({answer.status}), which is not followed")
            if answer.status != 200:
                raise SourceError(f"it answers with status {answer.status}")
            return _parsed(await _body(answer))
    except TimeoutError as error:
        raise SourceError(f"it did not answer within {seconds:g} s") from error
    except aiohttp.ClientError as error:
        raise SourceError(_unreached(error)) from error
    except (OSError, ValueError) as error:
        raise SourceError(f"it cannot be reached ({type(error).__name__})") from error


async def _body(answer: aiohttp.ClientResponse) -> bytes:
    if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise SourceError("its answer is compressed, which was not asked for")
    body = b""
    async for chunk in answer.content.iter_any():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise SourceError(f"its answer has more than {BODY_BYTES_MAX // 1024} KiB")
    return body


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise SourceError("its answer is no JSON") from error


def _unreached(error: aiohttp.ClientError) -> str:
    if isinstance(error, aiohttp.ClientSSLError):
        return "its certificate does not hold for the host by the system's authorities"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, _RefusedAddressError):
            return "its name leads to a loopback, link-local or metadata address, which is not asked"
        cause = cause.__cause__ or cause.__context__
    return f"it cannot be reached ({type(error).__name__})"


def single(answer: Any) -> float:
    """The one number of an answer to an instant query: a scalar, or a vector of one element.

    Raises:
        SourceError: the answer is of another shape, or the number is not finite.
    """
    match answer:
        case {"status": "success", "data": {"resultType": "scalar", "result": [_, str(text)]}}:
            return _number(text)
        case {"status": "success", "data": {"resultType": "vector", "result": [{"value": [_, str(text)]}]}}:
            return _number(text)
        case {"status": "success", "data": {"resultType": "vector", "result": []}}:
            raise SourceError("the query finds no series")
        case {"status": "success", "data": {"resultType": "vector", "result": [_, _, *_]}}:
            raise SourceError("the query finds several series; aggregate them to one, as by sum()")
    raise SourceError("its answer is no single number of an instant query")


def at_pointer(document: Any, pointer: str) -> float:
    """The number at a JSON pointer (RFC 6901).

    Raises:
        SourceError: there is nothing there, or something else than a finite number.
    """
    here = document
    if pointer and not pointer.startswith("/"):
        raise SourceError("the gate's field is no JSON pointer; write it as in /orders/revenue")
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(here, dict) and key in here:
            here = here[key]
        elif isinstance(here, list) and _is_index(key) and int(key) < len(here):
            here = here[int(key)]
        else:
            raise SourceError("its document has nothing where the gate's field points to")
    # A bool is an int to Python and no number to JSON.
    if isinstance(here, bool) or not isinstance(here, int | float):
        raise SourceError("what the gate's field points to is no number")
    return _finite(here)


def _is_index(key: str) -> bool:
    """A JSON array's index: no sign, no leading zero, ASCII digits (RFC 6901, section 4)."""
    return key == "0" or (key.isascii() and key.isdigit() and key[0] != "0" and len(key) < 7)


def _number(text: str) -> float:
    try:
        return _finite(float(text))
    except ValueError as error:
        raise SourceError("its answer is no number") from error


def _finite(value: float) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise SourceError("its answer is not a finite number, as where 0 is divided by 0")
    return number

"""The small HTTP client: whole answers, kept connections, and errors for everything else."""

from __future__ import annotations

import pytest
from tests.unit.cli.demo.gateway import Heard, Reply, gateway

from serin_cli.demo.wire import Client, WireError


def replying(status: int, headers: dict[str, str], body: bytes):
    def answer(_heard: Heard, _path: str, _body: bytes) -> Reply:
        return status, headers, body

    return answer


async def test_connection_is_kept_and_used_again() -> None:
    async with gateway(replying(200, {"X-Some": "Thing"}, b"whole")) as heard:
        client = Client(heard.url, "digits.example.com")
        answers = [await client.send(b"POST", b"/v2", b"{}") for _ in range(3)]
        client.close()
    assert [(answer.status, answer.body, answer.headers["x-some"]) for answer in answers] == [
        (200, b"whole", "Thing")
    ] * 3
    assert heard.connections == 1
    assert {host for _, host, _ in heard.requests} == {"digits.example.com"}


async def test_fresh_request_opens_a_connection_of_its_own() -> None:
    async with gateway(replying(200, {}, b"")) as heard:
        client = Client(heard.url, "h")
        await client.send(b"GET", b"/", b"")
        await client.send(b"GET", b"/", b"", fresh=True)
        client.close()
    assert heard.connections == 2


async def test_connection_that_the_server_gives_up_is_not_used_again() -> None:
    async with gateway(replying(200, {"Connection": "close"}, b"")) as heard:
        client = Client(heard.url, "h")
        await client.send(b"GET", b"/", b"")
        await client.send(b"GET", b"/", b"")
        client.close()
    assert heard.connections == 2


async def test_chunked_answer_is_put_together() -> None:
    body = b"3\r\nwho\r\n2;name=value\r\nle\r\n0\r\nTrailer: x\r\n\r\n"
    async with gateway(replying(200, {"transfer-encoding": "chunked"}, body)) as heard:
        client = Client(heard.url, "h")
        answer = await client.send(b"GET", b"/", b"")
        client.close()
    assert answer.body == b"whole"


async def test_connection_cut_before_the_answer_is_an_error() -> None:
    def hang_up(_heard: Heard, _path: str, _body: bytes) -> None:
        return None

    async with gateway(hang_up) as heard:
        client = Client(heard.url, "h")
        with pytest.raises(WireError):
            await client.send(b"GET", b"/", b"")


@pytest.mark.parametrize("url", ["https://gateway:8000", "gateway:8000", ""])
def test_other_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="http://"):
        Client(url, "h")

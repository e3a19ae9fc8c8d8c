import asyncio
import contextlib
import socket

import pytest

from serin_cli.cluster.errors import ClusterError
from serin_cli.cluster.forward import Forward, choose_port, listen, serve

HOST = "127.0.0.1"


@pytest.fixture
def taken():
    with listen(Forward(HOST, 0, HOST, 0)) as listener:
        yield listener.getsockname()[1]


def test_a_wanted_port_that_is_taken_is_an_error_with_advice(taken):
    with pytest.raises(ClusterError, match="--gateway-port"):
        choose_port(taken, 1, HOST)


def test_a_preferred_port_that_is_taken_gives_way(taken):
    assert choose_port(None, taken, HOST) not in (0, taken)


async def answer_after_the_end(reader, writer):
    said = await reader.read()
    writer.write(b"heard " + said)
    writer.close()
    await writer.wait_closed()


async def forwarding(target_port):
    forward = Forward(HOST, 0, HOST, target_port)
    listener = listen(forward)
    return await serve(listener, forward), listener.getsockname()[1]


async def all_carried():
    """Wait until every connection that was carried has come to its end."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.wait_for(asyncio.gather(*others), 10)


async def test_bytes_go_both_ways_and_an_end_is_passed_on():
    target = await asyncio.start_server(answer_after_the_end, HOST, 0)
    server, port = await forwarding(target.sockets[0].getsockname()[1])
    async with target, server:
        reader, writer = await asyncio.open_connection(HOST, port)
        words = b"x" * 3_000_000
        writer.write(words)
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), 10) == b"heard " + words
        writer.close()
        await writer.wait_closed()
        await all_carried()


async def test_a_target_that_does_not_answer_ends_the_connection():
    with socket.socket() as unused:
        unused.bind((HOST, 0))
        server, port = await forwarding(unused.getsockname()[1])
        async with server:
            reader, writer = await asyncio.open_connection(HOST, port)
            assert await asyncio.wait_for(reader.read(), 10) == b""
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            await all_carried()

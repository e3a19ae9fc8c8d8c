"""Carry TCP connections from the machine's loopback address into the cluster's network namespace."""

import asyncio
import contextlib
import socket
from dataclasses import dataclass

from serin_cli.cluster.errors import ClusterError

CHUNK = 256 * 1024


@dataclass(frozen=True)
class Forward:
    """One listening port and the address inside the cluster that it stands for."""

    listen_host: str
    listen_port: int
    target_host: str
    target_port: int


def listen(forward: Forward) -> socket.socket:
    """Open the listening socket; it stays in the network namespace that it was opened in."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((forward.listen_host, forward.listen_port))
    except OSError as error:
        listener.close()
        raise ClusterError(
            f"Port {forward.listen_port} of {forward.listen_host} is taken ({error.strerror}). "
            "Free it, or choose another with --api-port or --gateway-port."
        ) from error
    listener.listen(512)
    return listener


def choose_port(wanted: int | None, preferred: int, host: str) -> int:
    """Return a port that is free now: the one `wanted`, else the preferred one, else any.

    Raises ClusterError if the wanted one is taken.
    """
    if wanted is not None:
        listen(Forward(host, wanted, "", 0)).close()
        return wanted
    for port in (preferred, 0):
        try:
            listener = listen(Forward(host, port, "", 0))
        except ClusterError:
            continue
        with listener:
            chosen: int = listener.getsockname()[1]
            return chosen
    raise ClusterError(f"No free port was found on {host}.")


async def serve(listener: socket.socket, forward: Forward) -> asyncio.Server:
    """Accept connections on `listener` and connect each from the namespace that this thread is in now."""

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far, back = await asyncio.open_connection(forward.target_host, forward.target_port, limit=CHUNK)
        except OSError:
            # Nothing listens there yet, and the caller must see the connection end.
            writer.transport.abort()
            return
        await asyncio.gather(_copy(reader, back), _copy(far, writer))
        for side in (writer, back):
            side.close()
            with contextlib.suppress(OSError):
                await side.wait_closed()

    return await asyncio.start_server(carry, sock=listener, limit=CHUNK)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy one direction to its end, then say so to the other side, which may still be sending."""
    try:
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except OSError:
        # Either side went away: the other must not wait for it.
        writer.transport.abort()

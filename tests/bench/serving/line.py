"""A connection to the whole server without sockets: through uvicorn's protocol, with a transport that goes nowhere."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import uvicorn
from uvicorn.server import ServerState


class Nowhere(asyncio.Transport):
    """Takes answers and says when one is whole."""

    def __init__(self) -> None:
        super().__init__({"sockname": ("127.0.0.1", 8080), "peername": ("127.0.0.1", 40000)})
        self.answered = asyncio.Event()
        self.data = b""

    def write(self, data: Any) -> None:
        self.data += data
        head, end, body = self.data.partition(b"\r\n\r\n")
        if end and body.endswith(b"}"):
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(f"the server answered {self.data[:300]!r}")
            self.data = b""
            self.answered.set()

    def writelines(self, parts: Any) -> None:
        self.write(b"".join(parts))

    def close(self) -> None: ...

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Line:
    """One kept connection."""

    def __init__(self, config: uvicorn.Config) -> None:
        self._transport = Nowhere()
        self._protocol: Any = config.http_protocol_class(config=config, server_state=ServerState(), app_state={})
        self._protocol.connection_made(self._transport)

    def send(self, request: bytes) -> None:
        """Let a whole request arrive."""
        self._transport.answered.clear()
        self._protocol.data_received(request)

    async def answer(self) -> None:
        """Wait for its answer.

        Raises:
            RuntimeError: out of the loop, where it is not 200.
        """
        await self._transport.answered.wait()


def body_of(rows: list[list[float]]) -> bytes:
    """These rows as the protocol's JSON has them."""
    tensor = {"name": "x", "shape": [len(rows), len(rows[0])], "datatype": "FP64", "data": rows}
    return json.dumps({"inputs": [tensor]}).encode()


def request(model: str, body: bytes, **headers: str) -> bytes:
    """A whole request for inference as bytes; `headers` have '_' for '-'."""
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    head = [f"POST /v2/models/{model}/infer HTTP/1.1", f"host: {model}", f"content-length: {len(body)}", *lines, "", ""]
    return "\r\n".join(head).encode() + body


def configuration(server: Any) -> uvicorn.Config:
    """How a server answers its callers; made inside a running loop."""
    # Here and not above: a bench may have said by PYTHONPATH of which checkout these are.
    from serin_serving import app
    from serin_serving.connections import protocol

    callers = app.inference_app(server)
    config = uvicorn.Config(
        callers,
        http=protocol(server.connections, *_direct(server, callers)),
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
    )
    config.load()
    return config


def _direct(server: Any, callers: Any) -> list[Any]:
    """What answers past ASGI; an older checkout has nothing of the kind."""
    try:
        from serin_serving.app import inference_paths
        from serin_serving.direct import DirectInference
    except ImportError:
        return []
    return [DirectInference(server, callers, inference_paths(server))]

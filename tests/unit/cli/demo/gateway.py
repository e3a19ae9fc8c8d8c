"""A gateway and a model server in one, small enough to misbehave on request."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from serin_contract.http import FEEDBACK_PATH, PREDICTION_ID_HEADER, REVISION_HEADER

Reply = tuple[int, dict[str, str], bytes]


@dataclass
class Heard:
    """What the gateway was asked."""

    url: str = ""
    connections: int = 0
    requests: list[tuple[str, str, bytes]] = field(default_factory=list)
    labels: list[dict[str, object]] = field(default_factory=list)


def answer_well(heard: Heard, path: str, body: bytes) -> Reply:
    """Predict 7 for every row and take every label but 9."""
    revision = {REVISION_HEADER: "digits-a"}
    if path == FEEDBACK_PATH:
        items = json.loads(body) if body else []
        heard.labels += items
        refused = [{"index": place} for place, item in enumerate(items) if item["label"] == 9]
        return 200, revision, json.dumps({"accepted": len(items) - len(refused), "refused": refused}).encode()
    if path.endswith("/ready"):
        return 200, revision, b"{}"
    return 200, {**revision, PREDICTION_ID_HEADER: "id"}, b'{"outputs": [{"name": "predict", "data": [7]}]}'


@asynccontextmanager
async def gateway(answer: Callable[[Heard, str, bytes], Reply | None] = answer_well) -> AsyncIterator[Heard]:
    """Listen on a free port; an answer of None closes the connection instead."""
    heard = Heard()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                first, *lines = head[:-4].split("\r\n")
                headers = dict(line.lower().split(": ", 1) for line in lines)
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                heard.requests.append((first, headers["host"], body))
                reply = answer(heard, first.split(" ")[1], body)
                if reply is None:
                    return
                status, extra, said = reply
                sent = "".join(f"{name}: {value}\r\n" for name, value in extra.items())
                if "transfer-encoding" not in extra:
                    sent += f"content-length: {len(said)}\r\n"
                writer.write(f"HTTP/1.1 {status} Said\r\n{sent}\r\n".encode() + said)
                if headers.get("connection") == "close":
                    return
        except asyncio.IncompleteReadError:
            return
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    heard.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield heard
    finally:
        server.close()

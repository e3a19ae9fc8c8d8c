from __future__ import annotations

from typing import Any

import pytest

from serin_serving.errors import RequestError
from serin_serving.wire import EXCHANGE, Answer, BodyReader, Common, GoneError, failure, send_answer


def scope(declared: int | None = None) -> dict[str, Any]:
    return {"headers": [] if declared is None else [(b"content-length", str(declared).encode())]}


def receiving(*chunks: bytes | None) -> Any:
    """A receive that gives the chunks one by one; None hangs up."""
    messages = [
        {"type": "http.disconnect"}
        if chunk is None
        else {"type": "http.request", "body": chunk, "more_body": place < len(chunks) - 1}
        for place, chunk in enumerate(chunks)
    ]

    async def receive() -> Any:
        return messages.pop(0)

    return receive


async def test_a_body_in_pieces_is_put_together() -> None:
    assert await BodyReader().read(scope(), receiving(b"ab", b"", b"c")) == b"abc"


REFUSED = {
    "a declared size above the limit": (scope(11), (b"",), 413),
    "one piece above the limit": (scope(), (b"12345678901",), 413),
    "pieces that add up above the limit": (scope(), (b"123456", b"789012", b""), 413),
    "more than all bodies together may have": (scope(), (b"1234567", b"8"), 503),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_it_refuses(name: str) -> None:
    head, chunks, status = REFUSED[name]
    reader = BodyReader(each_max=10, all_max=7 if status == 503 else 100)
    with pytest.raises(RequestError) as caught:
        await reader.read(head, receiving(*chunks))
    assert caught.value.status == status
    # What was refused takes no room from the next.
    assert await reader.read(scope(), receiving(b"12", b"34")) == b"1234"


async def test_a_caller_that_hangs_up_is_answered_nothing() -> None:
    with pytest.raises(GoneError):
        await BodyReader().read(scope(), receiving(b"ab", None))


def test_an_overloaded_server_says_when_to_come_back() -> None:
    assert (b"retry-after", b"1") in failure(503, "full").headers
    assert failure(400, "no").headers == []


class Whole:
    """A connection on which all has come, and which takes what fits."""

    def __init__(self, body: bytes | None, *, takes: bool) -> None:
        self._body = body
        self._takes = takes
        self.taken: list[tuple[int, bytes]] = []

    def body_at_once(self) -> bytes | None:
        return self._body

    def answer_at_once(self, answer: Answer, _common: Common) -> bool:
        if self._takes:
            self.taken.append((answer.status, answer.body))
        return self._takes


async def test_a_body_that_is_there_is_asked_for_once_and_bounded_all_the_same() -> None:
    reader = BodyReader(each_max=3)
    assert await reader.read({**scope(), EXCHANGE: Whole(b"abc", takes=True)}, receiving()) == b"abc"
    with pytest.raises(RequestError) as caught:
        await reader.read({**scope(), EXCHANGE: Whole(b"abcd", takes=True)}, receiving())
    assert caught.value.status == 413
    assert await reader.read({**scope(), EXCHANGE: Whole(None, takes=True)}, receiving(b"ab", b"c")) == b"abc"


@pytest.mark.parametrize("takes", [True, False])
async def test_an_answer_is_sent_in_messages_only_where_it_is_not_taken_at_once(takes: bool) -> None:
    connection, messages = Whole(b"", takes=takes), []

    async def send(message: Any) -> None:
        messages.append(message["type"])

    await send_answer({**scope(), EXCHANGE: connection}, send, Answer(200, b"{}"), Common([]))
    assert connection.taken == ([(200, b"{}")] if takes else [])
    assert messages == ([] if takes else ["http.response.start", "http.response.body"])

"""A caller by gRPC: `python -m tests.support.grpc_callers`, with what to call as JSON in the first line that comes in.

It calls at a rate, on one kept channel, until the input ends; then it says how the calls ended and which revisions
answered.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import grpc

from serin_serving import oip_messages

CALL_SECONDS = 5.0
STOP_SECONDS = 30.0
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Asked:
    """What to call, and how often."""

    target: str
    """host:port of the gateway."""
    authority: str
    model: str
    rows: list[list[float]]
    requests_per_second: float


@dataclass
class Told:
    """How the calls ended."""

    codes: dict[str, int] = field(default_factory=dict)
    revisions: dict[str, int] = field(default_factory=dict)

    @property
    def failed(self) -> dict[str, int]:
        """All that is not OK."""
        return {code: count for code, count in self.codes.items() if code != "OK"}


@contextmanager
def callers(asked: Asked, wrap: Callable[[Sequence[str]], list[str]]) -> Iterator[Told]:
    """Callers for the length of the block; what they saw is filled in when it ends."""
    told = Told()
    command = wrap([sys.executable, "-m", "tests.support.grpc_callers"])
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True, cwd=ROOT
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(asdict(asked)) + "\n")
    process.stdin.flush()
    try:
        yield told
    finally:
        output, _ = process.communicate("", timeout=STOP_SECONDS)
        said = json.loads(output or "{}")
        told.codes, told.revisions = said.get("codes", {}), said.get("revisions", {})


def _message(asked: Asked, row: list[float]) -> bytes:
    message: Any = oip_messages.ModelInferRequest(model_name=asked.model)
    tensor = message.inputs.add(name="x", datatype="FP64", shape=[1, len(row)])
    tensor.contents.fp64_contents.extend(row)
    data: bytes = message.SerializeToString()
    return data


def _call(asked: Asked, over: threading.Event) -> tuple[Counter[str], Counter[str]]:
    messages = [_message(asked, row) for row in asked.rows]
    codes: Counter[str] = Counter()
    revisions: Counter[str] = Counter()
    due = time.monotonic()
    with grpc.insecure_channel(asked.target, options=[("grpc.default_authority", asked.authority)]) as channel:
        infer = channel.unary_unary(f"/{oip_messages.SERVICE}/ModelInfer")
        while not over.is_set():
            try:
                _, call = infer.with_call(messages[sum(codes.values()) % len(messages)], timeout=CALL_SECONDS)
                codes["OK"] += 1
                revisions[dict(call.initial_metadata()).get("x-serin-revision", "none")] += 1
            except grpc.RpcError as error:
                codes[error.code().name] += 1
            due += 1.0 / asked.requests_per_second
            over.wait(max(0.0, due - time.monotonic()))
    return codes, revisions


def main() -> None:
    """Call until the input ends."""
    asked = Asked(**json.loads(sys.stdin.readline()))
    over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
    codes, revisions = _call(asked, over)
    print(json.dumps({"codes": codes, "revisions": revisions}))


if __name__ == "__main__":
    main()

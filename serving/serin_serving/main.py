"""The entry point `serin-serving`: `serve` (the default), or the one-shots `fetch` and `resolve`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from serin_contract import startup as reports
from serin_contract.startup import EXIT_REFUSED, EXIT_UNAVAILABLE, ResolvedDigest, StartupFailure, StartupReason
from serin_serving import log, settings
from serin_serving.bundle_files import read_bundle
from serin_serving.errors import RefusedError
from serin_serving.signers import signers_of

if TYPE_CHECKING:
    from serin_serving.grpc_service import GrpcListener
    from serin_serving.server import Server
    from serin_serving.settings import Settings

COLLECTED_EACH = 10_000
"""How many new objects make the collector look for garbage; a request makes dozens and leaves none."""

_log = logging.getLogger("serin_serving")


def main(arguments: list[str] | None = None, env: Mapping[str, str] | None = None) -> int:
    """Run a sub-command; returns the exit status.

    EXIT_REFUSED where a person has to act, EXIT_UNAVAILABLE where the next try may go well.
    """
    # First of all: as process 1 of a container this would otherwise ignore SIGTERM while the model loads.
    signal.signal(signal.SIGTERM, _leave)
    command = _parser().parse_args(arguments).command
    env = os.environ if env is None else env
    log.set_up()
    try:
        if command == "fetch":
            # Only this command needs sockets, archives and TLS; a server never gets them.
            from serin_serving.fetch import command as fetching

            fetching.run(env)
        elif command == "resolve":
            resolve(env)
        else:
            serve(env)
    except RefusedError as refused:
        _log.error("refused: %s: %s", refused.reason, refused.message)
        _report(env, reports.encode(StartupFailure(refused.reason, refused.message)))
        return EXIT_UNAVAILABLE if refused.reason is StartupReason.SourceUnavailable else EXIT_REFUSED
    return 0


def resolve(env: Mapping[str, str]) -> None:
    """Check every file of the bundle and write its digest to the termination message.

    Raises:
        RefusedError: the bundle is missing, unreadable, damaged, not the pinned one, or not signed.
    """
    pinned = settings.pinned_digest(env, required=False)
    check_signed = signers_of(settings.signers_dir(env))
    bundle = read_bundle(settings.bundle_dir(env), pinned, keep=(), check_signed=check_signed)
    _report(env, reports.encode(ResolvedDigest(bundle.digest)))
    _log.info("resolved: the bundle has digest %s", bundle.digest)


def serve(env: Mapping[str, str]) -> None:
    """Load the bundle and answer until SIGTERM and the end of the drain.

    Raises:
        RefusedError: the settings or the bundle are not to be served.
    """
    configured = settings.from_env(env)
    with _no_collecting():
        # What `resolve` and a refused setting can do without.
        import uvloop

        from serin_serving import drain, startup, traces
        from serin_serving.keys import Keys
        from serin_serving.server import Server

        # Columns are put in order by the signature; the model need not be told their names for each row.
        warnings.filterwarnings("ignore", message="X does not have valid feature names")
        keys = Keys(configured.keys_file, time.monotonic())
        loaded = startup.load(configured)
    try:
        inference = drain.listen(configured.host, configured.inference_port)
        stats = drain.listen(configured.host, configured.stats_port)
    except OSError as error:
        raise RefusedError(StartupReason.SettingsInvalid, f"a port cannot be listened on: {error.strerror}") from error

    # What is loaded stays: the collector need not walk it again and again, which would hold up callers.
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECTED_EACH)

    async def run() -> None:
        server = Server(configured, loaded, keys)
        server.traces = traces.from_env(env, configured, server.metrics)
        end = drain.Drain(server)
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, end.ask)
        seconds = configured.drain_seconds, configured.longest_request_seconds
        await drain.serve(server, end, inference, stats, *seconds, _grpc(server, configured))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


@contextlib.contextmanager
def _no_collecting() -> Iterator[None]:
    """Look for no garbage: what imports and a model make is kept, and the collector would walk all of it often."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _grpc(server: Server, configured: Settings) -> GrpcListener | None:
    if configured.grpc_port is None:
        return None
    from serin_serving.grpc_service import GrpcListener

    return GrpcListener(server, configured.host, configured.grpc_port)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="serin-serving", description="Serve one Serin bundle.")
    parser.add_argument(
        "command",
        nargs="?",
        choices=("serve", "fetch", "resolve"),
        default="serve",
        help="serve the bundle (default), fetch it from where it lies, or check it and report its digest",
    )
    return parser


def _report(env: Mapping[str, str], report: bytes) -> None:
    path: Path = settings.termination_log(env)
    try:
        path.write_bytes(report)
    except OSError as error:
        _log.warning("the termination message cannot be written: %s", error.strerror)


def _leave(_number: int, _frame: FrameType | None) -> NoReturn:
    # Nothing is being answered yet, so nothing has to be drained.
    sys.exit(0)


if __name__ == "__main__":
    sys.exit(main())

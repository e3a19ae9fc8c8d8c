"""Run a program to its end, with a time limit and an error that quotes what it said."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from serin_cli.cluster.errors import ClusterError

TAIL_LINES = 25


def run(
    argv: Sequence[str | Path],
    *,
    timeout: float = 60.0,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    cwd: Path | None = None,
) -> str:
    """Run `argv` and return its standard output.

    `timeout` is in seconds; `env` is added to this program's environment. Raises ClusterError with the end of
    what the program printed if it fails, is missing or takes too long.
    """
    words = [str(word) for word in argv]
    try:
        done = subprocess.run(
            words,
            check=True,
            capture_output=True,
            text=True,
            timeout=timeout,
            input=stdin if stdin is not None else "",
            env={**os.environ, **(env or {})},
            cwd=cwd,
        )
    except FileNotFoundError as error:
        raise ClusterError(f"The program {words[0]!r} is missing; install it or run with --mode auto.") from error
    except subprocess.TimeoutExpired as error:
        raise ClusterError(f"{_shown(words)} did not finish within {timeout:.0f} s.") from error
    except subprocess.CalledProcessError as error:
        said = "\n".join((error.stdout + error.stderr).strip().splitlines()[-TAIL_LINES:])
        raise ClusterError(f"{_shown(words)} failed with exit code {error.returncode}:\n{said}") from error
    return done.stdout


def succeeds(argv: Sequence[str | Path], *, timeout: float = 20.0) -> bool:
    """Say whether `argv` runs and exits with 0 within `timeout` seconds."""
    try:
        run(argv, timeout=timeout)
    except ClusterError:
        return False
    return True


def _shown(words: Sequence[str]) -> str:
    line = " ".join(words)
    return line if len(line) < 200 else line[:197] + "..."

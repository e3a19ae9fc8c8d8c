"""Fuzz each target for a while: `python -m tests.fuzz.run --seconds 60 [TARGET…]`.

It needs atheris, which has wheels for few systems and so is in no group of the lock:
`uv run --frozen --with atheris==3.0.0 python -m tests.fuzz.run`. What was learnt is kept in `.fuzz`; a crash
leaves its input there, and the run ends with status 1. A crash that was mended becomes a seed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from tests.fuzz.targets import TARGETS

SEEDS = Path(__file__).parent / "seeds"
KEPT = Path(".fuzz")
INPUT_BYTES_MAX = 4096
MEMORY_MIB_MAX = 2048
INPUT_SECONDS_MAX = 10


def main() -> int:
    """0 where nothing was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; all by default")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    arguments = parser.parse_args()
    unknown = set(arguments.targets) - TARGETS.keys()
    if unknown:
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    failed = [name for name in arguments.targets or TARGETS if not _passes(name, arguments.seconds)]
    print(f"found something: {', '.join(failed)}" if failed else "found nothing")
    return 1 if failed else 0


def _passes(name: str, seconds: int) -> bool:
    kept = KEPT / name
    kept.mkdir(parents=True, exist_ok=True)
    options = {
        "max_total_time": seconds,
        "max_len": INPUT_BYTES_MAX,
        "rss_limit_mb": MEMORY_MIB_MAX,
        "timeout": INPUT_SECONDS_MAX,
        "artifact_prefix": f"{KEPT}/{name}-",
        "print_final_stats": 1,
    }
    command = [sys.executable, "-m", "tests.fuzz.harness", name]
    done = subprocess.run(
        [*command, *(f"-{option}={value}" for option, value in options.items()), str(kept), str(SEEDS / name)],
        check=False,
    )
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())

"""Asks the database of known vulnerabilities (OSV) about what the lock file pins for users.

    python -m tests.audit

Exit status 1 where something that users run is known to be vulnerable. Where the database cannot be reached this
says so and passes: a check that needs the network must not keep anybody from working without it. What was found
holds for a day and for the lock file that it was found for.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from serin_cli.cluster.paths import cache_root

ROOT = Path(__file__).parents[1]
CACHE = cache_root()
SECONDS_MAX = 8
_CONNECT_SECONDS_MAX = 4


class Outcome(NamedTuple):
    """What is known of the lock file."""

    vulnerable: list[str] | None
    """One line for each finding; None where nobody could be asked."""
    packages: int
    why: str = ""
    """Why nobody could be asked."""


def uv() -> Path:
    """The uv that the Makefile installs."""
    found = re.search(r"^UV_VERSION := (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert found is not None
    return CACHE / "tools" / f"uv-{found[1]}" / "bin" / "uv"


def ask(root: Path = ROOT, *more: str) -> Outcome:
    """Ask the database; `more` are further arguments of `uv audit`."""
    command = [str(uv()), "audit", "--frozen", "--no-dev", "--output-format", "json"]
    command += ["--preview-features", "audit-command,json-output", *more]
    # One try: a network that is not there is not there the third time either.
    env = {**os.environ, "UV_HTTP_RETRIES": "0", "UV_HTTP_TIMEOUT": str(_CONNECT_SECONDS_MAX)}
    try:
        found = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, timeout=SECONDS_MAX)
    except subprocess.TimeoutExpired:
        return Outcome(None, 0, f"no answer within {SECONDS_MAX} s")
    except OSError as error:
        return Outcome(None, 0, f"uv cannot be run: {error.strerror}")
    try:
        return _read(json.loads(found.stdout))
    except (ValueError, KeyError, TypeError):
        return Outcome(None, 0, found.stderr.strip().splitlines()[-1].strip() if found.stderr.strip() else "no answer")


def _read(document: Any) -> Outcome:
    lines = [
        f"{item['dependency']['name']} {item['dependency']['version']}: {item['display_id']}, "
        f"fixed in {', '.join(item['fix_versions'] or ['no version yet'])}: {item['summary'] or item['link']}"
        for item in document["vulnerabilities"]
    ]
    lines += [f"{json.dumps(item)}: withdrawn or quarantined" for item in document["adverse_statuses"]]
    return Outcome(lines, document["summary"]["audited_packages"])


def remembered(root: Path, cache: Path, today: dt.date, *more: str) -> Outcome:
    """What was found today for this lock file, or else what the database says now."""
    lock = hashlib.sha256((root / "uv.lock").read_bytes()).hexdigest()
    kept = cache / "audit.json"
    try:
        document = json.loads(kept.read_bytes())
        if (document["lock"], document["day"]) == (lock, today.isoformat()):
            return Outcome(document["vulnerable"], document["packages"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    outcome = ask(root, *more)
    if outcome.vulnerable is not None:
        cache.mkdir(parents=True, exist_ok=True)
        document = {"lock": lock, "day": today.isoformat(), **outcome._asdict()}
        kept.write_text(json.dumps(document))
    return outcome


def main(cache: Path = CACHE) -> int:
    """Ask, say and return the exit status."""
    outcome = remembered(ROOT, cache, dt.datetime.now(dt.UTC).date())
    if outcome.vulnerable is None:
        print(f"audit: cannot tell whether a dependency is vulnerable: {outcome.why}")
        return 0
    print("\n".join([*outcome.vulnerable, f"audit: {outcome.packages} packages, {len(outcome.vulnerable)} findings"]))
    return 1 if outcome.vulnerable else 0


if __name__ == "__main__":
    sys.exit(main())

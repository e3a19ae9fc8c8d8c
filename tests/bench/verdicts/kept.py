"""Outcomes that were made before: a series of many hours can be ended at any time and gone on with later."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

from tests.bench.verdicts.rollouts import Outcome

from serin_cli.cluster.paths import cache_root

ROOT = Path(__file__).parents[3]
DECIDING = ("operator/serin_operator/api", "operator/serin_operator/decide", "serving/serin_contract")
SIMULATED = ("tests/support", "tests/bench/verdicts/cases.py", "tests/bench/verdicts/rollouts.py")
CACHE = cache_root() / "bench" / "verdicts"

Place = tuple[str, int, tuple[str, ...]]
"""Case, seed and judging gates of a roll-out."""


def version() -> str:
    """A digest of all code that an outcome comes from: none is taken for that of another version."""
    digest = hashlib.sha256()
    for part in (*DECIDING, *SIMULATED, "uv.lock"):
        path = ROOT / part
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(str(file.relative_to(ROOT)).encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


class Kept:
    """The outcomes of this version, in one file of a line each; a line that was cut off is passed over."""

    def __init__(self, folder: Path = CACHE) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / f"{version()}.jsonl"
        self._outcomes: dict[Place, Outcome] = {}
        for line in self._file.read_text().splitlines() if self._file.exists() else []:
            try:
                case, seed, gates, outcome = json.loads(line)
            except ValueError:
                continue
            self._outcomes[case, seed, tuple(gates)] = Outcome(**outcome)

    def get(self, place: Place) -> Outcome | None:
        """The outcome of a roll-out, or None where it was not made yet."""
        return self._outcomes.get(place)

    def keep(self, place: Place, outcome: Outcome) -> None:
        """Write one down."""
        self._outcomes[place] = outcome
        with self._file.open("a") as file:
            # The line break comes first: the line before may have been cut off.
            file.write("\n" + json.dumps([*place, asdict(outcome)], ensure_ascii=False))

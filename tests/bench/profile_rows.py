"""Build a profile of many generated rows in chunks; print seconds of the processor and the peak of memory.

python tests/bench/profile_rows.py --rows 10000000
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from serin_bundle.folds import OutOfFold
from serin_bundle.profile import build_profile_from_chunks, psi_smallest
from serin_contract import profile as profiles
from serin_contract.bundle import Column

CHUNK_ROWS = 65_536
NUMBERS = 12
COLUMNS = [*(Column(f"x{place}", "FP64") for place in range(NUMBERS)), Column("shade", "BYTES")]


def chunks(rows: int) -> Iterator[Any]:
    """Twelve columns of numbers, one of them mostly zero and one with missing values, and one of texts."""
    random = np.random.default_rng(0)
    shades = np.array([f"shade{place}" for place in range(30)], dtype=object)
    for start in range(0, rows, CHUNK_ROWS):
        size = min(CHUNK_ROWS, rows - start)
        chunk = np.empty((size, NUMBERS + 1), dtype=object)
        numbers = random.normal(size=(size, NUMBERS))
        numbers[:, 0] = np.where(random.random(size) < 0.6, 0.0, np.exp(numbers[:, 0]))
        numbers[random.random(size) < 0.05, 1] = np.nan
        chunk[:, :NUMBERS] = numbers
        chunk[:, NUMBERS] = shades[np.minimum(random.geometric(0.1, size), 30) - 1]
        yield chunk


def main() -> None:
    """Build and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    rows = parser.parse_args().rows
    predictions = OutOfFold(np.random.default_rng(1).normal(size=50_000), None, 5)
    made = 0.0

    def timed() -> Iterator[Any]:
        nonlocal made
        source = chunks(rows)
        while True:
            before = time.process_time()
            chunk = next(source, None)
            made += time.process_time() - before
            if chunk is None:
                return
            yield chunk

    began = time.process_time()
    profile = build_profile_from_chunks(timed, COLUMNS, predictions, [])
    seconds = time.process_time() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{rows} rows of {len(COLUMNS)} columns: {seconds - made:.1f} s, at most {peak:.0f} MiB in memory")
    print(f"making the rows twice took {made:.1f} s besides")
    print(f"profile: {len(profiles.encode(profile))} bytes")
    for feature in profile.features:
        filled = [count / rows for count in feature.counts]
        smallest = psi_smallest(feature.counts)
        shown = "none" if smallest is None else f"{smallest:.2g}"
        print(f"{feature.name}: {' '.join(f'{share:.3f}' for share in filled)}; smallest PSI {shown}")


if __name__ == "__main__":
    main()

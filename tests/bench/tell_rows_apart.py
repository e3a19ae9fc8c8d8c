"""How often the classifier and the kernel means find shifts of digits (64 pixels), and how often they find nothing.

python tests/bench/tell_rows_apart.py --rows 500 --repetitions 20 --nulls 60
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from serin_bundle.classifier import alarms, domain_auc, domain_mmd

Rows = NDArray[np.float64]
Random = np.random.Generator


def unchanged(rows: Rows, random: Random) -> Rows:
    """Nothing to find."""
    return rows


def decorrelated(rows: Rows, random: Random) -> Rows:
    """Each column as it was, none with its neighbours."""
    return random.permuted(rows, axis=0)


def noisy(rows: Rows, random: Random) -> Rows:
    """Gaussian noise of two grey levels of sixteen."""
    return np.clip(rows + random.normal(0.0, 2.0, rows.shape), 0.0, 16.0)


def moved(rows: Rows, random: Random) -> Rows:
    """All images one pixel to the right."""
    return np.roll(rows.reshape(-1, 8, 8), 1, axis=2).reshape(-1, 64)


def inverted(rows: Rows, random: Random) -> Rows:
    """A tenth of the images white on black."""
    return np.where(random.random((len(rows), 1)) < 0.1, 16.0 - rows, rows)


def darker(rows: Rows, random: Random) -> Rows:
    """Brightness times 0.9."""
    return 0.9 * rows


SHIFTS: dict[str, Callable[[Rows, Random], Rows]] = {
    "none": unchanged,
    "columns decorrelated": decorrelated,
    "noise": noisy,
    "shift by one pixel": moved,
    "10 % of the rows inverted": inverted,
    "brightness × 0.9": darker,
}


def main() -> None:
    """Print a row a shift."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument("--repetitions", type=int, default=20)
    parser.add_argument("--nulls", type=int, default=60)
    asked = parser.parse_args()
    digits = load_digits().data
    print("| shift | runs | classifier alarms at run 1 | p < .01 | mean AUC | MMD p < .01 |\n|---|---|---|---|---|---|")
    for name, shift in SHIFTS.items():
        runs = asked.nulls if name == "none" else asked.repetitions
        found: list[tuple[float, float, float, float]] = []
        for seed in range(runs):
            random = np.random.default_rng(seed)
            chosen = digits[random.choice(len(digits), 2 * asked.rows, replace=False)]
            live, stable = shift(chosen[: asked.rows], random), chosen[asked.rows :]
            told = domain_auc(live, stable, seed)
            apart = domain_mmd(live, stable, seed).p_value < 0.01
            found.append((alarms(told, 1), told.p_value < 0.01, told.auc, apart))
        alarmed, small, auc, apart = np.array(found).mean(axis=0)
        print(f"| {name} | {runs} | {alarmed:.2f} | {small:.2f} | {auc:.2f} | {apart:.2f} |", flush=True)


if __name__ == "__main__":
    main()

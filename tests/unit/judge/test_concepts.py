"""The tables of docs/concepts.md are what the formulas say."""

from __future__ import annotations

from pathlib import Path

import pytest

from serin_operator.decide.judge.findings import PASS_ERROR, samples_needed, smallest_drop
from serin_operator.decide.judge.formulas import Stratum, stratified

PAGE = (Path(__file__).parents[3] / "docs" / "concepts.md").read_text(encoding="utf-8")


def rows(title):
    """Cells of the table below a mark, as numbers where they are; header first."""
    lines = PAGE.split(f"<!-- table: {title} -->\n")[1].split("\n\n")[0].splitlines()
    header, _, *body = [[cell.strip().replace(",", "") for cell in line.strip("|").split("|")] for line in lines]
    return header, body


@pytest.mark.parametrize("weight", [0.5, 0.1])
def test_labels_until_pass(weight):
    header, body = rows(str(weight))
    limits = [float(cell.split()[-1]) for cell in header[1:]]
    assert len(body) == 5
    for accuracy, *cells in body:
        for limit, cell in zip(limits, cells, strict=True):
            n, p = 1e6, float(accuracy)
            stable = n * (1 - weight) / weight
            difference = stratified([Stratum(n * p, n, stable * p, stable)], limit)
            assert difference is not None
            assert samples_needed(difference, n, limit, PASS_ERROR) == pytest.approx(float(cell), rel=0.005, abs=6)


def test_smallest_drop():
    header, ((_, *cells),) = rows("smallest drop")
    for labels, cell in zip(map(float, header[1:]), cells, strict=True):
        arms = Stratum(0.9 * labels, labels, 8.1 * labels, 9 * labels)
        drop = smallest_drop(stratified([arms], 0.02), 0.05)
        assert drop == pytest.approx(float(cell) / 100, abs=6e-4)

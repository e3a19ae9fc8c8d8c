"""Numbers with their names: one shape for what is printed and for what programs read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

Cell = str | float | None
ROUNDING = 1e-12
"""What is nearer to 0 is 0 but for rounding."""


@dataclass(frozen=True)
class Table:
    """A title, rows of equal length, and how to compute on from them."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()

    def lines(self) -> Iterator[str]:
        """As text: words to the left, numbers to the right, columns two spaces apart at least."""
        cells = [self.columns, *(tuple(map(_shown, row)) for row in self.rows)]
        widths = [max(len(row[place]) for row in cells) for place in range(len(self.columns))]
        words = [all(isinstance(row[place], str) for row in self.rows) for place in range(len(self.columns))]
        yield self.title
        for row in cells:
            parts = zip(row, widths, words, strict=True)
            yield "  ".join(f"{cell:<{width}}" if word else f"{cell:>{width}}" for cell, width, word in parts).rstrip()
        yield from self.notes

    def document(self) -> dict[str, Any]:
        """As JSON values."""
        rows: list[Sequence[Cell]] = [list(row) for row in self.rows]
        return {"title": self.title, "columns": list(self.columns), "rows": rows, "notes": list(self.notes)}


def _shown(cell: Cell) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, str):
        return cell
    return f"{cell:.6g}" if abs(cell) > ROUNDING else "0"

"""What stories measured, as lines for a terminal and as Markdown for a page of documentation."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Ended:
    """One row of the table of verdicts."""

    wrong: str
    """What is wrong, in words."""
    phase: str
    """Where it led."""
    seconds: float
    """From the change of the spec."""
    said: str
    """Gate, verdict, reason and message."""


@dataclass
class Figures:
    """Collected by stories that may be told side by side; every title and every row stands once."""

    lines: dict[str, str] = field(default_factory=dict)
    rows: dict[tuple[str, str], Ended] = field(default_factory=dict)

    def measured(self, title: str, words: str) -> None:
        """Keep this line."""
        self.lines[title] = words

    def ended(self, row: Ended) -> None:
        """Keep this row of the table of verdicts, and show it among the lines."""
        self.rows[row.wrong, row.phase] = row
        self.measured(f"{row.wrong}: {row.phase} after {row.seconds:.0f} s", row.said)

    def markdown(self) -> str:
        """The table of verdicts, where there is one, and a list of the other lines."""
        shown = {f"{row.wrong}: {row.phase} after {row.seconds:.0f} s" for row in self.rows.values()}
        table = ["| what is wrong | phase | after | what the gate said |", "| --- | --- | --- | --- |"]
        table += [
            f"| {_cell(row.wrong)} | {row.phase} | {row.seconds:.0f} s | {_cell(row.said)} |"
            for row in self.rows.values()
        ]
        rest = [f"- {_cell(title)}: {_cell(words)}" for title, words in self.lines.items() if title not in shown]
        blocks = [table if self.rows else [], rest]
        return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def _cell(text: str) -> str:
    """Text that ends no cell and begins no line."""
    return " ".join(text.replace("|", "\\|").split())

"""Charts in SVG. Colours are those of Okabe and Ito, which the colour-blind can tell apart."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from serin_operator.decide.judge.findings import ten_to

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#000000")
DASHES = ("", "7 3", "2 3", "9 3 2 3", "4 4", "1 4", "12 3")
"""So that a line is known without its colour as well."""
WIDTH, LEFT, RIGHT = 760.0, 70.0, 20.0
PANEL = 250.0
TOP, BOTTOM = 52.0, 58.0
LABEL_CHARACTERS_MAX = 20


@dataclass(frozen=True)
class Panel:
    """One chart of a picture: its height in pixels and its elements."""

    elements: tuple[str, ...]
    height: float = PANEL


def picture(title: str, panels: Sequence[Panel]) -> str:
    """The panels below each other."""
    height = 40.0 + sum(panel.height for panel in panels)
    body: list[str] = [text(LEFT, 26, title, size=16, weight="bold")]
    at = 40.0
    for panel in panels:
        body += [f'<g transform="translate(0 {at:g})">', *panel.elements, "</g>"]
        at += panel.height
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH:g}" height="{height:g}" '
        f'viewBox="0 0 {WIDTH:g} {height:g}" font-family="sans-serif" role="img">\n<title>{escape(title)}</title>\n'
        f'<rect width="100%" height="100%" fill="white"/>\n' + "\n".join(body) + "\n</svg>\n"
    )


def bars(title: str, labels: Sequence[str], series: Mapping[str, Sequence[float]]) -> Panel:
    """Groups of bars, one for each label, in each a bar for each series; values are shares."""
    highest = max((value for values in series.values() for value in values), default=0.0) or 1.0
    scale = _Scale(0.0, highest)
    elements = [*_frame(title, scale, percent=True), *_legend(list(series), dashes=False)]
    group = (WIDTH - LEFT - RIGHT) / max(1, len(labels))
    bar = 0.8 * group / max(1, len(series))
    for number, values in enumerate(series.values()):
        for place, value in enumerate(values):
            x, y = LEFT + place * group + 0.1 * group + number * bar, scale.y(value)
            elements.append(
                f'<rect x="{x:.1f}" y="{y:.1f}" width="{bar:.1f}" height="{scale.bottom - y:.1f}" '
                f'fill="{COLOURS[number % len(COLOURS)]}"/>'
            )
    for place, label in enumerate(labels):
        x = LEFT + (place + 0.5) * group
        shown = label if len(label) <= LABEL_CHARACTERS_MAX else label[: LABEL_CHARACTERS_MAX - 1] + "…"
        elements.append(text(x, scale.bottom + 14, shown, size=10, anchor="end", turn=-25))
    return Panel(tuple(elements))


def levels(title: str, rows: Sequence[tuple[str, float, float]]) -> Panel:
    """Bars to the right, each with a mark at what is needed: (name, value, needed)."""
    highest = max((max(value, needed) for _, value, needed in rows), default=1.0) * 1.15
    left, row = 150.0, 34.0
    reach = WIDTH - left - RIGHT - 40.0
    elements = [text(LEFT, 18, title, size=13, weight="bold")]
    for place, (name, value, needed) in enumerate(rows):
        y = 34.0 + place * row
        width, mark = reach * max(0.0, value) / highest, left + reach * needed / highest
        elements += [
            text(left - 8, y + 15, name, size=12, anchor="end"),
            f'<rect x="{left:g}" y="{y:g}" width="{reach:g}" height="20" fill="#eeeeee"/>',
            f'<rect x="{left:g}" y="{y:g}" width="{width:.1f}" height="20" '
            f'fill="{COLOURS[4] if value >= needed else COLOURS[0]}"/>',
            f'<line x1="{mark:.1f}" y1="{y - 4:g}" x2="{mark:.1f}" y2="{y + 24:g}" stroke="black" stroke-width="2"/>',
            _beside(mark, y + 15, f"{ten_to(value)} of {ten_to(needed)}", left + reach),
        ]
    return Panel(tuple(elements), height=60.0 + row * len(rows))


def _beside(mark: float, y: float, words: str, end: float) -> str:
    """To the right of a mark, or to the left of one that has no room there."""
    if mark > end - 130.0:
        return text(mark - 5, y, words, size=11, anchor="end")
    return text(mark + 5, y, words, size=11)


def lines(title: str, series: Mapping[str, Sequence[tuple[float, float]]], needed: Mapping[str, float]) -> Panel:
    """Values over minutes, and for each series a level that it must reach, drawn thin in its own colour."""
    points = [point for values in series.values() for point in values]
    end = max((x for x, _ in points), default=1.0) or 1.0
    ys = [y for _, y in points] + list(needed.values())
    scale = _Scale(min(0.0, *ys) if ys else 0.0, (max(ys) if ys else 1.0) * 1.1 or 1.0)
    elements = [*_frame(title, scale, percent=False), *_legend(list(series), dashes=True)]

    def along(x: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * x / end

    for number, (name, values) in enumerate(series.items()):
        colour, dash = COLOURS[number % len(COLOURS)], DASHES[number % len(DASHES)]
        path = " ".join(f"{along(x):.1f},{scale.y(y):.1f}" for x, y in values)
        elements.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"/>'
        )
        if name in needed:
            y = scale.y(needed[name])
            elements.append(
                f'<line x1="{LEFT:g}" y1="{y:.1f}" x2="{WIDTH - RIGHT:g}" y2="{y:.1f}" stroke="{colour}" '
                f'stroke-width="0.8"/>'
            )
            elements.append(text(LEFT + 5, y - 3, f"{name} fails here", size=10))
    for part in range(5):
        x = LEFT + (WIDTH - LEFT - RIGHT) * part / 4
        elements.append(text(x, scale.bottom + 16, f"{end * part / 4:.3g}", size=10, anchor="middle"))
    elements.append(text((LEFT + WIDTH - RIGHT) / 2, scale.bottom + 34, "minutes", size=11, anchor="middle"))
    return Panel(tuple(elements))


def text(
    x: float, y: float, words: str, *, size: int, anchor: str = "start", weight: str = "normal", turn: int = 0
) -> str:
    """One line of text."""
    turned = f' transform="rotate({turn} {x:.1f} {y:.1f})"' if turn else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" font-weight="{weight}"{turned}>'
        f"{escape(words)}</text>"
    )


@dataclass(frozen=True)
class _Scale:
    low: float
    high: float

    @property
    def bottom(self) -> float:
        return PANEL - BOTTOM

    def y(self, value: float) -> float:
        part = (value - self.low) / (self.high - self.low)
        return self.bottom - (self.bottom - TOP) * part

    def ticks(self) -> list[float]:
        rough = (self.high - self.low) / 4
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
        first = math.ceil(self.low / step)
        return [step * number for number in range(first, math.floor(self.high / step + 1e-9) + 1)]


def _frame(title: str, scale: _Scale, *, percent: bool) -> Iterator[str]:
    yield text(LEFT, 18, title, size=13, weight="bold")
    for tick in scale.ticks():
        y = scale.y(tick)
        yield f'<line x1="{LEFT:g}" y1="{y:.1f}" x2="{WIDTH - RIGHT:g}" y2="{y:.1f}" stroke="#dddddd"/>'
        yield text(LEFT - 6, y + 4, f"{100 * tick:.3g} %" if percent else f"{tick:.3g}", size=10, anchor="end")


def _legend(names: Sequence[str], *, dashes: bool) -> Iterator[str]:
    x = LEFT
    for number, name in enumerate(names):
        colour = COLOURS[number % len(COLOURS)]
        if dashes:
            dash = DASHES[number % len(DASHES)]
            yield (
                f'<line x1="{x:g}" y1="33" x2="{x + 26:g}" y2="33" stroke="{colour}" stroke-width="2" '
                f'stroke-dasharray="{dash}"/>'
            )
        else:
            yield f'<rect x="{x + 8:g}" y="27" width="12" height="12" fill="{colour}"/>'
        yield text(x + 32, 37, name, size=11)
        x += 44 + 6.6 * len(name)

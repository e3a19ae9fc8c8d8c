"""A trail of sums over time: fine where it is young, coarse where it is old, so that every suffix can be asked.

A change may have begun at any time. So sums are kept in blocks, and a test looks at all windows that reach from the
beginning of a block until now.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

RESOLUTION = 8.0
"""Two neighbours become one when together they weigh at most this part of all that is younger: a window's length is
then known to an eighth, and a trail has about eight blocks for each time its weight grows by a factor of e."""

GAP_SECONDS_MAX = 86400.0
"""A block that opens after a long silence gets the budget of so much time at most."""

FIRST_GAP_SECONDS = 60.0
"""The budget of the first block: that of one look."""

Sums = tuple[float, ...]
"""The first is the weight: requests or labels."""


@dataclass(frozen=True)
class Block:
    """What was counted from one opening to the next."""

    started_at: float
    """Unix time in seconds."""
    gap_seconds: float
    """From the opening of the block before: the time whose part of the budget a test from here on may spend."""
    sums: Sums


@dataclass(frozen=True)
class Trail:
    """Blocks in the order of their time; the last one is open."""

    blocks: tuple[Block, ...] = ()

    @property
    def suffixes(self) -> Iterator[Block]:
        """The sums of every window that ends with now, the shortest first, with start and gap of its first block."""
        sums: Sums = ()
        for block in reversed(self.blocks):
            sums = plus(sums, block.sums)
            yield replace(block, sums=sums)


def plus(sums: Sums, grown: Sums) -> Sums:
    """Both together; empty sums stand for zeros."""
    if not sums:
        return grown
    return tuple(a + b for a, b in zip(sums, grown, strict=True)) if grown else sums


def grown(trail: Trail, added: Sums, now: float, smallest: float, most: float) -> Trail:
    """The trail with what was counted since the last look.

    Args:
        trail: so far.
        added: sums to add; the trail stays as it is where all are 0.
        now: Unix time in seconds.
        smallest: weight at which a block closes.
        most: weight after which older blocks are forgotten.
    """
    if not any(added):
        return trail
    blocks = list(trail.blocks)
    if blocks and blocks[-1].sums[0] < smallest:
        blocks[-1] = replace(blocks[-1], sums=plus(blocks[-1].sums, added))
    else:
        gap = now - blocks[-1].started_at if blocks else FIRST_GAP_SECONDS
        blocks.append(Block(now, min(max(gap, 0.0), GAP_SECONDS_MAX), added))
    return Trail(_thinned(blocks, most))


def _thinned(blocks: list[Block], most: float) -> tuple[Block, ...]:
    """Neighbours that are small beside what is younger become one; what is older than `most` goes."""
    kept: list[Block] = []
    younger = 0.0
    """Weight of all blocks after the last of `kept`."""
    for block in reversed(blocks):
        if not kept:
            kept.append(block)
        elif (kept[-1].sums[0] + block.sums[0]) * RESOLUTION <= younger:
            kept[-1] = replace(block, sums=plus(block.sums, kept[-1].sums))
        else:
            younger += kept[-1].sums[0]
            if younger >= most:
                break
            kept.append(block)
    return tuple(reversed(kept))

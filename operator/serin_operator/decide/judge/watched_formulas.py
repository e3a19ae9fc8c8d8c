"""The statistics of a watch: how much evidence a window must hold, so that false alarms are as rare as declared.

Nobody knows when a change will begin, so a test begins with every block of a trail. Each is an e-process: while
nothing is wrong, it ever exceeds c with a chance of at most 1/c, however often one looks (Ville's inequality). The
test that begins with block k may alarm at

    c_k = year / (a · g_k),   a: the gate's false alarms a year, g_k: seconds since block k-1 began,

and is fixed before its first count. The tests that begin within any year then raise at most Σ 1/c_k ≤ a false alarms
together, whatever the rate of requests or labels, since the g_k of a year sum to a year at most. It is the union bound
behind the e-detectors of Shin, Ramdas and Rinaldo (arXiv 2203.03532), with the budget spent by time instead of by
sample. Blocks of two gates are counted apart: their parts of `falseAlarmsPerYear` add up to it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from serin_operator.decide.judge import formulas
from serin_operator.decide.judge.watched_trail import Sums, Trail

YEAR_SECONDS = 365.25 * 86400.0


@dataclass(frozen=True)
class Proof:
    """The window that says most."""

    log_e: float
    needed: float
    """Natural log of the evidence at which the window alarms."""
    started_at: float
    sums: Sums

    @property
    def holds(self) -> bool:
        """Whether the window alarms."""
        return self.log_e >= self.needed

    @property
    def budget(self) -> float | None:
        """Chance of a false alarm that the window's test may spend; None where it may spend none."""
        return math.exp(-self.needed) if math.isfinite(self.needed) else None


def log_needed(alarms_per_year: float, gap_seconds: float) -> float:
    """Natural log of c_k; infinite where the gate may raise no false alarm at all."""
    spent = alarms_per_year * gap_seconds / YEAR_SECONDS
    return -math.log(spent) if spent > 0.0 else math.inf


def loss_log_e(loss: float, n: float, limit: float) -> float:
    """Natural log of the e-value against "each of n losses in [0, 1] has a mean of at most `limit`".

    For losses of 0 and 1 it is `formulas.below_log_e` on the others. For those between, each likelihood ratio
    (p/l)^x · ((1−p)/(1−l))^(1−x) is convex in x and so at most the line between its ends, whose mean is at most 1
    wherever the mean of x is at most l < p.
    """
    return formulas.below_log_e(n - loss, n, 1.0 - limit)


def strongest(trail: Trail, log_e_of: Callable[[Sums], float], alarms_per_year: float) -> Proof | None:
    """The window whose evidence lies highest above what it needs; None where nothing was counted."""
    proofs = (
        Proof(log_e_of(window.sums), log_needed(alarms_per_year, window.gap_seconds), window.started_at, window.sums)
        for window in trail.suffixes
    )
    return max(proofs, key=lambda proof: (proof.log_e - min(proof.needed, 1e9), -proof.started_at), default=None)

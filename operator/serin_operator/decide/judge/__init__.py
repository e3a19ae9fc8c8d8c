"""Verdicts: counts in, one answer per gate out, each with the numbers that say it.

`evidence` keeps what was counted, `judge` says what it means; the statistics are in `formulas`.
"""

from serin_operator.decide.judge.reasons import GateReason
from serin_operator.decide.judge.verdicts import judge

__all__ = ["GateReason", "judge"]

"""Verdicts: counts in, one answer per gate out, each with the numbers that say it."""

from serin_operator.decide.judge.verdicts import judge

__all__ = ["judge"]

"""Verdicts: counts in, one answer per gate out, each with the numbers that say it."""

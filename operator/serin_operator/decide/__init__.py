"""Decisions: an Observation in, a Plan out. Pure and total: no clock, no I/O, no randomness, no logging."""

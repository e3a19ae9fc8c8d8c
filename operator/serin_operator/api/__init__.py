"""The custom resources as frozen types: what a user may write, what Serin answers.

The CRDs under `crds/` are generated from these models, so a field exists in both or in neither. Nothing here
does I/O or reads a clock.
"""

"""Pictures as SVG, written by hand: no library, the same bytes for the same numbers."""

"""The one error of this package: the caller's data or model cannot become a bundle."""


class BundleError(ValueError):
    """Says what is wrong and, where it is known, what to do."""

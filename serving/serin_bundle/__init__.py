"""Make bundles where models are trained: the model, what its data looked like, and the proof that it works.

It imports the contract and never the server. `package` is the whole API; `inspect` reads a bundle back.
"""

from serin_bundle.errors import BundleError
from serin_bundle.inspect import BundleReport, inspect
from serin_bundle.package import PackagedBundle, package
from serin_bundle.runtimes import Custom

__all__ = ["BundleError", "BundleReport", "Custom", "PackagedBundle", "inspect", "package"]

"""What this server says of itself, on every protocol."""

from __future__ import annotations

import msgspec

from serin_serving.oip_binary import EXTENSION


class About(msgspec.Struct, frozen=True):
    """The server's metadata in the Open Inference Protocol."""

    name: str
    version: str
    extensions: list[str]


def about_server() -> About:
    """The metadata of this server."""
    # Imported only here: it brings half of the library for mail and archives with it, and few pods are ever asked.
    import importlib.metadata

    return About("serin", importlib.metadata.version("serin-operator"), [EXTENSION])

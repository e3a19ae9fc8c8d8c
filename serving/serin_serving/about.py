"""What this server says of itself, on every protocol."""

from __future__ import annotations

import importlib.metadata

import msgspec

from serin_serving.oip_binary import EXTENSION


class About(msgspec.Struct, frozen=True):
    """The server's metadata in the Open Inference Protocol."""

    name: str
    version: str
    extensions: list[str]


def about_server() -> About:
    """The metadata of this server."""
    return About("serin", importlib.metadata.version("serin-operator"), [EXTENSION])

"""A class of the user's own, by its name: what `serin package` answers the golden rows with."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import click

from serin_bundle import Custom


def custom_model(named: str, data_file: Path) -> Custom:
    """The class `module:Class` and the bytes that it reads. Importing the module runs its code.

    Raises:
        click.ClickException: there is no such class.
    """
    module, _, name = named.partition(":")
    if not module or not name:
        raise click.ClickException(f"--custom-class names a class as module:Class, and {named!r} is none")
    # As `python -m` does it: a module beside where one works is found.
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        return Custom(getattr(importlib.import_module(module), name), data_file.read_bytes())
    # The module is the user's own code and may raise anything.
    except Exception as error:
        raise click.ClickException(
            f"{named} cannot be imported: {type(error).__name__}: {error}. "
            "PYTHONPATH must lead to its module, as it does in the image"
        ) from error

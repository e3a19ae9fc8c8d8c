"""`serin sign` and `serin verify`: who vouches for a bundle."""

from __future__ import annotations

from pathlib import Path

import click

_KEY = click.Path(exists=True, dir_okay=False, path_type=Path)
_BUNDLE = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command()
@click.argument("directory", type=_BUNDLE)
@click.option("--key", "key_file", required=True, type=_KEY, help="The private key: ECDSA on P-256, P-384 or P-521.")
@click.option("--password-file", type=_KEY, help="Holds the password of an encrypted key.")
def sign(directory: Path, key_file: Path, password_file: Path | None) -> None:
    """Sign a bundle: write model.sig beside its manifest.

    The manifest holds the hash of every file, so one signature covers them all, and the digest stays what it was.
    `model_signing verify key` takes the signature too.

    \b
    Example:
      openssl ecparam -name prime256v1 -genkey -noout -out release.key
      openssl ec -in release.key -pubout -out release.pub
      serin sign bundles/wine-7 --key release.key
      serin verify bundles/wine-7 --key release.pub
    """  # noqa: D301 — click reads the escape
    from serin_bundle import BundleError

    try:
        from serin_bundle.sign import sign as signed

        password = None if password_file is None else password_file.read_bytes().strip()
        click.echo(signed(directory, key_file.read_bytes(), password))
    except BundleError as error:
        raise click.ClickException(str(error)) from error
    except ImportError as error:
        raise click.ClickException(f"{error.name} is not installed; install the extra `signing`") from error


@click.command()
@click.argument("directory", type=_BUNDLE)
@click.option(
    "--key", "key_files", required=True, multiple=True, type=_KEY, help="A public key in PEM; one of several suffices."
)
def verify(directory: Path, key_files: tuple[Path, ...]) -> None:
    """Check a bundle as a pod does that asks for a signature: the signature, then every file.

    Exit status 1 where it is not signed by one of the keys or a file is not the recorded one.

    \b
    Example:
      serin verify bundles/wine-7 --key release.pub
    """  # noqa: D301 — click reads the escape
    from serin_serving.bundle_files import read_bundle
    from serin_serving.errors import RefusedError
    from serin_serving.signers import Signers

    try:
        bundle = read_bundle(directory, None, keep=(), check_signed=Signers(key_files).check)
    except RefusedError as refused:
        raise click.ClickException(f"{refused.reason}: {refused.message}") from refused
    click.echo(f"digest   {bundle.digest}")
    click.echo(f"signed   by one of {', '.join(path.name for path in key_files)}; every file is the recorded one")

"""`serin crds`: write what is generated from the API's models, or say what has drifted from them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import click
import yaml

WRITE_COMMAND = "serin crds write"
YAML_HEADER = f"# Generated from operator/serin_operator/api by `{WRITE_COMMAND}`; edit the models instead.\n"
YAML_WIDTH = 110


class _Dumper(yaml.SafeDumper):
    """Lists stand indented below their key, as people write manifests."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002 - PyYAML's
        super().increase_indent(flow, indentless=False)


@cache
def generated() -> Mapping[Path, str]:
    """Every generated file by its path in the source tree. The chart holds copies: Helm reads no others.

    The models of a process never change, so they are asked once.
    """
    # Only this command needs the operator's libraries: the others start without waiting for them or having them.
    from serin_operator.api.crdgen import KINDS, crd
    from serin_operator.api.reference import Vocabulary, reference
    from serin_operator.decide.judge import GateReason

    gate_reasons = Vocabulary(
        "Reasons of the gates",
        "`status.gates[].reason` says why a gate gives its verdict, which comes first here.",
        GateReason,
    )
    files = {}
    for kind in KINDS:
        text = YAML_HEADER + yaml.dump(crd(kind), Dumper=_Dumper, sort_keys=False, width=YAML_WIDTH)
        files[Path("crds") / kind.file_name] = text
        files[Path("charts/serin/files/crds") / kind.file_name] = text
    files[Path("docs/api.md")] = reference(gate_reasons)
    return files


def drifted(root: Path) -> dict[Path, str]:
    """The generated files that are missing or differ below `root`, as they should be."""
    return {path: text for path, text in generated().items() if _read(root / path) != text}


@click.group()
def crds() -> None:
    """Work with the CustomResourceDefinitions of the source tree."""


@crds.command()
@click.option("--check", is_flag=True, help="Write nothing; fail if a file differs from the models.")
@click.option(
    "--root",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path(),
    help="Root of the source tree; the working directory by default.",
)
def write(check: bool, root: Path) -> None:
    """Generate crds/, their copies in the chart and docs/api.md from the models."""
    if not (root / "operator" / "serin_operator").is_dir():
        raise click.UsageError(f"{root.resolve()} is no source tree of Serin; name one with --root.")
    files = drifted(root)
    if check and files:
        names = ", ".join(map(str, files))
        raise click.ClickException(f"{names}: not as the models say. Run `{WRITE_COMMAND}` and commit it.")
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
        click.echo(f"wrote {path}")
    if not files:
        click.echo("Everything generated is as the models say.")


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None

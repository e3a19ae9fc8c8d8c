"""`serin inspect`: what a bundle holds, and whether every file is the recorded one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

if TYPE_CHECKING:
    from serin_bundle import BundleReport
    from serin_contract.compiled import Compiled
    from serin_contract.profile import Feature, Profile


@click.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to print.")
def inspect(directory: Path, output: str) -> None:
    """Show a bundle and check every file against its manifest; exit status 1 where one differs.

    The digest is what `spec.model.digest` of a ModelDeployment pins. The model itself is not loaded.

    \b
    Example:
      serin inspect bundles/wine-7
      serin inspect bundles/wine-7 --output json | jq -r .digest
    """  # noqa: D301 — click reads the escape
    from serin_bundle import BundleError
    from serin_bundle import inspect as read

    try:
        report = read(directory)
    except BundleError as error:
        raise click.ClickException(str(error)) from error
    if output == "json":
        click.echo(msgspec.json.encode(_document(report)))
    else:
        click.echo("\n".join(_lines(report)))
    if not report.intact:
        click.get_current_context().exit(1)


def _document(report: BundleReport) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.to_builtins(report)
    return {**document, "intact": report.intact}


def _lines(report: BundleReport) -> list[str]:
    intact = "every file is the recorded one" if report.intact else "NO: see the files above"
    return [
        f"name      {report.manifest.name}",
        f"digest    {report.digest}",
        *_signature_lines(report),
        *([] if report.compiled is None else [f"serves    {served_words(report.compiled)}"]),
        *(f"made with {library} {version}" for library, version in sorted(report.manifest.versions.items())),
        *(f"metric    {metric} {_value(value)}" for metric, value in sorted((report.metrics or {}).items())),
        *_profile_lines(report),
        *(f"file      {file.path} {file.size} bytes: {file.problem or 'intact'}" for file in report.files),
        f"intact    {intact}",
    ]


def _signature_lines(report: BundleReport) -> list[str]:
    if report.signature is None:
        return []
    lines = [f"task      {report.signature.task}"]
    if report.signature.classes:
        lines.append(f"classes   {', '.join(str(label) for label in report.signature.classes)}")
    return lines


def _profile_lines(report: BundleReport) -> list[str]:
    if report.profile is None:
        return []
    columns = [] if report.signature is None else report.signature.columns
    datatypes = {column.name: column.datatype for column in columns}
    return [
        *(
            f"feature   {feature.name} ({datatypes.get(feature.name, '?')}): {_bins(feature)}"
            for feature in report.profile.features
        ),
        f"answers   {report.profile.prediction.bins} bins over {sum(report.profile.prediction.counts):.0f} rows",
        f"shows     {shown_words(report.profile)}",
        *_clip_lines(report.profile),
    ]


def served_words(compiled: Compiled) -> str:
    """Whether the compiled model is served and what that was proven on, in a sentence."""
    if compiled.kind == "none":
        return f"scikit-learn, not compiled: {compiled.reason}"
    tied = f", {compiled.labels_tied} of them tied" if compiled.labels_tied else ""
    difference = f"by at most {compiled.difference_max:g}" if compiled.difference_max else "in nothing"
    return f"ONNX, which differs {difference} on {compiled.rows} rows{tied}"


def shown_words(profile: Profile) -> str:
    """What drift the profile can show, and which features show none, in a sentence."""
    from serin_bundle.profile import psi_smallest

    found = {feature.name: psi_smallest(feature.counts) for feature in profile.features}
    shown = {name: psi for name, psi in found.items() if psi is not None}
    blind = [name for name, psi in found.items() if psi is None]
    words = f"no drift of a feature: {profile.rows} rows fill one bin"
    if shown:
        worst = max(shown, key=lambda name: shown[name])
        words = f"a PSI of {shown[worst]:.2g} or more in each feature (least well {worst}), of {profile.rows} rows"
        if blind:
            words += f"; nothing of {', '.join(blind[:5])}{' and others' if len(blind) > 5 else ''}, in one bin each"
    answers = psi_smallest(profile.prediction.counts)
    return words + ("; nothing of the answers" if answers is None else f"; of {answers:.2g} or more in the answers")


def _clip_lines(profile: Profile) -> list[str]:
    return [] if profile.error_clip is None else [f"clip      absolute errors count up to {profile.error_clip:.4g}"]


def _value(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _bins(feature: Feature) -> str:
    from serin_contract.profile import NumericFeature

    if isinstance(feature, NumericFeature):
        edges = ", ".join(f"{edge:.4g}" for edge in feature.edges)
        return f"{feature.bins} bins, edges {edges or 'none'}"
    return f"{feature.bins} bins: {', '.join(feature.categories)}"

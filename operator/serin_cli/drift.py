"""`serin drift`: how far the rows of one file lie from those of another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

if TYPE_CHECKING:
    from serin_bundle.compare import Comparison

LINES_MAX = 20

_file = click.Path(dir_okay=False, path_type=Path)


class DriftError(click.ClickException):
    """The files cannot be compared."""

    exit_code = 2


@click.command()
@click.argument("reference", type=_file)
@click.argument("live", type=_file)
@click.option("--psi", default=0.1, show_default=True, help="A feature over this PSI drifted.")
@click.option("--classifier/--no-classifier", default=True, show_default=True, help="Tell whole rows apart too.")
@click.option(
    "--run",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="How many times you have looked, this one included: each look takes more evidence to alarm.",
)
@click.option("--seed", default=0, show_default=True, help="Of the samples and the classifier.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def drift(reference: Path, live: Path, psi: float, classifier: bool, run: int, seed: int, as_json: bool) -> None:
    """Compare LIVE rows with REFERENCE rows: CSV with a header, or Parquet; the columns of REFERENCE count.

    Each feature is compared by its PSI without its bias, and whole rows by a classifier that learns on half of at
    most 2000 rows of each file to tell the files apart. It finds what single features do not show.
    Exit status: 0 nothing drifted, 1 something did, 2 the files cannot be compared.

    \b
    Example:
      serin drift training.csv last-week.csv
      serin drift training.parquet last-week.parquet --json | jq .classifier.auc
    """  # noqa: D301 — click reads the escape
    # scikit-learn takes a second to import; `serin --help` should not.
    from serin_bundle import BundleError
    from serin_bundle.compare import compare

    try:
        found = compare(reference, live, psi_max=psi, classifier=classifier, run=run, seed=seed)
    except BundleError as error:
        raise DriftError(str(error)) from error
    if as_json:
        click.echo(msgspec.json.encode({**msgspec.to_builtins(found), "drifted": found.drifted}))
    else:
        click.echo("\n".join(_lines(found)))
    click.get_current_context().exit(1 if found.drifted else 0)


def _lines(found: Comparison) -> list[str]:
    lines = [f"rows        {found.reference_rows} reference, {found.live_rows} live", "feature                   PSI"]
    lines += [
        f"{feature.name:<22} {feature.psi:>7.3f}{'  drifted' if feature.drifted else ''}"
        for feature in found.features[:LINES_MAX]
    ]
    if len(found.features) > LINES_MAX:
        lines.append(f"and {len(found.features) - LINES_MAX} features that moved less")
    if found.classifier is not None:
        told = found.classifier
        verdict = "drifted" if found.classifier_alarm else "cannot tell the files apart"
        lines.append(f"classifier  AUC {told.auc:.3f}, p {told.p_value:.2g}: {verdict}")
        ranked = sorted(zip(told.importances, found.classifier_columns, strict=True), reverse=True)[:3]
        lines.append("by itself   " + ", ".join(f"{name} {0.5 + importance:.3f}" for importance, name in ranked))
    return [*lines, f"result      {'DRIFT' if found.drifted else 'no drift'}"]


if __name__ == "__main__":
    # An image that serves models has what this command needs, and not what the others do.
    drift()

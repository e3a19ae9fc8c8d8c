"""`serin drift`: how far the rows of one file lie from those of another, or a candidate's rows from stable's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from serin_contract import labels

if TYPE_CHECKING:
    from serin_bundle.chunks import Rows
    from serin_bundle.compare import Comparison

LINES_MAX = 20
KEYS_FILE = f"{labels.KEYS_MOUNT}/{labels.KEYS_FILE}"

_file = click.Path(dir_okay=False, path_type=Path)


class DriftError(click.ClickException):
    """The rows cannot be compared."""

    exit_code = 2


@dataclass(frozen=True)
class _Sides:
    """What is compared with what."""

    reference: Rows
    live: Rows
    names: dict[str, str]
    """Of the arms and their cohort; empty for files."""


@click.command()
@click.argument("reference", type=_file, required=False)
@click.argument("live", type=_file, required=False)
@click.option(
    "--pods",
    multiple=True,
    metavar="HOST[:PORT]",
    help="In place of files: the rows that these pods keep, all addresses of each name; candidate against stable.",
)
@click.option(
    "--keys", type=_file, default=KEYS_FILE, show_default=True, help="keys.json of the Secret NAME-keys, for --pods."
)
@click.option("--psi", default=0.1, show_default=True, help="A feature over this PSI drifted.")
@click.option("--classifier/--no-classifier", default=True, show_default=True, help="Tell whole rows apart too.")
@click.option(
    "--mmd/--no-mmd",
    default=False,
    show_default=True,
    help="Compare kernel means of at most 500 whole rows too: for columns of one scale, as embeddings and images have.",
)
@click.option(
    "--run",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="How many times you have looked, this one included: each look takes more evidence to alarm.",
)
@click.option("--seed", default=0, show_default=True, help="Of the samples and the classifier.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def drift(
    reference: Path | None,
    live: Path | None,
    pods: tuple[str, ...],
    keys: Path,
    as_json: bool,
    **asked: Any,
) -> None:
    """Compare LIVE rows with REFERENCE rows: CSV with a header, or Parquet; the columns of REFERENCE count.

    Each feature is compared by its PSI without its bias, and whole rows by a classifier that learns on half of at
    most 2000 rows of each file to tell the files apart. It finds what single features do not show.

    With --pods the rows are those of one cohort of a trial, which pods keep where serving.sampleRows says so. The
    answer decides nothing: it is for people and alerts.
    Exit status: 0 nothing drifted, 1 something did, 2 the rows cannot be compared.

    \b
    Example:
      serin drift training.csv last-week.csv
      serin drift training.parquet last-week.parquet --json | jq .classifier.auc
      serin drift --pods digits-rows.demo.svc --mmd
    """  # noqa: D301 — click reads the escape
    # scikit-learn takes a second to import; `serin --help` should not.
    from serin_bundle import BundleError
    from serin_bundle.compare import compare

    sides = _sides(reference, live, pods, keys)
    try:
        found = compare(sides.reference, sides.live, psi_max=asked.pop("psi"), **asked)
    except BundleError as error:
        raise DriftError(str(error)) from error
    if as_json:
        document = {**msgspec.to_builtins(found), "drifted": found.drifted, **sides.names}
        click.echo(msgspec.json.encode(document))
    else:
        names = [f"{name:<11} {value}" for name, value in sides.names.items()]
        click.echo("\n".join([*names, *_lines(found, asked["run"])]))
    click.get_current_context().exit(1 if found.drifted else 0)


def _sides(reference: Path | None, live: Path | None, pods: tuple[str, ...], keys: Path) -> _Sides:
    if pods and reference is None:
        from serin_cli import drift_pods

        try:
            arms = drift_pods.arms(drift_pods.read(pods, drift_pods.read_keys(keys)))
        except drift_pods.PodsError as error:
            raise DriftError(str(error)) from error
        names = {"cohort": arms.cohort, "candidate": arms.candidate, "stable": arms.stable}
        return _Sides(drift_pods.chunks(arms.stable_rows), drift_pods.chunks(arms.candidate_rows), names)
    if pods or reference is None or live is None:
        raise click.UsageError("name two files, REFERENCE and LIVE, or --pods and no file")
    return _Sides(reference, live, {})


def _lines(found: Comparison, run: int) -> list[str]:
    lines = [f"rows        {found.reference_rows} reference, {found.live_rows} live", "feature                   PSI"]
    lines += [
        f"{feature.name:<22} {feature.psi:>7.3f}{'  drifted' if feature.drifted else ''}"
        for feature in found.features[:LINES_MAX]
    ]
    if len(found.features) > LINES_MAX:
        lines.append(f"and {len(found.features) - LINES_MAX} features that moved less")
    if found.classifier is not None:
        told = found.classifier
        verdict = "drifted" if found.classifier_alarm else "cannot tell them apart"
        lines.append(f"classifier  AUC {told.auc:.3f}, z {told.z:.1f}, p {told.p_value:.2g}: {verdict}")
        ranked = sorted(zip(told.importances, found.classifier_columns, strict=True), reverse=True)[:3]
        lines.append("by itself   " + ", ".join(f"{name} {0.5 + importance:.3f}" for importance, name in ranked))
    if found.mmd is not None:
        verdict = "drifted" if found.mmd_alarm else "cannot tell them apart"
        lines.append(f"MMD         {found.mmd.mmd_squared:.3g}, p {found.mmd.p_value:.2g}: {verdict}")
    if found.classifier is not None or found.mmd is not None:
        lines.append(f"alarms at   p below {found.alarm_below:.2g} in run {run}, and AUC 0.55 or more")
    return [*lines, f"result      {'DRIFT' if found.drifted else 'no drift'}"]


if __name__ == "__main__":
    # An image that serves models has what this command needs, and not what the others do.
    drift()

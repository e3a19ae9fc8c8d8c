"""`serin simulate`: the gates of a manifest tried on recent traffic."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from serin_cli.simulate.trials import Line
    from serin_operator.api.deployment import ModelDeploymentSpec

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.option(
    "--bundle", required=True, type=click.Path(exists=True, file_okay=False, path_type=Path), help="The model as it is."
)
@click.option(
    "--traffic", required=True, type=FILE, help="Recent rows with their labels: CSV with a header, or Parquet."
)
@click.option("--label", required=True, metavar="COLUMN", help="The column with the labels.")
@click.option("--manifest", required=True, type=FILE, help="YAML that holds the ModelDeployment.")
@click.option(
    "--drops",
    default="0.02,0.05,0.1",
    show_default=True,
    help="Losses of accuracy to try; a regressor's errors are tried 10 and 30 % larger.",
)
@click.option("--runs", default=20, show_default=True, type=click.IntRange(1, 10_000), help="Roll-outs of each kind.")
@click.option("--rate", default=10.0, show_default=True, type=click.FloatRange(min=0.001), help="Requests a second.")
@click.option("--seed", default=0, show_default=True, help="The same seed gives the same figures.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def simulate(
    bundle: Path,
    traffic: Path,
    label: str,
    manifest: Path,
    drops: str,
    runs: int,
    rate: float,
    seed: int,
    *,
    as_json: bool,
) -> None:
    """Try the gates and steps of a manifest on recent traffic, before anything is rolled out.

    Rows are drawn at random and sent through simulated roll-outs that the operator's own decisions steer: of the very
    same model, which nothing should roll back, and of spoilt ones, which should not be promoted.

    \b
    Example:
      serin simulate --bundle bundles/wine-7 --traffic recent.csv --label cultivar --manifest wine.yaml --rate 20
      serin simulate --bundle bundles/wine-7 --traffic recent.csv --label cultivar --manifest wine.yaml --drops 0.03
    """  # noqa: D301 — click reads the escape
    from serin_cli.simulate.advice import advice
    from serin_cli.simulate.rows import SimulationError, read
    from serin_cli.simulate.trials import prepared
    from serin_cli.simulate.trials import simulate as simulated

    wanted = _drops(drops)
    document, left = prepared(_spec(manifest))
    if not document["gates"]:
        raise click.ClickException(f"{manifest} has no gate that rows and labels can feed; add gates.accuracy")
    try:
        source = read(bundle, traffic, label)
        if not source.model.takes_gaps:
            left.append("missing values: the model takes none")
        lines = simulated(
            source, document, drops=wanted, runs=runs, requests_per_second=rate, seed=seed, progress=_progress
        )
    except SimulationError as error:
        raise click.ClickException(str(error)) from error
    _progress("")
    told = list(advice(lines, document))
    if as_json:
        click.echo(json.dumps({"lines": [asdict(line) for line in lines], "advice": told, "leftOut": left}, indent=1))
        return
    mean = source.rows.costs.mean()
    quality = f"accuracy {100 * (1 - mean):.1f} %" if source.rows.errors is None else f"mean error {mean:.4g}"
    click.echo(f"{len(source.rows.hits)} rows, {quality}, {rate:g} requests a second, {runs} runs each")
    for one in left:
        click.echo(f"not simulated: {one}")
    click.echo("\n".join([*_table(lines), "", *told]))


def _drops(text: str) -> list[float]:
    try:
        found = [float(part) for part in text.split(",") if part.strip()]
    except ValueError as error:
        raise click.BadParameter("give numbers such as 0.02,0.05", param_hint="--drops") from error
    if any(not 0.0 < drop < 1.0 for drop in found):
        raise click.BadParameter("each lies between 0 and 1: 0.02 is two points", param_hint="--drops")
    return found


def _spec(manifest: Path) -> ModelDeploymentSpec:
    import yaml
    from pydantic import ValidationError

    from serin_operator.api.deployment import ModelDeploymentSpec
    from serin_operator.observe.specs import sentence

    try:
        documents: list[Any] = list(yaml.safe_load_all(manifest.read_text()))
        item = next(one for one in documents if isinstance(one, dict) and one.get("kind") == "ModelDeployment")
        return ModelDeploymentSpec.model_validate(item["spec"])
    except (StopIteration, KeyError) as error:
        raise click.ClickException(f"{manifest} holds no ModelDeployment") from error
    except ValidationError as error:
        raise click.ClickException(f"{manifest}: {sentence(error, 'spec')}") from error
    except yaml.YAMLError as error:
        raise click.ClickException(f"{manifest} is not YAML: {str(error).splitlines()[0]}") from error


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r\x1b[K{text}", nl=False, err=True)


def _table(lines: list[Line]) -> list[str]:
    width = max(len(line.candidate) for line in lines)
    rows = [f"{'candidate':<{width}}  rolled back (95 %)     promoted  undecided  labels  minutes  by"]
    for line in lines:
        interval = f"{_percent(line.rolled_back, line)} ({100 * line.low:.0f}-{100 * line.high:.0f} %)"
        labels = f"{line.labels:,.0f}" if line.labels is not None else "-"
        minutes = f"{line.minutes:.1f}" if line.minutes is not None else "-"
        gates = ", ".join(f"{name} {number}" for name, number in line.gates.items())
        rows.append(
            f"{line.candidate:<{width}}  {interval:<21}  {_percent(line.promoted, line):>8}  "
            f"{_percent(line.undecided, line):>9}  {labels:>6}  {minutes:>7}  {gates}".rstrip()
        )
    return rows


def _percent(number: int, line: Line) -> str:
    return f"{100 * number / line.runs:.0f} %"

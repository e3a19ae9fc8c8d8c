"""`serin explain`: why did it decide so, and how long until it decides."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

COLOURS = {"Pass": "green", "Fail": "red", "Error": "red", "NotYet": "yellow", "NoData": "yellow"}


@click.command()
@click.argument("name", required=False)
@click.option("-n", "--namespace", help="Namespace of the ModelDeployment; that of the context where absent.")
@click.option("--context", help="Context of the kubeconfig; the current one where absent.")
@click.option(
    "--file",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Read objects from a YAML or JSON file and not from a cluster.",
)
@click.option("--evidence", "with_evidence", is_flag=True, help="Print the counts as well, to compute by hand.")
@click.option(
    "--plot",
    "plot",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.svg",
    help="Draw the evidence and the bins of the worst features.",
)
@click.option(
    "--bundle",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Stable's bundle: names the bins where the trial's ConfigMap is gone.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def explain(
    name: str | None,
    namespace: str | None,
    context: str | None,
    file: Path | None,
    plot: Path | None,
    bundle: Path | None,
    *,
    with_evidence: bool,
    as_json: bool,
) -> None:
    """Say in plain words what each gate of a ModelDeployment says, how sure it is and how long it will take.

    Nothing is written to the cluster. Exit status 2 where a gate has failed or cannot be asked, else 0.

    \b
    Examples:
      serin explain wine -n shop
      serin explain wine -n shop --evidence --plot wine.svg
      kubectl get mdep,mrev,cm -n shop -o yaml > wine.yaml
      serin explain wine --file wine.yaml --json
    """  # noqa: D301 — click reads the escape
    # pydantic and numpy take a second to import; `serin --help` should not.
    from serin_cli.explain import bins, counts, pace, source, words

    if file is None and name is None:
        raise click.UsageError("name a ModelDeployment, or a file with --file")
    known = source.from_file(file, name) if file is not None else source.from_cluster(namespace, name or "", context)
    evidence = pace.evidence_of(known.evidence)
    profile = bins.profile_for(evidence.bins, bundle, known.profile) if evidence is not None else None
    at = pace.moment(known.status, known.revisions.get(known.subject or "")) or time.time()
    paces = [pace.pace(gate, known.status, evidence, at) for gate in known.status.gates]
    watched = words.is_of_watch(known.status)
    said = [words.gate_words(gate, one, watched=watched) for gate, one in zip(known.status.gates, paces, strict=True)]
    headline = words.headline(known.namespace, known.name, known.status)
    if as_json:
        gates = [
            {
                **gate.model_dump(mode="json", by_alias=True, exclude_none=True),
                "meaning": text.meaning,
                "lines": dict(text.lines),
                "pace": asdict(one),
            }
            for gate, text, one in zip(known.status.gates, said, paces, strict=True)
        ]
        document = {
            "revision": known.subject,
            "headline": headline,
            "gates": gates,
            "counts": counts.table(evidence) if evidence is not None else [],
            "tables": [table.document() for table in counts.tables(evidence, known, profile)],
        }
        click.echo(json.dumps(document, indent=1))
    else:
        _print(headline, said)
        if with_evidence:
            _print_counts(evidence, known, profile)
    if plot is not None:
        _draw(plot, known, evidence, profile)
    if any(gate.verdict in ("Fail", "Error") for gate in known.status.gates):
        click.get_current_context().exit(2)


def _print(headline: list[str], said: list[Any]) -> None:
    click.secho(headline[0], bold=True)
    for line in headline[1:]:
        click.echo(line)
    for gate in said:
        click.echo()
        click.secho(gate.heading, fg=COLOURS.get(gate.verdict), bold=True)
        click.echo(f"  {gate.sentence}")
        click.echo(f"  {gate.meaning}")
        for title, text in gate.lines:
            click.echo(f"  {title:<8} {text}")


def _print_counts(evidence: Any, known: Any, profile: Any) -> None:
    from serin_cli.explain import counts

    found = list(counts.lines(evidence)) if evidence is not None else ["No evidence is kept of this trial."]
    for table in counts.tables(evidence, known, profile):
        found += ["", *table.lines()]
    if evidence is not None and evidence.bins.cohorts and profile is None:
        found += ["", "Bins were counted, but stable's profile, which says what they mean, is gone: name its --bundle."]
    click.echo("\n" + "\n".join(found))


def _draw(plot: Path, known: Any, evidence: Any, profile: Any) -> None:
    from serin_cli.explain.pictures import picture

    if plot.suffix != ".svg":
        raise click.UsageError("--plot writes SVG: give a name that ends with .svg")
    plot.write_text(picture(known.subject, known.status, evidence, profile))
    click.echo(f"drawn: {plot}", err=True)

"""`serin demo`: see a good model go live and a spoiled one come back, in under five minutes."""

from __future__ import annotations

import json
import sys
from typing import NoReturn

import click
from rich.console import Console

from serin_cli.cluster import status
from serin_cli.cluster.access import Cluster, load
from serin_cli.cluster.errors import ClusterError
from serin_cli.cluster.paths import DEFAULT_NAME, repository_root
from serin_cli.demo import summary as summaries
from serin_cli.demo.screen import Screen
from serin_cli.demo.story import Story, Wishes

WIDTH = 120
"""Columns of the summary in a file or a pipe."""


@click.command()
@click.option("--cluster", "name", default=DEFAULT_NAME, show_default=True, help="Name of the local cluster.")
@click.option(
    "--rate", type=click.FloatRange(10, 2000), default=200.0, show_default=True, help="Requests a second on average."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Draws the same rows and delays again.")
@click.option(
    "--timeout", type=click.FloatRange(30), default=240.0, show_default=True, help="Seconds that one chapter may take."
)
@click.option("--keep/--no-keep", default=True, show_default=True, help="Leave what was made for you to look at.")
@click.option(
    "--output",
    "-o",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Form of the summary on standard output.",
)
def demo(name: str, rate: float, seed: int, timeout: float, keep: bool, output: str) -> None:
    r"""Watch one good model go live and one bad model come back, under real load on a real cluster.

    Three models of handwritten digits are trained here, on real scans. v1 serves. v2 is better: it is given 5,
    25, then 50 percent of the traffic, and all of it once live labels prove that it is not worse. v3 comes from
    a training export that swapped two columns: its own metrics look fine, and only live labels show the truth.
    Nothing of the outcome is scripted; a client sends requests through the gateway all the time, posts the true
    labels seconds later, and counts every failure. There should be none.

    Needs a cluster with the operator (serin cluster up). Exit status 0 means: v2 was promoted, v3 was rolled
    back, and not one request failed.

    \b
    Examples:
      serin demo
      serin demo --rate 300 --seed 7
      serin demo --output json | jq .rollback
    """
    cluster, root = _ready_cluster(name), repository_root()
    if root is None:
        raise ClusterError("The demo applies the manifests in examples/ and needs the source tree of Serin.")
    with Screen() as screen:
        story = Story(cluster, root / "examples", screen, Wishes(rate, seed, timeout))
        summary = story.tell()
        if not keep:
            story.clear()
    if summary.stopped:
        click.echo(f"\nThe demo stopped. {summary.stopped}\n", err=True)
    if output == "json":
        click.echo(json.dumps(summary.document(), indent=2))
    else:
        console = Console(highlight=False)
        if not console.is_terminal:
            console.width = WIDTH
        console.print(summaries.render(summary))
        if keep:
            console.print(summaries.hints(), markup=False, soft_wrap=True)
    _end(summary)


def _ready_cluster(name: str) -> Cluster:
    """The running cluster with everything that the demo needs, or an error that says what to do."""
    found = status.look(name)
    if not found.running:
        raise ClusterError(f"The cluster {name!r} does not run. Start it with: serin cluster up")
    if found.gateway_ready is not True or found.operator_ready is not True:
        lacks = "the gateway" if found.gateway_ready is not True else "the operator"
        raise ClusterError(f"The cluster {name!r} runs, but {lacks} is not ready. Complete it with: serin cluster up")
    return load(name)


def _end(summary: summaries.Summary) -> NoReturn:
    sys.exit(0 if summary.good else 1)

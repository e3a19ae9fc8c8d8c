"""`serin`, and `kubectl serin`: the command line, put together from its commands."""

from __future__ import annotations

import sys
from importlib.metadata import version

import click

from serin_cli.cluster.commands import cluster
from serin_cli.cluster.errors import ClusterError
from serin_cli.crds import crds
from serin_cli.demo.command import demo
from serin_cli.drift import drift
from serin_cli.explain.command import explain
from serin_cli.inspect import inspect
from serin_cli.package import package
from serin_cli.replay.command import replay
from serin_cli.sign import sign, verify
from serin_cli.simulate.command import simulate


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(version("serin-operator"), prog_name="serin")
def serin() -> None:
    r"""Safe roll-outs of machine-learning models on Kubernetes.

    \b
    Start here:
      serin cluster up                 a cluster to try it on, with a gateway and the operator
      serin demo                       a good model goes live, a bad one comes back
      serin package --help             make a bundle from a model and its training data
      serin inspect BUNDLE             see what a bundle holds and whether it is whole
      serin sign BUNDLE --key KEY      vouch for a bundle; `serin verify` checks that
      serin drift REFERENCE LIVE       how far rows of one file lie from those of another
      serin explain NAME               why the gates say what they say, and how long they will take
      serin replay RECORDS             decide again what the operator recorded, also by other gates
      serin simulate --help            try gates on recent traffic before anything is rolled out
    """


for command in (cluster, crds, demo, drift, explain, inspect, package, replay, sign, simulate, verify):
    serin.add_command(command)


def main() -> None:
    """Run the command line; a failure of the cluster is a sentence and exit status 1, not a traceback."""
    try:
        serin()
    except ClusterError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(getattr(error, "exit_code", 1))


if __name__ == "__main__":
    main()

"""`serin cluster`: a Kubernetes cluster to try and test Serin on, started and removed by one command each."""

import json
import os
import shlex
import sys

import click

from serin_cli.cluster import choose as choosing
from serin_cli.cluster import status as looking
from serin_cli.cluster import up as making
from serin_cli.cluster.access import load
from serin_cli.cluster.paths import DEFAULT_NAME, paths_for
from serin_cli.cluster.progress import Progress

name_option = click.option("--name", default=DEFAULT_NAME, show_default=True, help="Name of the cluster.")
PASS_THROUGH = {"ignore_unknown_options": True, "allow_interspersed_args": False}


@click.group()
def cluster() -> None:
    r"""Start, inspect and remove a Kubernetes cluster for trying and testing.

    It uses kind where kind and a container engine are installed. Anywhere else on Linux, as root, it makes a
    real cluster out of network namespaces: nothing in it can reach a network, and its end leaves no trace.

    \b
    Examples:
      serin cluster up                     make the cluster (at first it compiles Kubernetes: 30 min)
      serin cluster status                 is it ready, and where does it answer?
      eval "$(serin cluster env)"          use kubectl and helm on it in this shell
      serin cluster kubectl -- get pods -A
      serin cluster down                   end it; the next `up` takes seconds
      serin cluster clean --cache          end it and give back all disk space
    """


@cluster.command()
@click.option(
    "--mode",
    type=click.Choice(["auto", "kind", "netns", "context"]),
    default="auto",
    show_default=True,
    help="auto: kind where it works, else netns. A context of yours is only used when asked for.",
)
@click.option("--context", metavar="NAME", help="The context of your kubeconfig, with --mode context.")
@name_option
@click.option("--api-port", type=int, help="Port of 127.0.0.1 for the API server (netns). [default: 16443, or free]")
@click.option("--gateway-port", type=int, help="Port of 127.0.0.1 for the gateway (netns). [default: 8000, or free]")
@click.option("--no-gateway", is_flag=True, help="Install no Gateway API implementation.")
@click.option("--no-operator", is_flag=True, help="Build no images and do not install the operator.")
def up(
    mode: str,
    context: str | None,
    name: str,
    api_port: int | None,
    gateway_port: int | None,
    no_gateway: bool,
    no_operator: bool,
) -> None:
    r"""Make a cluster with a gateway and the operator.

    What runs already is kept and completed; what an interrupted `up` left is removed first.

    \b
    Examples:
      serin cluster up
      serin cluster up --no-operator --mode netns
      serin cluster up --mode context --context my-cluster
    """
    progress = Progress()
    choice = choosing.choose(mode, context, choosing.look())
    progress.note(f"Mode {choice.mode}: {choice.reason}.")
    paths = paths_for(name)
    wishes = making.Wishes(context, api_port, gateway_port, not no_gateway, not no_operator)
    with making.locked(paths):
        made = making.bring_up(paths, choice, wishes, progress)
    progress.table("Where the time went")
    progress.note(f"kubeconfig: {made.kubeconfig}")
    if made.gateway_port and not no_gateway:
        progress.note(f"gateway:    {made.gateway_url}")
    option = "" if name == DEFAULT_NAME else f" --name {name}"
    progress.note(f'Next: eval "$(serin cluster env{option})" && kubectl get pods -A')


@cluster.command()
@name_option
def down(name: str) -> None:
    """End the cluster; built programs and images stay, so that the next `up` is fast."""
    progress = Progress()
    paths = paths_for(name)
    with making.locked(paths), progress.stage(f"End cluster {name}") as stage:
        stage.finish("ended" if making.take_down(paths) else "there was none")


@cluster.command()
@name_option
@click.option("--cache", is_flag=True, help="Also remove built programs and images that all clusters share.")
def clean(name: str, cache: bool) -> None:
    """End the cluster and remove its files and images."""
    progress = Progress()
    paths = paths_for(name)
    with making.locked(paths), progress.stage(f"Remove cluster {name}"):
        making.clean(paths, cache=cache)
    paths.lock.unlink(missing_ok=True)


@cluster.command()
@name_option
@click.option("--output", "-o", type=click.Choice(["text", "json"]), default="text", show_default=True)
def status(name: str, output: str) -> None:
    """Say what runs, what is ready and where it answers; exit code 0 if all is ready, else 1."""
    found = looking.look(name)
    if output == "json":
        click.echo(json.dumps(found.document(), indent=2))
    else:
        for title, words in found.rows():
            click.echo(f"{title + ':':<12}{words}")
    sys.exit(0 if found.good else 1)


@cluster.command()
@name_option
def kubeconfig(name: str) -> None:
    """Print the path of the cluster's kubeconfig file."""
    click.echo(load(name).kubeconfig)


@cluster.command()
@name_option
def env(name: str) -> None:
    r"""Print shell commands that point kubectl and helm at the cluster.

    \b
    Example:
      eval "$(serin cluster env)"
    """
    for variable, value in load(name).environment().items():
        click.echo(f"export {variable}={shlex.quote(value)}")


@cluster.command(context_settings=PASS_THROUGH)
@name_option
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def kubectl(name: str, words: tuple[str, ...]) -> None:
    r"""Run kubectl on the cluster.

    \b
    Example:
      serin cluster kubectl -- get pods -A
    """
    _become(load(name).kubectl_command(*words))


@cluster.command(context_settings=PASS_THROUGH)
@name_option
@click.argument("words", nargs=-1, required=True, type=click.UNPROCESSED)
def run(name: str, words: tuple[str, ...]) -> None:
    r"""Run a program in the cluster's own network, where pods and Services are reachable (netns only).

    \b
    Example:
      serin cluster run -- curl http://192.0.2.2:30080/
    """
    _become(load(name).inside_command(words))


def _become(argv: list[str]) -> None:
    """Replace this program by another, so that terminal and signals are the other one's."""
    sys.stdout.flush()
    os.execvp(argv[0], argv)  # noqa: S606 - no shell is wanted

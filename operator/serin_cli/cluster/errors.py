"""What can go wrong while a local cluster is made, told to a person."""

import click


class ClusterError(click.ClickException):
    """The cluster could not do what was asked; the message says why and what to do about it."""


class NotPossibleHere(ClusterError):  # noqa: N818 - the name reads as the sentence it stands for
    """This machine or this user cannot run the chosen kind of cluster at all."""

    exit_code = 2

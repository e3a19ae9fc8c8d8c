"""`serin package`: make a bundle from a model file and the rows it was trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args

import click

from serin_cli.inspect import served_words, shown_words
from serin_contract.bundle import CompilePolicy

_PICKLES = (".joblib", ".pkl", ".pickle")
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.option(
    "--model",
    "model_file",
    required=True,
    type=_FILE,
    help="The fitted model: .skops, or .joblib and .pkl with --allow-pickle.",
)
@click.option(
    "--data",
    "data_file",
    required=True,
    type=_FILE,
    help="The training rows: CSV with a header, where an empty cell is a missing value, or Parquet.",
)
@click.option("--target", required=True, metavar="COLUMN", help="The column with the labels or values.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Directory to write; never overwritten.")
@click.option("--name", help="Name of the model; the last part of --out where absent.")
@click.option(
    "--task",
    type=click.Choice(["classification", "regression"]),
    help="Only where scikit-learn does not know what the model does.",
)
@click.option(
    "--golden-rows",
    default=32,
    show_default=True,
    help="Rows that a server must answer right before it gets ready.",
)
@click.option(
    "--profile-data",
    "profile_file",
    type=_FILE,
    help="All training rows, CSV or Parquet, where --data is a random sample of them; read in chunks.",
)
@click.option(
    "--compile",
    "policy",
    type=click.Choice(get_args(CompilePolicy)),
    default="auto",
    show_default=True,
    help="Compile to ONNX and keep the graph if it answers as the model does: try, do not try, or fail without one.",
)
@click.option(
    "--allow-pickle",
    is_flag=True,
    help="Load a pickle. It can run any code as you: only for a file that you wrote yourself.",
)
@click.option(
    "--write-pickle",
    is_flag=True,
    help="Where no safe format holds the model write it as a pickle; pods then load it only with "
    "spec.model.allowPickle and a pinned digest.",
)
@click.option(
    "--custom-class",
    metavar="MODULE:CLASS",
    help="The class in an image of your own that serves; --model is the estimator that it stands for.",
)
@click.option(
    "--custom-data",
    type=_FILE,
    help="The file whose bytes that class reads.",
)
def package(
    model_file: Path,
    data_file: Path,
    target: str,
    out: Path,
    name: str | None,
    task: Literal["classification", "regression"] | None,
    golden_rows: int,
    profile_file: Path | None,
    policy: CompilePolicy,
    allow_pickle: bool,
    write_pickle: bool,
    custom_class: str | None,
    custom_data: Path | None,
) -> None:
    """Make a bundle: the model, what its training data looked like, and proof that it works.

    A roll-out compares live traffic with the bundle's profile and lets no server get ready that does not
    answer the bundle's golden rows as recorded. The same inputs give the same digest.

    \b
    Example: train, write the model as skops, package it, look at it
      skops.io.dump(model, "wine.skops")            # in Python
      serin package --model wine.skops --data wine.csv --target cultivar --out bundles/wine-7
      serin inspect bundles/wine-7
    """  # noqa: D301 — click reads the escape
    # scikit-learn takes a second to import; `serin --help` should not.
    from serin_bundle import BundleError, inspect
    from serin_bundle import package as make
    from serin_cli.custom_class import custom_model
    from serin_cli.training_rows import read_rows

    if (custom_class is None) != (custom_data is None):
        raise click.UsageError("--custom-class and --custom-data go together")
    custom = custom_model(custom_class, custom_data) if custom_class and custom_data else None
    try:
        model = _load(model_file, allow_pickle=allow_pickle)
        names, X, y = read_rows(data_file, target, model)  # noqa: N806
        made = make(
            model,
            X,
            y,
            out,
            name=name or out.name,
            feature_names=names,
            task=task,
            golden_rows=golden_rows,
            profile_rows=profile_file,
            onnx=policy,
            allow_pickle=write_pickle,
            custom=custom,
        )
        profile = inspect(made.path).profile
    except BundleError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{made.path}")
    click.echo(f"digest   {made.digest}")
    for metric, value in made.metrics.items():
        click.echo(f"{metric:<8} {value:.4f}" if isinstance(value, float) else f"{metric:<8} {value}")
    click.echo(f"serves   {served_words(made.compiled)}")
    if profile is not None:
        click.echo(f"shows    {shown_words(profile)}")


def _load(path: Path, *, allow_pickle: bool) -> Any:
    from serin_bundle import BundleError
    from serin_bundle.model_file import load_model

    if path.suffix not in _PICKLES:
        return load_model(path.read_bytes())
    if not allow_pickle:
        raise BundleError(
            f"{path.name} is a pickle, and loading one runs whatever code it holds. "
            "Write the model with skops.io.dump, or pass --allow-pickle if you wrote the file yourself"
        )
    import joblib

    return joblib.load(path)


if __name__ == "__main__":
    # An image that only packages has not what the other commands need.
    package()

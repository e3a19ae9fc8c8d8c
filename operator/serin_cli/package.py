"""`serin package`: make a bundle from a model file and the rows it was trained on."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import click

from serin_cli.inspect import served_words, shown_words
from serin_contract.bundle import CompilePolicy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_PICKLES = (".joblib", ".pkl", ".pickle")


@click.command()
@click.option(
    "--model",
    "model_file",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The fitted model: .skops, or .joblib and .pkl with --allow-pickle.",
)
@click.option(
    "--data",
    "data_file",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The training rows: CSV with a header; an empty cell is a missing value.",
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
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
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

    try:
        model = _load(model_file, allow_pickle=allow_pickle)
        names, X, y = read_csv(data_file, target, model)  # noqa: N806
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


def read_csv(path: Path, target: str, model: Any) -> tuple[list[str], NDArray[Any], NDArray[Any]]:
    """Feature names, rows and labels of a CSV file, with columns in the model's order where it knows one.

    A column in which every cell is a number or empty becomes FP64, any other text. Labels take the type of the
    model's classes.

    Raises:
        BundleError: the file lacks a header, a row, the target or a column that the model needs.
    """
    import numpy as np

    from serin_bundle import BundleError

    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.reader(file, strict=True))
    except (csv.Error, UnicodeDecodeError) as error:
        raise BundleError(f"{path} is no CSV file in UTF-8: {error}") from error
    if len(rows) < 2 or any(len(row) != len(rows[0]) for row in rows):
        raise BundleError(f"{path} needs a header and at least one row, all equally long")
    header = rows[0]
    if target not in header:
        raise BundleError(f"{path} has no column {target!r}; it has {', '.join(header[:10])}")
    known = getattr(model, "feature_names_in_", None)
    names = [str(name) for name in known] if known is not None else [n for n in header if n != target]
    absent = [name for name in names if name not in header]
    if absent:
        raise BundleError(f"{path} lacks columns that the model was fitted on: {', '.join(absent[:5])}")
    cells = {name: [row[index] for row in rows[1:]] for index, name in enumerate(header)}
    columns = [_column(cells[name]) for name in names]
    numeric = all(column is not None for column in columns)
    matrix: NDArray[Any] = np.empty((len(rows) - 1, len(names)), dtype=np.float64 if numeric else object)
    for index, (name, column) in enumerate(zip(names, columns, strict=True)):
        matrix[:, index] = [cell or None for cell in cells[name]] if column is None else column
    return names, matrix, _labels(cells[target], getattr(model, "classes_", None))


def _column(cells: Sequence[str]) -> list[float] | None:
    """The cells as numbers, NaN where empty; None where one is text."""
    try:
        numbers = [float(cell) if cell else math.nan for cell in cells]
    except ValueError:
        return None
    return numbers if any(not math.isnan(number) for number in numbers) else None


def _labels(cells: list[str], classes: Any) -> NDArray[Any]:
    import numpy as np

    from serin_bundle import BundleError

    if any(not cell for cell in cells):
        raise BundleError("the target column has empty cells; drop those rows")
    kind = "f" if classes is None else np.asarray(classes).dtype.kind
    if kind in "UOT":
        return np.array(cells)
    if kind == "b":
        return np.array([cell.lower() in ("true", "1") for cell in cells])
    numbers = _column(cells)
    if numbers is None:
        raise BundleError("the target column holds text and the model answers numbers")
    values = np.array(numbers)
    return values if kind == "f" else values.astype(np.asarray(classes).dtype)


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

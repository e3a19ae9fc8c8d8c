"""Three models of handwritten digits: a decent one, a better one, and one spoiled the way real ones are.

The data are the 1,797 scans of the UCI optical digits that scikit-learn brings along. Six tenths of them train;
the rest is what callers send, and no model has seen it. The third model comes from a training export that wrote
two columns of the image in each other's place. All that is measured at training time comes from the same
export, so its metrics, its golden rows and its profile look fine. Only callers send the columns as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAME = "digits"
SIDE = 8
"""Pixels along one side of an image."""

SWAPPED = (4, 5)
"""Image columns that the export for the third model wrote in each other's place."""

HELD_OUT = 0.4
SEED = 20


@dataclass(frozen=True)
class Data:
    """Rows of 64 pixels from 0 to 16 with the digit that each shows."""

    train_rows: NDArray[Any]
    train_labels: NDArray[Any]
    live_rows: NDArray[Any]
    live_labels: NDArray[Any]


@dataclass(frozen=True)
class Made:
    """One model in its bundle."""

    version: int
    what: str
    offline: float
    """Accuracy that its own training job measured, out of fold."""
    live: float
    """Accuracy on the rows that callers send, which nobody knows before they do."""
    digest: str


@dataclass(frozen=True)
class Prepared:
    """The bundles on disk, and what callers send."""

    models: tuple[Made, ...]
    rows: list[list[int]]
    labels: list[int]


def read_data() -> Data:
    """Load the scans and hold out what callers will send."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    pixels, digits = load_digits(return_X_y=True)
    train, live, train_labels, live_labels = train_test_split(
        pixels, digits, test_size=HELD_OUT, random_state=SEED, stratify=digits
    )
    return Data(train, train_labels, live, live_labels)


def spoil(rows: NDArray[Any]) -> NDArray[Any]:
    """The rows as the faulty export wrote them: two image columns have changed places."""
    first, second = SWAPPED
    images = rows.reshape(-1, SIDE, SIDE).copy()
    images[:, :, [first, second]] = images[:, :, [second, first]]
    return images.reshape(len(rows), -1)


def train(version: int, data: Data) -> tuple[str, Any, NDArray[Any]]:
    """What the version is, the fitted model, and the rows as its training job saw them."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    if version == 1:
        what, rows = "logistic regression", data.train_rows
        model: Any = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    elif version == 2:
        what, rows, model = "support vector machine", data.train_rows, SVC(C=10.0, gamma=0.001)
    else:
        what, rows, model = "the same, from a faulty export", spoil(data.train_rows), SVC(C=20.0, gamma=0.0012)
    return what, model.fit(rows, data.train_labels), rows


def prepare(directory: Path) -> Prepared:
    """Train the three models and package them as directory/digits/1, 2 and 3; what is there already is kept."""
    data = read_data()
    return Prepared(
        models=tuple(_make(version, data, directory / NAME / str(version)) for version in (1, 2, 3)),
        rows=data.live_rows.astype(int).tolist(),
        labels=data.live_labels.tolist(),
    )


def _make(version: int, data: Data, out: Path) -> Made:
    from serin_bundle import package

    what, model, rows = train(version, data)
    names = [f"pixel_{row}_{column}" for row in range(SIDE) for column in range(SIDE)]
    bundle = package(model, rows, data.train_labels, out, name=NAME, feature_names=names)
    return Made(
        version=version,
        what=what,
        offline=float(bundle.metrics["accuracy"]),
        live=float(model.score(data.live_rows, data.live_labels)),
        digest=bundle.digest,
    )

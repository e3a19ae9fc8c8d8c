"""Rows that do not fit in memory: read in chunks, as often as they are asked for, and sampled."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serin_bundle.errors import BundleError
from serin_bundle.table import Values

CHUNK_ROWS = 65_536

Rows = str | Path | Callable[[], Iterable[Any]]
"""A CSV file (UTF-8, a header, empty cells missing), a Parquet file, or a function that begins to yield chunks of
rows anew each time it is called: arrays of shape [n, d] or data frames."""


class RowSample:
    """A uniform sample of rows: those with the smallest random keys. Samples of parts merge exactly.

    The keys of a part come from its seed, row by row, so neither the size of chunks nor the order of merging
    changes the sample. Quantile sketches (KLL) would keep less, but draw from a source that takes no seed: the same
    rows would give another profile, and another digest, each time. Bins are counted on all rows later, so the
    sample only says where they begin: of 100,000 rows a decile is off by 0.1 % of the rows (one standard error).
    """

    def __init__(self, rows_max: int, seed: int = 0) -> None:
        self._rows_max, self._random = rows_max, np.random.default_rng(seed)
        self._keys: NDArray[np.float64] = np.empty(0)
        self._rows: Values | None = None

    def add(self, matrix: Values) -> None:
        """Consider rows of shape [n, d]."""
        keys = self._random.random(len(matrix))
        chosen = keys <= self._highest()
        self._keep(keys[chosen], matrix[chosen])

    def merge(self, other: RowSample) -> None:
        """Consider the rows of a sample of other rows, taken with another seed."""
        if other._rows is not None:
            self._keep(other._keys, other._rows)

    def rows(self) -> Values | None:
        """Sampled rows in the order of their keys, which is random; None where there are none."""
        return self._rows

    def _highest(self) -> float:
        return float(self._keys[-1]) if len(self._keys) == self._rows_max else np.inf

    def _keep(self, keys: NDArray[np.float64], matrix: Values) -> None:
        if self._rows is not None:
            keys, matrix = np.concatenate([self._keys, keys]), np.concatenate([self._rows, matrix])
        order = np.argsort(keys, kind="stable")[: self._rows_max]
        self._keys, self._rows = keys[order], matrix[order]


class Frame:
    """Columns by name: as much of a data frame as is needed to read one."""

    def __init__(self, columns: dict[str, Any], rows: int) -> None:
        self._columns = columns
        self.shape = (rows, len(columns))

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        return list(self._columns)

    def __getitem__(self, name: str) -> Any:
        return self._columns[name]


def chunks_of(rows: Rows) -> Iterator[Any]:
    """Begin to read.

    Raises:
        BundleError: the file cannot be read, or what should yield chunks does not.
    """
    if isinstance(rows, (str, Path)):
        path = Path(rows)
        return _parquet(path) if path.suffix in (".parquet", ".pq") else _csv(path)
    if not callable(rows):
        raise BundleError("rows must be a CSV or Parquet file, or a function that yields chunks: they are read twice")
    return iter(rows())


def _csv(path: Path) -> Iterator[Frame]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            while lines := list(islice(reader, CHUNK_ROWS)):
                short = next((line for line in lines if len(line) != len(header)), None)
                if short is not None:
                    raise BundleError(f"{path}: a row has {len(short)} cells and the header {len(header)}")
                columns = zip(*lines, strict=True)
                yield Frame(dict(zip(header, map(_cells, columns), strict=True)), len(lines))
    except (csv.Error, UnicodeDecodeError, OSError) as error:
        raise BundleError(f"{path} cannot be read as CSV in UTF-8: {error}") from error


def _cells(cells: tuple[str, ...]) -> Values:
    """Numbers, NaN where empty; texts, None where empty, if any cell is no number."""
    try:
        return np.array([float(cell) if cell else np.nan for cell in cells])
    except ValueError:
        return np.array([cell or None for cell in cells], dtype=object)


def _parquet(path: Path) -> Iterator[Frame]:
    try:
        import pyarrow as pa
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise BundleError("a Parquet file needs pyarrow: pip install 'serin-operator[parquet]'") from error
    try:
        with ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=CHUNK_ROWS):
                columns = {name: _arrow(batch.column(name)) for name in batch.schema.names}
                yield Frame(columns, batch.num_rows)
    except (pa.ArrowException, OSError) as error:
        raise BundleError(f"{path} cannot be read as Parquet: {error}") from error


def _arrow(column: Any) -> Values:
    values: Values = column.to_numpy(zero_copy_only=False)
    return values

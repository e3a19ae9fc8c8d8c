"""Compare two files of rows, feature by feature and as wholes."""

from __future__ import annotations

from itertools import chain

import msgspec
import numpy as np

from serin_bundle.chunks import Rows, RowSample, chunks_of
from serin_bundle.classifier import (
    AucFinding,
    MmdFinding,
    alarm_below,
    alarms,
    domain_auc,
    domain_mmd,
    permutations_needed,
)
from serin_bundle.errors import BundleError
from serin_bundle.features import FeatureTally, plan_features
from serin_bundle.table import Table, Values, read_chunk, read_table
from serin_contract.bundle import Column
from serin_contract.profile import CategoryFeature, Feature
from serin_contract.rows import lengths

SAMPLE_ROWS = 2_000
"""Of each file, for the classifier."""

MMD_ROWS = 500
"""Of each file, for the distance of kernel means."""

PLAN_ROWS = 100_000


class FeatureDrift(msgspec.Struct, frozen=True):
    """How far one feature moved."""

    name: str
    psi: float
    """Without its bias."""
    drifted: bool


class Comparison(msgspec.Struct, frozen=True):
    """What was found."""

    reference_rows: int
    live_rows: int
    features: list[FeatureDrift]
    """Farthest first."""
    classifier: AucFinding | None
    """None where it was not asked for."""
    classifier_columns: list[str]
    classifier_alarm: bool
    alarm_below: float
    """The p-value under which this run alarms."""
    mmd: MmdFinding | None = None
    """None where it was not asked for."""
    mmd_alarm: bool = False

    @property
    def drifted(self) -> bool:
        """Whether anything did."""
        return self.classifier_alarm or self.mmd_alarm or any(feature.drifted for feature in self.features)


def compare(
    reference: Rows,
    live: Rows,
    *,
    psi_max: float = 0.1,
    classifier: bool = True,
    mmd: bool = False,
    run: int = 1,
    seed: int = 0,
) -> Comparison:
    """Hold live rows against reference rows, whose columns are the ones that count.

    Args:
        reference: a CSV or Parquet file, or a function that yields chunks.
        live: as `reference`.
        psi_max: a feature whose PSI, without its bias and beyond two standard errors of it, is over this drifted.
        classifier: whether whole rows are told apart too.
        mmd: whether the kernel means of whole rows are compared too, for embeddings and images.
        run: how often these live rows have been asked about, this time included; each time takes more to alarm.
        seed: of the samples and the classifier.

    Raises:
        BundleError: a file cannot be read, lacks a column or has too few rows.
    """
    columns = _columns(reference)
    planned = _sample(reference, columns, PLAN_ROWS, seed)
    plan = plan_features(Table(columns=columns, matrix=planned))
    theirs, ours = (_tally(rows, plan, columns) for rows in (reference, live))
    features = [
        _drift(before, after, psi_max) for before, after in zip(theirs.features(), ours.features(), strict=True)
    ]
    found, apart = None, None
    if classifier or mmd:
        live_sample = _numbers(_sample(live, columns, SAMPLE_ROWS, seed + 1), columns, plan)
        reference_sample = _numbers(planned[:SAMPLE_ROWS], columns, plan)
        if classifier:
            found = domain_auc(live_sample, reference_sample, seed)
        if mmd:
            apart = domain_mmd(live_sample[:MMD_ROWS], reference_sample[:MMD_ROWS], seed, permutations_needed(run))
    return Comparison(
        reference_rows=theirs.rows,
        live_rows=ours.rows,
        features=sorted(features, key=lambda feature: (-feature.psi, feature.name)),
        classifier=found,
        classifier_columns=[column.name for column in columns],
        classifier_alarm=found is not None and alarms(found, run),
        alarm_below=alarm_below(run),
        mmd=apart,
        mmd_alarm=apart is not None and apart.p_value < alarm_below(run),
    )


def psi_without_bias(before: list[float], after: list[float]) -> tuple[float, float]:
    """PSI of two lists of counts, less what it is on average where nothing moved, and that null's standard error.

    Half a row is added to each bin. With k bins and n and m rows the PSI of equal distributions is about
    (1/n + 1/m) times chi-squared with k − 1 degrees of freedom (Yurdakul 2018).
    """
    counts = np.array([before, after])
    counts = counts[:, counts.sum(axis=0) > 0]
    rows = counts.sum(axis=1)
    free, scale = counts.shape[1] - 1, float((1.0 / rows).sum())
    shares = (counts + 0.5) / (rows + 0.5 * counts.shape[1])[:, None]
    psi = float(((shares[0] - shares[1]) * np.log(shares[0] / shares[1])).sum())
    return psi - free * scale, float(np.sqrt(2.0 * free)) * scale


def _drift(before: Feature, after: Feature, psi_max: float) -> FeatureDrift:
    psi, error = psi_without_bias(before.counts, after.counts)
    return FeatureDrift(name=before.name, psi=psi, drifted=psi - 2.0 * error > psi_max)


def _columns(rows: Rows) -> list[Column]:
    chunks = chunks_of(rows)
    first = next(chunks, None)
    if first is None:
        raise BundleError("the reference has no rows")
    found = read_table(first).columns
    # A column of text whose first cells are empty looks like numbers in the first chunk alone.
    for chunk in chain([first], chunks):
        texts = {column.name for column in read_table(chunk).columns if column.datatype == "BYTES"}
        found = [Column(column.name, "BYTES") if column.name in texts else column for column in found]
        if not any(_is_all_missing(chunk, column) for column in found if column.datatype != "BYTES"):
            break
    return found


def _is_all_missing(chunk: object, column: Column) -> bool:
    return bool(np.isnan(read_chunk(chunk, [column]).astype(np.float64)).all())


def _sample(rows: Rows, columns: list[Column], rows_max: int, seed: int) -> Values:
    sample = RowSample(rows_max, seed)
    for chunk in chunks_of(rows):
        sample.add(read_chunk(chunk, columns))
    found = sample.rows()
    if found is None:
        raise BundleError("there are no rows")
    return found


def _tally(rows: Rows, plan: list[Feature], columns: list[Column]) -> FeatureTally:
    tally = FeatureTally(plan, columns)
    for chunk in chunks_of(rows):
        tally.add(read_chunk(chunk, columns))
    if tally.rows == 0:
        raise BundleError("there are no rows")
    return tally


def _numbers(matrix: Values, columns: list[Column], plan: list[Feature]) -> Values:
    """Rows as the classifier takes them: a category as the place in its list, free text as its length."""
    listed = {feature.name: feature.categories for feature in plan if isinstance(feature, CategoryFeature)}
    found = np.empty(matrix.shape)
    for index, column in enumerate(columns):
        values = matrix[:, index]
        if column.datatype != "BYTES":
            found[:, index] = values.astype(np.float64)
        elif column.name in listed:
            places = {name: float(place) for place, name in enumerate(listed[column.name])}
            found[:, index] = [np.nan if text is None else places.get(text, len(places)) for text in values.tolist()]
        else:
            found[:, index] = lengths(values.tolist())
    return found

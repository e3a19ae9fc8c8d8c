"""Rows that are kept where it was asked for: which, how many, and who gets them."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.serving.running import Case, Reply, Running, run

from serin_contract import sampled
from serin_contract.bundle import Column
from serin_contract.keys import KeyRing, derive_ring
from serin_contract.sampled import SAMPLE_BYTES_MAX, SampledRows
from serin_serving import settings
from serin_serving.errors import RefusedError
from serin_serving.sampled import COHORTS_REMEMBERED, Sample

NUMBERS = [Column("a", "FP64"), Column("b", "FP64")]
MIXED = [Column("age", "FP64"), Column("shade", "BYTES")]


def a_sample(columns: list[Column] = NUMBERS, rows_max: int = 40, seed: int = 0) -> Sample:
    return Sample(columns, rows_max, random.Random(seed))


def numbers(document: SampledRows) -> np.ndarray:
    return np.frombuffer(document.numbers, "<f8").reshape(
        document.rows, sum(column.datatype != "BYTES" for column in document.columns)
    )


def kept(sample: Sample) -> SampledRows:
    return sample.document("wine-2", "pod-1")


def test_it_keeps_all_until_it_is_full_and_a_uniform_sample_then() -> None:
    shares = np.zeros(200)
    for seed in range(300):
        sample = a_sample(seed=seed)
        for number in range(200):
            sample.take("c", np.full((1, 2), float(number)))
            assert kept(sample).rows == min(number + 1, 40)
        found = numbers(kept(sample))[:, 0].astype(int)
        assert len(set(found)) == 40
        shares[found] += 1 / 300
    # Each row is kept in one of five runs; 300 runs leave a standard error of .023.
    assert np.abs(shares - 0.2).max() < 5 * 0.0231
    assert kept(sample).requests == 200


def test_of_one_request_it_keeps_one_row() -> None:
    sample = a_sample()
    sample.take("c", np.arange(20.0).reshape(10, 2))
    sample.take("c", np.empty((0, 2)))
    assert (kept(sample).rows, kept(sample).requests) == (1, 1)


def test_what_it_keeps_is_a_copy() -> None:
    sample, matrix = a_sample(), np.ones((1, 2))
    sample.take("c", matrix)
    matrix[:] = 7.0
    assert numbers(kept(sample)).tolist() == [[1.0, 1.0]]


COHORTS = {
    "requests that count nowhere": ([""], "", []),
    "a next cohort begins anew": (["c.1", "c.2"], "c.2", [1.0]),
    "a late request of the one before": (["c.1", "c.2", "c.1"], "c.2", [1.0]),
    "requests between that count nowhere": (["c.1", "", "c.1"], "c.1", [0.0, 2.0]),
}


@pytest.mark.parametrize("name", COHORTS)
def test_it_keeps_rows_of_the_latest_cohort_alone(name: str) -> None:
    cohorts, cohort, values = COHORTS[name]
    sample = a_sample()
    for number, one in enumerate(cohorts):
        sample.take(one, np.full((1, 2), float(number)))
    assert kept(sample).cohort == cohort
    assert numbers(kept(sample))[:, 0].tolist() == values


def test_it_remembers_a_bounded_number_of_earlier_cohorts() -> None:
    sample = a_sample()
    for number in range(COHORTS_REMEMBERED + 9):
        sample.take(f"c.{number}", np.zeros((1, 2)))
    sample.take(f"c.{number - 1}", np.zeros((1, 2)))
    assert kept(sample).cohort == f"c.{number}"
    sample.take("c.0", np.zeros((1, 2)))
    assert kept(sample).cohort == "c.0", "it was too long ago to be known"


def test_texts_and_gaps_are_kept_as_they_were_served() -> None:
    sample = a_sample(MIXED)
    rows = np.array([[3.5, "dark"], [np.nan, None], [True, "é"]], dtype=object)
    for row in rows:
        sample.take("c", row[None, :])
    document = sampled.decode(sampled.encode(kept(sample)))
    assert document.texts == [["dark"], [None], ["é"]]
    np.testing.assert_equal(numbers(document), [[3.5], [np.nan], [1.0]])


def test_a_row_that_takes_more_than_its_part_is_left_out_and_counted() -> None:
    sample = a_sample(MIXED, rows_max=2000)
    sample.take("c", np.array([[1.0, "x" * (SAMPLE_BYTES_MAX // 2000 // 4)]], dtype=object))
    sample.take("c", np.array([[2.0, "short"]], dtype=object))
    document = kept(sample)
    assert (document.rows, document.requests, document.left_out) == (1, 1, 1)


def test_rows_of_more_numbers_than_their_part_holds_take_no_memory() -> None:
    columns = [Column(f"x{place}", "FP64") for place in range(SAMPLE_BYTES_MAX // 2000 // 8 + 1)]
    sample = a_sample(columns, rows_max=2000)
    sample.take("c", np.zeros((1, len(columns))))
    assert (kept(sample).rows, kept(sample).left_out, kept(sample).numbers) == (0, 1, b"")
    assert sample._kept.nbytes == 0


# Over HTTP


@pytest.fixture(scope="module")
def keeping(wine: Case, keys_file: Path) -> Iterator[Running]:
    with run(wine, keys_file, sample_rows=50) as running:
        yield running


def read(running: Running, header: str = "", **options: Any) -> Reply:
    headers = {"x_serin_rows_mac": header} if header else {}
    return running.call("GET", "/serin/v1/rows", **{"stats": True, **options}, **headers)


def test_who_has_a_key_gets_the_rows_that_were_answered(keeping: Running, wine: Case, ring: KeyRing) -> None:
    cohort = keeping.cohort()
    for row in wine.rows[:60]:
        assert keeping.infer([row], cohort).status == 200
    reply = read(keeping, sampled.ask("pod-1", time.time(), ring))
    document = sampled.decode(reply.body)
    assert (reply.status, reply.headers["content-type"]) == (200, "application/msgpack")
    assert (document.revision, document.pod_uid, document.cohort) == ("wine-1", "pod-1", cohort)
    assert (document.rows, document.requests) == (50, 60)
    assert [column.name for column in document.columns][:1] == ["alcohol"]
    assert {tuple(row) for row in numbers(document)} <= {tuple(row) for row in wine.rows[:60]}


def test_a_request_that_is_refused_or_counts_in_no_cohort_is_not_kept(keeping: Running, wine: Case, ring: KeyRing):
    cohort = keeping.cohort()
    keeping.infer([wine.rows[0]], cohort)
    keeping.infer([wine.rows[1]])
    assert keeping.infer([wine.rows[2][:5]], cohort).status == 400
    assert sampled.decode(read(keeping, sampled.ask("pod-1", time.time(), ring)).body).rows == 1


def test_nobody_else_gets_any(keeping: Running) -> None:
    others = derive_ring({"m2": b"2" * 32}, "m2", "uid-of-beer")
    for header in ("", sampled.ask("pod-1", time.time(), others)):
        assert read(keeping, header).status == 401


def test_the_port_that_callers_reach_has_no_such_path(keeping: Running, ring: KeyRing) -> None:
    assert read(keeping, sampled.ask("pod-1", time.time(), ring), stats=False).status == 404


def test_a_server_that_was_not_asked_to_keeps_none(server: Running, ring: KeyRing) -> None:
    reply = read(server, sampled.ask("pod-1", time.time(), ring))
    assert reply.status == 404
    assert "serving.sampleRows" in reply.error


ENVIRONMENT = {
    "SERIN_DEPLOYMENT": "wine",
    "SERIN_REVISION": "wine-1",
    "SERIN_POD_UID": "pod-1",
    "SERIN_BUNDLE_DIGEST": f"sha256:{'0' * 64}",
}


@pytest.mark.parametrize(("text", "rows"), [("", 0), ("40", 40), ("2000", 2000)])
def test_the_setting(text: str, rows: int) -> None:
    assert settings.from_env({**ENVIRONMENT, "SERIN_SAMPLE_ROWS": text}).sample_rows == rows


@pytest.mark.parametrize("text", ["39", "2001", "-50", "many", "50.0", "５０"])
def test_a_setting_that_is_refused(text: str) -> None:
    with pytest.raises(RefusedError, match="SERIN_SAMPLE_ROWS must be a number of rows from 40 to 2000"):
        settings.from_env({**ENVIRONMENT, "SERIN_SAMPLE_ROWS": text})

"""`serin drift --pods`: a candidate's rows against stable's, read from servers that keep them."""

from __future__ import annotations

import contextlib
import http.server
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from tests.unit.serving.running import Case, Running, run

from serin_cli import drift_pods
from serin_cli.drift import drift
from serin_cli.drift_pods import PodsError
from serin_contract.bundle import Column
from serin_contract.http import STATS_BYTES_MAX
from serin_contract.keys import KeyRing, derive_ring, encode
from serin_contract.sampled import SampledRows

STABLE, CANDIDATE = "wine-1", "wine-2"
ROWS = 120


@pytest.fixture(scope="module")
def arms(wine: Case, keys_file: Path) -> Iterator[list[Running]]:
    """A pod of stable, and one of the candidate."""
    with (
        run(wine, keys_file, revision=STABLE, pod_uid="pod-s", sample_rows=ROWS) as stable,
        run(wine, keys_file, revision=CANDIDATE, pod_uid="pod-c", sample_rows=ROWS) as candidate,
    ):
        yield [stable, candidate]


def answer(arms: list[Running], number: int, rows: Any, of_candidate: Any) -> str:
    """Both arms answer rows of one cohort, drawn with replacement."""
    cohort, draws = f"{CANDIDATE}.{number}.abc", np.random.default_rng(number)
    for running, some in zip(arms, (rows, of_candidate), strict=True):
        for row in some[draws.integers(0, len(some), ROWS)]:
            assert running.infer([row], cohort).status == 200
    return cohort


def compare(arms: list[Running], keys_file: Path, *options: str) -> tuple[int, str]:
    names = [word for running in arms for word in ("--pods", f"127.0.0.1:{running.stats_port}")]
    result = CliRunner().invoke(drift, [*names, "--keys", str(keys_file), *options])
    return result.exit_code, result.output


def test_arms_that_answer_the_same_rows_are_not_told_apart(arms: list[Running], wine: Case, keys_file: Path) -> None:
    cohort = answer(arms, 1, wine.rows, wine.rows)
    code, output = compare(arms, keys_file, "--json", "--mmd")
    document = json.loads(output)
    assert (code, document["drifted"]) == (0, False), output
    assert (document["cohort"], document["candidate"], document["stable"]) == (cohort, CANDIDATE, STABLE)
    assert (document["reference_rows"], document["live_rows"]) == (ROWS, ROWS)
    assert (document["classifier_alarm"], document["mmd_alarm"]) == (False, False)
    assert document["alarm_below"] == pytest.approx(0.00608, abs=1e-5)


def test_columns_that_no_longer_go_together_alarm_in_text_and_status(
    arms: list[Running], wine: Case, keys_file: Path
) -> None:
    moved = np.array([np.random.default_rng(place).permutation(column) for place, column in enumerate(wine.rows.T)]).T
    moved[:, 0] += 2.0
    answer(arms, 2, wine.rows, moved)
    code, output = compare(arms, keys_file, "--mmd")
    assert code == 1, output
    assert f"candidate   {CANDIDATE}" in output
    assert "by itself   alcohol" in output
    assert ": drifted" in output.partition("classifier  AUC")[2].partition("\n")[0]
    assert "\nMMD " in output
    assert "alarms at   p below 0.0061 in run 1" in output


def test_rows_of_the_same_name_are_found_by_all_its_addresses() -> None:
    (address,) = drift_pods._addresses("127.0.0.1")
    assert address == ("127.0.0.1", 8081)
    assert drift_pods._addresses("[::1]:9000") == [("::1", 9000)]
    assert set(drift_pods._addresses("localhost:9000")) <= {("127.0.0.1", 9000), ("::1", 9000)}


def refusal(arms: list[Running], keys_file: Path, *options: str) -> str:
    code, output = compare(arms, keys_file, *options)
    assert code == 2, output
    return " ".join(output.split())


def test_other_keys_are_refused_in_words(arms: list[Running], tmp_path: Path) -> None:
    others = tmp_path / "keys.json"
    others.write_bytes(encode(derive_ring({"m2": b"2" * 32}, "m2", "uid-of-beer")))
    assert "refuses these keys: take keys.json of the deployment's own Secret" in refusal(arms, others)
    assert "cannot be read" in refusal(arms, tmp_path / "nothing.json")


def test_an_arm_that_keeps_no_rows_is_named(arms: list[Running], server: Running, keys_file: Path) -> None:
    assert "wine-1 keeps no rows: set serving.sampleRows" in refusal([arms[1], server], keys_file)


def test_a_pod_that_is_gone_is_named(arms: list[Running], keys_file: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        words = refusal(arms, keys_file, "--pods", f"127.0.0.1:{unused.getsockname()[1]}")
    assert "the pod at 127.0.0.1 cannot be asked: " in words


@pytest.mark.parametrize("words", [[], ["one.csv"], ["a.csv", "b.csv", "--pods", "127.0.0.1"]], ids=str)
def test_it_takes_two_files_or_pods(words: list[str]) -> None:
    result = CliRunner().invoke(drift, words)
    assert result.exit_code == 2
    assert "name two files, REFERENCE and LIVE, or --pods and no file" in result.output


# Which rows are held against which

COLUMNS = [Column("age", "FP64"), Column("shade", "BYTES")]


def rows_of(revision: str, cohort: str, ages: list[float], **changes: Any) -> SampledRows:
    texts = [["dark" if age > 1 else None] for age in ages]
    pod = SampledRows(revision, f"pod-{revision}", cohort, COLUMNS, 9, 0, len(ages), np.array(ages).tobytes(), texts)
    return msgspec.structs.replace(pod, **changes)


def test_pods_of_one_arm_are_taken_together_and_endless_values_as_missing() -> None:
    found = drift_pods.arms(
        [
            rows_of("m-2", "m-2.1.a", [1.0, np.inf]),
            rows_of("m-1", "m-2.1.a", [2.0]),
            rows_of("m-1", "m-2.1.a", [3.0, np.nan]),
        ]
    )
    assert (found.candidate, found.stable, found.cohort) == ("m-2", "m-1", "m-2.1.a")
    np.testing.assert_equal(found.stable_rows["age"], [2.0, 3.0, np.nan])
    np.testing.assert_equal(found.candidate_rows["age"], [1.0, np.nan])
    assert found.candidate_rows["shade"].tolist() == [None, "dark"]
    assert found.stable_rows.shape == (3, 2)


CHOSEN = {
    "the cohort with most rows of both": (
        [("m-2", "m-2.1.a", 9), ("m-1", "m-2.1.a", 1), ("m-2", "m-2.2.a", 3), ("m-1", "m-2.2.a", 3)], "m-2.2.a"
    ),
    "not one that only one arm has seen": (
        [("m-2", "m-2.2.a", 9), ("m-2", "m-2.1.a", 2), ("m-1", "m-2.1.a", 2)], "m-2.1.a"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CHOSEN)
def test_it_takes(name: str) -> None:
    pods, cohort = CHOSEN[name]
    assert drift_pods.arms([rows_of(who, where, [1.0] * count) for who, where, count in pods]).cohort == cohort


NOT_COMPARED = {
    "no pod has rows": ([rows_of("m-2", "", [])], "no pod keeps any row yet"),
    "a watch has one arm": ([rows_of("m-2", "watch.m-2.1.a", [1.0])], "there are rows of m-2 only"),
    "other columns": (
        [rows_of("m-2", "m-2.1.a", [1.0]), rows_of("m-1", "m-2.1.a", [1.0], columns=COLUMNS[::-1])],
        "take other columns",
    ),
}


@pytest.mark.parametrize("name", NOT_COMPARED)
def test_rows_are_not_compared_where(name: str) -> None:
    answers, words = NOT_COMPARED[name]
    with pytest.raises(PodsError, match=words):
        drift_pods.arms(answers)


class Chatterbox(http.server.BaseHTTPRequestHandler):
    """Says more than any model server does."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(b" " * (STATS_BYTES_MAX + 4096))

    def log_message(self, *_: Any) -> None:
        return


def test_it_reads_no_more_than_a_pod_may_send(ring: KeyRing) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Chatterbox) as pod:
        threading.Thread(target=pod.serve_forever, daemon=True).start()
        with pytest.raises(PodsError, match=f"answers with status 200 and {STATS_BYTES_MAX + 1} bytes"):
            drift_pods.read([f"127.0.0.1:{pod.server_port}"], ring)
        pod.shutdown()

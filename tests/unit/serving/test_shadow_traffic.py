"""Two real servers on loopback: stable answers callers and mirrors, the candidate compares."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tests.unit.serving.running import Case, Running, run

from serin_bundle import package
from serin_contract.announcements import ShadowOrder
from serin_contract.keys import KeyRing

pytestmark = pytest.mark.slow

ROWS = load_wine().data
DEADLINE_SECONDS = 20.0


@pytest.fixture(scope="module")
def stable(wine: Case, keys_file: Path) -> Iterator[Running]:
    with run(wine, keys_file, revision="wine-1", stable_profile_file=wine.path / "profile.json") as running:
        yield running


@pytest.fixture(scope="module")
def equal(wine: Case, keys_file: Path) -> Iterator[Running]:
    """A candidate of the same model."""
    with run(wine, keys_file, revision="wine-2", stable_profile_file=wine.path / "profile.json") as running:
        yield running


@pytest.fixture(scope="module")
def other_model() -> Any:
    """Trained on rows whose first two columns have changed places."""
    data = load_wine()
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(data.data[:, [1, 0, *range(2, 13)]], data.target)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory, keys_file: Path, other_model: Any) -> Iterator[Running]:
    """A candidate of another model."""
    path, data = tmp_path_factory.mktemp("other") / "bundle", load_wine()
    made = package(other_model, ROWS, data.target, path, name="wine", feature_names=list(data.feature_names))
    case = Case("wine", path, made.digest, other_model, ROWS, data.target)
    with run(case, keys_file, revision="wine-3") as running:
        yield running


def shadow(stable: Running, ring: KeyRing, *targets: str, **changes: Any) -> str:
    """Announce shadow traffic to these targets; its cohort."""
    cohort = stable.cohort()
    order = ShadowOrder(cohort, 100, list(targets), time.time() + 60, **changes)
    assert stable.announce(ring, shadow=order).status == 200
    return cohort


def target(candidate: Running) -> str:
    return f"127.0.0.1:{candidate.stats_port}"


def settled(stable: Running, cohort: str, number: int) -> Any:
    """Stable's counters of the cohort once so many requests have been sent or dropped."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        counted = stable.stats()["cohorts"].get(cohort, {})
        traffic = counted.get("shadow") or {"sent": 0, "dropped": 0}
        if traffic["sent"] + traffic["dropped"] >= number:
            return counted
    raise AssertionError("the mirrored requests were neither sent nor dropped")


def both_arms(stable: Running, candidate: Running, ring: KeyRing, parts: list[Any], **changes: Any) -> tuple[Any, Any]:
    """Ask stable for each of these rows until it was sent; what both arms counted.

    On a busy machine stable may find itself behind and drop a request: that is no fault, so it is asked again.
    """
    cohort = shadow(stable, ring, target(candidate), **changes)
    deadline, asked, sent = time.monotonic() + 2 * DEADLINE_SECONDS, 0, 0
    counted: Any = None
    while sent < len(parts):
        assert time.monotonic() < deadline, "the server was behind all the time"
        assert stable.infer(parts[sent], cohort="wine-2.9.route").status == 200
        asked += 1
        counted = settled(stable, cohort, asked)
        sent = counted["shadow"]["sent"]
    stable.announce(ring)
    return counted, candidate.stats()["cohorts"][cohort]


@pytest.mark.slow
def test_equal_models_agree_exactly_and_both_arms_count_the_same(
    stable: Running, equal: Running, ring: KeyRing
) -> None:
    parts = [ROWS[start : start + size] for size in (1, 2, 3, 7) for start in range(0, 70, 7)]
    ours, theirs = both_arms(stable, equal, ring, parts)
    assert (ours["shadow"]["sent"], ours["shadow"]["received"]) == (40, 0)
    assert theirs["shadow"] == {"sent": 0, "dropped": 0, "received": 40, "failed": 0, "compared": 40, "agreed": 40}
    assert ours["requests"] == theirs["requests"] + ours["shadow"]["dropped"]
    for arm in (ours, theirs):
        assert arm["predictions"] == arm["requests"] == sum(arm["latency"])
        assert sum(arm["own_bins"]["features"]) == pytest.approx(13 * arm["requests"])
        assert sum(arm["own_bins"]["prediction"]) == pytest.approx(arm["requests"])
        assert (arm["refused"], arm["failed"]) == (0, 0)
    assert theirs["rows"] == 10 * (1 + 2 + 3 + 7)
    metrics = equal.call("GET", "/metrics", stats=True).body.decode()
    assert 'serin_server_shadow_agreed_total{deployment="wine",revision="wine-2"}' in metrics


def test_agreement_is_what_both_models_say_offline(
    stable: Running, other: Running, other_model: Any, ring: KeyRing
) -> None:
    parts = [ROWS[start : start + 2] for start in range(0, 170, 2)]
    _, counted = both_arms(stable, other, ring, parts)
    expected = sum(float(np.mean(stable.case.model.predict(rows) == other_model.predict(rows))) for rows in parts)
    assert 0 < expected < len(parts)
    assert counted["shadow"]["compared"] == len(parts)
    assert counted["shadow"]["agreed"] == pytest.approx(expected, abs=1e-9)


def test_numbers_agree_within_the_tolerance(regressor_server: Running, keys_file: Path, ring: KeyRing) -> None:
    case = regressor_server.case
    with run(case, keys_file, revision="diabetes-2") as candidate:
        parts = [case.rows[row : row + 1] for row in range(10)]
        _, counted = both_arms(regressor_server, candidate, ring, parts, tolerance=1e-9)
        assert counted["shadow"]["agreed"] == 10


BODY = {"inputs": [{"name": "x", "shape": [2, 13], "datatype": "FP64", "data": ROWS[:2].tolist()}], "id": "mine"}


def seen(stable: Running, ring: KeyRing) -> Any:
    """All that a caller sees, but for the prediction id, which differs at every call."""
    reply = stable.call("POST", stable.path("infer"), BODY, x_serin_cohort="wine-2.9.route")
    headers = {name: value for name, value in reply.headers.items() if name not in ("date", "x-serin-prediction-id")}
    return reply.status, headers, reply.body.replace(reply.prediction_id.encode(), b"")


def test_callers_see_the_same_bytes(stable: Running, equal: Running, ring: KeyRing) -> None:
    stable.announce(ring)
    off = seen(stable, ring)
    cohort = shadow(stable, ring, target(equal))
    assert seen(stable, ring) == off
    settled(stable, cohort, 1)
    shadow(stable, ring, "127.0.0.1:1", "nowhere", "[::1]:99999")
    assert seen(stable, ring) == off


def test_a_blackhole_delays_no_caller(stable: Running, ring: KeyRing) -> None:
    with socket.create_server(("127.0.0.1", 0)) as blackhole:
        cohort = shadow(stable, ring, f"127.0.0.1:{blackhole.getsockname()[1]}")
        began = time.monotonic()
        for _ in range(300):
            assert stable.infer(ROWS[:1]).status == 200
        # The first mirrored request is given up after 2 s.
        assert time.monotonic() - began < 2
        counted = stable.stats()["cohorts"][cohort]
        assert counted["requests"] == 300
        assert counted["shadow"]["sent"] == 0
        assert stable.announce(ring).status == 200
        assert settled(stable, cohort, 300)["shadow"]["dropped"] == 300


def test_the_next_announcement_ends_the_shadow_traffic(stable: Running, equal: Running, ring: KeyRing) -> None:
    cohort = shadow(stable, ring, target(equal))
    stable.infer(ROWS[:1])
    settled(stable, cohort, 1)
    assert stable.announce(ring).status == 200
    stable.infer(ROWS[:1])
    assert stable.stats()["cohorts"][cohort]["requests"] == 1


def test_a_draining_server_mirrors_no_more(wine: Case, keys_file: Path, equal: Running, ring: KeyRing) -> None:
    with run(wine, keys_file, drain_seconds=60.0) as stable:
        cohort = shadow(stable, ring, target(equal))
        stable.infer(ROWS[:1])
        settled(stable, cohort, 1)
        stable.drain()
        order = ShadowOrder(cohort, 100, [target(equal)], time.time() + 60)
        assert stable.announce(ring, shadow=order).status == 200
        assert stable.infer(ROWS[:1]).status == 200
        assert stable.stats()["cohorts"][cohort]["requests"] == 1

"""Without a gateway: kube-proxy draws a pod for each connection, and callers keep theirs or make one each time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.e2e.conftest import measured
from tests.e2e.spoilt import BETTER, DECENT, SPOILT
from tests.support import kubernetes_objects as objects
from tests.support.stories import NAME, START_SECONDS, TRIAL_SECONDS, Place, State, in_words

from serin_cli.demo.load import Load

RATE = 100.0
FRESH_SHARE = 0.5

DEVIATIONS = 4.0
"""So many standard deviations of a binomial count: a true split lies outside once in 16,000 looks."""

SPEC = {
    "traffic": None,
    "serving": objects.serving(replicas=2),
    "rollout": objects.rollout((30, 15), (50, 10)),
}


@contextmanager
def callers(digits: Place) -> Iterator[Load]:
    """Callers inside the cluster's network, at the address of the Service: kube-proxy stands between, nothing else."""
    address = digits.kubectl("get", "service", NAME, "-o", "jsonpath={.spec.clusterIP}")
    load = Load(
        f"http://{address}:8080",
        f"{NAME}.{digits.namespace}.svc",
        digits.models.rows,
        digits.models.labels,
        RATE,
        model=NAME,
        wrap=digits.cluster.inside_command,
        label_delay=(0.3, 1.0),
        fresh_share=FRESH_SHARE,
    )
    try:
        yield load.start()
    finally:
        load.stop()


def serves(digits: Place, bundle: str) -> str:
    """Given that this model is stable, without a route."""
    digits.wants(bundle, **SPEC)
    return digits.until(lambda state: state.stable_of_spec, f"model {bundle} serves", START_SECONDS).stable


def splits_seen(digits: Place, since: float) -> dict[str, tuple[float, int]]:
    """By cohort, the latest share of the connections that status tells, and of how many."""
    found: dict[str, tuple[float, int]] = {}
    for moment in digits.mdep.since(since):
        candidate = State(moment.object).candidate
        split = candidate.get("split") or {}
        if candidate.get("cohort") and split.get("share") is not None:
            found[candidate["cohort"]] = (split["share"], split["requests"])
    return found


def answers(digits: Place, since: float) -> set[str]:
    """What status said of the split."""
    candidates = (State(moment.object).candidate for moment in digits.mdep.since(since))
    return {candidate["split"]["answer"] for candidate in candidates if candidate.get("split")}


def test_promotion_and_rollback_without_a_gateway(digits: Place) -> None:
    first = serves(digits, DECENT)
    with callers(digits) as load:
        digits.wants(BETTER, **SPEC)
        began = digits.applied_at
        state = digits.until(lambda state: state.stable_of_spec, "the better model is promoted", TRIAL_SECONDS)
        promoted, better = load.snapshot(), state.stable
        assert better != first
        assert state.status["weightMode"] == "Replicas"
        assert state.status["url"] == f"http://{NAME}.{digits.namespace}.svc:8080/v2/models/{NAME}"
        assert state.says("RouteProgrammed", "True", "Selected")
        assert promoted.failed == 0, in_words(promoted)
        check_splits(digits, began, shares=(1 / 3, 1 / 2))

        digits.wants(SPOILT, **SPEC)
        began = digits.applied_at
        state = digits.until(lambda state: state.phase == "RolledBack", "the worse model is rolled back", TRIAL_SECONDS)
        assert state.stable == better
        worse = state.status["lastRollback"]["from"]
        digits.until(lambda _: not digits.pods(worse), "its pods are gone", 60)
        counted = load.stop()
    measured("without a gateway", f"{counted.failed} failed of {counted.requests}; {in_words(counted)}")
    assert counted.failed == 0, in_words(counted)
    assert digits.get("httproutes", "-l", f"serin.dev/deployment={NAME}") == []


def check_splits(digits: Place, since: float, *, shares: tuple[float, ...]) -> None:
    """Each step's connections fell as its numbers of pods say: 1 beside 2, then 2 beside 2."""
    seen = splits_seen(digits, since)
    assert len(seen) == len(shares), seen
    for (cohort, (share, connections)), claimed in zip(sorted(seen.items()), shares, strict=True):
        deviation = math.sqrt(claimed * (1 - claimed) / connections)
        measured(f"split of {cohort}", f"{share:.1%} of {connections} connections, {claimed:.1%} claimed")
        assert share == pytest.approx(claimed, abs=DEVIATIONS * deviation), seen
    assert "Wrong" not in answers(digits, since)

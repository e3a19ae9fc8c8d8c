"""The suite's own instruments, and that docs know every behaviour of it."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from tests.conformance import test_changes, test_mirror, test_pods, test_rules, test_weights
from tests.conformance.answers import (
    BEHAVIOURS,
    Answer,
    Finding,
    Held,
    Need,
    answered,
    as_json,
    as_markdown,
    cannot_tell,
    judge,
    no,
    yes,
)
from tests.conformance.api import ApiRefusedError, Json
from tests.conformance.callers import Request, bound, described, last_answer_seconds
from tests.conformance.ground import Ground, conditions, http_listener, status_address

DOCS = Path(__file__).parents[2] / "docs" / "gateways.md"
SUITE = (test_changes, test_mirror, test_pods, test_rules, test_weights)


@pytest.mark.parametrize(
    ("need", "answer", "fails"),
    [
        pytest.param(Need.REQUIRES, yes("so"), False, id="a required behaviour that is there passes"),
        pytest.param(Need.REQUIRES, no("not so"), True, id="a required behaviour that is missing fails"),
        pytest.param(Need.REQUIRES, cannot_tell("dark"), True, id="a required behaviour that nobody saw fails"),
        pytest.param(Need.USES, no("not so"), False, id="a used behaviour that is missing is only told"),
        pytest.param(Need.KNOWS, no("not so"), False, id="a known behaviour that is missing is only told"),
    ],
)
def test_only_what_is_required_can_fail(need: Need, answer: Answer, fails: bool) -> None:
    with pytest.raises(pytest.fail.Exception, match="Weights work") if fails else contextlib.nullcontext():
        judge(need, "Weights work.", answer)


@pytest.mark.parametrize(
    ("fault", "known"),
    [
        pytest.param(TimeoutError("not within 20 s: it answers"), True, id="a gateway that never gets there"),
        pytest.param(ApiRefusedError(422, "spec.rules is wrong"), True, id="a cluster that refuses the route"),
        pytest.param(KeyError("arm"), False, id="a fault of the suite's own"),
    ],
)
async def test_what_cannot_be_seen_is_found_so_and_faults_are_not_hidden(fault: Exception, known: bool) -> None:
    async def check(_: Ground) -> Answer:
        raise fault

    found: list[Finding] = []
    with contextlib.nullcontext() if known else pytest.raises(KeyError):
        await answered(Need.USES, "It works.", check, None, found)  # type: ignore[arg-type]
    assert [one.held for one in found] == [Held.CANNOT_TELL]
    assert str(fault) in found[0].seen


@pytest.mark.parametrize(
    ("share", "observed", "agrees"),
    [
        pytest.param(0.05, 100, True, id="a share that is met"),
        pytest.param(0.05, 60, True, id="a share that a random draw may show"),
        pytest.param(0.05, 40, False, id="half of a small share"),
        pytest.param(0.05, 200, False, id="twice a small share"),
        pytest.param(0.5, 1000, True, id="half"),
        pytest.param(0.5, 1200, False, id="ten points beside half"),
        pytest.param(0.0, 0, True, id="nothing of nothing"),
        pytest.param(0.0, 1, False, id="something of nothing"),
    ],
)
def test_a_share_agrees_within_the_bound(share: float, observed: int, agrees: bool) -> None:
    low, high = bound(2000, share)
    assert (low <= observed <= high) is agrees


def asked(arm: str, sent: float, answered: float, status: int = 200) -> Request:
    return Request(sent, answered, status, arm)


@pytest.mark.parametrize(
    ("requests", "seconds"),
    [
        pytest.param([asked("a", 1, 2)], 0.0, id="an answer before the change is not late"),
        pytest.param([asked("a", 9.5, 10.5)], 0.5, id="an answer under way at the change counts to its end"),
        pytest.param([asked("a", 11, 11.5), asked("b", 12, 12.5)], 1.5, id="the last answer of the old arm counts"),
        pytest.param([asked("a", 21, 22)], 0.0, id="an answer of the next change does not"),
    ],
)
def test_how_late_the_old_split_answers(requests: list[Request], seconds: float) -> None:
    assert last_answer_seconds(requests, "a", changed_at=10, until=20) == seconds


def test_failures_are_described_by_who_answered() -> None:
    seen = [asked("a", 0, 1), asked("", 0, 1, 503), asked("", 0, 1, 0), asked("b", 0, 1, 500)]
    assert [one.failed for one in seen] == [False, True, True, True]
    assert described(seen) == "200 from a: 1, 500 from b: 1, 503 from the gateway: 1, no answer from the gateway: 1"


def test_conditions_of_an_older_generation_do_not_count() -> None:
    said = [
        {"type": "Accepted", "status": "True", "reason": "Accepted", "observedGeneration": 3},
        {"type": "ResolvedRefs", "status": "True", "reason": "ResolvedRefs", "observedGeneration": 2},
    ]
    route: Json = {"metadata": {"generation": 3}, "status": {"parents": [{"conditions": said}]}}
    assert conditions(route).keys() == {"Accepted"}


def gateway(*listeners: Json, addresses: tuple[str, ...] = ()) -> Json:
    status = {"addresses": [{"value": value} for value in addresses]}
    return {"metadata": {"name": "public"}, "spec": {"listeners": list(listeners)}, "status": status}


PLAIN = {"name": "http", "protocol": "HTTP", "port": 80}


def test_the_listener_is_one_that_takes_hosts_of_the_suites_own() -> None:
    tls = {"name": "https", "protocol": "HTTPS", "port": 443}
    fixed = {**PLAIN, "name": "fixed", "hostname": "www.example.com"}
    wild = {**PLAIN, "name": "wild", "hostname": "*.example.com"}
    assert http_listener(gateway(tls, fixed, wild)) == wild
    assert http_listener(gateway(PLAIN)) == PLAIN
    with pytest.raises(ValueError, match="no HTTP listener"):
        http_listener(gateway(tls, fixed))


def test_the_address_is_the_first_of_the_status_with_the_listeners_port() -> None:
    assert status_address(gateway(addresses=("192.0.2.1", "192.0.2.2")), PLAIN) == "http://192.0.2.1:80"
    assert status_address(gateway(addresses=("2001:db8::1",)), PLAIN) == "http://[2001:db8::1]:80"
    assert status_address(gateway(), PLAIN) is None


def test_reports_hold_every_finding() -> None:
    found = [
        Finding(Need.KNOWS, "Pipes | are escaped.", Held.NO, "a | b"),
        Finding(Need.REQUIRES, "Weights work.", Held.YES, "100 of 2,000"),
    ]
    table = as_markdown({"gateway": "infra/public"}, found)
    assert table.index("Weights work.") < table.index("Pipes")
    assert "| knows | Pipes \\| are escaped. | no | a \\| b |" in table
    told = json.loads(as_json({"gateway": "infra/public"}, found))
    assert told["gateway"] == "infra/public"
    assert [row["held"] for row in told["findings"]] == ["no", "yes"]


def test_docs_know_every_behaviour() -> None:
    assert SUITE
    page = DOCS.read_text()
    rows = [line.strip("| ").split(" | ")[:2] for line in page.splitlines() if line.startswith("| ")]
    known = {behaviour: need for need, behaviour in (row for row in rows if len(row) == 2)}
    assert {sentence: known.get(sentence) for sentence in BEHAVIOURS} == dict(BEHAVIOURS)

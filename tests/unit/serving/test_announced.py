from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.serving.running import Case, Running, run

from serin_contract import announcements, ids, seals
from serin_contract.announcements import ANNOUNCEMENT_BYTES_MAX, Announced, Announcement, ShadowOrder
from serin_contract.keys import KeyRing, derive_ring
from serin_serving.announced import AnnouncementReason, Announcements
from serin_serving.connections import Connections

OTHER = derive_ring({"m2": b"2" * 32}, "m2", "uid-of-beer")
ROW = [13.2, 1.78, 2.14, 11.2, 100, 2.65, 2.76, 0.26, 1.28, 4.38, 1.05, 3.4, 1050]


@pytest.fixture
def pod() -> Announcements:
    return Announcements("pod-1", Connections())


@pytest.fixture(scope="module")
def announced(wine: Case, keys_file: Path) -> Iterator[Running]:
    with run(wine, keys_file) as running:
        yield running


REFUSED = {
    "an announcement of another deployment": (Announcement("pod-1", 9), OTHER, 401, AnnouncementReason.NotOurs),
    "one for another pod": (Announcement("pod-2", 9), None, 421, AnnouncementReason.OtherPod),
    "a repeated one": (Announcement("pod-1", 5, "wine-2.1.a"), None, 409, AnnouncementReason.NotHigher),
    "one that another has overtaken": (Announcement("pod-1", 4), None, 409, AnnouncementReason.NotHigher),
    "a cohort with a space": (Announcement("pod-1", 9, "a b"), None, 400, AnnouncementReason.Malformed),
    "a cohort of another alphabet": (Announcement("pod-1", 9, "é"), None, 400, AnnouncementReason.Malformed),
    "a shadow under a malformed cohort": (
        Announcement("pod-1", 9, shadow=ShadowOrder("a b", 10, [], 0)), None, 400, AnnouncementReason.Malformed
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_it_refuses_and_lets_the_former_hold(pod: Announcements, ring: KeyRing, name: str) -> None:
    announcement, signer, status, reason = REFUSED[name]
    assert pod.take(*announcements.encode(Announcement("pod-1", 5, "wine-2.1.a"), ring), ring) is None
    refusal = pod.take(*announcements.encode(announcement, signer or ring), ring)
    assert refusal is not None
    assert (refusal.status, refusal.reason) == (status, reason)
    assert pod.said() == Announced(5, "wine-2.1.a")


def test_a_refused_announcement_renews_no_connection(ring: KeyRing) -> None:
    connections = Connections()
    pod, connection = Announcements("pod-1", connections), connections.open()
    pod.take(*announcements.encode(Announcement("pod-2", 1, reconnect=True), ring), ring)
    assert not pod.closes(connection)


def test_the_next_announcement_replaces_the_whole_of_the_last(pod: Announcements, ring: KeyRing) -> None:
    shadow = ShadowOrder("wine-2.0.s", 50, ["10.0.0.7:8081"], 1000.5)
    pod.take(*announcements.encode(Announcement("pod-1", 1, "wine-2.1.a", True, True, shadow), ring), ring)
    assert pod.said() == Announced(1, "wine-2.1.a", True, "wine-2.0.s", 50, ["10.0.0.7:8081"], 1000.5)
    assert pod.shadow == shadow
    pod.take(*announcements.encode(Announcement("pod-1", 2), ring), ring)
    assert pod.said() == Announced(2)
    assert pod.shadow is None


PRECEDENCE = {
    "nothing was announced": ([], "wine-9.9.z", "wine-9.9.z"),
    "an announcement without a cohort": ([None], "wine-9.9.z", "wine-9.9.z"),
    "a cohort, and a caller that claims another": (["wine-2.1.a"], "wine-9.9.z", "wine-2.1.a"),
    "a cohort, and a caller that claims none": (["wine-2.1.a"], "", "wine-2.1.a"),
    "an empty cohort, and a caller that claims one": ([""], "wine-9.9.z", ""),
    "a cohort that was taken back": (["wine-2.1.a", None], "wine-9.9.z", "wine-9.9.z"),
}


@pytest.mark.parametrize("name", PRECEDENCE)
def test_the_cohort_after(pod: Announcements, ring: KeyRing, name: str) -> None:
    cohorts, header, expected = PRECEDENCE[name]
    for sequence, cohort in enumerate(cohorts):
        assert pod.take(*announcements.encode(Announcement("pod-1", sequence, cohort), ring), ring) is None
    assert pod.cohort_of(header) == expected


def test_a_request_counts_where_it_was_announced(announced: Running, ring: KeyRing) -> None:
    reply = announced.announce(ring, cohort="wine-2.1.a")
    assert (reply.status, reply.json["sequence"], reply.json["cohort"]) == (200, announced.announced, "wine-2.1.a")
    prediction_id = announced.infer([ROW], cohort="claimed").prediction_id
    stats = announced.stats()
    assert ids.verify(ring, prediction_id).cohort == "wine-2.1.a"
    assert stats["cohorts"]["wine-2.1.a"]["requests"] == 1
    assert "claimed" not in stats["cohorts"]
    assert stats["announced"] == reply.json


def test_a_repeated_announcement_is_told_what_holds(announced: Running, ring: KeyRing) -> None:
    holding = announced.announce(ring).json["sequence"]
    reply = announced.announce(ring, sequence=holding)
    assert (reply.status, reply.json["sequence"]) == (409, holding)
    assert str(holding) in reply.error


ON_THE_WIRE = {
    "no MAC": (b"{}", {}, 401, "the signature of this message does not hold"),
    "a MAC with letters of another alphabet": (
        b"{}", {"x_serin_announcement_mac": "m2.\xe9"}, 401, "the signature of this message does not hold"
    ),
    "a body that is too long": (b" " * (ANNOUNCEMENT_BYTES_MAX + 1), {}, 413, "the body is larger than 65536 bytes"),
}  # fmt: skip


@pytest.mark.parametrize("name", ON_THE_WIRE)
def test_a_stranger_is_refused_with(announced: Running, name: str) -> None:
    body, headers, status, sentence = ON_THE_WIRE[name]
    reply = announced.call("POST", "/serin/v1/announcement", body, stats=True, **headers)
    assert (reply.status, reply.json) == (status, {"error": sentence})


def test_a_signed_body_that_is_no_announcement_is_malformed(announced: Running, ring: KeyRing) -> None:
    body = b'{"pod_uid":"pod-1"}'
    signed = seals.seal(body, ring, announcements._PERSON)
    reply = announced.call("POST", "/serin/v1/announcement", body, stats=True, x_serin_announcement_mac=signed)
    assert reply.status == 400
    assert "missing required field `sequence`" in reply.error


def test_announcements_are_heard_on_the_stats_port_only(announced: Running) -> None:
    assert announced.call("POST", "/serin/v1/announcement", b"{}").status == 404


def test_the_metrics_count_what_was_taken_and_what_was_refused(announced: Running, ring: KeyRing) -> None:
    announced.announce(ring)
    announced.announce(ring, pod_uid="pod-2")
    text = announced.call("GET", "/metrics", stats=True).body.decode()
    assert '\nserin_server_announcements_total{deployment="wine",revision="wine-1"}' in text
    assert 'serin_server_announcements_refused_total{deployment="wine",reason="OtherPod",revision="wine-1"} 1.0' in text

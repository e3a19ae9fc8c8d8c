"""Which events lead to a pass."""

from __future__ import annotations

from typing import Any

import pytest

from serin_operator.main import WATCHED, Hints, kopf_settings
from serin_operator.runtime import resources
from serin_operator.runtime.queue import Key
from serin_operator.runtime.resources import Resource

M = Key("default", "m")


def body(generation: int = 1, labels: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    metadata = {"namespace": "default", "name": "m", "uid": "u", "generation": generation, "labels": labels or {}}
    return {"metadata": metadata | more}


@pytest.mark.parametrize(
    ("events", "last"),
    [
        pytest.param([(None, body())], M, id="the first listing"),
        pytest.param([("ADDED", body())], M, id="a new object"),
        pytest.param([("ADDED", body()), ("MODIFIED", body())], None, id="our own status write"),
        pytest.param([("ADDED", body()), ("MODIFIED", body(2))], M, id="a new spec"),
        pytest.param([("MODIFIED", body())], M, id="a change of an object that was not known"),
        pytest.param([("ADDED", body()), ("MODIFIED", body(deletionTimestamp="t"))], M, id="a deletion begins"),
        pytest.param([("ADDED", body()), ("DELETED", body())], M, id="it is gone"),
        pytest.param([("ADDED", body()), ("DELETED", body()), ("ADDED", body())], M, id="it is made again"),
        pytest.param([("ADDED", body()), (None, body())], M, id="a listing again, after a gap"),
    ],
)
def test_events_of_the_deployment_itself(events: list[tuple[str | None, dict[str, Any]]], last: Key | None) -> None:
    hints = Hints()
    assert [hints.key(resources.MODEL_DEPLOYMENT, *event) for event in events][-1] == last


@pytest.mark.parametrize("resource", [kind for kind in WATCHED if kind is not resources.MODEL_DEPLOYMENT])
def test_owned_objects_lead_to_their_deployment(resource: Resource) -> None:
    hints = Hints()
    ours = body(labels={"serin.dev/deployment": "m"})
    ours["metadata"]["name"] = "m-1-xyz"
    assert hints.key(resource, None, ours) == M
    assert hints.key(resource, None, body()) is None


def test_every_change_of_a_pod_counts_though_its_generation_stays() -> None:
    hints, pod = Hints(), body(labels={"serin.dev/deployment": "m"})
    assert [hints.key(resources.POD, kind, pod) for kind in ("ADDED", "MODIFIED", "MODIFIED")] == [M, M, M]


def test_kopf_writes_nothing_and_sees_only_our_objects() -> None:
    settings = kopf_settings()
    assert settings.scanning.disabled
    assert settings.peering.standalone
    assert not settings.posting.enabled
    assert len(settings.watching.label_selectors) == len(WATCHED) - 1
    assert set(settings.watching.label_selectors.values()) == {"serin.dev/deployment"}
    pauses = [list(settings.networking.error_backoffs) for _ in range(2)]
    assert len(pauses[0]) == 6
    assert pauses[0] != pauses[1]

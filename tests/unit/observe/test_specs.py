"""Our own kinds, read at the edge: what is malformed becomes a sentence."""

from __future__ import annotations

from typing import Any

import pytest

from serin_operator.observe import specs

SPEC: dict[str, Any] = {"model": {"uri": "pvc://models/wine/7"}, "traffic": {"parentRefs": [{"name": "public"}]}}
DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param({}, None, id="a valid spec"),
        pytest.param({"fromTheFuture": {"a": 1}}, None, id="a field that a newer CRD has"),
        pytest.param({"gates": {"accuracy": {"min": 1.5}}}, "spec.gates.accuracy.min: ", id="a number out of range"),
        pytest.param({"model": {}}, "spec.model.uri: Field required", id="a field is missing"),
        pytest.param(
            {"model": {}, "paused": "perhaps"}, "spec.model.uri: Field required (and 1 more)", id="two problems"
        ),
        pytest.param({"serving": 7}, "spec.serving: ", id="a value of another kind"),
    ],
)
def test_the_spec(change: dict[str, Any], said: str | None) -> None:
    spec, error = specs.spec_of({"spec": SPEC | change})
    if said is None:
        assert error is None
        assert spec is not None
    else:
        assert spec is None
        assert error is not None
        assert error.startswith(said)


def test_a_spec_that_is_missing_is_a_sentence_too() -> None:
    assert specs.spec_of({})[1] == "spec.model: Field required"


def test_a_malformed_value_is_not_quoted() -> None:
    _, error = specs.spec_of({"spec": SPEC | {"serving": {"env": [{"name": "hunter2 secret"}]}}})
    assert error is not None
    assert "hunter2" not in error


def test_what_a_newer_operator_wrote_does_not_hide_the_rest_of_the_status() -> None:
    raw = {"phase": "Rehearsing", "stable": {"revision": "m-1"}, "message": "x", "unknown": 1}
    status, error = specs.status_of({"status": raw})
    assert error is None
    assert (status.phase, status.message) == (None, "x")
    assert status.stable is not None
    assert status.stable.revision == "m-1"


@pytest.mark.parametrize("field", ["stable", "candidate", "rejected"])
def test_nothing_is_decided_where_what_decisions_rest_on_is_lost(field: str) -> None:
    _, error = specs.status_of({"status": {field: 7}})
    assert error is not None
    assert error.startswith(f"status.{field} cannot be read: ")


def revision(**change: Any) -> dict[str, Any]:
    spec = {"deployment": "m", "identity": "1", "model": {"uri": "u", "digest": DIGEST}, "template": {"spec": {}}}
    metadata = {"name": "m-1", "uid": "u1", "resourceVersion": "5", "creationTimestamp": "2026-11-01T00:00:00Z"}
    return {"metadata": metadata, "spec": spec, **change}


def test_a_revision() -> None:
    facts, error = specs.revision_of(revision(status={"verdict": "Trial", "evidence": {"a": [1]}}))
    assert error is None
    assert facts is not None
    assert (facts.name, facts.resource_version, facts.created_at) == ("m-1", "5", 1793491200.0)
    assert facts.status.evidence == {"a": [1]}


def test_a_revision_that_cannot_be_read_is_a_sentence() -> None:
    facts, error = specs.revision_of(revision(spec={"deployment": "m"}))
    assert facts is None
    assert error is not None
    assert error.startswith("ModelRevision m-1 cannot be read: spec.identity: ")

"""Where `serin explain` reads: which revision the gates speak of, from a file and from a cluster."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from tests.support.fake_api import FakeApi, serving
from tests.unit.judge.bins_build import profile

from serin_cli.explain.source import Known, from_cluster, from_file
from serin_contract import labels
from serin_contract import profile as profiles

SPEC = {"model": {"uri": "pvc://models/wine/2"}}
AT = "2026-01-01T00:00:00Z"
PROFILE = profile()
ROLLBACK = {"from": "m-2", "to": "m-1", "gate": "accuracy", "evidence": "e", "time": AT}


def ended(revision: str, outcome: str) -> dict[str, str]:
    return {"revision": revision, "outcome": outcome, "reason": "r", "time": AT}


def a_deployment(status: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": "wine", "namespace": "shop"}
    return {"kind": "ModelDeployment", "metadata": metadata, "spec": SPEC, "status": status}


def a_revision(name: str, deployment: str = "wine") -> dict[str, Any]:
    status = {"evidence": {"of": name}}
    return {"kind": "ModelRevision", "metadata": {"name": name}, "spec": {"deployment": deployment}, "status": status}


def a_config_map(revision: str) -> dict[str, Any]:
    metadata = {"name": f"{revision}-stable-profile", "namespace": "shop"}
    text = profiles.encode(PROFILE).decode()
    return {"kind": "ConfigMap", "metadata": metadata, "data": {labels.STABLE_PROFILE_FILE: text}}


SUBJECTS: list[tuple[str, dict[str, Any], str | None]] = [
    ("nothing was tried yet", {}, None),
    ("what is on trial", {"candidate": {"revision": "m-4"}, "history": [ended("m-3", "Promoted")]}, "m-4"),
    (
        "what is watched",
        {
            "watch": {"revision": "m-3", "since": AT, "until": AT, "cohort": "watch.m-3.1.ab"},
            "history": [ended("m-2", "Rejected")],
        },
        "m-3",
    ),
    (
        "what was promoted last, though another was rejected before",
        {
            "history": [ended("m-3", "Promoted"), ended("m-2", "Rejected")],
            "lastRollback": ROLLBACK,
            "rejected": [{"revision": "m-2", "reason": "r", "time": AT}],
        },
        "m-3",
    ),
    (
        "what was rejected last, though another was promoted before",
        {"history": [ended("m-2", "Rejected"), ended("m-1", "Promoted")], "lastRollback": ROLLBACK},
        "m-2",
    ),
    ("what was rolled back, where no history is kept", {"lastRollback": ROLLBACK}, "m-2"),
]


@pytest.mark.parametrize(("status", "subject"), [row[1:] for row in SUBJECTS], ids=[row[0] for row in SUBJECTS])
def test_the_gates_speak_of(status: dict[str, Any], subject: str | None, tmp_path: Path) -> None:
    path = tmp_path / "wine.yaml"
    path.write_text(json.dumps({"kind": "List", "items": [a_deployment(status), a_revision("m-3"), a_revision("m-2")]}))
    known = from_file(path, "wine")
    assert known.subject == subject
    assert known.evidence == ({"of": subject} if subject in ("m-2", "m-3") else None)


def test_a_file_may_hold_the_config_map_with_stables_profile(tmp_path: Path) -> None:
    trial = a_deployment({"candidate": {"revision": "m-2"}})
    path = tmp_path / "wine.yaml"
    path.write_text(yaml.safe_dump_all([trial, a_config_map("m-1"), a_config_map("m-2")]))
    assert from_file(path, None).profile == PROFILE
    path.write_text(yaml.safe_dump_all([trial, a_config_map("m-1")]))
    assert from_file(path, None).profile is None


@pytest.fixture
async def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeApi]:
    """A server that a kubeconfig leads to, with a trial in the namespace of its context."""
    found = FakeApi()
    async with serving(found):
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(
            json.dumps(
                {
                    "current-context": "here",
                    "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u", "namespace": "shop"}}],
                    "clusters": [{"name": "c", "cluster": {"server": found.url}}],
                    "users": [{"name": "u", "user": {"token": "t"}}],
                }
            )
        )
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
        monkeypatch.setenv("no_proxy", "*")
        found.put("modeldeployments", a_deployment({"candidate": {"revision": "m-2"}}))
        for revision in (a_revision("m-2"), a_revision("n-1", deployment="other")):
            revision["metadata"]["namespace"] = "shop"
            found.put("modelrevisions", revision)
        yield found


async def read(*words: Any) -> Known:
    return await asyncio.to_thread(from_cluster, *words)


async def test_a_cluster_is_read_with_the_kubeconfigs_namespace(api: FakeApi) -> None:
    api.put("configmaps", a_config_map("m-2"))
    known = await read(None, "wine", None)
    assert (known.namespace, known.name, known.subject) == ("shop", "wine", "m-2")
    assert known.revisions.keys() == {"m-2"}, "those of another ModelDeployment are not its own"
    assert known.evidence == {"of": "m-2"}
    assert known.profile == PROFILE
    assert not api.writes()


REFUSED = [
    ("no config map is there", None, 404),
    ("no config map may be read", "configmaps", 403),
]


@pytest.mark.parametrize(("plural", "status"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
async def test_the_rest_is_explained_where(api: FakeApi, plural: str | None, status: int) -> None:
    if plural is not None:
        api.put("configmaps", a_config_map("m-2"))
        api.fail("GET", plural, status)
    known = await read("shop", "wine", "here")
    assert (known.subject, known.profile) == ("m-2", None)


async def test_what_is_not_there_is_named_with_its_namespace(api: FakeApi) -> None:
    with pytest.raises(click.ClickException, match="no ModelDeployment 'wine' in the namespace 'elsewhere'"):
        await read("elsewhere", "wine", None)


async def test_a_refusal_of_the_api_server_is_told(api: FakeApi) -> None:
    api.fail("GET", "modelrevisions", 403)
    with pytest.raises(click.ClickException, match="The API server refused: 403"):
        await read(None, "wine", None)


async def test_a_server_that_is_gone_is_told(api: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").write_text((tmp_path / "kubeconfig").read_text().replace(api.url, "http://127.0.0.1:9"))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "gone"))
    with pytest.raises(click.ClickException, match="does not answer"):
        await read(None, "wine", None)


def test_without_a_kubeconfig_one_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(click.ClickException, match="Name a kubeconfig in KUBECONFIG, or use --file"):
        from_cluster(None, "wine", None)

"""`hf://` and `mlflow://`, at servers that answer as the hub and the tracking server do."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl

import pytest
from tests.support import stores
from tests.support.web import Asked, Certificate, Reply, Web
from tests.unit.serving.fetch.conftest import Pod


@pytest.mark.parametrize(
    ("uri", "below"),
    [
        ("hf://owner/repo", "/owner/repo/resolve/main"),
        ("hf://owner/repo@v1.0/bundles/wine", "/owner/repo/resolve/v1.0/bundles/wine"),
    ],
)
def test_files_of_the_hub_come_by_their_revision(web: Web, pod: Pod, uri: str, below: str) -> None:
    web.put(pod.case.path, below)
    pod.credential(HF_ENDPOINT=web.url, HF_TOKEN="hf_abc")
    assert pod.fetch(uri) == pod.whole()
    assert {asked.headers.get("Authorization") for asked in web.asked} == {"Bearer hf_abc"}


def test_large_files_of_the_hub_come_from_another_host_without_the_token(
    web: Web, tls: Web, pod: Pod, certificate: Certificate
) -> None:
    web.put(pod.case.path, "/owner/repo/resolve/main")
    model = "/owner/repo/resolve/main/model.skops"
    tls.files["/xet/abc"] = web.files[model]
    web.answers[model] = Reply(status=302, headers={"Location": f"{tls.url}/xet/abc?X-Amz-Signature=1"})
    pod.credential(**{"HF_ENDPOINT": web.url, "HF_TOKEN": "hf_abc", "ca.crt": certificate.file.read_text()})
    assert pod.fetch("hf://owner/repo") == pod.whole()
    (asked,) = tls.asked
    assert (asked.query, asked.headers.get("Authorization")) == ("X-Amz-Signature=1", None)


# MLflow.

API = "/api/2.0/mlflow"
PROXY = "/api/2.0/mlflow-artifacts/artifacts"


class Tracker:
    """A tracking server with one registered model, `red wine`, whose version 7 is the champion."""

    def __init__(self, web: Web) -> None:
        self.web, self.place = web, "mlflow-artifacts:/1/run/artifacts"
        web.answers[f"{API}/registered-models/alias"] = self._alias
        web.answers[f"{API}/model-versions/get-download-uri"] = self._version
        self.uri = f"mlflow+http://{web.host}/red%20wine"

    def _alias(self, asked: Asked) -> Reply:
        known = dict(parse_qsl(asked.query)) == {"name": "red wine", "alias": "champion"}
        return _json({"model_version": {"name": "red wine", "version": "7"}}) if known else Reply(b"{}", 404)

    def _version(self, asked: Asked) -> Reply:
        known = dict(parse_qsl(asked.query)) == {"name": "red wine", "version": "7"}
        return _json({"artifact_uri": self.place}) if known else Reply(b"{}", 404)


def _json(document: Any) -> Reply:
    return Reply(json.dumps(document).encode())


@pytest.fixture
def tracker(web: Web) -> Tracker:
    return Tracker(web)


@pytest.mark.parametrize("version", ["/7", "@champion", "/7/serin", "@champion/serin"])
@pytest.mark.parametrize(
    "place", ["mlflow-artifacts:/1/run/artifacts", "mlflow-artifacts://host:5000/1/run/artifacts/"]
)
def test_a_version_comes_from_the_tracking_server(
    web: Web, pod: Pod, tracker: Tracker, version: str, place: str
) -> None:
    tracker.place = place
    web.put(pod.case.path, f"{PROXY}/1/run/artifacts{'/serin' if 'serin' in version else ''}")
    pod.credential(MLFLOW_TRACKING_USERNAME="ann", MLFLOW_TRACKING_PASSWORD="pw")
    assert pod.fetch(tracker.uri + version) == pod.whole()
    assert {asked.headers.get("Authorization") for asked in web.asked} == {"Basic YW5uOnB3"}


def test_a_version_comes_from_the_store_that_the_registry_names(web: Web, pod: Pod, tracker: Tracker) -> None:
    tracker.place = "s3://models/runs/1"
    web.put(pod.case.path, "/models/runs/1/serin")
    for path in list(web.files):
        web.answers[path] = lambda asked: None if stores.signed_for_s3(asked) else Reply(status=403)
    pod.credential(
        AWS_ACCESS_KEY_ID=stores.S3_KEY, AWS_SECRET_ACCESS_KEY=stores.S3_SECRET, AWS_ENDPOINT_URL=web.url,
        MLFLOW_TRACKING_TOKEN="t0ken",
    )  # fmt: skip
    assert pod.fetch(f"{tracker.uri}/7/serin") == pod.whole()
    assert {asked.headers.get("Authorization") for asked in web.asked if asked.path.startswith("/models")} == {None}


def test_a_version_in_azure_is_named_as_hadoop_names_it(web: Web, pod: Pod, tracker: Tracker) -> None:
    tracker.place = "wasbs://models@account1.blob.core.windows.net/runs/1"
    web.put(pod.case.path, "/models/runs/1")
    pod.credential(AZURE_STORAGE_ENDPOINT=web.url)
    assert pod.fetch(f"{tracker.uri}/7") == pod.whole()


@pytest.mark.parametrize(
    ("version", "place", "reason", "words"),
    [
        pytest.param("/8", "", "BundleMissing", "version: it is not there", id="no such version"),
        pytest.param("@loser", "", "BundleMissing", "version: it is not there", id="no such alias"),
        pytest.param("/7", "file:///mlruns/1", "SourceRefused", "nothing is fetched from", id="a disk of the server"),
        pytest.param("/7", "http://10.0.0.1/x", "SourceRefused", "nothing is fetched from", id="another web server"),
        pytest.param("/7", "s3://Models", "SourceRefused", "nothing is fetched from", id="a bucket that is none"),
        pytest.param("/7", 7, "SourceRefused", "cannot be read", id="a place that is no text"),
    ],
)
def test_a_bad_registry_gets_its_reason_and_a_sentence(
    pod: Pod, tracker: Tracker, version: str, place: Any, reason: str, words: str
) -> None:
    tracker.place = place
    refused = pod.refusal(tracker.uri + version)
    assert (refused.reason, words in refused.message) == (reason, True), refused.message


def test_a_login_page_where_an_answer_should_be(web: Web, pod: Pod, tracker: Tracker) -> None:
    web.answers[f"{API}/model-versions/get-download-uri"] = Reply(b"<html>secret words")
    refused = pod.refusal(f"{tracker.uri}/7")
    assert (refused.reason, refused.message) == ("SourceRefused", "the registry answered with what is no JSON")

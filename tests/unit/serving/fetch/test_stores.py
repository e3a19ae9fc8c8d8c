"""`s3://`, `gs://` and `az://`, at servers that check the signature as the clouds document it."""

from __future__ import annotations

import json

import pytest
from tests.support import stores
from tests.support.web import Reply, Web
from tests.unit.serving.fetch.conftest import Pod

BELOW = "/models/team/wine+7"
S3 = {"AWS_ACCESS_KEY_ID": stores.S3_KEY, "AWS_SECRET_ACCESS_KEY": stores.S3_SECRET, "AWS_REGION": "eu-west-1"}


@pytest.fixture(scope="session")
def google(tmp_path_factory: pytest.TempPathFactory) -> stores.GoogleKey:
    return stores.GoogleKey(tmp_path_factory.mktemp("google"))


def account(web: Web, key: stores.GoogleKey) -> str:
    """A service account's key file, for a store at the server."""
    return json.dumps({"type": "service_account", "client_email": "wine@project.iam", "private_key_id": "1",
                       "private_key": key.private, "gcs_base_url": web.url})  # fmt: skip


def test_objects_of_s3_are_signed_and_taken_up_where_they_stopped(web: Web, pod: Pod) -> None:
    web.put(pod.case.path, BELOW)
    stores.guarded(web, stores.signed_for_s3)
    web.answers[f"{BELOW}/model.skops"] = [Reply(web.files[f"{BELOW}/model.skops"], cut=1000)]
    pod.credential(**S3, AWS_ENDPOINT_URL=web.url)
    assert pod.fetch("s3://models/team/wine+7") == pod.whole()
    assert web.asked[-1].headers["Host"] == web.host
    assert "bytes=1000-" in [asked.headers.get("Range") for asked in web.asked]


def test_objects_of_google_are_signed_by_the_service_account(web: Web, pod: Pod, google: stores.GoogleKey) -> None:
    web.put(pod.case.path, "/models/team/wine_7")
    stores.guarded(web, google.signed)
    pod.credential(GOOGLE_SERVICE_ACCOUNT_KEY=account(web, google))
    assert pod.fetch("gs://models/team/wine_7") == pod.whole()


def test_blobs_of_azure_are_signed_by_the_accounts_key(web: Web, pod: Pod) -> None:
    web.put(pod.case.path, f"/account1{BELOW}")
    stores.guarded(web, lambda asked: stores.signed_for_azure(asked, "account1"))
    pod.credential(AZURE_STORAGE_ACCOUNT_KEY=stores.AZ_KEY, AZURE_STORAGE_ENDPOINT=f"{web.url}/account1")
    assert pod.fetch("az://account1/models/team/wine+7") == pod.whole()


def test_blobs_of_azure_are_opened_by_a_shared_access_signature(web: Web, pod: Pod) -> None:
    web.put(pod.case.path, "/models/wine")
    stores.guarded(web, lambda asked: asked.query == "sv=1&sig=abc")
    pod.credential(AZURE_STORAGE_SAS_TOKEN="?sv=1&sig=abc\n", AZURE_STORAGE_ENDPOINT=web.url)
    assert pod.fetch("az://account1/models/wine") == pod.whole()


@pytest.mark.parametrize(
    ("uri", "endpoint"),
    [
        ("s3://models/wine", "AWS_ENDPOINT_URL"),
        ("gs://models/wine", "GOOGLE_ENDPOINT_URL"),
        ("az://account1/models/wine", "AZURE_STORAGE_ENDPOINT"),
    ],
)
def test_what_is_public_needs_no_key(web: Web, pod: Pod, uri: str, endpoint: str) -> None:
    web.put(pod.case.path, "/models/wine")
    pod.credential(**{endpoint: web.url})
    assert pod.fetch(uri) == pod.whole()
    assert {asked.query for asked in web.asked} == {""}


@pytest.mark.parametrize(
    ("uri", "host"),
    [
        ("s3://models/wine", "s3.us-east-1.amazonaws.com"),
        ("gs://models/wine", "storage.googleapis.com"),
        ("az://account1/models/wine", "account1.blob.core.windows.net"),
    ],
)
def test_a_store_is_at_its_usual_place_and_its_address_is_checked_like_any(pod: Pod, uri: str, host: str) -> None:
    pod.names[host] = ["10.0.0.1"]
    refused = pod.refusal(uri)
    assert (refused.reason, f"{host} leads to an address" in refused.message) == ("SourceRefused", True)


BAD = [
    ("a wrong key", "s3://models/wine", {**S3, "AWS_SECRET_ACCESS_KEY": "guessed"}, "SourceDenied", "status 403"),
    ("half a key", "s3://models/wine", {"AWS_ACCESS_KEY_ID": "AKID"}, "SettingsInvalid", "no URL can be signed"),
    ("a key of two lines", "s3://models/wine", {"AWS_ACCESS_KEY_ID": "A\nB"}, "SettingsInvalid", "one line"),
    ("an endpoint that is none", "s3://models/wine", {"AWS_ENDPOINT_URL": "minio:9"}, "SettingsInvalid", "no URL"),
    ("an endpoint with a password", "s3://models/wine", {"AWS_ENDPOINT_URL": "http://a:hush@b"}, "SettingsInvalid", ""),
    ("a service account that is none", "gs://models/wine", {"service-account.json": "{hush"}, "SettingsInvalid", ""),
    ("an account key that is none", "az://a12/mm1/w", {"AZURE_STORAGE_ACCOUNT_KEY": "hush!"}, "SettingsInvalid", ""),
    ("an authority that is none", "s3://models/wine", {"ca.crt": "hush"}, "SettingsInvalid", "holds no certificate"),
    ("a value of megabytes", "s3://models/wine", {"AWS_REGION": "x" * 70_000}, "SettingsInvalid", "more than 64 KiB"),
]  # fmt: skip


@pytest.mark.parametrize(("uri", "secret", "reason", "words"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_credentials_that_cannot_be_used_are_named_and_not_quoted(
    web: Web, pod: Pod, uri: str, secret: dict[str, str], reason: str, words: str
) -> None:
    stores.guarded(web, stores.signed_for_s3)
    pod.credential(**({"AWS_ENDPOINT_URL": web.url} | secret))
    refused = pod.refusal(uri)
    assert (refused.reason, words in refused.message) == (reason, True), refused.message
    for value in ("hush", "guessed", "A\nB"):
        assert value not in f"{refused.message}{refused.__cause__!r}{refused.__context__!r}"

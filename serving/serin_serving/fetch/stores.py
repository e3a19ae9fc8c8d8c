"""`s3://`, `gs://` and `az://`: obstore signs the URL of each object, and the one transport gets it.

A store's own client would look names up and connect by itself, past the rule of addresses. Signing needs no
connection: with a key the URL is signed for an hour, without one the object must be public. Nothing is ever asked of
a metadata address for credentials of the node.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from serin_contract.startup import StartupReason
from serin_serving.errors import RefusedError
from serin_serving.fetch.credentials import Credentials
from serin_serving.fetch.source import Directory, quoted
from serin_serving.fetch.transport import Target

SIGNED_FOR = timedelta(hours=1)
S3_REGION = "us-east-1"
GS_ENDPOINT = "https://storage.googleapis.com"


def s3(uri: str, credentials: Credentials) -> Directory:
    """An S3 bucket, or one of a store that speaks S3, under AWS_ENDPOINT_URL."""
    bucket, root = _divided(uri)
    region = credentials.line("AWS_REGION") or S3_REGION
    endpoint = _endpoint(credentials, "AWS_ENDPOINT_URL", f"https://s3.{region}.amazonaws.com")
    config = {
        "access_key_id": credentials.line("AWS_ACCESS_KEY_ID"),
        "secret_access_key": credentials.line("AWS_SECRET_ACCESS_KEY"),
        "session_token": credentials.line("AWS_SESSION_TOKEN"),
    }

    def made(path: str) -> Target:
        what = f"{path} of bucket {bucket}"
        if config["access_key_id"] is None:
            return Target(f"{endpoint}/{quoted(bucket)}/{quoted(path)}", what)
        return _signed("S3Store", bucket, path, {**config, "region": region, "endpoint": endpoint}, what)

    return Directory(root, made)


def gs(uri: str, credentials: Credentials) -> Directory:
    """A bucket of Google Cloud Storage, signed by the key of a service account."""
    bucket, root = _divided(uri)
    endpoint = _endpoint(credentials, "GOOGLE_ENDPOINT_URL", GS_ENDPOINT)
    key = credentials.text("GOOGLE_SERVICE_ACCOUNT_KEY") or credentials.text("service-account.json")

    def made(path: str) -> Target:
        what = f"{path} of bucket {bucket}"
        if key is None:
            return Target(f"{endpoint}/{quoted(bucket)}/{quoted(path)}", what)
        return _signed("GCSStore", bucket, path, {"service_account_key": key}, what)

    return Directory(root, made)


def az(uri: str, credentials: Credentials) -> Directory:
    """A container of an Azure storage account: by its key, a SAS token, or public."""
    account, rest = _divided(uri)
    container, _, root = rest.partition("/")
    endpoint = _endpoint(credentials, "AZURE_STORAGE_ENDPOINT", f"https://{account}.blob.core.windows.net")
    key, token = credentials.line("AZURE_STORAGE_ACCOUNT_KEY"), credentials.line("AZURE_STORAGE_SAS_TOKEN")

    def made(path: str) -> Target:
        what = f"{path} of container {container}"
        if key is not None:
            config = {"account_name": account, "account_key": key, "endpoint": endpoint}
            return _signed("AzureStore", container, path, config, what)
        query = f"?{token.removeprefix('?')}" if token else ""
        return Target(f"{endpoint}/{quoted(container)}/{quoted(path)}{query}", what, is_signed=bool(query))

    return Directory(root, made)


def _signed(store: str, bucket: str, path: str, config: Mapping[str, Any], what: str) -> Target:
    # Only these three schemes need it, and none of the others should wait for it or have it.
    import obstore
    from obstore import store as stores

    options = {name: value for name, value in config.items() if value is not None}
    try:
        made = getattr(stores, store)(bucket, config=options, client_options={"allow_http": True})
        return Target(obstore.sign(made, "GET", path, SIGNED_FOR), what, is_signed=True)
    except Exception as error:  # noqa: BLE001 - its errors have no common class and may quote the key
        kind = type(error).__name__
        raise RefusedError(
            StartupReason.SettingsInvalid, f"{what}: no URL can be signed with these credentials ({kind})"
        ) from None


def _divided(uri: str) -> tuple[str, str]:
    """The first part and the rest of the path."""
    first, _, rest = uri.partition("://")[2].partition("/")
    return first, rest.strip("/")


def _endpoint(credentials: Credentials, key: str, default: str) -> str:
    """Where the store is: the usual place, or another one that the Secret names."""
    text = credentials.line(key) or default
    try:
        url = urlsplit(text)
        good = url.scheme in ("http", "https") and url.hostname and not (url.query or url.fragment or url.username)
    except ValueError:
        good = False
    if not good:
        raise RefusedError(
            StartupReason.SettingsInvalid, f"{key} of the credentials is no URL such as https://store.example.com"
        )
    return text.rstrip("/")

"""`mlflow://server/model/version`: the registry says where the version's artefacts lie, and they come from there."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, unquote, urlencode, urlsplit

import msgspec

from serin_contract import sources
from serin_contract.startup import StartupReason
from serin_serving.errors import RefusedError
from serin_serving.fetch import stores
from serin_serving.fetch.credentials import Credentials, header
from serin_serving.fetch.download import Downloads
from serin_serving.fetch.source import Directory, quoted, refused
from serin_serving.fetch.transport import Target

ANSWER_BYTES_MAX = 256 * 1024
KEYS = ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
_STORES = {"s3": stores.s3, "gs": stores.gs, "az": stores.az}


def registered(uri: str, credentials: Credentials, downloads: Downloads) -> Directory:
    """A version of a registered model, by its number or by an alias.

    Raises:
        RefusedError: the registry does not know it, or keeps it where nothing is fetched from.
    """
    scheme, _, rest = uri.partition("://")
    host, _, rest = rest.partition("/")
    origin = f"{'http' if scheme == 'mlflow+http' else 'https'}://{host}"
    named, _, path = rest.partition("/")
    tracker = _Tracker(origin, credentials, downloads)
    name, _, alias = named.partition("@")
    # Names may hold spaces, which a URI cannot.
    name = unquote(name)
    if alias:
        version, root = tracker.version_of(name, alias), path
    else:
        version, _, root = path.partition("/")
    return tracker.artefacts(tracker.place(name, version), root)


class _Tracker:
    """A tracking server's REST API."""

    def __init__(self, origin: str, credentials: Credentials, downloads: Downloads) -> None:
        self._origin, self._credentials, self._downloads = origin, credentials, downloads
        self._secret = header(credentials.authorization(KEYS))

    def version_of(self, name: str, alias: str) -> str:
        answer = self._asked("registered-models/alias", {"name": name, "alias": alias})
        match answer:
            case {"model_version": {"version": str(version) | int(version)}}:
                return str(version)
        raise refused("the registry's answer to an alias cannot be read")

    def place(self, name: str, version: str) -> str:
        """The artefact URI of a version."""
        answer = self._asked("model-versions/get-download-uri", {"name": name, "version": version})
        match answer:
            case {"artifact_uri": str(place)}:
                return place.rstrip("/")
        raise refused("the registry's answer to a version cannot be read")

    def artefacts(self, place: str, root: str) -> Directory:
        """The directory below the place, from the tracking server itself or from a store."""
        scheme, _, rest = place.partition(":")
        within = f"/{root}" if root else ""
        if scheme == "mlflow-artifacts":
            # Written with a host or without, it is the tracking server that hands these out.
            path = urlsplit(place).path.strip("/")
            return Directory(f"{path}{within}", self._artefact)
        if scheme in ("wasbs", "abfss"):
            container, _, host = rest.strip("/").partition("@")
            account, path = host.partition(".")[0], host.partition("/")[2]
            place, scheme = f"az://{account}/{container}/{path}", "az"
        if scheme not in _STORES or sources.kind(f"{place}{within}") != scheme:
            raise refused(
                "the registry keeps this version where nothing is fetched from; let the tracking server hand artefacts "
                "out, or keep them in s3, gs or az"
            )
        return _STORES[scheme](f"{place}{within}", self._credentials)

    def _artefact(self, path: str) -> Target:
        url = f"{self._origin}/api/2.0/mlflow-artifacts/artifacts/{quoted(path)}"
        return Target(url, f"{path.rpartition('/')[2]} of the registered model", {}, self._secret)

    def _asked(self, call: str, parameters: dict[str, str]) -> Any:
        query = urlencode(parameters, quote_via=quote)
        url = f"{self._origin}/api/2.0/mlflow/{call}?{query}"
        target = Target(url, "the registered model's version", {"Accept": "application/json"}, self._secret)
        _, _, body = self._downloads.small(target, ANSWER_BYTES_MAX)
        try:
            return msgspec.json.decode(body)
        except msgspec.DecodeError as error:
            raise RefusedError(StartupReason.SourceRefused, "the registry answered with what is no JSON") from error

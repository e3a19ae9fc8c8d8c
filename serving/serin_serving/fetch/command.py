"""`serin-serving fetch`: what the init container runs, set up by its environment and the files of one Secret."""

from __future__ import annotations

import ipaddress
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from serin_contract import labels, sources
from serin_contract.addresses import IPNetwork
from serin_contract.startup import StartupReason
from serin_serving import settings
from serin_serving.errors import RefusedError
from serin_serving.fetch import bundle, cache, hub, mlflow, oci, stores
from serin_serving.fetch.connect import Clock, Connector, Resolve
from serin_serving.fetch.credentials import Credentials
from serin_serving.fetch.download import Downloads
from serin_serving.fetch.source import Source
from serin_serving.fetch.transport import Transport
from serin_serving.signers import signers_of

TOTAL_SECONDS = 540.0
"""Less than the resolve pod may run, so that it can still say what was wrong."""
ENV_CREDENTIALS_DIR = "SERIN_CREDENTIALS_DIR"
AUTHORITIES_KEY = "ca.crt"

_log = logging.getLogger(__name__)


def run(
    env: Mapping[str, str],
    resolve: Resolve | None = None,
    pause: Callable[[float], None] = time.sleep,
    total_seconds: float | None = None,
) -> None:
    """Fetch the bundle of SERIN_MODEL_URI into SERIN_BUNDLE_DIR.

    Args:
        env: the container's environment.
        resolve: looks names up; the system's resolver by default.
        pause: waits between two tries.
        total_seconds: the time that the fetch has in all; TOTAL_SECONDS by default.

    Raises:
        RefusedError: the settings, the source or the bundle are not as they must be, or the source did not answer.
    """
    uri = env.get(labels.ENV_MODEL_URI, "")
    if not sources.is_fetched(uri) or ".." in uri.split("/"):
        raise RefusedError(StartupReason.SourceRefused, "spec.model.uri names no place that bundles are fetched from")
    directory, pinned = settings.bundle_dir(env), settings.pinned_digest(env, required=False)
    check_signed = signers_of(settings.signers_dir(env))
    if bundle.is_there(directory, pinned, check_signed):
        _log.info("the bundle %s is there already", pinned)
        return
    kept = cache.from_env(env)
    if kept is not None and pinned is not None and kept.take(pinned, directory, check_signed):
        _log.info("the bundle %s comes from the cache", pinned)
        return
    credentials = Credentials(Path(env.get(ENV_CREDENTIALS_DIR, labels.CREDENTIALS_MOUNT)))
    clock = Clock(TOTAL_SECONDS if total_seconds is None else total_seconds)
    connector = Connector(clock, _ranges(env), credentials.text(AUTHORITIES_KEY), resolve)
    downloads = Downloads(Transport(connector), clock, pause)
    try:
        found = source(uri, credentials, downloads)
        digest = bundle.fetch(found, directory, pinned, downloads, clock, check_signed)
    except OSError as error:
        raise RefusedError(
            StartupReason.SourceUnavailable, f"the bundle cannot be written to its volume: {error.strerror}"
        ) from error
    _log.info("fetched: the bundle has digest %s", digest)
    if kept is not None:
        kept.keep(digest, directory, clock)


def source(uri: str, credentials: Credentials, downloads: Downloads) -> Source:
    """The place of a URI.

    Raises:
        RefusedError: it is none, or a registry does not lead on to one.
    """
    match sources.kind(uri):
        case "http":
            return hub.web(uri, credentials)
        case "hf":
            return hub.hugging_face(uri, credentials)
        case "s3":
            return stores.s3(uri, credentials)
        case "gs":
            return stores.gs(uri, credentials)
        case "az":
            return stores.az(uri, credentials)
        case "oci":
            return oci.artefact(uri, credentials, downloads)
        case "mlflow":
            return mlflow.registered(uri, credentials, downloads)
    raise RefusedError(StartupReason.SourceRefused, "spec.model.uri names no place that bundles are fetched from")


def _ranges(env: Mapping[str, str]) -> tuple[IPNetwork, ...]:
    try:
        words = env.get(labels.ENV_FETCH_RANGES, "").split(",")
        return tuple(ipaddress.ip_network(word.strip()) for word in words if word.strip())
    except ValueError as error:
        raise RefusedError(
            StartupReason.SettingsInvalid, f"{labels.ENV_FETCH_RANGES} must be ranges such as 10.0.0.0/8"
        ) from error

"""The operator's settings, read from the environment once and validated with a sentence."""

from __future__ import annotations

import ipaddress
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from serin_contract.addresses import IPNetwork
from serin_operator.errors import SettingsError

_GATEWAY = re.compile(r"[a-z0-9-]+/[a-z0-9.-]+")
_URL = re.compile(r"https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?/?")
"""No path, query or user: what is asked is always the same."""
_BASE_URL = re.compile(r"https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(/[A-Za-z0-9._~-]+)*/?")
"""A path as well, for a Prometheus that lives below one."""
_HOST = re.compile(r"([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


@dataclass(frozen=True)
class Settings:
    """How this process runs. Times are in seconds."""

    namespace: str
    pod_name: str
    serving_image: str
    master_keys_dir: Path
    poll_seconds: float = 1.0
    """Between two polls of serving pods while a candidate takes traffic."""
    resync_seconds: float = 300.0
    workers: int = 4
    http_port: int = 8080
    log_format: Literal["json", "text"] = "json"
    log_level: str = "INFO"
    gateway_addresses: Mapping[str, str] = field(default_factory=dict)
    """URLs to send probes to, by `namespace/name` of a Gateway whose published address does not lead there."""
    prometheus_url: str | None = None
    """Of the Prometheus that custom gates may query; None keeps queries off."""
    custom_hosts: frozenset[str] = frozenset()
    """`host` or `host:port` of the JSON documents that custom gates may read; none keeps them off."""
    custom_ranges: tuple[IPNetwork, ...] = ()
    """Loopback, link-local or metadata ranges that those hosts may have addresses in all the same."""
    artefact_ranges: tuple[IPNetwork, ...] = ()
    """Ranges that bundles may be fetched from although their addresses are not public."""
    record_dir: Path | None = None
    """Where each (Observation, Plan) that changed something is written as JSON; None records nothing."""
    record_mebibytes: int = 200
    """How much of them is kept, the newest."""


def read(environment: Mapping[str, str] | None = None) -> Settings:
    """The settings of this process.

    Raises:
        SettingsError: a variable is missing or malformed; the text names it and says what it should be.
    """
    env = os.environ if environment is None else environment
    record_dir = env.get("SERIN_RECORD_DIR")
    log_format = env.get("SERIN_LOG_FORMAT", "json")
    if log_format not in ("json", "text"):
        raise SettingsError(f"SERIN_LOG_FORMAT is {log_format!r}; write json or text")
    log_level = env.get("SERIN_LOG_LEVEL", "INFO").upper()
    if log_level not in LOG_LEVELS:
        raise SettingsError(f"SERIN_LOG_LEVEL is {log_level!r}; write one of {', '.join(LOG_LEVELS)}")
    return Settings(
        namespace=_required(env, "SERIN_NAMESPACE", "the operator's own namespace"),
        pod_name=_required(env, "SERIN_POD_NAME", "the name of this pod"),
        serving_image=_required(env, "SERIN_SERVING_IMAGE", "the image of serving pods"),
        master_keys_dir=Path(env.get("SERIN_MASTER_KEYS_DIR", "/etc/serin/master")),
        poll_seconds=_number(env, "SERIN_POLL_SECONDS", 1.0, 0.2, 60.0),
        resync_seconds=_number(env, "SERIN_RESYNC_SECONDS", 300.0, 5.0, 3600.0),
        workers=_whole(env, "SERIN_WORKERS", 4, 1, 64),
        http_port=_whole(env, "SERIN_HTTP_PORT", 8080, 1, 65535),
        log_format="json" if log_format == "json" else "text",
        log_level=log_level,
        gateway_addresses=_addresses(env, "SERIN_GATEWAY_ADDRESSES"),
        prometheus_url=_base_url(env, "SERIN_PROMETHEUS_URL"),
        custom_hosts=frozenset(_listed(env, "SERIN_CUSTOM_HOSTS", _HOST, "json.shop.svc or json.shop.svc:8080")),
        custom_ranges=_ranges(env, "SERIN_CUSTOM_RANGES"),
        artefact_ranges=_ranges(env, "SERIN_ARTEFACT_RANGES"),
        record_dir=Path(record_dir) if record_dir else None,
        record_mebibytes=_whole(env, "SERIN_RECORD_MEBIBYTES", 200, 1, 1_000_000),
    )


def _base_url(env: Mapping[str, str], name: str) -> str | None:
    text = env.get(name)
    if text and not _BASE_URL.fullmatch(text):
        raise SettingsError(f"{name} is {text!r}; write a URL such as http://prometheus.monitoring.svc:9090")
    return text or None


def _listed(env: Mapping[str, str], name: str, pattern: re.Pattern[str], example: str) -> tuple[str, ...]:
    """Words between commas."""
    words = tuple(word.strip().lower() for word in env.get(name, "").split(",") if word.strip())
    for word in words:
        if not pattern.fullmatch(word):
            raise SettingsError(f"{name} has {word!r}; write {example}, with commas between")
    return words


def _ranges(env: Mapping[str, str], name: str) -> tuple[IPNetwork, ...]:
    words = _listed(env, name, re.compile(r"[0-9a-f:./]+"), "127.0.0.0/8")
    try:
        return tuple(ipaddress.ip_network(word) for word in words)
    except ValueError as error:
        raise SettingsError(f"{name} has a range that is none; write such as 127.0.0.0/8") from error


def _addresses(env: Mapping[str, str], name: str) -> dict[str, str]:
    """URLs by Gateway, from a JSON object."""
    text = env.get(name)
    if not text:
        return {}
    wanted = 'write a JSON object such as {"infra/public": "http://traefik.infra.svc:80"}'
    try:
        addresses = json.loads(text)
    except ValueError as error:
        raise SettingsError(f"{name} is no JSON; {wanted}") from error
    if not isinstance(addresses, dict):
        raise SettingsError(f"{name} is no object; {wanted}")
    for gateway, url in addresses.items():
        if not _GATEWAY.fullmatch(gateway) or not isinstance(url, str) or not _URL.fullmatch(url):
            raise SettingsError(f"{name} has {gateway!r}: {url!r}; {wanted}")
    return addresses


def _required(env: Mapping[str, str], name: str, meaning: str) -> str:
    value = env.get(name, "")
    if not value:
        raise SettingsError(f"{name} is not set; it holds {meaning}")
    return value


def _number(env: Mapping[str, str], name: str, default: float, low: float, high: float) -> float:
    text = env.get(name)
    if not text:
        return float(default)
    try:
        value = float(text)
    except ValueError as error:
        raise SettingsError(f"{name} is {text!r}; write a number from {low:g} to {high:g}") from error
    # Written so that NaN, which is in no order, is refused as well.
    if not low <= value <= high:
        raise SettingsError(f"{name} is {text}; it must lie from {low:g} to {high:g}")
    return value


def _whole(env: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    value = _number(env, name, default, low, high)
    if not value.is_integer():
        raise SettingsError(f"{name} is {value:g}; write a whole number from {low} to {high}")
    return int(value)

"""Settings of the process: read once, and what is wrong is named with what to write instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from serin_operator import settings
from serin_operator.errors import SettingsError

NEEDED = {"SERIN_NAMESPACE": "serin-system", "SERIN_POD_NAME": "serin-0", "SERIN_SERVING_IMAGE": "image:1"}


def test_what_is_not_said_has_a_default() -> None:
    read = settings.read(NEEDED)
    assert (read.workers, read.http_port, read.resync_seconds, read.record_dir) == (4, 8080, 300.0, None)
    assert read.master_keys_dir == Path("/etc/serin/master")


def test_everything_can_be_said() -> None:
    said = {"SERIN_WORKERS": "8", "SERIN_LOG_FORMAT": "text", "SERIN_LOG_LEVEL": "debug", "SERIN_RECORD_DIR": "/r"}
    read = settings.read(NEEDED | said)
    assert (read.workers, read.log_format, read.log_level, read.record_dir) == (8, "text", "DEBUG", Path("/r"))


def test_gateways_may_be_asked_at_another_address() -> None:
    said = '{"infra/public": "http://traefik.infra.svc:80", "shop/own": "https://[fd00::9]:8443/"}'
    read = settings.read(NEEDED | {"SERIN_GATEWAY_ADDRESSES": said})
    assert read.gateway_addresses["infra/public"] == "http://traefik.infra.svc:80"
    assert set(read.gateway_addresses) == {"infra/public", "shop/own"}


@pytest.mark.parametrize(
    "value",
    [
        "http://traefik",
        "[]",
        '{"public": "http://traefik"}',
        '{"infra/public": 80}',
        '{"infra/public": "ftp://traefik"}',
        '{"infra/public": "http://user:secret@traefik"}',
        '{"infra/public": "http://traefik/path?query"}',
    ],
)
def test_an_address_that_is_none_is_refused_with_an_example(value: str) -> None:
    with pytest.raises(SettingsError, match=r"SERIN_GATEWAY_ADDRESSES .* write a JSON object such as"):
        settings.read(NEEDED | {"SERIN_GATEWAY_ADDRESSES": value})


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("SERIN_NAMESPACE", "", "SERIN_NAMESPACE is not set; it holds the operator's own namespace"),
        ("SERIN_POD_NAME", "", "SERIN_POD_NAME is not set; it holds the name of this pod"),
        ("SERIN_SERVING_IMAGE", "", "SERIN_SERVING_IMAGE is not set; it holds the image of serving pods"),
        ("SERIN_WORKERS", "many", "SERIN_WORKERS is 'many'; write a number from 1 to 64"),
        ("SERIN_WORKERS", "1.5", "SERIN_WORKERS is 1.5; write a whole number from 1 to 64"),
        ("SERIN_WORKERS", "0", "SERIN_WORKERS is 0; it must lie from 1 to 64"),
        ("SERIN_RECORD_MEBIBYTES", "0", "SERIN_RECORD_MEBIBYTES is 0; it must lie from 1 to 1e+06"),
        ("SERIN_POLL_SECONDS", "nan", "SERIN_POLL_SECONDS is nan; it must lie from 0.2 to 60"),
        ("SERIN_LOG_FORMAT", "xml", "SERIN_LOG_FORMAT is 'xml'; write json or text"),
        ("SERIN_LOG_LEVEL", "loud", "SERIN_LOG_LEVEL is 'LOUD'; write one of DEBUG, INFO, WARNING, ERROR"),
    ],
)
def test_what_is_wrong_is_a_sentence(name: str, value: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings.read(NEEDED | {name: value})
    assert str(caught.value) == said


def test_custom_gates_ask_nobody_by_default() -> None:
    read = settings.read(NEEDED)
    assert (read.prometheus_url, read.custom_hosts, read.custom_ranges) == (None, frozenset(), ())


def test_bundles_come_from_public_addresses_unless_the_operator_is_told_otherwise() -> None:
    assert settings.read(NEEDED).artefact_ranges == ()
    read = settings.read(NEEDED | {"SERIN_ARTEFACT_RANGES": "10.96.0.0/12, fd00::/8"})
    assert [str(network) for network in read.artefact_ranges] == ["10.96.0.0/12", "fd00::/8"]


def test_custom_gates_may_be_told_whom_to_ask() -> None:
    said = {
        "SERIN_PROMETHEUS_URL": "http://prometheus.monitoring.svc:9090/prom",
        "SERIN_CUSTOM_HOSTS": "orders.shop.svc:8080, JSON.example.com",
        "SERIN_CUSTOM_RANGES": "127.0.0.0/8,::1/128",
    }
    read = settings.read(NEEDED | said)
    assert read.prometheus_url == "http://prometheus.monitoring.svc:9090/prom"
    assert read.custom_hosts == {"orders.shop.svc:8080", "json.example.com"}
    assert [str(network) for network in read.custom_ranges] == ["127.0.0.0/8", "::1/128"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SERIN_PROMETHEUS_URL", "prometheus:9090"),
        ("SERIN_PROMETHEUS_URL", "http://user:secret@prometheus"),
        ("SERIN_PROMETHEUS_URL", "http://prometheus/api?x=1"),
        ("SERIN_CUSTOM_HOSTS", "https://orders.shop.svc"),
        ("SERIN_CUSTOM_HOSTS", "*.example.com"),
        ("SERIN_CUSTOM_RANGES", "127.0.0.1/8"),
        ("SERIN_CUSTOM_RANGES", "localhost"),
        ("SERIN_ARTEFACT_RANGES", "10.0.0.1/8"),
    ],
)
def test_a_source_that_is_none_is_refused_with_an_example(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=rf"{name} .* write "):
        settings.read(NEEDED | {name: value})

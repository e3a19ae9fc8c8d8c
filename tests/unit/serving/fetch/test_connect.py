"""Which addresses are connected to, and for how long they are waited for."""

from __future__ import annotations

import ipaddress

import pytest
from tests.support.web import Reply, Web
from tests.unit.serving.fetch.conftest import Pod

from serin_contract import addresses
from serin_serving.fetch import connect

NAME = "store.example"


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:4700::6810:84e5", True),
        ("10.0.0.1", False),
        ("172.16.5.4", False),
        ("192.168.1.1", False),
        ("100.64.0.1", False),
        ("127.0.0.1", False),
        ("0.0.0.0", False),
        ("169.254.169.254", False),
        ("100.100.100.200", False),
        ("168.63.129.16", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fe80::1", False),
        ("fc00::1", False),
        ("fd00:ec2::254", False),
        ("ff02::1", False),
        ("::ffff:10.0.0.1", False),
        ("::ffff:93.184.216.34", True),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::5db8:d822", True),
        ("2002:7f00:1::", False),
    ],
)
def test_an_address_is_public_or_it_is_not(address: str, public: bool) -> None:
    assert addresses.is_public(ipaddress.ip_address(address)) is public


def test_what_was_checked_is_what_is_connected_to(web: Web, pod: Pod) -> None:
    """No resolver but the test's knows this name: a second look-up would find nothing."""
    web.put(pod.case.path, "/models/wine")
    pod.names[NAME] = ["127.0.0.1"]
    port = web.host.rpartition(":")[2]
    assert pod.fetch(f"http://{NAME}:{port}/models/wine") == pod.whole()
    assert {asked.headers["Host"] for asked in web.asked} == {f"{NAME}:{port}"}


def test_a_name_that_changes_its_mind_is_checked_at_each_connection(web: Web, pod: Pod) -> None:
    web.put(pod.case.path, "/models/wine")
    pod.names[NAME] = ["127.0.0.1"]

    def rebind(_: object) -> None:
        pod.names[NAME] = ["169.254.169.254"]

    web.answers["/models/wine/manifest.json"] = rebind
    refused = pod.refusal(f"http://{NAME}:{web.host.rpartition(':')[2]}/models/wine")
    assert (refused.reason, len(web.asked)) == ("SourceRefused", 1)


def test_of_several_addresses_only_those_that_may_be_are_tried(web: Web, pod: Pod) -> None:
    web.put(pod.case.path, "/models/wine")
    pod.names[NAME] = ["169.254.169.254", "127.0.0.9", "127.0.0.1"]
    assert pod.fetch(f"http://{NAME}:{web.host.rpartition(':')[2]}/models/wine") == pod.whole()


def test_the_systems_resolver_is_asked_where_no_other_is_given() -> None:
    assert "127.0.0.1" in connect.look_up("localhost", 80)


def test_a_head_that_drips_is_waited_for_once_and_not_per_byte(
    web: Web, pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connect, "HEADER_SECONDS", 0.1)
    web.fallback = Reply(drip_seconds=0.02)
    refused = pod.refusal(f"{web.url}/models/wine")
    assert (refused.reason, "did not answer; tried 5 times" in refused.message) == ("SourceUnavailable", True)


def test_a_body_that_stands_still_is_given_up_and_taken_up_again(
    web: Web, pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connect, "READ_SECONDS", 0.2)
    pod.total_seconds = 5.0
    web.put(pod.case.path, "/models/wine")
    model = "/models/wine/model.skops"
    web.answers[model] = [Reply(web.files[model][:1000], length=len(web.files[model]), holds=True)]
    assert pod.fetch(f"{web.url}/models/wine") == pod.whole()
    assert web.times(model) == 2


@pytest.mark.parametrize("ranges", ["10.0.0.1/8", "minio", "10.0.0.0/33"])
def test_ranges_that_are_none_are_a_setting_to_mend(pod: Pod, ranges: str) -> None:
    pod.env["SERIN_FETCH_RANGES"] = ranges
    assert pod.refusal("https://store.example/wine").reason == "SettingsInvalid"

"""The client: what is retried, what is refused, and that nobody writes without the Lease."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from tests.support.fake_api import FakeApi, serving

from serin_operator.errors import ApiError, ConflictError, NotLeadingError
from serin_operator.runtime import kube as kubes
from serin_operator.runtime import resources
from serin_operator.runtime.kube import Kube
from serin_operator.runtime.metrics import Metrics

CONFIG = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"namespace": "default", "name": "c"},
    "data": {"a": "1"},
}


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


class Lease:
    """A Lease that a test can take away."""

    def __init__(self) -> None:
        self.left = 10.0

    def valid_seconds(self) -> float:
        return self.left


@pytest.fixture
def lease() -> Lease:
    return Lease()


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
async def kube(api: FakeApi, lease: Lease, pauses: list[float], metrics: Metrics) -> AsyncIterator[Kube]:
    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    async with serving(api) as client:
        made = Kube(client(), metrics, lease.valid_seconds, sleep=sleep)
        yield made
        await made.close()


@pytest.mark.parametrize("status", [429, 500, 503, 504])
async def test_reads_and_applies_are_tried_again(api: FakeApi, kube: Kube, status: int, pauses: list[float]) -> None:
    api.fail("PATCH", "configmaps", status, times=2)
    api.fail("GET", "configmaps", status, times=3)
    await kube.apply(CONFIG)
    assert (await kube.get(resources.CONFIG_MAP, "default", "c") or {})["data"] == {"a": "1"}
    assert len(pauses) == 5


async def test_an_apply_whose_answer_was_lost_is_sent_again_and_changes_nothing(api: FakeApi, kube: Kube) -> None:
    api.fail("PATCH", "configmaps", 504, lands=True)
    await kube.apply(CONFIG)
    first = api.versions()
    await kube.apply(CONFIG)
    assert api.versions() == first


async def test_trying_again_has_an_end(api: FakeApi, kube: Kube, pauses: list[float]) -> None:
    api.fail("PATCH", "configmaps", 503, times=99)
    with pytest.raises(ApiError) as caught:
        await kube.apply(CONFIG)
    assert (caught.value.status, caught.value.reason) == (503, "Injected")
    assert len(pauses) == kubes.ATTEMPTS - 1


async def test_the_servers_wish_for_a_pause_is_heeded_within_bounds(
    api: FakeApi, kube: Kube, pauses: list[float]
) -> None:
    api.fail("GET", "configmaps", 429, headers={"Retry-After": "3"})
    api.fail("GET", "configmaps", 429, headers={"Retry-After": "3600"})
    await kube.get(resources.CONFIG_MAP, "default", "none")
    assert pauses == [3.0, kubes.PAUSE_SECONDS_MAX]


@pytest.mark.parametrize("status", [400, 403, 404, 422])
async def test_a_refusal_is_not_tried_again(api: FakeApi, kube: Kube, status: int, pauses: list[float]) -> None:
    api.fail("PATCH", "configmaps", status)
    with pytest.raises(ApiError):
        await kube.apply(CONFIG)
    assert pauses == []


async def test_without_the_lease_nothing_is_written_and_reading_goes_on(api: FakeApi, kube: Kube, lease: Lease) -> None:
    lease.left = 0.0
    calls = [
        kube.apply(CONFIG),
        kube.apply_status(CONFIG),
        kube.delete(resources.CONFIG_MAP, "default", "c", "u"),
        kube.create_event({"metadata": {"namespace": "default", "name": "e"}}),
    ]
    for call in calls:
        with pytest.raises(NotLeadingError):
            await call
    assert api.writes() == []
    assert await kube.list_all(resources.CONFIG_MAP, "default") == []


async def test_the_lease_is_looked_at_before_each_attempt(api: FakeApi, lease: Lease, metrics: Metrics) -> None:
    async def sleep(_: float) -> None:
        lease.left = 0.0

    api.fail("PATCH", "configmaps", 503)
    async with serving(api) as client:
        kube = Kube(client(), metrics, lease.valid_seconds, sleep=sleep)
        with pytest.raises(NotLeadingError):
            await kube.apply(CONFIG)
        await kube.close()
    assert len(api.writes()) == 1


async def test_a_write_is_given_up_when_the_lease_ends(lease: Lease, metrics: Metrics) -> None:
    async def hang(_: web.Request) -> web.Response:
        await asyncio.sleep(5)
        raise AssertionError

    api = FakeApi()
    api.answer = hang  # type: ignore[method-assign]
    lease.left = 0.05

    async def sleep(_: float) -> None:
        lease.left = 0.0

    async with serving(api) as client:
        kube = Kube(client(), metrics, lease.valid_seconds, sleep=sleep)
        with pytest.raises(NotLeadingError):
            await kube.apply(CONFIG)
        await kube.close()


async def test_a_stale_version_is_a_conflict(api: FakeApi, kube: Kube) -> None:
    item = api.put(
        "modeldeployments", {"apiVersion": "serin.dev/v1alpha1", "kind": "ModelDeployment", "metadata": {"name": "m"}}
    )
    stale = {
        "apiVersion": "serin.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"namespace": "default", "name": "m", "resourceVersion": item["metadata"]["resourceVersion"]},
        "status": {"phase": "Stable"},
    }
    await kube.apply_status(stale)
    with pytest.raises(ConflictError):
        await kube.apply_status(stale | {"status": {"phase": "Failed"}})


async def test_long_lists_come_page_by_page(api: FakeApi, kube: Kube, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubes, "PAGE_OBJECTS", 3)
    for number in range(8):
        api.put("configmaps", {"metadata": {"name": f"c{number}", "labels": {"l": "x"}}})
    api.put("configmaps", {"metadata": {"name": "other"}})
    listed = await kube.list_all(resources.CONFIG_MAP, "default", "l=x")
    assert [item["metadata"]["name"] for item in listed] == [f"c{number}" for number in range(8)]


async def test_a_list_that_expires_in_the_middle_starts_over(
    api: FakeApi, kube: Kube, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubes, "PAGE_OBJECTS", 2)
    for number in range(5):
        api.put("configmaps", {"metadata": {"name": f"c{number}"}})
    api.expire_continue = 1
    assert len(await kube.list_metadata(resources.CONFIG_MAP)) == 5


async def test_deleting_what_is_gone_is_no_failure_and_what_has_changed_is_a_conflict(api: FakeApi, kube: Kube) -> None:
    item = api.put("configmaps", {"metadata": {"name": "c"}})
    with pytest.raises(ConflictError):
        await kube.delete(resources.CONFIG_MAP, "default", "c", "another-uid")
    assert await kube.delete(resources.CONFIG_MAP, "default", "c", item["metadata"]["uid"])
    assert not await kube.delete(resources.CONFIG_MAP, "default", "c", item["metadata"]["uid"])


async def test_an_event_that_is_there_already_is_no_failure(api: FakeApi, kube: Kube) -> None:
    event = {"metadata": {"namespace": "default", "name": "e"}}
    await kube.create_event(event)
    await kube.create_event(event)


async def test_an_unreachable_server_is_an_error_with_a_sentence(metrics: Metrics, lease: Lease) -> None:
    async with serving(FakeApi()) as client:
        gone = client()

    async def sleep(_: float) -> None:
        return None

    kube = Kube(gone, metrics, lease.valid_seconds, sleep=sleep)
    with pytest.raises(ApiError) as caught:
        await kube.get(resources.CONFIG_MAP, "default", "c")
    assert caught.value.status == kubes.UNREACHABLE
    assert "no answer from the API server" in str(caught.value)
    await kube.close()


async def test_writes_are_counted_by_what_came_of_them(api: FakeApi, kube: Kube, metrics: Metrics) -> None:
    api.fail("PATCH", "configmaps", 422)
    with pytest.raises(ApiError):
        await kube.apply(CONFIG)
    await kube.apply(CONFIG)

    def value(code: str) -> float | None:
        labels = {"verb": "apply", "kind": "ConfigMap", "code": code}
        return metrics.registry.get_sample_value("serin_operator_writes_total", labels)

    assert (value("422"), value("201")) == (1.0, 1.0)

"""The API server as the suite uses it: raw JSON, each call with a limit."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config import ConfigException, load_kube_config

Json = dict[str, Any]

REQUEST_SECONDS = 15.0
LOOK_SECONDS = 0.05
_APPLY = "application/apply-patch+yaml; charset=utf-8"
_JSON = "application/json"

_PLURALS = {
    "Namespace": "namespaces",
    "ConfigMap": "configmaps",
    "Pod": "pods",
    "Service": "services",
    "EndpointSlice": "endpointslices",
    "HTTPRoute": "httproutes",
    "Gateway": "gateways",
    "GatewayClass": "gatewayclasses",
}
GATEWAY_API = "gateway.networking.k8s.io/v1"


class ApiRefusedError(Exception):
    """The API server answered a call with an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"the API server answered {status}: {message}")
        self.status = status


class Api:
    """A connection to one cluster."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    async def get(self, api_version: str, kind: str, namespace: str | None, name: str) -> Json:
        """The object; raises ApiRefusedError where there is none or it may not be read."""
        return await self._send("GET", _path(api_version, kind, namespace, name), None, _JSON)

    async def list(self, api_version: str, kind: str, namespace: str, selector: str) -> list[Json]:
        """The objects that a label selector picks."""
        path = f"{_path(api_version, kind, namespace)}?labelSelector={selector}&limit=500"
        items: list[Json] = (await self._send("GET", path, None, _JSON))["items"]
        return items

    async def apply(self, manifest: Json) -> Json:
        """Server-side apply of one whole object."""
        metadata = manifest["metadata"]
        path = _path(manifest["apiVersion"], manifest["kind"], metadata.get("namespace"), metadata["name"])
        # What the whole world may change is forced, as the namespace is the suite's own.
        return await self._send("PATCH", f"{path}?fieldManager=serin-conformance&force=true", manifest, _APPLY)

    async def delete(self, api_version: str, kind: str, namespace: str | None, name: str, grace: int | None) -> None:
        """Ask for the object's end; one that is gone is as good. `grace` in seconds, None leaves the pod's own."""
        body = {"propagationPolicy": "Background"} | ({} if grace is None else {"gracePeriodSeconds": grace})
        try:
            await self._send("DELETE", _path(api_version, kind, namespace, name), body, _JSON)
        except ApiRefusedError as error:
            if error.status != 404:
                raise

    async def until(
        self,
        holds: Callable[[Json], bool],
        what: str,
        within_seconds: float,
        of: tuple[str, str, str | None, str],
    ) -> Json:
        """The object once this holds of it; raises TimeoutError where it does not come to hold."""
        limit = time.monotonic() + within_seconds
        while True:
            found = await self.get(*of)
            if holds(found):
                return found
            if time.monotonic() > limit:
                raise TimeoutError(f"not within {within_seconds:g} s: {what}")
            await asyncio.sleep(LOOK_SECONDS)

    async def until_gone(self, within_seconds: float, of: tuple[str, str, str | None, str]) -> None:
        """Wait for the object's end."""
        limit = time.monotonic() + within_seconds
        while time.monotonic() < limit:
            try:
                await self.get(*of)
            except ApiRefusedError as error:
                if error.status == 404:
                    return
                raise
            await asyncio.sleep(0.2)
        raise TimeoutError(f"not within {within_seconds:g} s: {of[1]} {of[3]} is gone")

    async def _send(self, method: str, path: str, body: Json | None, media: str) -> Json:
        headers = {"Accept": _JSON, "Content-Type": media}
        content = json.dumps(body) if media == _APPLY else body
        request = await self._client.param_serialize(
            method, path, header_params=headers, body=content, auth_settings=["BearerToken"]
        )
        limit = aiohttp.ClientTimeout(total=REQUEST_SECONDS)
        response = await self._client.call_api(*request, _request_timeout=limit)
        data = await response.read()
        try:
            found: Json = json.loads(data) if data else {}
        except ValueError:
            found = {"message": data[:200].decode(errors="replace")}
        if response.status >= 300:
            raise ApiRefusedError(response.status, str(found.get("message") or "no reason is given"))
        return found


@asynccontextmanager
async def connected(kubeconfig: str | None, context: str | None) -> AsyncIterator[Api]:
    """The cluster of a context; None takes what kubectl would. Raises ValueError where kubectl would not know it."""
    found = Configuration()
    try:
        await load_kube_config(
            config_file=kubeconfig, context=context, client_configuration=found, persist_config=False
        )
    except ConfigException as error:
        raise ValueError(f"{error}; name a kubeconfig in KUBECONFIG and a context of it by --context") from error
    found.retries = None
    client = ApiClient(found)
    try:
        yield Api(client)
    finally:
        await client.close()


def _path(api_version: str, kind: str, namespace: str | None, name: str | None = None) -> str:
    root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
    scope = f"/namespaces/{namespace}" if namespace else ""
    return f"{root}{scope}/{_PLURALS[kind]}" + (f"/{name}" if name else "")

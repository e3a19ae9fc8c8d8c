"""A thin client of the API server: raw JSON in and out, and the one gate that every write passes.

It is built on `kubernetes.aio`'s ApiClient for its connection, TLS and rotating tokens only. The typed models
are not used: they drop fields that they do not know. Retrying is ours too, because the library never retries
PATCH; server-side apply, a delete by UID and an event of a settled name may all be sent twice.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlencode

import aiohttp
import msgspec
from kubernetes.aio.client.api_client import ApiClient

from serin_contract import labels
from serin_operator.errors import ApiError, ConflictError, NotLeadingError
from serin_operator.runtime import resources
from serin_operator.runtime.metrics import Metrics
from serin_operator.runtime.resources import Resource

Json = dict[str, Any]
_Body = Mapping[str, Any] | Sequence[Mapping[str, Any]]

REQUEST_SECONDS = 10.0
ATTEMPTS = 4
PAUSE_SECONDS = 0.2
PAUSE_SECONDS_MAX = 5.0
PAGE_OBJECTS = 500
UNREACHABLE = 0
"""Status of an ApiError where no answer came at all."""

# With a parameter in it, the library sends our bytes as they are and does not encode them itself.
_APPLY = "application/apply-patch+yaml; charset=utf-8"
_JSON = "application/json"
_PATCH = "application/json-patch+json"
_METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_NO_YAML = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]|[\ud800-\udfff]")
_connection_errors = (aiohttp.ClientError, OSError, TimeoutError)


class WriteHook(Protocol):
    """Where tests let a process die: before a write with nothing sent, or after it with it landed."""

    def before_write(self, verb: str, kind: str, name: str) -> None:
        """Called when a write is about to be sent."""

    def after_write(self, verb: str, kind: str, name: str) -> None:
        """Called when the API server has answered it."""


@dataclass(frozen=True)
class _Answer:
    status: int
    retry_after: str | None
    data: bytes


class Kube:
    """The API server as the operator uses it.

    Every call raises ApiError (refused, or without an answer after all retries) and, where a precondition
    did not hold, ConflictError. A write raises NotLeadingError where this process may not make it.
    """

    def __init__(
        self,
        client: ApiClient,
        metrics: Metrics,
        valid_seconds: Callable[[], float],
        hook: WriteHook | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`valid_seconds` says for how long this process still holds the Lease."""
        self._client = client
        self._metrics = metrics
        self._valid_seconds = valid_seconds
        self._hook = hook
        self._sleep = sleep

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Json | None:
        """The object, or None where there is none."""
        try:
            return await self._read(resource.path(namespace, name), {}, _JSON)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def list_all(self, resource: Resource, namespace: str | None, selector: str | None = None) -> list[Json]:
        """All objects that the label selector picks, page by page. A kind that is not served is a 404."""
        return await self._collect(resource, namespace, selector, _JSON)

    async def list_metadata(self, resource: Resource) -> list[Json]:
        """The metadata of all objects of the kind in the cluster, page by page."""
        return await self._collect(resource, None, None, _METADATA_ONLY)

    async def apply(self, manifest: Mapping[str, Any], dry_run: bool = False) -> Json:
        """Server-side apply of one object; fields left out since the last time are removed."""
        return await self._apply(manifest, labels.FIELD_MANAGER, "", dry_run)

    async def hand_over(self, manifest: Mapping[str, Any]) -> Json:
        """Apply as a second owner, so that the fields stay when Serin leaves them out of its next apply.

        Not forced: where another value stands by now, that is a ConflictError.
        """
        return await self._apply(manifest, labels.HANDOVER_FIELD_MANAGER, "", False, force=False)

    async def apply_status(self, manifest: Mapping[str, Any]) -> Json:
        """Server-side apply of one object's status; a `metadata.resourceVersion` in it must still hold."""
        return await self._apply(manifest, labels.STATUS_FIELD_MANAGER, "/status", False)

    async def patch(
        self, resource: Resource, namespace: str, name: str, operations: Sequence[Mapping[str, Any]]
    ) -> Json:
        """Change parts of an object (RFC 6902). Sent twice it does no harm only where it names the resourceVersion."""
        path = f"{resource.path(namespace, name)}?{urlencode({'fieldManager': labels.FIELD_MANAGER})}"
        return await self._write("patch", resource, name, "PATCH", path, list(operations), _PATCH)

    async def delete(self, resource: Resource, namespace: str, name: str, uid: str) -> bool:
        """Delete the object if it still is the one of that UID; False where it is gone already."""
        body = {"propagationPolicy": "Background", "preconditions": {"uid": uid}}
        path = resource.path(namespace, name)
        try:
            await self._write("delete", resource, name, "DELETE", path, body, _JSON)
        except ApiError as error:
            if error.status == 404:
                return False
            raise
        return True

    async def create_event(self, event: Mapping[str, Any]) -> None:
        """Post one event; one of the same name that is there already is as good."""
        metadata = event["metadata"]
        path = resources.EVENT.path(metadata["namespace"])
        try:
            await self._write("create", resources.EVENT, metadata["name"], "POST", path, event, _JSON)
        except ConflictError:
            return

    async def get_lease(self, namespace: str, name: str, within_seconds: float) -> Json | None:
        """The Lease, tried once: the elector has its own clock."""
        answer = await self._send("GET", resources.LEASE.path(namespace, name), None, _JSON, _JSON, within_seconds)
        return None if answer.status == 404 else _content(answer)

    async def put_lease(self, lease: Mapping[str, Any], within_seconds: float) -> Json:
        """Create the Lease, or replace it where it carries a resourceVersion; tried once."""
        metadata = lease["metadata"]
        known = "resourceVersion" in metadata
        path = resources.LEASE.path(metadata["namespace"], metadata["name"] if known else None)
        method = "PUT" if known else "POST"
        return _content(await self._send(method, path, lease, _JSON, _JSON, within_seconds))

    async def _collect(
        self, resource: Resource, namespace: str | None, selector: str | None, accept: str
    ) -> list[Json]:
        query = {"limit": str(PAGE_OBJECTS)} | ({"labelSelector": selector} if selector else {})
        items: list[Json] = []
        while True:
            try:
                page = await self._read(resource.path(namespace), query, accept)
            except ApiError as error:
                if error.status != 410 or "continue" not in query:
                    raise
                # The server forgot the snapshot that the token speaks of: what was read so far is of no use.
                del query["continue"]
                items.clear()
                continue
            items.extend(page.get("items") or ())
            token = page.get("metadata", {}).get("continue")
            if not token:
                return items
            query["continue"] = token

    async def _apply(
        self, manifest: Mapping[str, Any], manager: str, subresource: str, dry_run: bool, *, force: bool = True
    ) -> Json:
        resource = resources.of(manifest["apiVersion"], manifest["kind"])
        metadata = manifest["metadata"]
        query = {"fieldManager": manager, "force": str(force).lower(), "fieldValidation": "Strict"}
        if dry_run:
            query["dryRun"] = "All"
        path = f"{resource.path(metadata['namespace'], metadata['name'])}{subresource}?{urlencode(query)}"
        verb = "apply_status" if subresource else "apply"
        if dry_run:
            return _content(await self._send_again("PATCH", path, manifest, _APPLY, _JSON))
        return await self._write(verb, resource, metadata["name"], "PATCH", path, manifest, _APPLY)

    async def _read(self, path: str, query: Mapping[str, str], accept: str) -> Json:
        full = f"{path}?{urlencode(query)}" if query else path
        return _content(await self._send_again("GET", full, None, _JSON, accept))

    async def _write(
        self,
        verb: str,
        resource: Resource,
        name: str,
        method: str,
        path: str,
        body: _Body,
        media: str,
    ) -> Json:
        if self._hook is not None:
            self._hook.before_write(verb, resource.kind, name)
        code = "unreachable"
        try:
            answer = await self._send_again(method, path, body, media, _JSON, self._seconds_left)
            code = str(answer.status)
        finally:
            self._metrics.writes.labels(verb, resource.kind, code).inc()
        if self._hook is not None:
            self._hook.after_write(verb, resource.kind, name)
        return _content(answer)

    def _seconds_left(self) -> float:
        """A write is given up before the Lease could have passed to another process."""
        left = self._valid_seconds()
        if left <= 0:
            raise NotLeadingError("this process does not hold the Lease; nothing was written")
        return min(REQUEST_SECONDS, left)

    async def _send_again(
        self,
        method: str,
        path: str,
        body: _Body | None,
        media: str,
        accept: str,
        seconds_left: Callable[[], float] = lambda: REQUEST_SECONDS,
    ) -> _Answer:
        """Send, and again after 429, 5xx and connection errors; what comes of the last attempt counts."""
        for attempt in range(1, ATTEMPTS + 1):
            within_seconds = seconds_left()
            try:
                answer = await self._send(method, path, body, media, accept, within_seconds)
            except ApiError:
                if attempt == ATTEMPTS:
                    raise
                await self._sleep(_pause(attempt, None))
                continue
            if attempt == ATTEMPTS or not _may_pass(answer):
                return answer
            await self._sleep(_pause(attempt, answer.retry_after))
        raise AssertionError("the last attempt returns or raises")

    async def _send(
        self,
        method: str,
        path: str,
        body: _Body | None,
        media: str,
        accept: str,
        within_seconds: float,
    ) -> _Answer:
        headers = {"Accept": accept, "Content-Type": media}
        content = _yaml(body) if media == _APPLY else body
        request = await self._client.param_serialize(
            method, path, header_params=headers, body=content, auth_settings=["BearerToken"]
        )
        try:
            response = await self._client.call_api(
                *request, _request_timeout=aiohttp.ClientTimeout(total=within_seconds)
            )
            data = await response.read()
        except _connection_errors as error:
            said = str(error) or type(error).__name__
            raise ApiError(UNREACHABLE, "Unreachable", f"no answer from the API server: {said}") from error
        return _Answer(response.status, response.headers.get("Retry-After"), data)


def _pause(attempt: int, retry_after: str | None) -> float:
    """Doubling, with jitter; the server's own wish is kept within bounds."""
    if retry_after is not None and retry_after.isdigit():
        return min(PAUSE_SECONDS_MAX, max(PAUSE_SECONDS, float(retry_after)))
    # Not for secrecy: only so that many clients do not come back in step.
    return PAUSE_SECONDS * float(2 ** (attempt - 1)) * (0.5 + random.random())  # noqa: S311


def _yaml(body: _Body | None) -> str:
    """JSON that is YAML too, since an apply is parsed as that.

    YAML knows no surrogate pairs, which json.dumps writes by default, and refuses some characters unless they
    are escaped. Half of a pair, as a cut text may end in, stands for nothing at all.
    """
    text = json.dumps(body, ensure_ascii=False)
    return _NO_YAML.sub(lambda found: _escaped(found[0]), text)


def _escaped(character: str) -> str:
    return "\\ufffd" if "\ud800" <= character <= "\udfff" else f"\\u{ord(character):04x}"


def _may_pass(answer: _Answer) -> bool:
    """Whether the same request may do better later."""
    return answer.status == 429 or (answer.status >= 500 and not _is_malformed(_status_of(answer)))


def _is_malformed(status: Json) -> bool:
    """An apply with a field that the schema does not have is answered 500, as no other mistake is."""
    return str(status.get("message", "")).startswith("failed to create typed patch object")


def _status_of(answer: _Answer) -> Json:
    try:
        return msgspec.json.decode(answer.data, type=dict[str, Any]) if answer.data else {}
    except msgspec.DecodeError:
        return {}


def _content(answer: _Answer) -> Json:
    content = _status_of(answer)
    if answer.status < 300:
        return content
    code = 422 if _is_malformed(content) else answer.status
    reason = str(content.get("reason") or ("Invalid" if code == 422 else f"HTTP{code}"))
    message = str(content.get("message") or "the API server gave no reason")
    if code == 409 or _is_another_object(content):
        raise ConflictError(message)
    raise ApiError(code, reason, message)


def _is_another_object(status: Json) -> bool:
    """An apply that names a UID is answered 409 where nothing stands, but 422 where another object does."""
    causes = (status.get("details") or {}).get("causes") or ()
    return any(cause.get("field") == "metadata.uid" for cause in causes)


def controller(item: Mapping[str, Any]) -> Mapping[str, Any]:
    """The owner reference that controls the object, or an empty one."""
    owners: Sequence[Mapping[str, Any]] = item.get("metadata", {}).get("ownerReferences") or ()
    return next((owner for owner in owners if owner.get("controller")), {})

"""A small API server in this process: versions, server-side apply by manager, status, preconditions, faults.

It has no schemas and no controllers. What it does is what the operator relies on, and each of those was checked
against a real API server in `tests/cluster/test_step.py`.
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration

from serin_operator.runtime import connect

Json = dict[str, Any]

STATUS_KINDS = ("modeldeployments", "modelrevisions")


@dataclass
class Fault:
    """What goes wrong with the next requests of a kind."""

    method: str
    plural: str
    status: int
    times: int
    headers: dict[str, str] = field(default_factory=dict)
    lands: bool = False
    """The request is carried out, and only its answer is replaced."""


@dataclass
class Request:
    """What was asked, for a test to look at."""

    method: str
    plural: str
    name: str
    query: dict[str, str]
    body: Any


class FakeApi:
    """Objects by plural, namespace and name."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str], Json] = {}
        self.applied: dict[tuple[str, str, str, str], Json] = {}
        self.unserved: set[str] = set()
        self.faults: list[Fault] = []
        self.requests: list[Request] = []
        self.expire_continue = 0
        self.url = ""
        self._version = 100
        self._uid = 0

    # What tests do to the world.

    def put(self, plural: str, item: Json) -> Json:
        """Set an object as another client would have; missing metadata is filled in."""
        item = copy.deepcopy(item)
        metadata = item["metadata"]
        metadata.setdefault("namespace", "default")
        metadata.setdefault("uid", self._new_uid())
        metadata.setdefault("creationTimestamp", _now())
        metadata.setdefault("generation", 1)
        metadata["resourceVersion"] = self._new_version()
        self.objects[plural, metadata["namespace"], metadata["name"]] = item
        return item

    def get(self, plural: str, name: str, namespace: str = "default") -> Json | None:
        return self.objects.get((plural, namespace, name))

    def fail(self, method: str, plural: str, status: int, times: int = 1, **more: Any) -> None:
        """Answer the next such requests with that status."""
        self.faults.append(Fault(method, plural, status, times, **more))

    def copy(self, other: FakeApi) -> None:
        """Hold what the other holds now."""
        self.objects = copy.deepcopy(other.objects)
        self.applied = copy.deepcopy(other.applied)
        self._version, self._uid = other._version, other._uid

    def writes(self) -> list[Request]:
        """Everything but reads and dry runs."""
        return [seen for seen in self.requests if seen.method != "GET" and "dryRun" not in seen.query]

    def versions(self) -> dict[tuple[str, str, str], str]:
        return {key: item["metadata"]["resourceVersion"] for key, item in self.objects.items()}

    def world(self) -> dict[str, Json]:
        """All objects without what differs from run to run."""
        said = {}
        for (plural, _, name), item in self.objects.items():
            item = copy.deepcopy(item)
            for noise in ("uid", "resourceVersion", "creationTimestamp"):
                item["metadata"].pop(noise, None)
            said[f"{plural}/{name}"] = item
        return said

    # Serving.

    async def answer(self, request: web.Request) -> web.Response:
        plural, namespace, name, subresource = _parse(request.path)
        body = json.loads(await request.text()) if request.can_read_body else None
        query = dict(request.query)
        self.requests.append(Request(request.method, plural, name or "", query, body))
        fault = self._fault(request.method, plural)
        if fault is not None and not fault.lands:
            return _refusal(fault.status, "Injected", "an injected fault", fault.headers)
        if plural in self.unserved:
            return web.Response(text="404 page not found\n", status=404)
        try:
            content, status = self._carry_out(request, plural, namespace, name, subresource, body)
        except _RefusedError as refused:
            return _refusal(refused.status, refused.reason, str(refused), field=refused.field)
        if fault is not None:
            return _refusal(fault.status, "Injected", "carried out, but the answer was lost", fault.headers)
        return web.json_response(content, status=status)

    def _carry_out(
        self, request: web.Request, plural: str, namespace: str, name: str | None, subresource: str, body: Any
    ) -> tuple[Json, int]:
        match request.method:
            case "GET" if name is None:
                return self._list(plural, namespace, dict(request.query)), 200
            case "GET":
                return self._existing(plural, namespace, str(name)), 200
            case "PATCH":
                assert request.content_type == "application/apply-patch+yaml"
                assert request.query["force"] == "true"
                assert request.query["fieldValidation"] == "Strict"
                return self._apply(plural, namespace, str(name), subresource, body, dict(request.query))
            case "DELETE":
                return self._delete(plural, namespace, str(name), body), 200
            case "POST":
                return self._create(plural, namespace, body), 201
            case "PUT":
                return self._replace(plural, namespace, str(name), body), 200
        raise AssertionError(request.method)

    def _list(self, plural: str, namespace: str, query: dict[str, str]) -> Json:
        if "continue" in query and self.expire_continue:
            self.expire_continue -= 1
            raise _RefusedError(410, "Expired", "the continue token has expired")
        items = [
            _without_kind(item)
            for (kind, space, _), item in sorted(self.objects.items())
            if kind == plural and namespace in ("", space) and _selected(item, query.get("labelSelector"))
        ]
        start, limit = int(query.get("continue", 0)), int(query.get("limit", 500))
        more = str(start + limit) if start + limit < len(items) else ""
        return {"metadata": {"continue": more}, "items": items[start : start + limit]}

    def _existing(self, plural: str, namespace: str, name: str) -> Json:
        item = self.objects.get((plural, namespace, name))
        if item is None:
            raise _RefusedError(404, "NotFound", f'{plural} "{name}" not found')
        return copy.deepcopy(item)

    def _apply(
        self, plural: str, namespace: str, name: str, subresource: str, body: Json, query: dict[str, str]
    ) -> tuple[Json, int]:
        key = (plural, namespace, name)
        current = self.objects.get(key)
        if subresource and current is None:
            raise _RefusedError(404, "NotFound", f'{plural} "{name}" not found')
        _check_preconditions(current, body["metadata"])
        item = self._merged(key, current, subresource, body, query["fieldManager"])
        _check_controllers(item)
        if "dryRun" in query:
            return item, 200
        self.applied[(*key, query["fieldManager"])] = copy.deepcopy(body)
        if current is None or _content(item) != _content(current):
            if current is not None and item.get("spec") != current.get("spec"):
                item["metadata"]["generation"] += 1
            item["metadata"]["resourceVersion"] = self._new_version()
            self.objects[key] = item
        return copy.deepcopy(self.objects[key]), 201 if current is None else 200

    def _merged(
        self, key: tuple[str, str, str], current: Json | None, subresource: str, body: Json, manager: str
    ) -> Json:
        item = copy.deepcopy(current) if current is not None else self._blank(body)
        before = self.applied.get((*key, manager), {})
        wanted = copy.deepcopy(body)
        parts = ("status",) if subresource else ("spec", "data", "type")
        if not subresource and key[0] not in STATUS_KINDS:
            parts = (*parts, "status")
        for part in parts:
            merged = _merge(item.get(part), wanted.get(part), before.get(part))
            if merged is None:
                item.pop(part, None)
            else:
                item[part] = merged
        if not subresource:
            for part in ("labels", "annotations", "ownerReferences"):
                old = before.get("metadata", {}).get(part)
                merged = _merge(item["metadata"].get(part), wanted["metadata"].get(part), old)
                if merged:
                    item["metadata"][part] = merged
        return item

    def _blank(self, body: Json) -> Json:
        metadata = {
            "name": body["metadata"]["name"],
            "namespace": body["metadata"]["namespace"],
            "uid": self._new_uid(),
            "creationTimestamp": _now(),
            "generation": 1,
            "resourceVersion": "0",
        }
        return {"apiVersion": body["apiVersion"], "kind": body["kind"], "metadata": metadata}

    def _create(self, plural: str, namespace: str, body: Json) -> Json:
        if (plural, namespace, body["metadata"]["name"]) in self.objects:
            raise _RefusedError(409, "AlreadyExists", "already exists")
        return self.put(plural, body)

    def _replace(self, plural: str, namespace: str, name: str, body: Json) -> Json:
        current = self._existing(plural, namespace, name)
        _check_preconditions(current, body["metadata"])
        body["metadata"] = {**current["metadata"], **body["metadata"]}
        return self.put(plural, body)

    def _delete(self, plural: str, namespace: str, name: str, body: Json) -> Json:
        current = self._existing(plural, namespace, name)
        _check_preconditions(current, (body or {}).get("preconditions") or {}, deleting=True)
        self.remove(plural, namespace, name)
        return {"status": "Success"}

    def remove(self, plural: str, namespace: str, name: str) -> None:
        """Delete the object and, as the garbage collector would, all that it owns."""
        gone = self.objects.pop((plural, namespace, name))
        self.applied = {key: item for key, item in self.applied.items() if key[:3] != (plural, namespace, name)}
        for key, item in list(self.objects.items()):
            owners = item["metadata"].get("ownerReferences") or ()
            if any(owner["uid"] == gone["metadata"]["uid"] for owner in owners) and key in self.objects:
                self.remove(*key)

    def _fault(self, method: str, plural: str) -> Fault | None:
        for fault in self.faults:
            if fault.times > 0 and (fault.method, fault.plural) == (method, plural):
                fault.times -= 1
                return fault
        return None

    def _new_version(self) -> str:
        self._version += 1
        return str(self._version)

    def _new_uid(self) -> str:
        self._uid += 1
        return f"00000000-0000-4000-8000-{self._uid:012d}"


class _RefusedError(Exception):
    def __init__(self, status: int, reason: str, message: str, field: str = "") -> None:
        super().__init__(message)
        self.status, self.reason, self.field = status, reason, field


@asynccontextmanager
async def serving(api: FakeApi) -> AsyncIterator[Callable[[], ApiClient]]:
    """Serve on loopback; the block gets what makes a client, and closes it itself."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", api.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    api.url = f"http://127.0.0.1:{runner.addresses[0][1]}"

    def client() -> ApiClient:
        found = Configuration(host=api.url)
        found.client_session_kwargs = {"trust_env": False}
        # The library reads the system's authorities for every client, which takes longer than most tests.
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SSL_CERT_FILE", os.devnull)
            patch.setenv("SSL_CERT_DIR", os.devnull)
            return connect.client(found)

    try:
        yield client
    finally:
        await runner.cleanup()


def _parse(path: str) -> tuple[str, str, str | None, str]:
    parts = path.strip("/").split("/")
    parts = parts[2:] if parts[0] == "api" else parts[3:]
    namespace = ""
    if parts[0] == "namespaces":
        namespace, parts = parts[1], parts[2:]
    plural, rest = parts[0], parts[1:]
    return plural, namespace, rest[0] if rest else None, rest[1] if len(rest) > 1 else ""


def _refusal(
    status: int, reason: str, message: str, headers: dict[str, str] | None = None, field: str = ""
) -> web.Response:
    body: Json = {"kind": "Status", "status": "Failure", "code": status, "reason": reason, "message": message}
    if field:
        body["details"] = {"causes": [{"field": field}]}
    return web.json_response(body, status=status, headers=headers)


def _selected(item: Json, selector: str | None) -> bool:
    marks = item["metadata"].get("labels") or {}
    for term in (selector or "").split(","):
        name, has_value, value = term.partition("=")
        if name and (name not in marks or (has_value and marks[name] != value)):
            return False
    return True


def _check_preconditions(current: Json | None, wanted: Json, deleting: bool = False) -> None:
    if "uid" in wanted and (current is None or current["metadata"]["uid"] != wanted["uid"]):
        if current is None or deleting:
            raise _RefusedError(409, "Conflict", "uid mismatch")
        raise _RefusedError(422, "Invalid", "metadata.uid: field is immutable", "metadata.uid")
    version = wanted.get("resourceVersion")
    if version and (current is None or current["metadata"]["resourceVersion"] != version):
        raise _RefusedError(409, "Conflict", "the object has been modified")


def _check_controllers(item: Json) -> None:
    owners = item["metadata"].get("ownerReferences") or ()
    if sum(bool(owner.get("controller")) for owner in owners) > 1:
        raise _RefusedError(422, "Invalid", "Only one reference can have Controller set to true")


_LIST_KEYS = {"ownerReferences": "uid"}


def _merge(live: Any, wanted: Any, before: Any) -> Any:
    """Maps merge, owner references merge by UID, other lists are one value; what is no longer wanted goes."""
    if isinstance(wanted, dict) or (wanted is None and isinstance(before, dict)):
        have = dict(live or {})
        for name in set(before or {}) - set(wanted or {}):
            have.pop(name, None)
        for name, value in (wanted or {}).items():
            have[name] = _merge(have.get(name), value, (before or {}).get(name))
        return have or (None if wanted is None else have)
    if isinstance(wanted, list) and wanted and isinstance(wanted[0], dict) and "controller" in wanted[0]:
        uids = {owner["uid"] for owner in wanted}
        return [owner for owner in live or () if owner["uid"] not in uids] + wanted
    return live if wanted is None and before is None else wanted


def _content(item: Json) -> Json:
    content = copy.deepcopy(item)
    content["metadata"].pop("resourceVersion", None)
    return content


def _without_kind(item: Json) -> Json:
    return {name: copy.deepcopy(value) for name, value in item.items() if name not in ("apiVersion", "kind")}


def _now() -> str:
    return datetime(2026, 11, 1, tzinfo=UTC).isoformat().replace("+00:00", "Z")

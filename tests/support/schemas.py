"""Walks over the schemas of CRDs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from serin_operator.api.crdgen import Kind, crd

Json = dict[str, Any]


def schema_of(kind: Kind) -> Json:
    """The schema of the kind's one version."""
    found: Json = crd(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return found


def rules_of(node: Json) -> Iterator[Json]:
    """Every CEL rule at a node and below it."""
    yield from node.get("x-kubernetes-validations", ())
    for field in node.get("properties", {}).values():
        yield from rules_of(field)
    if "items" in node:
        yield from rules_of(node["items"])

"""Parsing our own kinds at the edge: what is malformed becomes a sentence, never an exception or a guess."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from serin_operator.api.deployment import ModelDeploymentSpec, ModelDeploymentStatus
from serin_operator.api.revision import ModelRevisionSpec, ModelRevisionStatus
from serin_operator.decide import timestamps
from serin_operator.decide.observation import RevisionFacts

Status = TypeVar("Status", bound=BaseModel)

_TRUSTED_FIELDS = ("stable", "candidate", "rejected")
"""Without these a trial could be forgotten or a rejected model tried again: nothing is decided then."""


def spec_of(item: Mapping[str, Any]) -> tuple[ModelDeploymentSpec | None, str | None]:
    """The spec, or None and the sentence that says what is wrong with it."""
    try:
        return ModelDeploymentSpec.model_validate(item.get("spec") or {}), None
    except ValidationError as error:
        return None, sentence(error, "spec")


def status_of(item: Mapping[str, Any]) -> tuple[ModelDeploymentStatus, str | None]:
    """The status that stands; a sentence where it has lost something that decisions rest on."""
    status, lost = tolerant(ModelDeploymentStatus, item.get("status") or {})
    trusted = [field for field in _TRUSTED_FIELDS if field in lost]
    if not trusted:
        return status, None
    return status, f"status.{trusted[0]} cannot be read: {lost[trusted[0]]}"


def revision_of(item: Mapping[str, Any]) -> tuple[RevisionFacts | None, str | None]:
    """The ModelRevision, or None and the sentence that says what is wrong with it."""
    metadata = item["metadata"]
    try:
        spec = ModelRevisionSpec.model_validate(item.get("spec") or {})
    except ValidationError as error:
        return None, f"ModelRevision {metadata['name']} cannot be read: {sentence(error, 'spec')}"
    status, _ = tolerant(ModelRevisionStatus, item.get("status") or {})
    facts = RevisionFacts(
        name=metadata["name"],
        uid=metadata["uid"],
        created_at=timestamps.seconds(metadata["creationTimestamp"]),
        spec=spec,
        status=status,
        resource_version=metadata["resourceVersion"],
    )
    return facts, None


def tolerant(model: type[Status], fields: Mapping[str, Any]) -> tuple[Status, dict[str, str]]:
    """The model from all top-level fields that can be read, and why the others cannot.

    A newer or older operator may have written values that this one does not know.
    """
    kept = dict(fields)
    lost: dict[str, str] = {}
    while True:
        try:
            return model.model_validate(kept), lost
        except ValidationError as error:
            for problem in error.errors(include_url=False, include_input=False):
                name = str(problem["loc"][0]) if problem["loc"] else ""
                lost[name] = problem["msg"]
            if not set(lost) & set(kept):
                raise
            kept = {name: value for name, value in kept.items() if name not in lost}


def sentence(error: ValidationError, root: str) -> str:
    """The first problem with its path, and how many there are besides. Values are not quoted."""
    problems = error.errors(include_url=False, include_input=False)
    first = problems[0]
    path = ".".join((root, *(str(part) for part in first["loc"])))
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{path}: {first['msg']}{more}"

"""Why a model server did not start: written to the termination message, read by the operator."""

from __future__ import annotations

from enum import StrEnum

import msgspec

EXIT_REFUSED = 78
"""Exit status of a server that refuses its bundle (EX_CONFIG of sysexits.h); a person must act."""

EXIT_UNAVAILABLE = 75
"""Exit status of a fetch that did not get through (EX_TEMPFAIL); the next try may."""

MESSAGE_CHARS_MAX = 1024


class StartupReason(StrEnum):
    """The closed set of reasons; each is also the reason of a condition on the ModelDeployment."""

    BundleMissing = "BundleMissing"
    """The bundle's directory or one of its files is not there."""
    BundleInvalid = "BundleInvalid"
    """The manifest, profile, signature or golden rows cannot be read."""
    DigestMismatch = "DigestMismatch"
    """A file or the manifest is not the one that was pinned or recorded."""
    NotSigned = "NotSigned"
    """The spec names who must have signed the bundle, and none of them has."""
    ModelTypeRefused = "ModelTypeRefused"
    """The model holds a type outside the runtime's own allow-list."""
    SelfTestFailed = "SelfTestFailed"
    """The golden rows were not answered as recorded."""
    NotCompiled = "NotCompiled"
    """There is no proven compiled model, and the spec or the image takes nothing else."""
    SettingsInvalid = "SettingsInvalid"
    """An environment variable, the keys file or a credential is missing or malformed."""
    SourceRefused = "SourceRefused"
    """The bundle's place, or one that it redirects to, is not one that is fetched from."""
    SourceDenied = "SourceDenied"
    """The bundle's place does not let these credentials read it."""
    SourceUnavailable = "SourceUnavailable"
    """The bundle's place did not answer in time, or not to the end; it is asked again."""


FETCH_REASONS = frozenset({StartupReason.SourceRefused, StartupReason.SourceDenied, StartupReason.SourceUnavailable})
"""Reasons that only a fetch has; the others are of the bundle and of the server."""


class StartupFailure(msgspec.Struct, frozen=True):
    """What a server writes to its termination message before it exits with EXIT_REFUSED."""

    reason: StartupReason
    message: str


class ResolvedDigest(msgspec.Struct, frozen=True):
    """What the one-shot resolve pod writes to its termination message when it ends well."""

    digest: str


def encode(report: StartupFailure | ResolvedDigest) -> bytes:
    """The report as JSON, with the message cut to what a termination message holds."""
    if isinstance(report, StartupFailure):
        report = msgspec.structs.replace(report, message=report.message[:MESSAGE_CHARS_MAX])
    return msgspec.json.encode(report)


def decode_failure(text: str) -> StartupFailure | None:
    """The failure in a termination message, or None where the text is something else."""
    try:
        return msgspec.json.decode(text, type=StartupFailure)
    except msgspec.MsgspecError:
        return None


def decode_digest(text: str) -> str | None:
    """The digest in a termination message, or None where the text is something else."""
    try:
        return msgspec.json.decode(text, type=ResolvedDigest).digest
    except msgspec.MsgspecError:
        return None

"""What the pod's environment says, parsed once and checked before anything else happens."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import msgspec

from serin_contract import http, labels
from serin_contract.bundle import CompilePolicy, is_digest
from serin_contract.sampled import SAMPLE_ROWS_MAX, SAMPLE_ROWS_MIN
from serin_contract.startup import StartupReason
from serin_serving.errors import RefusedError

ENV_INFERENCE_PORT = "SERIN_INFERENCE_PORT"
ENV_STATS_PORT = "SERIN_STATS_PORT"
ENV_HOST = "SERIN_HOST"
ENV_TERMINATION_LOG = "SERIN_TERMINATION_LOG"

DRAIN_SECONDS_MAX = 3600.0
_SWITCH = {"": False, "0": False, "1": True}
_name = re.compile(r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?\Z")


class Code(msgspec.Struct, frozen=True):
    """Which code besides the image's own programs may run."""

    allows_pickle: bool = False
    """Whether that of whoever made the bundle."""
    model_class: str = ""
    """`module:Class` of the image; empty where it names none."""


class Settings(msgspec.Struct, frozen=True):
    """How this server was set up."""

    deployment: str
    """Name of the ModelDeployment; also the model's name in every path."""
    revision: str
    pod_uid: str
    bundle_dir: Path
    bundle_digest: str
    keys_file: Path
    stable_profile_file: Path | None
    drain_seconds: float
    longest_request_seconds: float = labels.LONGEST_REQUEST_SECONDS
    """How long running requests are waited for once nothing is accepted any more."""
    sample_rows: int = 0
    """How many of the rows that were answered are kept in memory, for who has a key of the deployment; 0 keeps none."""
    inference_port: int = http.INFERENCE_PORT
    """0 takes a free port; the log line of the start names it."""
    stats_port: int = http.STATS_PORT
    grpc_port: int | None = None
    """None: no gRPC. 0 takes a free port too."""
    compile: CompilePolicy = "auto"
    """Whether the compiled model is served, where the bundle has one."""
    host: str = ""
    """Empty listens on every address of the pod, IPv6 as well as IPv4."""
    logs_requests: bool = False
    """Whether answered inferences are logged, as many as the limit of lines lets through."""
    code: Code = Code()
    signers_dir: Path | None = None
    """The keys of which one must have signed the bundle; None asks for no signature."""


def termination_log(env: Mapping[str, str]) -> Path:
    """Where the reason of a refused start is written."""
    return Path(env.get(ENV_TERMINATION_LOG, labels.TERMINATION_LOG))


def bundle_dir(env: Mapping[str, str]) -> Path:
    """Where the bundle is mounted."""
    return Path(env.get(labels.ENV_BUNDLE_DIR, labels.MODEL_MOUNT))


def from_env(env: Mapping[str, str]) -> Settings:
    """Read the settings of `serve`.

    Raises:
        RefusedError: a variable is missing or malformed; the message names it.
    """
    stable_profile = env.get(labels.ENV_STABLE_PROFILE_FILE, "")
    return Settings(
        deployment=_named(env, labels.ENV_DEPLOYMENT),
        revision=_named(env, labels.ENV_REVISION),
        pod_uid=_required(env, labels.ENV_POD_UID),
        bundle_dir=bundle_dir(env),
        bundle_digest=pinned_digest(env, required=True) or "",
        keys_file=Path(env.get(labels.ENV_KEYS_FILE, f"{labels.KEYS_MOUNT}/{labels.KEYS_FILE}")),
        stable_profile_file=Path(stable_profile) if stable_profile else None,
        drain_seconds=_seconds(env, labels.ENV_DRAIN_SECONDS, labels.DRAIN_SECONDS),
        longest_request_seconds=_seconds(env, labels.ENV_LONGEST_REQUEST_SECONDS, labels.LONGEST_REQUEST_SECONDS),
        sample_rows=_sample_rows(env),
        inference_port=_port(env, ENV_INFERENCE_PORT, http.INFERENCE_PORT),
        stats_port=_port(env, ENV_STATS_PORT, http.STATS_PORT),
        grpc_port=_port(env, labels.ENV_GRPC_PORT, 0) if env.get(labels.ENV_GRPC_PORT) else None,
        compile=_compile(env),
        host=env.get(ENV_HOST, ""),
        logs_requests=_switch(env, labels.ENV_ACCESS_LOG),
        code=Code(_switch(env, labels.ENV_ALLOW_PICKLE), env.get(labels.ENV_MODEL_CLASS, "")),
        signers_dir=signers_dir(env),
    )


def signers_dir(env: Mapping[str, str]) -> Path | None:
    """Where the keys are of which one must have signed the bundle; None asks for no signature."""
    directory = env.get(labels.ENV_SIGNERS_DIR, "")
    return Path(directory) if directory else None


def pinned_digest(env: Mapping[str, str], *, required: bool) -> str | None:
    """The digest that the bundle must have, or None where none is pinned and none is required.

    Raises:
        RefusedError: it is malformed, or required and missing.
    """
    text = env.get(labels.ENV_BUNDLE_DIGEST, "")
    if not text and not required:
        return None
    if not is_digest(text):
        raise _invalid(f"{labels.ENV_BUNDLE_DIGEST} must be sha256: and 64 hexadecimal digits")
    return text


def _invalid(message: str) -> RefusedError:
    return RefusedError(StartupReason.SettingsInvalid, message)


def _required(env: Mapping[str, str], variable: str) -> str:
    value = env.get(variable, "")
    if not value:
        raise _invalid(f"{variable} is not set")
    return value


def _named(env: Mapping[str, str], variable: str) -> str:
    value = _required(env, variable)
    if not _name.match(value):
        raise _invalid(f"{variable} must be a name of letters, digits, '.', '_' and '-'")
    return value


def _seconds(env: Mapping[str, str], variable: str, default: float) -> float:
    text = env.get(variable, "")
    if not text:
        return float(default)
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= DRAIN_SECONDS_MAX:
        raise _invalid(f"{variable} must be a number of seconds from 0 to {DRAIN_SECONDS_MAX:g}")
    return seconds


def _sample_rows(env: Mapping[str, str]) -> int:
    text = env.get(labels.ENV_SAMPLE_ROWS, "")
    if not text:
        return 0
    if not (text.isascii() and text.isdigit()) or not SAMPLE_ROWS_MIN <= int(text) <= SAMPLE_ROWS_MAX:
        raise _invalid(f"{labels.ENV_SAMPLE_ROWS} must be a number of rows from {SAMPLE_ROWS_MIN} to {SAMPLE_ROWS_MAX}")
    return int(text)


def _switch(env: Mapping[str, str], variable: str) -> bool:
    text = env.get(variable, "")
    if text not in _SWITCH:
        raise _invalid(f"{variable} must be 0 or 1")
    return _SWITCH[text]


def _compile(env: Mapping[str, str]) -> CompilePolicy:
    text = env.get(labels.ENV_COMPILE, "auto")
    for policy in get_args(CompilePolicy):
        if text == policy:
            return policy  # type: ignore[no-any-return]
    raise _invalid(f"{labels.ENV_COMPILE} must be one of {', '.join(get_args(CompilePolicy))}")


def _port(env: Mapping[str, str], variable: str, default: int) -> int:
    text = env.get(variable, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit()) or int(text) > 65535:
        raise _invalid(f"{variable} must be a port number from 0 to 65535")
    return int(text)

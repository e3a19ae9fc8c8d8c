"""From settings to a proven model: check, load, self-test, warm up. Nothing listens before that is done."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TypeVar

import msgspec

from serin_contract import profile as profiles
from serin_contract.bundle import GOLDEN_FILE, PROFILE_FILE, SIGNATURE_FILE, Golden, Signature
from serin_contract.http import PROFILE_BYTES_MAX
from serin_contract.profile import Profile
from serin_contract.startup import StartupReason
from serin_serving.bundle_files import Bundle, read_bundle
from serin_serving.errors import RefusedError
from serin_serving.ladder import choose
from serin_serving.model import Model
from serin_serving.readings import Columns
from serin_serving.settings import Settings
from serin_serving.signers import signers_of

_log = logging.getLogger(__name__)
KEPT = (PROFILE_FILE, SIGNATURE_FILE, GOLDEN_FILE)
"""What is read at once; the model's file only if it is the one that is loaded."""

_T = TypeVar("_T")


class Loaded(msgspec.Struct, frozen=True):
    """A model that answered its golden rows, and the profiles that its rows are binned on."""

    model: Model
    profile: Profile
    stable_profile: Profile | None
    slow: bool
    """Whether the model must leave the event loop."""
    reason: str = ""
    """Why the model is not the compiled one; empty where it is."""


def load(settings: Settings) -> Loaded:
    """Check the bundle, load the model and prove it on its golden rows.

    Raises:
        RefusedError: with the reason that the operator reads.
    """
    check_signed = signers_of(settings.signers_dir)
    bundle = read_bundle(settings.bundle_dir, settings.bundle_digest, keep=KEPT, check_signed=check_signed)
    signature = _decode(bundle, SIGNATURE_FILE, Signature)
    golden = _decode(bundle, GOLDEN_FILE, Golden)
    profile = _profile(bundle.files[PROFILE_FILE], signature)
    stable = None if settings.stable_profile_file is None else _stable_profile(settings.stable_profile_file)
    chosen = choose(settings.bundle_dir, bundle, signature, golden, settings.compile, settings.code)
    model = chosen.model
    # The timing runs are the warm-up too: the first call of a model is the slowest.
    slow = model.is_slow(chosen.rows)
    _log.info(
        "the bundle is %s; %s runs the model %s, which takes %s",
        bundle.digest,
        model.runtime,
        "on a thread" if slow else "in the loop",
        "missing values" if model.takes_gaps else "no row without any value",
    )
    return Loaded(model=model, profile=profile, stable_profile=stable, slow=slow, reason=chosen.reason)


def _decode(bundle: Bundle, path: str, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(bundle.files[path], type=kind)
    except msgspec.MsgspecError as error:
        raise RefusedError(StartupReason.BundleInvalid, f"{path} cannot be read: {error}") from error


def _profile(data: bytes, signature: Signature) -> Profile:
    try:
        profile = profiles.decode(data)
    except ValueError as error:
        raise RefusedError(StartupReason.BundleInvalid, f"{PROFILE_FILE}: {error}") from error
    names = [column.name for column in signature.columns]
    readings = Columns(names, [column.datatype == "BYTES" for column in signature.columns]).readings(profile)
    if None in readings or {names[index] for reading in readings if reading for index in reading.columns} != set(names):
        raise RefusedError(StartupReason.BundleInvalid, "the profile does not describe the columns of the signature")
    if len(set(readings)) < len(readings):
        raise RefusedError(StartupReason.BundleInvalid, "two features of the profile say the same of one column")
    return profile


def _stable_profile(path: Path) -> Profile | None:
    """Stable's profile, or None where the file is not there: then nothing is binned on it."""
    try:
        with path.open("rb") as file:
            return profiles.decode(file.read(PROFILE_BYTES_MAX + 1))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise RefusedError(StartupReason.SettingsInvalid, f"the stable profile cannot be read: {error}") from error

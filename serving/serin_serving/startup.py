"""From settings to a proven model: check, load, self-test, warm up. Nothing listens before that is done."""

from __future__ import annotations

import logging
import platform
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np
import sklearn

from serin_contract import profile as profiles
from serin_contract.bundle import GOLDEN_FILE, PROFILE_FILE, SIGNATURE_FILE, Golden, Signature
from serin_contract.http import PROFILE_BYTES_MAX
from serin_contract.profile import Profile
from serin_contract.startup import StartupReason
from serin_serving import runtimes
from serin_serving.bundle_files import Bundle, read_bundle
from serin_serving.errors import RefusedError, RequestError
from serin_serving.layout import Layout, Matrix
from serin_serving.model import Answers, Model
from serin_serving.readings import Columns
from serin_serving.settings import Settings

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class Loaded(msgspec.Struct, frozen=True):
    """A model that answered its golden rows, and the profiles that its rows are binned on."""

    model: Model
    profile: Profile
    stable_profile: Profile | None
    slow: bool
    """Whether the model must leave the event loop."""


def load(settings: Settings) -> Loaded:
    """Check the bundle, load the model and prove it on its golden rows.

    Raises:
        RefusedError: with the reason that the operator reads.
    """
    bundle = read_bundle(settings.bundle_dir, settings.bundle_digest)
    signature = _decode(bundle, SIGNATURE_FILE, Signature)
    golden = _decode(bundle, GOLDEN_FILE, Golden)
    profile = _profile(bundle.files[PROFILE_FILE], signature)
    stable = None if settings.stable_profile_file is None else _stable_profile(settings.stable_profile_file)
    model = runtimes.load(bundle, signature, settings)
    rows = self_test(model, golden, bundle.manifest.versions)
    # The timing runs are the warm-up too: the first call of a model is the slowest.
    slow = model.is_slow(rows)
    _log.info("the bundle is %s; the model runs %s", bundle.digest, "on a thread" if slow else "in the loop")
    return Loaded(model=model, profile=profile, stable_profile=stable, slow=slow)


def self_test(model: Model, golden: Golden, versions: dict[str, str]) -> Matrix:
    """Answer the golden rows and compare; returns them as the model was fed them.

    Raises:
        RefusedError: there are none, or an answer differs from the recorded one (SelfTestFailed).
    """
    if not golden.rows or len(golden.rows) != len(golden.predictions):
        raise RefusedError(StartupReason.BundleInvalid, "the golden rows are missing or without predictions")
    try:
        matrix = _golden_matrix(golden, model.layout)
        answers = model.answer(matrix)
    except RequestError as error:
        raise _failed(error.sentence, versions) from error
    # Another version of a library, and a class of the user's own, may fail in any way. The text could quote a row.
    except Exception as error:
        if isinstance(error, RefusedError):
            raise
        raise _failed(f"the model failed over the golden rows: {type(error).__name__}", versions) from error
    row = _first_difference(answers, golden)
    if row is not None:
        raise _failed(f"golden row {row} is not answered as recorded", versions)
    return matrix


def _golden_matrix(golden: Golden, layout: Layout) -> Matrix:
    if any(len(row) != layout.width for row in golden.rows):
        raise RefusedError(StartupReason.BundleInvalid, "a golden row has not the signature's columns")
    return layout.from_rows(golden.rows)


def _first_difference(answers: Answers, golden: Golden) -> int | None:
    """The first row whose answer differs; None where all agree within the recorded tolerance."""
    wrong = np.zeros(len(golden.rows), dtype=np.bool_)
    if answers.classes is None:
        recorded = np.array(golden.predictions, dtype=np.float64)
        limit = golden.tolerance * np.maximum(1.0, np.abs(recorded))
        wrong |= ~(np.abs(answers.score - recorded) <= limit)
    else:
        pairs = zip(answers.values, golden.predictions, strict=True)
        wrong |= np.array([answered != expected for answered, expected in pairs])
    if answers.probabilities is not None and golden.probabilities is not None:
        expected = np.array(golden.probabilities, dtype=np.float64)
        if expected.shape != answers.probabilities.shape:
            return 0
        wrong |= ~(np.abs(answers.probabilities - expected).max(axis=1) <= golden.tolerance)
    return int(np.argmax(wrong)) if wrong.any() else None


def _failed(what: str, versions: dict[str, str]) -> RefusedError:
    here = {"python": platform.python_version(), "scikit-learn": sklearn.__version__, "numpy": np.__version__}
    differences = [
        f"{library} {versions[library]} trained and {version} serves"
        for library, version in here.items()
        if versions.get(library, version) != version
    ]
    return RefusedError(StartupReason.SelfTestFailed, "; ".join([what, *differences]))


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

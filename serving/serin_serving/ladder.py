"""Which form of the bundle's model is served: the compiled one where it is proven here, else scikit-learn's own."""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec

from serin_contract.bundle import MODEL_FILE, CompilePolicy, Golden, Signature
from serin_contract.compiled import COMPILED_FILE, ONNX_FILE, Compiled
from serin_contract.startup import StartupReason
from serin_serving.bundle_files import Bundle, read_more
from serin_serving.errors import RefusedError
from serin_serving.layout import Matrix
from serin_serving.model import Model
from serin_serving.self_test import self_test
from serin_serving.settings import Code

_log = logging.getLogger(__name__)


class Chosen(msgspec.Struct, frozen=True):
    """A model that passed the self-test."""

    model: Model
    rows: Matrix
    """The golden rows as the model was fed them."""
    reason: str = ""
    """Why it is not the compiled model; empty where it is."""


class _NotCompiledError(Exception):
    """The bundle has no compiled model; the text says why."""


def choose(
    directory: Path,
    bundle: Bundle,
    signature: Signature,
    golden: Golden,
    policy: CompilePolicy,
    code: Code | None = None,
) -> Chosen:
    """Load what the policy allows, best first, and prove it on the golden rows.

    Under `auto` a graph that fails its self-test, or that onnxruntime does not take, gives way to scikit-learn. One
    that reaches for other files or operators is refused: no compiler wrote it.

    Raises:
        RefusedError: nothing that the policy allows can be served.
    """
    if policy == "never":
        return _uncompiled(directory, bundle, signature, golden, "spec.serving.compile is never", code)
    try:
        return _onnx(directory, bundle, signature, golden)
    except _NotCompiledError as error:
        reason = str(error)
        if policy == "require":
            raise _nothing_else("spec.serving.compile is require", reason) from error
    except RefusedError as error:
        if policy == "require" or error.reason not in (StartupReason.SelfTestFailed, StartupReason.BundleInvalid):
            raise
        reason = f"{error.reason}: {error.message}"
        _log.warning("the compiled model is not served: %s", reason)
    return _uncompiled(directory, bundle, signature, golden, reason, code)


def _onnx(directory: Path, bundle: Bundle, signature: Signature, golden: Golden) -> Chosen:
    if COMPILED_FILE not in bundle.manifest.files:
        raise _NotCompiledError("the bundle is of a version of serin that did not compile models")
    try:
        compiled = msgspec.json.decode(read_more(directory, bundle, COMPILED_FILE), type=Compiled)
    except msgspec.MsgspecError as error:
        raise RefusedError(StartupReason.BundleInvalid, f"{COMPILED_FILE} cannot be read: {error}") from error
    if compiled.kind != "onnx":
        raise _NotCompiledError(compiled.reason or "the bundle does not say why")
    # Imported only here: a pod that serves scikit-learn has no use for it.
    from serin_serving.onnx_model import load_onnx

    model = load_onnx(read_more(directory, bundle, ONNX_FILE), signature, compiled)
    return Chosen(model, self_test(model, golden, compiled.versions))


def _uncompiled(
    directory: Path, bundle: Bundle, signature: Signature, golden: Golden, reason: str, code: Code | None
) -> Chosen:
    try:
        # scikit-learn takes a second to import, and the slim image does not have it.
        from serin_serving import runtimes
        from serin_serving.skops_model import load_skops
    except ImportError as error:
        raise _nothing_else(f"this image has no {error.name}", reason) from error
    file = bundle.model_file
    data = read_more(directory, bundle, file)
    code = code or Code()
    model = load_skops(data, signature) if file == MODEL_FILE else runtimes.load(file, data, signature, code)
    return Chosen(model, self_test(model, golden, bundle.manifest.versions), reason)


def _nothing_else(who: str, reason: str) -> RefusedError:
    return RefusedError(
        StartupReason.NotCompiled, f"{who}, so only a compiled model is served, and there is none: {reason}"
    )

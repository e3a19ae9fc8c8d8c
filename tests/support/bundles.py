"""Bundles for tests: good ones, and ones that went wrong the way bundles do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import skops.io
from sklearn.datasets import load_wine
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from serin_bundle import package
from serin_bundle.manifest import digest_of, encode_manifest
from serin_contract.bundle import GOLDEN_FILE, MANIFEST_FILE, MODEL_FILE
from serin_contract.startup import StartupReason

NOT_COMPILED = b'{"kind":"none","reason":"nobody tried"}'


def wine(out: Path, *, swapped: bool = False) -> str:
    """Package a classifier of scikit-learn's wines and return its digest.

    Args:
        out: the bundle's directory.
        swapped: trained on rows whose first two columns have changed places, so that its bins lie elsewhere
            and callers' rows are often answered wrong.
    """
    data = load_wine()
    rows = data.data[:, [1, 0, *range(2, 13)]] if swapped else data.data
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, data.target)
    return package(model, rows, data.target, out, name="wine", feature_names=list(data.feature_names)).digest


def steep_line(out: Path) -> str:
    """Package a regressor of one column whose answers leave the range of numbers for large rows."""
    rows = np.arange(20.0).reshape(-1, 1)
    model = LinearRegression().fit(rows, rows[:, 0] * 1e100)
    return package(model, rows, rows[:, 0] * 1e100, out, name="line").digest


def copy(bundle: Path, out: Path) -> Path:
    """A copy to spoil."""
    shutil.copytree(bundle, out)
    return out


def rewrite(bundle: Path, **contents: bytes) -> str:
    """Replace files and write a manifest that vouches for them; returns the new digest.

    Args:
        bundle: its directory.
        contents: bytes by file name with `_` for `.`.
    """
    files = {path.name: path.read_bytes() for path in bundle.iterdir() if path.name != MANIFEST_FILE}
    files |= {name.replace("_", "."): data for name, data in contents.items()}
    manifest = encode_manifest(json.loads((bundle / MANIFEST_FILE).read_bytes())["name"], files)
    for name, data in {**files, MANIFEST_FILE: manifest}.items():
        (bundle / name).write_bytes(data)
    return digest_of(manifest)


def digest(bundle: Path) -> str:
    """The bundle's digest as its manifest stands."""
    return digest_of((bundle / MANIFEST_FILE).read_bytes())


def damage(bundle: Path, name: str = MODEL_FILE) -> None:
    """Flip one bit in the middle of a file, as a bad disk does."""
    data = bytearray((bundle / name).read_bytes())
    data[len(data) // 2] ^= 1
    (bundle / name).write_bytes(bytes(data))


def lie_in_golden_rows(bundle: Path) -> str:
    """Record an answer that the model never gave; every digest holds. Returns the new digest."""
    golden = json.loads((bundle / GOLDEN_FILE).read_bytes())
    golden["predictions"][0] = next(answer for answer in golden["predictions"] if answer != golden["predictions"][0])
    return rewrite(bundle, golden_json=json.dumps(golden).encode())


def hide_a_function(bundle: Path) -> str:
    """Put a type into the model file that no server loads; every digest holds. Returns the new digest."""
    data = load_wine()
    model: Any = make_pipeline(FunctionTransformer(np.cbrt), LogisticRegression(max_iter=5000))
    model.fit(data.data, data.target)
    model.steps[0][1].func = shutil.rmtree
    return rewrite(bundle, model_skops=skops.io.dumps(model), compiled_json=NOT_COMPILED)


def forget_the_graph(bundle: Path) -> str:
    """Say that the model could not be compiled; returns the new digest."""
    return rewrite(bundle, compiled_json=NOT_COMPILED)


def spoil(bundle: Path, reason: StartupReason) -> str:
    """Spoil the bundle so that a server refuses it with this reason; returns the digest to pin.

    SettingsInvalid and the reasons of a fetch are no faults of a bundle: it is left as it is. NotCompiled is one only
    where a compiled model is required, and NotSigned where a signature is: no bundle of here has one.
    """
    pinned = digest(bundle)
    match reason:
        case StartupReason.BundleMissing:
            (bundle / MODEL_FILE).unlink()
        case StartupReason.BundleInvalid:
            pinned = rewrite(bundle, signature_json=b"{}")
        case StartupReason.DigestMismatch:
            damage(bundle)
        case StartupReason.ModelTypeRefused:
            pinned = hide_a_function(bundle)
        case StartupReason.SelfTestFailed:
            pinned = lie_in_golden_rows(bundle)
        case StartupReason.NotCompiled:
            pinned = forget_the_graph(bundle)
        case StartupReason.SettingsInvalid | StartupReason.NotSigned:
            pass
        case StartupReason.SourceRefused | StartupReason.SourceDenied | StartupReason.SourceUnavailable:
            pass
    return pinned

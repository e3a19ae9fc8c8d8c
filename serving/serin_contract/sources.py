r"""The URIs under which a bundle may lie, as patterns that the CRD and the pod share.

They are written in what Go, Rust and Python understand alike, so without look-around and without named groups.
"""

from __future__ import annotations

import re

_HOST = r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?(:[0-9]{1,5})?"
"""No user and no password: credentials are named by reference."""
_PATH = r"[^\s?#\\]+"
"""No query either, since signed ones are secrets."""
_REPOSITORY = r"[a-z0-9]+([._/-]+[a-z0-9]+)*"

PATTERNS = {
    "file": r"file:///[^\s]+",
    "pvc": r"pvc://[a-z0-9]([-a-z0-9.]*[a-z0-9])?(/[^\s]*)?",
    "http": rf"https?://{_HOST}/{_PATH}",
    "s3": rf"s3://[a-z0-9][a-z0-9.-]{{1,61}}[a-z0-9]/{_PATH}",
    "gs": rf"gs://[a-z0-9][a-z0-9._-]{{1,220}}[a-z0-9]/{_PATH}",
    "az": rf"az://[a-z0-9]{{3,24}}/[a-z0-9$][a-z0-9-]{{1,62}}/{_PATH}",
    "oci": rf"oci(\+http)?://{_HOST}/{_REPOSITORY}(:[A-Za-z0-9_][A-Za-z0-9._-]{{0,127}})?(@sha256:[0-9a-f]{{64}})?",
    "hf": rf"hf://[A-Za-z0-9._-]+/[A-Za-z0-9._-]+(@[A-Za-z0-9._-]+)?(/{_PATH})?",
    "mlflow": rf"mlflow(\+http)?://{_HOST}/[^\s/@?#\\]+(/[0-9]+|@[A-Za-z0-9._-]+)(/{_PATH})?",
}
"""Where a bundle may lie, by the kind of place."""

MOUNTED = ("file", "pvc")
"""Kinds whose bundle is there when the pod starts; every other one is fetched first."""

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".zip")
"""Ends of a path that is an archive of the bundle rather than its directory."""

IMAGE_SCHEME = "image://"
"""Before the reference of an image that is itself the model's server: it holds no bundle, so it is none of PATTERNS."""
_IMAGE = rf"{IMAGE_SCHEME}({_HOST}/)?{_REPOSITORY}(:[A-Za-z0-9_][A-Za-z0-9._-]{{0,127}})?(@sha256:[0-9a-f]{{64}})?"

PATTERN = f"^({'|'.join((*PATTERNS.values(), _IMAGE))})$"


def kind(uri: str) -> str | None:
    """The key of PATTERNS that the URI fits, or None where it fits none."""
    return next((name for name, pattern in PATTERNS.items() if re.fullmatch(pattern, uri)), None)


def is_image(uri: str) -> bool:
    """Whether an image is named that serves a model by itself."""
    return uri.startswith(IMAGE_SCHEME)


def is_fetched(uri: str) -> bool:
    """Whether a container of the pod fetches the bundle before the server starts."""
    return kind(uri) not in (None, *MOUNTED)

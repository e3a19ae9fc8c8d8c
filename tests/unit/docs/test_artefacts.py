"""The page on places of bundles: its examples are specs, its keys and numbers are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from serin_contract import bundle, labels, sources
from serin_contract.startup import FETCH_REASONS
from serin_operator.api.deployment import Model
from serin_operator.decide import artifact
from serin_serving import signers
from serin_serving.fetch import archive, command, connect, download, transport

PAGE = (Path(__file__).parents[3] / "docs" / "serving" / "artefacts.md").read_text()
PACKAGE = Path(command.__file__).parent


def test_every_example_is_a_spec_and_every_kind_of_place_has_its_line() -> None:
    documents = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.S)]
    models = [
        Model.model_validate(document["spec"]["model"]) for document in documents if "model" in document.get("spec", ())
    ]
    fetched = sources.PATTERNS.keys() - set(sources.MOUNTED)
    assert {sources.kind(model.uri) for model in models} == fetched
    for kind in sources.PATTERNS:
        assert f"`{kind}" in PAGE


def test_every_key_of_a_secret_that_is_read_is_listed_and_no_other() -> None:
    table = PAGE.partition("Its keys:")[2].partition("Without a key")[0]
    listed = set(
        re.findall(r"`((?:AWS|GOOGLE|AZURE|HF|MLFLOW)_[A-Z_]+|\.?[a-z-]+\.(?:json|crt)|\.dockerconfigjson)`", table)
    )
    code = "".join(path.read_text() for path in PACKAGE.glob("*.py"))
    read = set(
        re.findall(r'"((?:AWS|GOOGLE|AZURE|HF|MLFLOW)_[A-Z_]+|\.?[a-z-]+\.(?:json|crt)|\.dockerconfigjson)"', code)
    )
    assert listed == read


def test_the_numbers_are_those_of_the_code() -> None:
    for words in (
        f"{bundle.MANIFEST_BYTES_MAX // 1024**2} MiB or {bundle.FETCHED_FILES_MAX:,} files",
        f"file of more than {bundle.FILE_BYTES_MAX // 1024**3} GiB",
        f"archive of more than {bundle.FETCHED_BYTES_MAX // 1024**3} GiB",
        f"longer than {command.TOTAL_SECONDS / 60:g} minutes; {connect.CONNECT_SECONDS:g} s to connect",
        f"{connect.HEADER_SECONDS:g} s for an answer's head, {connect.READ_SECONDS:g} s between",
        f"more than {archive.MEMBERS_MAX:,} members, headers of more than {archive.PIECE_BYTES_MAX // 1024**2} MiB",
        f"More than {transport.REDIRECTS_MAX} redirects",
    ):
        assert words in PAGE
    assert f"P-256, P-384 or P-521, {signers.KEYS_MAX} at most" in PAGE
    assert f"# {labels.CACHE_GIBIBYTES} where no number is given" in PAGE
    assert f"tried again every {artifact.RETRY_SECONDS:g} s" in PAGE
    assert f"not begun after {artifact.BEGIN_SECONDS:g} s" in PAGE
    assert "up to five tries" in PAGE
    assert download.TRIES_MAX == 5


def test_every_reason_of_a_fetch_is_explained() -> None:
    for reason in FETCH_REASONS:
        assert f"| `{reason}` |" in PAGE

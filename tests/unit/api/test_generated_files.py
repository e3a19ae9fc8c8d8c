"""The generated files lie in the tree as the models say, and a drift is named with its remedy."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from serin_cli.crds import crds, generated
from serin_operator.api.crdgen import KINDS, crd

ROOT = Path(__file__).parents[3]


def run(root: Path, *words: str) -> Result:
    return CliRunner().invoke(crds, ["write", "--root", str(root), *words])


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A source tree with everything written."""
    (tmp_path / "operator" / "serin_operator").mkdir(parents=True)
    assert run(tmp_path).exit_code == 0
    return tmp_path


@pytest.mark.parametrize("path", generated(), ids=str)
def test_the_tree_holds_what_the_models_say(path: Path) -> None:
    assert (ROOT / path).read_text() == generated()[path], "run `serin crds write`"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_yaml_reads_back_as_the_crd(kind) -> None:
    assert yaml.safe_load(generated()[Path("crds") / kind.file_name]) == crd(kind)


def test_there_is_no_crd_that_nobody_generates() -> None:
    for folder in ("crds", "charts/serin/files/crds"):
        found = {path.relative_to(ROOT) for path in (ROOT / folder).glob("*.yaml")}
        assert found == {path for path in generated() if path.is_relative_to(folder)}


def test_check_is_content_with_a_fresh_tree(tree: Path) -> None:
    result = run(tree, "--check")
    assert result.exit_code == 0
    assert "as the models say" in result.output


@pytest.mark.parametrize("path", generated(), ids=str)
def test_check_names_what_differs_and_the_command(tree: Path, path: Path) -> None:
    (tree / path).write_text("edited by hand\n")
    result = run(tree, "--check")
    assert result.exit_code == 1
    assert str(path) in result.output
    assert "serin crds write" in result.output
    assert (tree / path).read_text() == "edited by hand\n", "--check writes nothing"


def test_write_mends_only_what_differs(tree: Path) -> None:
    (tree / "docs/api.md").unlink()
    result = run(tree)
    assert result.output.splitlines() == ["wrote docs/api.md"]
    assert run(tree, "--check").exit_code == 0


def test_refuses_a_folder_that_is_no_source_tree(tmp_path: Path) -> None:
    result = run(tmp_path)
    assert result.exit_code == 2
    assert "no source tree of Serin" in result.output

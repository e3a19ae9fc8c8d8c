"""The tree is as the design says, where a slip would break something far away."""

from __future__ import annotations

import operator
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_operator_is_no_package_so_that_the_standard_librarys_is_found() -> None:
    assert not (ROOT / "operator" / "__init__.py").exists()
    assert not (ROOT / "serving" / "__init__.py").exists()
    assert operator.eq(1, 1)


def test_the_standard_librarys_operator_is_found_from_the_root_too() -> None:
    code = "import operator; print(operator.__file__)"
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30
    )
    assert answer.stdout.strip().endswith("/operator.py")


def test_ci_runs_what_the_readme_names() -> None:
    assert "make test" in (ROOT / ".ci" / "run").read_text()
    assert "make test" in (ROOT / "README.md").read_text()


def test_no_module_is_longer_than_a_sitting() -> None:
    sources = [path for folder in ("operator", "serving") for path in (ROOT / folder).rglob("*.py")]
    assert sources
    long = [str(path.relative_to(ROOT)) for path in sources if len(path.read_text().splitlines()) > 400]
    assert long == []

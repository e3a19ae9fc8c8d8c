import io

import pytest
from rich.console import Console

from serin_cli.cluster.progress import Progress


@pytest.fixture
def shown():
    return io.StringIO()


@pytest.fixture
def progress(shown):
    return Progress(Console(file=shown, width=100))


def test_a_stage_that_ends_is_one_line_with_its_result(progress, shown):
    with progress.stage("Node") as stage:
        stage.say("waiting")
        stage.finish("Ready")
    assert shown.getvalue().startswith("✓ Node: Ready [0.")
    assert shown.getvalue().count("\n") == 1


def test_a_stage_that_fails_says_so_and_passes_the_error_on(progress, shown):
    with pytest.raises(ValueError, match="broken"), progress.stage("Node"):
        raise ValueError("broken")
    assert shown.getvalue().startswith("✗ Node [0.")
    assert progress.done == []


def test_the_table_adds_the_stages_up(progress, shown):
    progress.done += [("one", 1.25, "built"), ("two", 2.5, "")]
    progress.table("Where the time went")
    text = shown.getvalue()
    assert "3.8" in text
    assert "built" in text


def test_a_stage_under_way_tells_its_detail(progress):
    with progress.stage("Build") as stage:
        stage.say("now one")
        assert stage.line() == "Build: now one [0 s]"

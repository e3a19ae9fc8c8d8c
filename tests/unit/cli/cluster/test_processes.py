import os
import subprocess
from dataclasses import replace

import pytest

from serin_cli.cluster.processes import (
    ProcessRef,
    children,
    end_all,
    parse_stat,
    read_references,
    read_stat,
    reference,
    write_references,
)

FIELDS = "S 41 42 42 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 1 0 987654 1000 200"


@pytest.mark.parametrize("name", ["python", "a b", "x) S 9 (y", "((", ")"])
def test_a_name_with_spaces_and_brackets_does_not_shift_the_fields(name):
    stat = parse_stat(f"43 ({name}) {FIELDS}\n")
    assert (stat.state, stat.parent, stat.start) == ("S", 41, 987654)


@pytest.fixture
def sleeper():
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


def test_a_running_process_is_alive_and_has_a_parent(sleeper):
    ref = reference(sleeper.pid)
    assert ref.alive()
    assert ref in children(os.getpid())


def test_a_reused_id_is_not_taken_for_the_process(sleeper):
    stranger = replace(reference(sleeper.pid), start=1)
    assert not stranger.alive()
    stranger.kill()
    assert sleeper.poll() is None


def test_an_ended_process_that_nobody_collected_is_not_alive(sleeper):
    ref = reference(sleeper.pid)
    end_all([ref])
    stat = read_stat(sleeper.pid)
    assert stat is not None
    assert stat.state == "Z"
    assert not ref.alive()


def test_a_process_that_never_was_cannot_be_referred_to():
    assert read_stat(2**22 + 1) is None
    with pytest.raises(ProcessLookupError):
        reference(2**22 + 1)


def test_references_survive_writing_and_reading(tmp_path):
    written = {"supervisor": ProcessRef(1, 2), "first": ProcessRef(3, 4)}
    write_references(tmp_path / "processes.json", written)
    assert read_references(tmp_path / "processes.json") == written
    assert [path.name for path in tmp_path.iterdir()] == ["processes.json"]


@pytest.mark.parametrize("content", [None, "", '{"supervisor": {"pid"'])
def test_no_record_or_a_broken_one_names_no_process(tmp_path, content):
    path = tmp_path / "processes.json"
    if content is not None:
        path.write_text(content)
    assert read_references(path) == {}

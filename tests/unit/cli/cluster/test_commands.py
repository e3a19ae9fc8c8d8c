import json

import pytest
from click.testing import CliRunner

from serin_cli.cluster.access import Cluster, load
from serin_cli.cluster.commands import cluster
from serin_cli.cluster.errors import ClusterError
from serin_cli.cluster.paths import paths_for
from serin_cli.cluster.up import locked


@pytest.fixture
def cli(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return lambda *words: CliRunner().invoke(cluster, words)


@pytest.mark.parametrize("words", [[], ["up"], ["env"], ["kubectl"], ["run"]])
def test_help_teaches_by_example(cli, words):
    result = cli(*words, "--help")
    assert result.exit_code == 0
    assert "Example" in result.output
    assert "\b" not in result.output


def test_status_without_a_cluster_fails_and_says_what_to_do(cli):
    result = cli("status")
    assert result.exit_code == 1
    assert "serin cluster up" in result.output


def test_status_without_a_cluster_is_a_document_too(cli):
    result = cli("status", "--output", "json")
    assert result.exit_code == 1
    document = json.loads(result.output)
    assert document["running"] is False
    assert document["ready"] is False


@pytest.mark.parametrize("command", ["kubeconfig", "env", "kubectl"])
def test_commands_that_need_a_cluster_say_so(cli, command):
    result = cli(command)
    assert result.exit_code == 1
    assert "serin cluster up" in result.output


def test_ending_a_cluster_twice_is_no_error(cli):
    assert cli("down").exit_code == 0
    assert cli("clean").exit_code == 0


def test_a_cluster_is_found_again_as_it_was_recorded(cli):
    made = Cluster("serin", "netns", "why", "/k", "serin", "/bin/kubectl", "/bin/helm", 1, 2, {"kubernetes": "v1"})
    made.save()
    assert load() == made
    assert cli("kubeconfig").output == "/k\n"
    assert "export KUBECONFIG=/k\n" in cli("env").output


def test_a_recorded_cluster_whose_process_is_gone_has_no_network_to_enter(cli):
    made = Cluster("serin", "netns", "why", "/k", "serin", "/bin/kubectl", "/bin/helm")
    made.save()
    made.paths.processes.write_text('{"supervisor": {"pid": 1, "start": 1}}')
    with pytest.raises(ClusterError, match="serin cluster up"):
        made.inside_command(["true"])


def test_two_commands_cannot_change_one_cluster_at_once(cli):
    paths = paths_for()
    with locked(paths), pytest.raises(ClusterError, match="Another command"), locked(paths):
        pytest.fail("both held the lock")


def test_the_cache_stays_while_another_cluster_runs_from_it(cli):
    paths_for("other").live.mkdir(parents=True)
    result = cli("clean", "--cache")
    assert result.exit_code == 1
    assert "serin cluster down --name other" in result.output
    assert cli("clean").exit_code == 0

import pytest

from serin_cli.cluster.status import Status, all_hold


def having(status):
    return {"status": {"conditions": [{"type": "Ready", "status": status}]}}


@pytest.mark.parametrize(
    ("items", "answer"),
    [
        ([], None),
        ([having("True")], True),
        ([having("True"), having("False")], False),
        ([having("Unknown")], False),
        ([{}], False),
    ],
)
def test_a_condition_holds_when_every_object_has_it(items, answer):
    assert all_hold(items, "Ready") is answer


@pytest.mark.parametrize(
    ("gateway", "operator", "good"),
    [(True, True, True), (None, None, True), (False, None, False), (True, False, False)],
)
def test_what_is_not_installed_does_not_make_a_cluster_bad(gateway, operator, good):
    status = Status("serin", running=True, node_ready=True, gateway_ready=gateway, operator_ready=operator)
    assert status.good is good
    assert status.document()["ready"] is good


def test_a_cluster_without_a_ready_node_is_not_good():
    assert not Status("serin", running=True).good
    assert not Status("serin", running=False, node_ready=True).good


def test_a_cluster_that_does_not_run_says_how_to_start_it():
    rows = dict(Status("serin", running=False, state_directory="/s").rows())
    assert "serin cluster up" in rows["cluster"]

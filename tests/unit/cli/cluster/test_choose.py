import pytest

from serin_cli.cluster.choose import Machine, choose
from serin_cli.cluster.errors import ClusterError, NotPossibleHere

ROOT = Machine(kind=False, engine=None, linux=True, root=True)
WITH_KIND = Machine(kind=True, engine="docker", linux=True, root=False)
KIND_WITHOUT_ENGINE = Machine(kind=True, engine=None, linux=True, root=True)
ENGINE_WITHOUT_KIND = Machine(kind=False, engine="podman", linux=True, root=True)
PERSON = Machine(kind=False, engine=None, linux=True, root=False)
MAC = Machine(kind=False, engine=None, linux=False, root=False)


@pytest.mark.parametrize(
    ("asked", "context", "machine", "mode", "reason"),
    [
        ("auto", None, WITH_KIND, "kind", "docker answers"),
        ("auto", None, ROOT, "netns", "kind is not installed"),
        ("auto", None, KIND_WITHOUT_ENGINE, "netns", "neither docker nor podman answers"),
        ("auto", None, ENGINE_WITHOUT_KIND, "netns", "kind is not installed"),
        ("kind", None, WITH_KIND, "kind", "asked for"),
        ("netns", None, ROOT, "netns", "asked for"),
        ("context", "mine", MAC, "context", "mine"),
    ],
)
def test_the_mode_and_its_reason(asked, context, machine, mode, reason):
    choice = choose(asked, context, machine)
    assert choice.mode == mode
    assert reason in choice.reason


@pytest.mark.parametrize(
    ("asked", "machine", "advice"),
    [
        ("auto", PERSON, "sudo"),
        ("netns", PERSON, "sudo"),
        ("auto", MAC, "install kind"),
        ("netns", MAC, "needs Linux"),
        ("kind", KIND_WITHOUT_ENGINE, "neither docker nor podman"),
        ("kind", ROOT, "not installed"),
    ],
)
def test_what_this_machine_cannot_do_is_refused_with_advice(asked, machine, advice):
    with pytest.raises(NotPossibleHere, match=advice) as refusal:
        choose(asked, None, machine)
    assert refusal.value.exit_code == 2


@pytest.mark.parametrize("asked", ["auto", "kind", "netns"])
def test_a_context_is_never_used_unless_its_mode_is_asked_for(asked):
    with pytest.raises(ClusterError, match="--mode context"):
        choose(asked, "production", WITH_KIND)


def test_a_context_must_be_named():
    with pytest.raises(ClusterError, match="--context NAME"):
        choose("context", None, WITH_KIND)

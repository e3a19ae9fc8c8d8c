"""What the generated reference says, and of what it says nothing."""

from __future__ import annotations

import re
from enum import StrEnum

import pytest
from tests.support.world import a_world

from serin_operator.api.conditions import ConditionType
from serin_operator.api.reference import VOCABULARIES, Vocabulary, meanings, reference

TEXT = reference()


@pytest.mark.parametrize(
    "line",
    [
        "| `spec.rollout.steps[].weight` | integer | ≥ 1; ≤ 99 |"
        " Percent of requests that the candidate answers in this step. |",
        "| `spec.traffic.hostnames` | list of string | at most 16 items; each once |"
        " Host names that the route answers; all of the listener's by default. |",
        "| `spec.paused` | boolean |  |"
        " Keeps the candidate's weight where it is and stops the clocks; a failing gate still rolls back. |",
        "| Gate | `.status.worstGate` | The gate that matters most now. |",
    ],
)
def test_has_the_line(line: str) -> None:
    assert line in TEXT.splitlines()


def test_lists_the_rules_with_their_words():
    assert "must rise from each to the next" in TEXT


def test_shows_placeholders_instead_of_tags():
    assert "pvc://&lt;claim>/&lt;path>" in TEXT
    outside_code = "".join(TEXT.split("`")[::2])
    assert not re.search(r"<[a-z/]", outside_code)


@pytest.mark.parametrize("vocabulary", VOCABULARIES, ids=lambda vocabulary: vocabulary.title)
def test_explains_every_word(vocabulary: Vocabulary) -> None:
    for word, meaning in meanings(vocabulary.words).items():
        assert f"| `{word}` | {meaning} |" in TEXT


def test_the_conditions_are_those_that_a_deployment_gets():
    found = a_world().step().status.conditions
    sometimes = (ConditionType.TrafficAsTrained, ConditionType.WatchPassing)
    always = [word for word in ConditionType if word not in sometimes]
    assert [condition.type for condition in found] == always


class Unexplained(StrEnum):
    """Words of which one is not explained."""

    One = "One"
    """The first."""
    Two = "Two"


def test_takes_words_from_above():
    class Further(StrEnum):
        """More words."""

        Three = "Three"
        """The third."""

    text = reference(Vocabulary("More", "More words.", Further))
    assert text.endswith("## More\n\nMore words.\n\n| Word | Meaning |\n| --- | --- |\n| `Three` | The third. |\n")


def test_refuses_a_word_without_meaning():
    with pytest.raises(ValueError, match="Unexplained does not explain Two"):
        meanings(Unexplained)

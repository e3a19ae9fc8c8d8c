"""How whole roll-outs feel: one readable text file per story, compared line by line."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.quick import slow
from tests.unit.decide import (  # noqa: F401 — told beside the others
    capacity_stories,
    confirmation_stories,
    custom_container_stories,
    replicas_stories,
    routing_stories,
    shadow_stories,
    watch_stories,
)
from tests.unit.decide.stories import LONG, STORIES

from serin_operator.decide.judge import GateReason

TIMELINES = Path(__file__).parent / "timelines"


@pytest.mark.parametrize("name", [slow(name) if name in LONG else name for name in STORIES])
def test_the_story_goes_as_it_is_written(name: str, update_golden: bool) -> None:
    telling = STORIES[name]()
    assert telling.gate_reasons <= set(GateReason), "every verdict gives a reason of the enumeration"
    told = telling.text()
    golden = TIMELINES / f"{name}.txt"
    if update_golden:
        golden.write_text(told)
    assert golden.exists(), "no timeline is written yet: run pytest --update-golden and read it"
    assert told.splitlines() == golden.read_text().splitlines()


def test_every_timeline_has_its_story() -> None:
    assert {path.stem for path in TIMELINES.glob("*.txt")} == set(STORIES)

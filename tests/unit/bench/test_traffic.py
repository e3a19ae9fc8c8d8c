"""What the load through transitions calls lost: a refusal is excused only of a candidate that is there to refuse."""

from __future__ import annotations

import pytest
from tests.bench.traffic.caller import Request
from tests.bench.traffic.log import Log
from tests.bench.traffic.scenes import Told

STABLE, CANDIDATE, NOBODY = "m-1", "m-2", ""


@pytest.mark.parametrize(
    ("sentence", "revision", "trouble", "refuses", "lost"),
    [
        ("a good answer", CANDIDATE, "", False, 0),
        ("nobody answers", NOBODY, "no answer in time", True, 1),
        ("stable refuses", STABLE, "HTTP 400", True, 1),
        ("a candidate that is there to refuse does so", CANDIDATE, "HTTP 400", True, 0),
        ("and fails in another way", CANDIDATE, "HTTP 503", True, 1),
        ("a good candidate refuses", CANDIDATE, "HTTP 400", False, 1),
        ("a good candidate fails", CANDIDATE, "HTTP 503", False, 1),
    ],
)
def test_what_is_lost(sentence: str, revision: str, trouble: str, refuses: bool, lost: int) -> None:
    log = Log([Request(0.0, 0.01, revision, trouble, fresh=False)])
    assert Told("a scene", log, 0.0, 1.0, STABLE, refuses=refuses).lost == lost, sentence

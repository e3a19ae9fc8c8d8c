"""What the demo reads of the cluster: the deployment as it changes, and whether the routes are taken."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from serin_cli.demo.kube import Watch, concerns_demo, is_taken


def printing(code: str) -> list[str]:
    return [sys.executable, "-u", "-c", code]


def await_generation(watch: Watch, wanted: int) -> None:
    tick = threading.Event()
    for _ in range(1000):
        if watch.document.get("generation") == wanted:
            return
        tick.wait(0.01)
    pytest.fail(f"the watch holds {watch.document}, not generation {wanted}")


def test_watch_keeps_the_newest_object_and_ends_its_process() -> None:
    code = "import time\nfor n in (1, 2): print('{\"generation\": %d}' % n)\nprint('{\"gen')\ntime.sleep(60)"
    with Watch(printing(code)) as watch:
        await_generation(watch, 2)
    assert watch.document == {"generation": 2}


def test_watch_that_ends_is_begun_again(tmp_path: Path) -> None:
    code = f"p = r'{tmp_path / 'n'}'; open(p, 'a').write('x'); print('{{\"generation\": %d}}' % len(open(p).read()))"
    with Watch(printing(code)) as watch:
        await_generation(watch, 2)


@pytest.mark.parametrize(
    ("parents", "taken"),
    [
        ([], False),
        ([{"Accepted": "True", "ResolvedRefs": "True"}], True),
        ([{"Accepted": "True", "ResolvedRefs": "False"}], False),
        ([{"Accepted": "True", "ResolvedRefs": "True"}, {"Accepted": "True"}], False),
    ],
)
def test_route_is_taken_when_every_gateway_says_so(parents: list[dict[str, str]], taken: bool) -> None:
    spoken = [{"conditions": [{"type": kind, "status": said} for kind, said in parent.items()]} for parent in parents]
    route: dict[str, Any] = {"status": {"parents": spoken}}
    assert is_taken(route) is taken


def test_diagnosis_quotes_no_other_deployment() -> None:
    assert concerns_demo('{"message": "step", "object": "demo/digits"}')
    assert concerns_demo('{"message": "the Lease was lost"}')
    assert not concerns_demo('{"message": "step", "object": "shop/digits"}')

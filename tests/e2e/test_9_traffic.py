"""Callers at a constant rate through the main transitions: no request is lost, and the split is the claimed one."""

from __future__ import annotations

import pytest
from tests.bench.traffic.__main__ import splits
from tests.bench.traffic.scenes import SCENES, SHORT, Scene, tell
from tests.e2e.conftest import measured
from tests.support.stories import Place

RATE = 120.0


@pytest.mark.parametrize("scene", [scene for scene in SCENES if scene.name in SHORT], ids=lambda scene: scene.name)
def test_no_request_is_lost(digits: Place, scene: Scene) -> None:
    told = tell(digits, scene, RATE)
    before, during, after = (f"{part.quantile_ms(0.5):.0f}/{part.quantile_ms(0.99):.0f} ms" for part in told.parts)
    seen = splits(told)
    shares = ", ".join(f"{100 * share:.1f} % of {weight} %" for weight, share, _, _ in seen)
    measured(
        f"{scene.name} at {RATE:.0f} requests/s",
        f"{told.lost} failed of {len(told.log.requests)}; p50/p99 {before}, {during}, {after}; {shares}",
    )
    assert told.lost == 0, told.log.troubles()
    assert len(told.log.requests) > 10 * RATE, "the callers were there all the time"
    for weight, share, requests, (low, high) in seen:
        assert low <= share <= high, f"{share:.4f} of {requests} requests instead of {weight} %"

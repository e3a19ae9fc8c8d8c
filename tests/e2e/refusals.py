"""What is said of a bundle that is refused: the same in conditions, message and event, and no pod has it."""

from __future__ import annotations

from tests.support.stories import START_SECONDS, Place, State


def refused(place: Place, reason: str, seconds: float = START_SECONDS) -> State:
    """Then the bundle is refused before any trial, in words, and stable is named as serving."""
    state = place.until(
        lambda state: state.current and state.phase == "Failed" and state.says("ArtifactVerified", "False", reason),
        f"it fails with {reason}",
        seconds,
    )
    assert state.says("Promoted", "False", reason)
    assert f"{state.stable} keeps serving" in state.message
    assert not state.candidate
    place.until(lambda _: _warned(place, reason, state.message), f"a warning tells of {reason}", 15)
    looked_at = _revisions(place, "resolve")
    assert looked_at
    assert looked_at.isdisjoint(_revisions(place, "serve")), "a pod has what was refused"
    assert looked_at.isdisjoint(item["metadata"]["name"] for item in place.get("modelrevisions"))
    return state


def _warned(place: Place, reason: str, message: str) -> bool:
    found = place.get("events", "--field-selector", f"reason={reason},type=Warning")
    return any(event["message"] == message for event in found)


def _revisions(place: Place, purpose: str) -> set[str]:
    pods = place.get("pods", "-l", f"serin.dev/purpose={purpose}")
    return {pod["metadata"]["labels"]["serin.dev/revision"] for pod in pods}

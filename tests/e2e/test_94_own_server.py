"""A container of a user's own on real pods: rolled out by numbers from elsewhere, and no caller loses a request."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from tests.e2e.conftest import beside_others, measured
from tests.e2e.documents import URL, WHERE, documents
from tests.support import kubernetes_objects as objects
from tests.support.stories import NAME, TRIAL_SECONDS, Place, in_words

from serin_cli.cluster.images import Image, base_image, ensure_image
from serin_cli.cluster.progress import Progress

CONTEXT = Path(__file__).parent / "own_server"
RATE = 40.0
GATES = {"custom": [{"name": "revenue", "url": URL, "field": "/revenue", "min": 1, "interval": "5s"}]}


def own_server(place: Place) -> str:
    """The image of the user's own server, in the cluster."""
    progress = Progress(Console(stderr=True))
    arguments = {"BASE_IMAGE": base_image(place.cluster, progress)}
    draft = Image("", CONTEXT / "Dockerfile", CONTEXT, (CONTEXT / "server.py",), arguments)
    image = Image(
        f"localhost/serin-own-server:{draft.key()[:12]}", draft.dockerfile, CONTEXT, draft.inputs, draft.build_args
    )
    ensure_image(place.cluster, image, progress)
    return image.tag


def own(image: str, **environment: str) -> dict[str, Any]:
    """The spec of that server; another environment is another revision."""
    serving = objects.serving(
        custom={"port": 9000, "readyPath": "/ready"},
        env=[{"name": name, "value": value} for name, value in environment.items()],
    )
    return {"model": {"uri": f"image://{image}"}, "serving": serving, "gates": GATES}


def says(room: Path, revenue: float) -> None:
    """What the document of the gate holds from now on."""
    (room / f"{NAME}.json").write_text(json.dumps({"revenue": revenue}))


@beside_others(WHERE)
def test_a_server_of_ones_own_is_promoted_by_its_own_numbers_and_no_request_is_lost(place: Place) -> None:
    image = own_server(place)
    with documents(place) as room:
        says(room, 5.0)
        first = place.serves("", **own(image, VERSION="1"))
        with place.load(RATE, label_share=0.0) as load:
            place.wants("", **own(image, VERSION="2"))
            state = place.until(lambda state: state.stable_of_spec, "it is promoted", TRIAL_SECONDS)
            place.until(lambda _: not place.pods(first), "the pods of the first one are gone", TRIAL_SECONDS)
            counted = load.stop()
    assert state.outcomes[0][0] == "Promoted"
    assert state.says("ArtifactVerified", "Unknown", "ImageNotPinned"), "a tag alone may move"
    assert "availability and custom gates alone" in state.condition("GatesPassing")["message"]
    assert counted.failed == 0, in_words(counted)
    measured("requests to a server of a user's own through a promotion, none lost", str(counted.requests))


@beside_others(WHERE)
def test_a_server_of_ones_own_is_taken_back_by_its_own_numbers(place: Place) -> None:
    image = own_server(place)
    with documents(place) as room, place.load(RATE, label_share=0.0) as load:
        says(room, 5.0)
        first = place.serves("", **own(image, VERSION="2"))
        place.wants("", **own(image, VERSION="3"), rollout=objects.rollout((50, 60)))
        place.until_candidate(50)
        says(room, 0.2)
        state = place.until(lambda state: state.phase == "RolledBack", "the gate fails", TRIAL_SECONDS)
        counted = load.stop()
    assert (state.stable, state.status["lastRollback"]["gate"]) == (first, "custom/revenue")
    assert counted.failed == 0, in_words(counted)


@beside_others(WHERE)
def test_a_server_of_ones_own_that_does_not_start_gets_no_caller(place: Place) -> None:
    image = own_server(place)
    first = place.serves("", **own(image, VERSION="2"))
    place.wants("", **own(image, CRASHES="1"))
    state = place.until(lambda state: state.phase == "RolledBack", "it is rejected", TRIAL_SECONDS)
    assert state.stable == first
    assert state.says("Progressing", "False", "CandidateCrashed")
    assert set(place.route_weights(state.status["lastRollback"]["from"], place.applied_at)) == {0}

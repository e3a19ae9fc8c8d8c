"""The image without scikit-learn: it serves what was compiled, and says so of what was not."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from tests.e2e.conftest import beside_others, measured
from tests.e2e.spoilt import BETTER, DECENT
from tests.support import kubernetes_objects as objects
from tests.support.stories import START_SECONDS, Place, in_words

from serin_cli.cluster.images import Image, base_image, ensure_image
from serin_cli.cluster.progress import Progress

ROOT = Path(__file__).parents[2]
TAG = "docker.io/library/serin-serving-slim:0.1.0"
RATE = 40.0


def build(place: Place) -> None:
    """As docs/serving/models.md has it."""
    progress, made = Progress(Console(stderr=True)), ROOT / "dist"
    inputs = (made / "requirements-serving-onnx.txt", *sorted(made.glob("*.whl")))
    arguments = {"BASE_IMAGE": base_image(place.cluster, progress), "EXTRA": "serving-onnx"}
    ensure_image(place.cluster, Image(TAG, ROOT / "serving" / "Dockerfile", ROOT, inputs, arguments), progress)


@beside_others("slim")
def test_an_image_without_scikit_learn_serves_a_compiled_model_and_no_other(place: Place) -> None:
    build(place)
    first = place.serves(DECENT, serving=objects.serving(image=TAG))
    (pod,) = place.pods(first)
    name = pod["metadata"]["name"]
    assert place.state.status["stable"]["runtime"] == "onnx"
    found = place.kubectl("exec", name, "-c", "model", "--", "python", "-m", "pip", "list", "--format=freeze")
    names = {line.partition("==")[0] for line in found.splitlines()}
    assert "onnxruntime" in names
    assert not names & {"scikit-learn", "scipy", "skops"}
    measured("the slim image", f"{len(names)} packages, none of them scikit-learn")
    with place.load(RATE) as load:
        place.wants(BETTER, serving=objects.serving(image=TAG, compile="never"))
        place.until(lambda state: "has no skops" in state.status.get("message", ""), "it is named", 2 * START_SECONDS)
        counted = load.stop()
    assert counted.failed == 0, in_words(counted)
    assert place.state.stable == first

"""A bundle made in the cluster: examples/prepare-job.yaml, typed as docs/serving/models.md has it, and then served."""

from __future__ import annotations

import json
import re
import urllib.request
from pathlib import Path
from typing import Any

import pyarrow as pa
import skops.io
import yaml
from pyarrow import parquet
from rich.console import Console
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tests.e2e.conftest import beside_others
from tests.e2e.typed import ROOT, commands_of, type_in
from tests.support import bundles
from tests.support.stories import NAME, Place

from serin_cli.cluster.images import Image, base_image, ensure_image
from serin_cli.cluster.progress import Progress
from serin_contract.bundle import MANIFEST_FILE

EXAMPLE = "examples/prepare-job.yaml"
BUNDLE = "wine/8"
"""Where the example writes, below its claim."""
CLAIM = "trained"
JOB_SECONDS = 240
"""It takes some, of which most import scikit-learn; more where other programs want the processor too."""
WINE = load_wine()


def ensure_image_of_example(place: Place) -> None:
    """The image is in the cluster, by the very name that the example gives it."""
    progress, made = Progress(Console(stderr=True)), ROOT / "dist"
    job = yaml.safe_load((ROOT / EXAMPLE).read_text())
    (container,) = job["spec"]["template"]["spec"]["containers"]
    inputs = (made / "requirements-prepare.txt", *sorted(made.glob("*.whl")))
    arguments = {"BASE_IMAGE": base_image(place.cluster, progress), "EXTRA": "prepare"}
    tag = f"docker.io/library/{container['image']}"
    ensure_image(place.cluster, Image(tag, ROOT / "serving" / "Dockerfile", ROOT, inputs, arguments), progress)


def train(raw: Path) -> Any:
    """A model and the rows that it was trained on, as files of somebody who knows nothing of Serin."""
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(WINE.data, WINE.target)
    columns = dict(zip(WINE.feature_names, WINE.data.T, strict=True))
    raw.mkdir()
    skops.io.dump(model, raw / "wine.skops")
    parquet.write_table(pa.table({**columns, "cultivar": WINE.target}), raw / "wine.parquet")
    return model


def as_the_places_own(place: Place, directory: Path) -> None:
    """The example in a directory like this tree's: its namespace, where model and bundle lie, and a small request."""
    text = (ROOT / EXAMPLE).read_text()
    changes = {
        "namespace: demo": f"namespace: {place.namespace}",
        "claimName: models": f"claimName: {CLAIM}",
        # The one node has two, and other stories ask for some of it.
        'cpu: "1"': "cpu: 100m",
    }
    for old, new in changes.items():
        assert text.count(old) == 1
        text = text.replace(old, new)
    (directory / EXAMPLE).parent.mkdir(parents=True)
    (directory / EXAMPLE).write_text(text)


def predict(place: Place, rows: Any) -> list[int]:
    """The classes of these rows, as the gateway's answer has them."""
    tensor = {"name": "input", "shape": list(rows.shape), "datatype": "FP64", "data": rows.ravel().tolist()}
    body = json.dumps({"inputs": [tensor], "outputs": [{"name": "predict"}]}).encode()
    url = f"{place.cluster.gateway_url}/v2/models/{NAME}/infer"
    with urllib.request.urlopen(urllib.request.Request(url, body, {"Host": place.host}), timeout=30) as answer:
        (output,) = json.loads(answer.read())["outputs"]
    found: list[int] = output["data"]
    return found


def prepare(place: Place, directory: Path) -> str:
    """When the page's commands are typed: apply the Job, wait for it, read its log; returns all that they print."""
    lines = commands_of("serving/models.md", "A bundle made in the cluster")
    return "".join(type_in(place, line, directory, seconds=JOB_SECONDS) for line in lines)


@beside_others("prepared")
def test_a_raw_model_becomes_a_bundle_in_a_job_and_is_served_compiled(place: Place) -> None:
    """And the Job that is run again leaves the bundle as it is."""
    ensure_image_of_example(place)
    claim, home = place.writable_claim(CLAIM), place.models.directory / "typed"
    model, made = train(claim / "raw"), claim / BUNDLE
    as_the_places_own(place, home)
    said, digest = prepare(place, home), bundles.digest(made)
    assert re.search(rf"^digest +{digest}$", said, re.MULTILINE), said
    assert "serves   ONNX" in said

    place.serves("", model={"uri": f"pvc://{CLAIM}/{BUNDLE}"})
    state = place.until(lambda state: "runtime" in state.status["stable"], "its pod has told what runs it", 30)
    assert (state.status["stable"]["digest"], state.status["stable"]["runtime"]) == (digest, "onnx")
    assert predict(place, WINE.data) == model.predict(WINE.data).tolist()

    written = (made / MANIFEST_FILE).stat().st_mtime_ns
    place.kubectl("delete", "job", "prepare")
    assert digest in prepare(place, home)
    assert (made / MANIFEST_FILE).stat().st_mtime_ns == written

"""Build the operator's and the model server's images from the source tree and install the chart."""

from pathlib import Path
from typing import Any

from serin_cli.cluster import addresses
from serin_cli.cluster.access import Cluster
from serin_cli.cluster.chart import install_chart
from serin_cli.cluster.errors import ClusterError
from serin_cli.cluster.images import Image, base_image, ensure_image, forget_other_tags
from serin_cli.cluster.paths import repository_root
from serin_cli.cluster.progress import Progress

NAMESPACE = "serin-system"
READY_SECONDS = 120
PARTS = ("operator", "serving")


def install(cluster: Cluster, progress: Progress, *, fresh: bool) -> None:
    """Install the operator; while the source tree has no chart or no wheels, say so and do nothing.

    In a `fresh` cluster nothing can refer to images of earlier programs, so those are removed.
    """
    root = repository_root()
    lacks = _lacks(root)
    if root is None or lacks:
        progress.note(f"The operator is not installed: {lacks}.")
        return
    base = base_image(cluster, progress)
    images = {part: part_image(root, part, base) for part in PARTS}
    for image in images.values():
        ensure_image(cluster, image, progress)
        if fresh and cluster.mode == "netns":
            forget_other_tags(cluster.paths, image)
    with progress.stage("Operator") as stage:
        stage.say("installing the chart")
        values = chart_values(images) | _sources(cluster)
        try:
            install_chart(cluster, root / "charts" / "serin", NAMESPACE, values, timeout=READY_SECONDS)
        except ClusterError as error:
            raise ClusterError(f"{error.message}\n{_what_pods_say(cluster)}") from error
        stage.finish(f"chart charts/serin in namespace {NAMESPACE}")


def part_image(root: Path, part: str, base: str) -> Image:
    """Return the image of `part`, made from the wheel and the pinned requirements in `dist/`.

    Its tag tells its content, so that a changed program restarts its pods at the next `up`.
    """
    requirements = root / "dist" / f"requirements-{part}.txt"
    inputs = (requirements, *sorted((root / "dist").glob("*.whl")))
    arguments = {"BASE_IMAGE": base}
    draft = Image("", root / part / "Dockerfile", root, inputs, arguments)
    tag = f"localhost/serin-{part}:{draft.key()[:12]}"
    return Image(tag, draft.dockerfile, root, inputs, arguments)


def chart_values(images: dict[str, Image]) -> dict[str, Any]:
    """Return the chart's values for images that are in the cluster already."""
    operator, serving = (images[part].tag for part in PARTS)
    repository, _, tag = operator.rpartition(":")
    return {
        "image": {"repository": repository, "tag": tag, "pullPolicy": "IfNotPresent"},
        "serving": {"image": serving},
    }


def _sources(cluster: Cluster) -> dict[str, Any]:
    """Return where custom gates may ask and bundles may lie: beside the node and in Services, no real network's."""
    if cluster.mode != "netns":
        return {}
    prometheus = f"http://{addresses.NODE}:{addresses.PROMETHEUS_PORT}"
    documents = f"{addresses.NODE}:{addresses.DOCUMENTS_PORT}"
    return {
        "customGates": {"prometheusUrl": prometheus, "hosts": [documents]},
        "artefacts": {"allowedRanges": [addresses.SERVICE_RANGE]},
    }


def _what_pods_say(cluster: Cluster) -> str:
    """Return the state and the last words of the operator's pods, the reason why a chart does not get ready."""
    where = f"--namespace={NAMESPACE}"
    questions = [
        ["get", "pods", where, "-o", "wide"],
        ["logs", where, "--selector=app.kubernetes.io/name=serin", "--tail=15", "--prefix"],
    ]
    answers = []
    for question in questions:
        try:
            answers.append(cluster.kubectl(*question))
        except ClusterError as error:
            answers.append(error.message)
    return "\n".join(answers)


def _lacks(root: Path | None) -> str:
    """Return what the source tree lacks for an installation; empty if nothing."""
    if root is None:
        return "this program was installed without its source tree"
    wanted = [root / "charts" / "serin" / "Chart.yaml"]
    wanted += [root / part / "Dockerfile" for part in PARTS]
    wanted += [root / "dist" / f"requirements-{part}.txt" for part in PARTS]
    absent = [str(path.relative_to(root)) for path in wanted if not path.exists()]
    if not list((root / "dist").glob("*.whl")):
        absent.append("a wheel in dist/")
    return f"the source tree has no {', '.join(absent)} yet (make dist)" if absent else ""

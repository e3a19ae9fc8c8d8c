"""A cache on a claim: what one pod has fetched the next ones take from there, once every byte of it is checked."""

from __future__ import annotations

from typing import Any

from tests.e2e.bundle_web import bundle_web
from tests.e2e.conftest import beside_others, measured
from tests.e2e.spoilt import DECENT
from tests.support import bundles
from tests.support import kubernetes_objects as objects
from tests.support.stories import START_SECONDS, TRIAL_SECONDS, Place, in_words

from serin_contract.bundle import MANIFEST_FILE, MODEL_FILE

RATE = 40.0
CLAIM = "bundles"
PAIR = objects.serving(replicas=2)


def cached(place: Place, **fields: Any) -> dict[str, Any]:
    """spec.model of a bundle that is fetched, and kept on the claim."""
    return {"uri": bundle_web(place).url(DECENT), "cache": {"claim": CLAIM}, **fields}


def ready(place: Place, revision: str) -> set[str]:
    """Names of the pods of a revision that are ready."""
    return {
        pod["metadata"]["name"]
        for pod in place.pods(revision)
        if any((said["type"], said["status"]) == ("Ready", "True") for said in pod["status"].get("conditions", ()))
    }


def log_of_fetch(place: Place, pod: str) -> str:
    """What the container said that brought the bundle."""
    return place.kubectl("logs", pod, "-c", "fetch")


def pinned(place: Place) -> dict[str, Any]:
    """The spec of a further revision of that bundle; no gate wants labels, as this is about where bundles come from."""
    digest = bundles.digest(place.models.directory / DECENT)
    return {
        "model": cached(place, digest=digest),
        "serving": PAIR,
        "gates": None,
        "rollout": objects.rollout((50, 2)),
    }


@beside_others("cached")
def test_further_pods_and_revisions_start_from_the_cache_while_the_server_is_away(place: Place) -> None:
    """One look at the bundle fetches it; two pods, the look at the next revision and its two pods do not."""
    web = bundle_web(place)
    place.writable_claim(CLAIM)
    first = place.serves("", model=cached(place))
    asked = web.asked()
    assert set(asked.values()) == {1}
    with place.load(RATE) as load, web.away():
        place.wants("", model=cached(place), serving=PAIR)
        place.until(lambda _: len(ready(place, first)) == 2, "a second pod is there", START_SECONDS)
        place.wants("", **pinned(place))
        state = place.until(lambda state: state.stable_of_spec, "a further revision is promoted", TRIAL_SECONDS)
        counted = load.stop()
    assert state.stable != first
    assert web.asked() == asked
    assert counted.failed == 0, in_words(counted)
    for pod in ready(place, state.stable):
        assert f"the bundle {state.status['stable']['digest']} comes from the cache" in log_of_fetch(place, pod)
    times = asked[f"/{DECENT}/{MANIFEST_FILE}"]
    measured("times that a bundle with a cache was fetched, for two revisions of two pods", str(times))


@beside_others("cached")
def test_a_damaged_file_in_the_cache_is_not_served_but_fetched_again(place: Place) -> None:
    web, bundle = bundle_web(place), place.models.directory / DECENT
    kept = place.writable_claim(CLAIM) / bundles.digest(bundle).removeprefix("sha256:")
    stable = place.serves("", **pinned(place))
    asked, before = web.asked(), ready(place, stable)
    bundles.damage(kept)
    with place.load(RATE) as load:
        place.kubectl("delete", "pod", min(before), "--wait=false")
        place.until(lambda _: ready(place, stable) - before != set(), "another pod is there", START_SECONDS)
        counted = load.stop()
    (new,) = ready(place, stable) - before
    assert f"{MODEL_FILE} is not the file in the manifest" in log_of_fetch(place, new)
    assert (web.asked() - asked)[f"/{DECENT}/{MODEL_FILE}"] == 1
    for path in bundle.iterdir():
        assert (kept / path.name).read_bytes() == path.read_bytes(), "the cache is whole again"
    assert counted.failed == 0, in_words(counted)

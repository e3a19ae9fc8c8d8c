"""Bundles that must be signed, by the commands of docs/serving/artefacts.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.e2e.bundle_web import bundle_web
from tests.e2e.conftest import beside_others, measured
from tests.e2e.refusals import refused
from tests.e2e.spoilt import BETTER, DECENT
from tests.e2e.typed import commands_of, type_in
from tests.support import bundles
from tests.support import kubernetes_objects as objects
from tests.support.signing import Signer
from tests.support.stories import START_SECONDS, TRIAL_SECONDS, Place, State, in_words

from serin_contract.bundle import MANIFEST_FILE, MODEL_FILE
from serin_contract.signed import SIGNED_FILE
from serin_operator.decide.artifact import RETRY_SECONDS

RATE = 40.0
KEYS = "release-keys"
RELEASED, BY_ANOTHER, REPACKED, DAMAGED = "digits/released", "digits/by-another", "digits/repacked", "digits/flipped"
PAGES_OWN = Path("bundles") / "wine-7"
"""The bundle in the page's commands."""


class Release:
    """Where bundles are signed: a directory in which the page's commands are typed as they stand."""

    def __init__(self, place: Place) -> None:
        self._place, self._room = place, place.models.directory / "release"
        (self._room / PAGES_OWN).parent.mkdir(parents=True)
        *keys, self._sign, self._verify = commands_of("serving/artefacts.md", "Signatures")
        for line in keys:
            type_in(place, line, self._room)

    def sign(self, bundle: Path) -> None:
        """When a bundle is signed, and the signature looked at."""
        here = self._room / PAGES_OWN
        here.unlink(missing_ok=True)
        here.symlink_to(bundle)
        type_in(self._place, self._sign, self._room)
        assert "every file is the recorded one" in type_in(self._place, self._verify, self._room)


def signed(place: Place, bundle: str) -> dict[str, Any]:
    """The spec of a bundle that one of the keys must have signed."""
    model = {"uri": bundle_web(place).url(bundle), "signedBy": {"configMapName": KEYS}}
    return {"model": model, "rollout": objects.rollout((50, 5))}


def copied(place: Place, bundle: str) -> Path:
    """The better model once more, unsigned."""
    return bundles.copy(place.models.directory / BETTER, place.models.directory / bundle)


def repack(bundle: Path) -> None:
    """Change a file and write a manifest that vouches for it; the signature stays as it was."""
    signature = bundle / SIGNED_FILE
    kept = signature.read_bytes()
    signature.unlink()
    bundles.forget_the_graph(bundle)
    signature.write_bytes(kept)


def refused_unread(place: Place, bundle: str, words: str) -> None:
    """Then a bundle is refused for want of a good signature, and nothing but manifest and signature was asked for."""
    place.wants("", **signed(place, bundle))
    assert words in refused(place, "NotSigned").message
    asked = {Path(path) for path in bundle_web(place).asked()}
    assert {path.name for path in asked if path.parent == Path("/", bundle)} <= {MANIFEST_FILE, SIGNED_FILE}


@beside_others("signed")
def test_only_what_a_known_key_has_signed_is_served(place: Place) -> None:
    """One bundle is signed by another key, two were changed after they were signed, and one is signed at last."""
    release, released = Release(place), copied(place, RELEASED)
    Signer().sign(copied(place, BY_ANOTHER))
    release.sign(copied(place, REPACKED))
    bundles.damage(bundles.copy(place.models.directory / REPACKED, place.models.directory / DAMAGED))
    repack(place.models.directory / REPACKED)
    first = place.serves(DECENT)
    with place.load(RATE) as load:
        refused_unread(place, BY_ANOTHER, "model.sig was made by none of the keys that may sign")
        refused_unread(place, REPACKED, "model.sig is the signature of another bundle")
        place.wants("", **signed(place, DAMAGED))
        assert f"{MODEL_FILE} at " in refused(place, "DigestMismatch").message
        refused_unread(place, RELEASED, "the bundle has no model.sig")
        assert set(place.route_weights(first, place.mdep.moments[0].at)) == {100}
        release.sign(released)
        place.until(lambda state: state.weight > 0, "its trial begins by itself", RETRY_SECONDS + START_SECONDS)
        state = place.until(lambda state: state.stable_of_spec, "it is promoted", TRIAL_SECONDS)
        counted = load.stop()
    assert state.says("ArtifactVerified", "True", "SignatureVerified")
    assert counted.arms.keys() == {first, state.stable}, "no other has answered anybody"
    assert counted.failed == 0, in_words(counted)
    measured("requests while four bundles were refused and one was signed in place, none lost", str(counted.requests))


@beside_others("signed")
def test_a_key_that_is_removed_stops_no_pod_that_runs_and_every_later_one(place: Place) -> None:
    stable = place.serves("", **signed(place, RELEASED))
    mine = place.get("configmaps", f"--field-selector=metadata.name={KEYS}")[0]["data"]

    def trusted(keys: dict[str, str]) -> None:
        made = {"name": KEYS, "namespace": place.namespace}
        place.kubectl("delete", "configmap", KEYS)
        place.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": made, "data": keys})

    def lacks(state: State) -> bool:
        said = state.condition("Ready")
        return said["status"] == "True" and "with 1 ready pods; pod" in said["message"]

    def both_serve(state: State) -> bool:
        return bool(state.condition("Ready")["message"].endswith("with 2 ready pods"))

    others = {"other.pub": Signer().public.decode()}
    with place.load(RATE) as load:
        trusted(others)
        place.wants("", **signed(place, RELEASED), serving=objects.serving(replicas=2))
        place.until(lacks, "a second pod refuses the bundle, and status says so", START_SECONDS)
        trusted({**others, **mine})
        place.until(both_serve, "the pod has the key again", START_SECONDS)
        counted = load.stop()
    assert place.state.stable == stable
    assert counted.failed == 0, in_words(counted)

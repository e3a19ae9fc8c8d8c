"""Where a bundle may lie: the spec and the pod take the same URIs, and no Secret stands in one."""

from __future__ import annotations

import pytest
from pydantic import ValidationError
from tests.support.places import IMAGES, NO_IMAGES, NO_PLACES, PLACES

from serin_contract import sources
from serin_operator.api.deployment import Model


@pytest.mark.parametrize("uri", PLACES)
def test_a_place_is_taken_by_spec_and_pod_alike(uri: str) -> None:
    assert Model(uri=uri).uri == uri
    assert sources.is_fetched(uri)


@pytest.mark.parametrize("uri", [uri for uri, said in NO_PLACES.items() if ".." not in said])
def test_no_place_is_taken_by_neither(uri: str) -> None:
    with pytest.raises(ValidationError):
        Model(uri=uri)
    assert not sources.is_fetched(uri)


@pytest.mark.parametrize("uri", ["pvc://models/wine/7", "file:///bundles/wine"])
def test_what_is_mounted_is_not_fetched(uri: str) -> None:
    assert Model(uri=uri).uri == uri
    assert not sources.is_fetched(uri)
    assert sources.kind(uri) in sources.MOUNTED


@pytest.mark.parametrize("uri", IMAGES)
def test_an_image_that_serves_by_itself_is_no_place_of_a_bundle(uri: str) -> None:
    assert Model(uri=uri).uri == uri
    assert sources.is_image(uri)
    assert not sources.is_fetched(uri)
    assert sources.kind(uri) is None, "no pod of Serin's own server would take it for one"


@pytest.mark.parametrize("uri", NO_IMAGES)
def test_what_is_no_reference_of_an_image_is_refused(uri: str) -> None:
    with pytest.raises(ValidationError):
        Model(uri=uri)

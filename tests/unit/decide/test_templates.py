"""The pod template of a revision: how its pods end, and that an upgrade of the operator changes none of it."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from tests.support.builders import parsed
from tests.support.world import DIGEST, a_spec

from serin_operator.decide import templates

_AS_EVER = "948d47adeceda9f36f66fac3e4b7bf42fe0d6a64bde52e9f5200824d52234ceb"


def template(**serving: Any) -> dict[str, Any]:
    spec = parsed(a_spec(serving={"replicas": 2} | serving))
    return templates.serving_template("wine", "wine-fd4e7d22d9", spec, DIGEST, "serin-serving:1")


def test_a_template_that_asks_for_nothing_special_never_changes() -> None:
    canonical = json.dumps(template(), sort_keys=True, separators=(",", ":"))
    assert hashlib.sha256(canonical.encode()).hexdigest() == _AS_EVER, "other pods for a spec that did not change"


@pytest.mark.parametrize("policy", ["auto", "never", "require"])
def test_a_server_is_told_of_compiled_models_where_the_spec_speaks_of_them(policy: str) -> None:
    def given(pod: dict[str, Any]) -> dict[str, Any]:
        return {variable["name"]: variable.get("value") for variable in pod["spec"]["containers"][0]["env"]}

    assert given(template(compile=policy))["SERIN_COMPILE"] == policy
    assert "SERIN_COMPILE" not in given(template())


@pytest.mark.parametrize(
    ("sentence", "serving", "drain", "longest", "grace"),
    [
        ("the defaults, and no word of the longest request", {}, "5", None, 40),
        ("a longer drain moves the kill", {"drain": "20s"}, "20", None, 55),
        ("so does a longer request", {"longestRequest": "2m"}, "5", "120", 130),
        ("a grace of the user's own stands", {"terminationGrace": "1h"}, "5", None, 3600),
        ("all three", {"drain": "0s", "longestRequest": "10s", "terminationGrace": "10s"}, "0", "10", 10),
    ],
)
def test_the_pod_ends_as_the_spec_says(
    sentence: str, serving: dict[str, Any], drain: str, longest: str | None, grace: int
) -> None:
    pod = template(**serving)["spec"]
    given = {variable["name"]: variable.get("value") for variable in pod["containers"][0]["env"]}
    assert given["SERIN_DRAIN_SECONDS"] == drain, sentence
    assert given.get("SERIN_LONGEST_REQUEST_SECONDS") == longest, sentence
    assert pod["terminationGracePeriodSeconds"] == grace, sentence

"""The split that an HTTPRoute makes, whatever else the route holds."""

from __future__ import annotations

from typing import Any

import pytest

from serin_operator.runtime.httproute import Split, split

PATH = {"path": {"type": "PathPrefix", "value": "/v2"}}
BACKENDS = [{"name": "m-1", "weight": 95}, {"name": "m-2", "weight": 5}]


def modifier(**headers: Any) -> dict[str, Any]:
    return {"type": "RequestHeaderModifier", "requestHeaderModifier": headers}


SETS = modifier(set=[{"name": "X-Serin-Cohort", "value": "m-2.3.ab"}])


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        pytest.param(
            [{"matches": [PATH], "filters": [SETS], "backendRefs": BACKENDS}],
            Split({"m-1": 95, "m-2": 5}, "m-2.3.ab"),
            id="weights and cohort, whatever the header's case",
        ),
        pytest.param(
            [{"matches": [PATH], "filters": [modifier(remove=["x-serin-cohort"])], "backendRefs": BACKENDS[:1]}],
            Split({"m-1": 95}, None),
            id="a rule that removes the header splits into no cohort",
        ),
        pytest.param(
            [{"matches": [PATH], "backendRefs": [{"name": "m-1"}, {"name": "m-2", "weight": 0}]}],
            Split({"m-1": 1, "m-2": 0}, None),
            id="an absent weight is 1, as the API says, and a weight of 0 is shown",
        ),
        pytest.param(
            [
                {"matches": [PATH | {"headers": [{"name": "probe", "value": "x"}]}], "backendRefs": BACKENDS[1:]},
                {"matches": [PATH], "backendRefs": BACKENDS[:1]},
            ],
            Split({"m-1": 95}, None),
            id="the rule of the probe's header is not the callers'",
        ),
        pytest.param([{"matches": [{"path": {"value": "/other"}}], "backendRefs": BACKENDS}], None, id="no such rule"),
        pytest.param([], None, id="no rule at all"),
    ],
)
def test_the_split(rules: list[dict[str, Any]], expected: Split | None) -> None:
    assert split({"spec": {"rules": rules}}) == expected


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        pytest.param(
            [{"name": "pages", "backendRefs": BACKENDS[:1]}, {"name": "wine", "backendRefs": BACKENDS[1:]}],
            Split({"m-2": 5}, None),
            id="the rule of that name, whatever it matches",
        ),
        pytest.param([{"name": "wine"}], Split({}, None), id="it may send requests nowhere yet"),
        pytest.param([{"matches": [PATH], "backendRefs": BACKENDS}], None, id="a rule without a name is none"),
    ],
)
def test_the_split_of_a_rule_that_is_named(rules: list[dict[str, Any]], expected: Split | None) -> None:
    assert split({"spec": {"rules": rules}}, "wine") == expected

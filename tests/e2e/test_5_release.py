"""Last of all, because it touches what all others stand on: the operator's release goes away and comes back."""

from __future__ import annotations

from tests.e2e.conftest import measured
from tests.e2e.spoilt import BETTER, DECENT
from tests.support.stories import OPERATOR_NAMESPACE, TRIAL_SECONDS, Place, in_words

from serin_cli.cluster import operator_install
from serin_cli.cluster.chart import uninstall_chart
from serin_cli.cluster.progress import Progress


def test_models_outlive_the_operators_release(digits: Place) -> None:
    first = digits.serves(DECENT)
    with digits.load(60) as load:
        uninstall_chart(digits.cluster, OPERATOR_NAMESPACE)
        try:
            assert digits.state.stable == first
            assert "modeldeployments.serin.dev" in digits.kubectl("get", "crds", "-o", "name")
            assert [item["metadata"]["name"] for item in digits.get("mdep")] == ["digits"]
            gone = load.snapshot()
            digits.wants(BETTER)
            digits.until(lambda _: load.snapshot().requests > gone.requests + 120, "stable goes on answering", 20)
            assert digits.state.stable == first
        finally:
            operator_install.install(digits.cluster, Progress())
        state = digits.until(
            lambda state: state.stable_of_spec, "what was applied meanwhile is rolled out", TRIAL_SECONDS
        )
        counted = load.stop()
    assert state.stable != first
    measured("release removed and installed again", in_words(counted))
    assert counted.failed == 0, in_words(counted)

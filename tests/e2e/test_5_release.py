"""Last of all, because it touches what all others stand on: the operator's release goes away and comes back."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from tests.e2e.conftest import measured
from tests.e2e.spoilt import BETTER, DECENT
from tests.support.chart import CHART
from tests.support.stories import OPERATOR_NAMESPACE, TRIAL_SECONDS, Place, in_words

from serin_cli.cluster.access import Cluster
from serin_cli.cluster.chart import install_chart, uninstall_chart


def test_models_outlive_the_operators_release(digits: Place) -> None:
    first = digits.serves(DECENT)
    values = values_of_release(digits.cluster)
    with digits.load(60) as load:
        uninstall_chart(digits.cluster, OPERATOR_NAMESPACE)
        try:
            assert "modeldeployments.serin.dev" in digits.kubectl("get", "crds", "-o", "name")
            assert [item["metadata"]["name"] for item in digits.get("mdep")] == ["digits"]
            gone = load.snapshot()
            digits.wants(BETTER)
            digits.until(lambda _: load.snapshot().requests > gone.requests + 120, "stable goes on answering", 20)
            assert digits.state.stable == first
            assert not digits.state.candidate
        finally:
            install_chart(digits.cluster, CHART, OPERATOR_NAMESPACE, values)
        state = digits.until(
            lambda state: state.stable_of_spec, "what was applied meanwhile is rolled out", TRIAL_SECONDS
        )
        counted = load.stop()
    assert state.stable != first
    measured("release removed and installed again", in_words(counted))
    assert counted.failed == 0, in_words(counted)


def values_of_release(cluster: Cluster) -> dict[str, Any]:
    """The values that the release was installed with, so that it comes back as it was."""
    words = [cluster.helm_program, "get", "values", "serin", "-n", OPERATOR_NAMESPACE, "-o", "json"]
    words += [f"--kubeconfig={cluster.kubeconfig}", f"--kube-context={cluster.context}"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found

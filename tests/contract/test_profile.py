"""Stable's profile goes from its server through the operator into the candidate's pods."""

from __future__ import annotations

from pathlib import Path

from tests.contract.conftest import CANDIDATE, STABLE, Arms, serving_pod
from tests.contract.observed import observation
from tests.unit.serving.running import Case, run

from serin_contract import labels, profile
from serin_operator.decide import manifests
from serin_operator.observe.pods import Poller


async def mounted_profile(poller: Poller, directory: Path) -> Path:
    """The file that a candidate's pod finds: read by the poller, carried by the ConfigMap, written by the kubelet."""
    text, error = await poller.profile([serving_pod(STABLE)])
    assert error is None
    assert text is not None
    config_map = manifests.stable_profile(observation(), CANDIDATE, text)
    assert config_map["immutable"] is True
    for name, content in config_map["data"].items():
        (directory / name).write_text(content)
    return directory / labels.STABLE_PROFILE_FILE


async def test_the_candidate_counts_on_stables_edges(
    cohort: str, arms: Arms, poller: Poller, candidate_case: Case, keys_file: Path, tmp_path: Path
) -> None:
    file = await mounted_profile(poller, tmp_path)
    with run(candidate_case, keys_file, revision=CANDIDATE, stable_profile_file=file) as candidate:
        for server in (arms.stable, candidate):
            assert server.infer(server.case.rows, cohort=cohort).status == 200
        of_stable = arms.stable.stats()["cohorts"][cohort]
        of_candidate = candidate.stats()["cohorts"][cohort]
    assert of_candidate["stable_bins"]["profile_hash"] == of_stable["own_bins"]["profile_hash"]
    assert of_candidate["own_bins"]["profile_hash"] != of_stable["own_bins"]["profile_hash"]
    # The same rows on the same edges, whichever arm counts them.
    assert of_candidate["stable_bins"]["features"] == of_stable["own_bins"]["features"]


async def test_the_profile_that_arrives_is_the_one_in_stables_bundle(
    arms: Arms, poller: Poller, stable_case: Case, tmp_path: Path
) -> None:
    arrived = profile.decode((await mounted_profile(poller, tmp_path)).read_bytes())
    assert arrived == profile.decode((stable_case.path / "profile.json").read_bytes())


async def test_a_stable_pod_that_is_not_ready_is_not_asked(arms: Arms, poller: Poller) -> None:
    text, error = await poller.profile([serving_pod(STABLE, ready=False)])
    assert (text, error) == (None, "no pod of the stable revision is ready")

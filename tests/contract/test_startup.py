"""Why a server did not start: written by the server, read by the operator's gate and by its bundle check."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.contract.conftest import CANDIDATE
from tests.contract.observed import NOW, ended_pod, observation, target
from tests.support import bundles
from tests.support.signing import Signer
from tests.unit.serving.running import Case

from serin_contract import labels
from serin_contract.startup import EXIT_REFUSED, FETCH_REASONS, StartupReason, decode_digest
from serin_operator.api.deployment import CandidateStatus, Phase
from serin_operator.decide import availability, rollout, timestamps
from serin_serving.main import main as serving
from serin_serving.settings import ENV_TERMINATION_LOG

CAUGHT_BY_RESOLVE = (
    StartupReason.BundleMissing,
    StartupReason.BundleInvalid,
    StartupReason.DigestMismatch,
    StartupReason.NotSigned,
)
"""What the one-shot pod sees without loading the model."""


pytestmark = pytest.mark.usefixtures("process_as_it_was")


class Pod:
    """What one container finds: its environment, its mounts, its termination log."""

    def __init__(self, directory: Path, stable_case: Case, keys_file: Path) -> None:
        self.bundle = bundles.copy(stable_case.path, directory / "bundle")
        self.termination_log = directory / "termination-log"
        keys = directory / "keys.json"
        shutil.copy(keys_file, keys)
        self.env = {
            labels.ENV_DEPLOYMENT: "wine",
            labels.ENV_REVISION: CANDIDATE,
            labels.ENV_POD_UID: f"uid-of-{CANDIDATE}",
            labels.ENV_BUNDLE_DIR: str(self.bundle),
            labels.ENV_BUNDLE_DIGEST: bundles.digest(self.bundle),
            labels.ENV_KEYS_FILE: str(keys),
            ENV_TERMINATION_LOG: str(self.termination_log),
        }

    def spoil(self, reason: StartupReason) -> None:
        """Make the server refuse with this reason."""
        self.env[labels.ENV_BUNDLE_DIGEST] = bundles.spoil(self.bundle, reason)
        if reason is StartupReason.SettingsInvalid:
            Path(self.env[labels.ENV_KEYS_FILE]).write_text("{}")
        if reason is StartupReason.NotCompiled:
            self.env[labels.ENV_COMPILE] = "require"
        if reason is StartupReason.NotSigned:
            self.env[labels.ENV_SIGNERS_DIR] = str(Signer().trusted_in(self.bundle.parent / "signers"))

    def run(self, command: str) -> tuple[int, str]:
        """Exit code and termination message of the real entry point."""
        code = serving([command], self.env)
        return code, self.termination_log.read_text()


@pytest.fixture
def pod(tmp_path: Path, stable_case: Case, keys_file: Path) -> Pod:
    return Pod(tmp_path, stable_case, keys_file)


@pytest.mark.parametrize("reason", sorted(set(StartupReason) - FETCH_REASONS))
def test_a_refused_start_fails_the_trial_with_the_servers_own_words(pod: Pod, reason: StartupReason) -> None:
    pod.spoil(reason)
    code, message = pod.run("serve")
    assert code == EXIT_REFUSED
    candidate = CandidateStatus(revision=CANDIDATE, trial_started_at=timestamps.text(NOW - 60))
    seen = observation(pods=(ended_pod(CANDIDATE, "serve", code, message),), candidate=candidate)
    gate = availability.judge(seen, candidate)
    assert (gate.verdict, gate.reason) == ("Fail", reason.value)
    assert gate.message.startswith(f"pod {CANDIDATE}-serve refuses its bundle: ")


@pytest.mark.parametrize("reason", CAUGHT_BY_RESOLVE)
def test_a_wrong_bundle_is_told_before_any_revision_exists(pod: Pod, reason: StartupReason) -> None:
    pod.spoil(reason)
    code, message = pod.run("resolve") if reason is not StartupReason.BundleInvalid else _resolve_garbage(pod)
    assert code == EXIT_REFUSED
    plan = rollout.decide(observation(pods=(ended_pod(target(), "resolve", code, message),)))
    assert plan.status.phase == Phase.Failed
    verified = next(known for known in plan.status.conditions if known.type == "ArtifactVerified")
    assert (verified.status, verified.reason) == ("False", reason.value)
    assert "Mend the bundle or spec.model" in str(plan.status.message)


def test_a_whole_bundle_is_resolved_to_its_digest_and_frozen(pod: Pod) -> None:
    code, message = pod.run("resolve")
    assert (code, decode_digest(message)) == (0, bundles.digest(pod.bundle))
    plan = rollout.decide(observation(pods=(ended_pod(target(), "resolve", code, message),)))
    verified = next(known for known in plan.status.conditions if known.type == "ArtifactVerified")
    assert (verified.status, verified.reason) == ("True", "DigestVerified")
    assert bundles.digest(pod.bundle) in str(plan.actions)


def _resolve_garbage(pod: Pod) -> tuple[int, str]:
    """A manifest that is none: the check reads nothing else of a bundle than that."""
    (pod.bundle / "manifest.json").write_text("[]")
    del pod.env[labels.ENV_BUNDLE_DIGEST]
    return pod.run("resolve")

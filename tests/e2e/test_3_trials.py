"""Trials that meet trouble or a change of mind: each in a place of its own, several places at once."""

from __future__ import annotations

import time

from tests.e2e.conftest import beside_others, measured
from tests.e2e.spoilt import BETTER, BETTER_STILL, DECENT, STRICT
from tests.support import kubernetes_objects as objects
from tests.support.stories import START_SECONDS, TRIAL_SECONDS, Place, State, failed, in_words

RATE = 50.0

NARROW_SECONDS = 2.0
"""The operator sees a candidate's last endpoint go and sets its weight to 0 within so long."""

LONG_STEPS = objects.rollout((20, 30), (50, 30))


@beside_others("pods")
def test_a_candidate_whose_pods_are_deleted_waits_at_zero_and_goes_on(digits: Place) -> None:
    digits.serves(DECENT)
    with digits.load(RATE) as load:
        digits.wants(BETTER)
        candidate = digits.until_candidate(20).candidate["revision"]
        digits.kubectl("delete", "pods", "-l", f"serin.dev/revision={candidate}", "--wait=false")
        digits.until(lambda state: state.candidate.get("dips") == 1, "the lost pods are noticed", 30)
        state = digits.until(lambda state: state.stable_of_spec, "the candidate is promoted", TRIAL_SECONDS)
        counted = load.stop()
    weights = digits.route_weights(candidate, digits.applied_at)
    measured("candidate's only pod deleted", f"weights {weights}, {counted.failed} failed of {counted.requests}")
    assert state.stable == candidate
    assert weights == [0, 20, 0, 20, 50, 100]
    assert "Holding" in digits.phases(digits.applied_at)
    # From the loss of the last endpoint until the route is narrowed the gateway has no server for its share.
    assert counted.failed <= 0.2 * RATE * NARROW_SECONDS, in_words(counted)


@beside_others("pairs")
def test_nobody_notices_that_one_of_two_candidate_pods_is_deleted(digits: Place) -> None:
    spec = {"serving": objects.serving(replicas=2), "rollout": objects.rollout((51, 8))}
    digits.serves(DECENT, **spec)
    with digits.load(RATE) as load:
        digits.wants(BETTER_STILL, **spec)
        candidate = digits.until_candidate(51).candidate["revision"]
        first, _ = digits.pods(candidate)
        digits.kubectl("delete", "pod", first["metadata"]["name"], "--wait=false")
        state = digits.until(lambda state: state.stable_of_spec, "the candidate is promoted", TRIAL_SECONDS)
        counted = load.stop()
    measured("one of two candidate pods deleted", f"{counted.failed} failed of {counted.requests}")
    assert state.stable == candidate
    assert digits.route_weights(candidate, digits.applied_at) == [0, 51, 100]
    assert counted.failed == 0, in_words(counted)


@beside_others("changes")
def test_a_newer_model_supersedes_the_one_on_trial_through_zero(digits: Place) -> None:
    first = digits.serves(DECENT, rollout=LONG_STEPS)
    with digits.load(RATE) as load:
        digits.wants(BETTER, rollout=LONG_STEPS)
        middle = digits.until_candidate(20).candidate["revision"]
        began = digits.applied_at
        digits.wants(BETTER_STILL, rollout=LONG_STEPS)
        newest = digits.until_candidate(20).candidate["revision"]
        counted = load.stop()
    assert newest not in (first, middle)
    assert digits.route_weights(middle, began) == [0, 20, 0]
    assert not any({middle, newest} <= moment.weights.keys() for moment in digits.route.moments)
    assert {State(moment.object).stable for moment in digits.mdep.since(began)} == {first}
    assert digits.state.outcomes[0] == ("Superseded", "SpecChanged")
    assert digits.state.status.get("rejected", []) == []
    measured("superseded", f"{counted.failed} failed of {counted.requests}")
    assert counted.failed == 0, in_words(counted)


@beside_others("changes")
def test_stables_own_spec_aborts_the_trial_at_once(digits: Place) -> None:
    first = digits.serves(DECENT, rollout=LONG_STEPS)
    with digits.load(RATE) as load:
        digits.wants(BETTER, rollout=LONG_STEPS)
        candidate = digits.until_candidate(20).candidate["revision"]
        digits.wants(DECENT, rollout=LONG_STEPS)
        digits.until_route(lambda weights: weights.get(candidate, 0) == 0, "its traffic goes back", 10)
        digits.until(lambda state: state.stable_of_spec, "all is as before", 20)
        back = next(moment for moment in digits.route.since(digits.applied_at) if not moment.weights.get(candidate))
        counted = load.stop()
    state = digits.state
    assert state.stable == first
    assert state.outcomes[0] == ("Aborted", "SpecReverted")
    assert state.status.get("rejected", []) == []
    measured(
        "aborted", f"0/100 after {back.at - digits.applied_at:.1f} s, {counted.failed} failed of {counted.requests}"
    )
    assert counted.failed == 0, in_words(counted)


@beside_others("silence")
def test_without_traffic_a_candidate_is_neither_promoted_nor_rejected(digits: Place) -> None:
    steps = objects.rollout((20, 4), (50, 4), deadline="60s")
    first = digits.serves(DECENT, rollout=steps)
    digits.wants(BETTER, rollout=steps)
    state = digits.until(lambda state: state.phase == "Holding", "it holds", TRIAL_SECONDS)
    assert state.gate("accuracy")["verdict"] == "NoData"
    assert state.gate("accuracy")["reason"] == "NoTraffic"
    assert state.says("Progressing", "False", "NoData")
    state = digits.until(lambda state: state.phase == "Paused", "the deadline passes", TRIAL_SECONDS)
    assert state.says("Progressing", "False", "DeadlineExceeded")
    assert "apply the stable spec to stop" in state.message
    assert (state.weight, state.stable) == (20, first)
    assert max(digits.route_weights(state.candidate["revision"], digits.applied_at)) == 20
    assert state.status.get("rejected", []) == []
    assert [outcome for outcome, _ in state.outcomes] == ["Promoted"], "the first deployment alone"


@beside_others("strict")
def test_a_candidate_that_refuses_what_stable_takes_comes_back(digits: Place) -> None:
    first = digits.serves(DECENT)
    with digits.load(RATE) as load:
        digits.wants(STRICT)
        state = digits.until(
            lambda state: state.phase == "RolledBack" and not state.candidate, "it comes back", TRIAL_SECONDS
        )
        counted = load.stop()
    back = state.status["lastRollback"]
    arm = counted.arm(back["from"])
    words = f"{arm.requests} requests refused in {arm.last_at - arm.first_at:.1f} s; {back['evidence']}"
    measured("400 to what stable takes, time to roll back", words)
    assert (back["gate"], back["to"]) == ("errorRate", first)
    assert state.gate("errorRate")["reason"] == "WorseThanStable"
    assert arm.failures == arm.requests > 0
    assert failed(counted, but=back["from"]) == 0, in_words(counted)
    assert counted.feedback_failures == 0, in_words(counted)


@beside_others("calm")
def test_policy_starts_no_trial(digits: Place) -> None:
    first = digits.serves(DECENT)
    began = digits.applied_at
    digits.wants(DECENT, serving=objects.serving() | {"replicas": 2})
    digits.until(lambda state: state.status["stable"].get("readyReplicas") == 2, "two pods are ready", START_SECONDS)
    digits.wants(DECENT, serving=objects.serving() | {"replicas": 2}, paused=True)
    digits.until(lambda state: state.current, "the operator has seen it", 15)
    assert {State(moment.object).stable for moment in digits.mdep.since(began)} <= {"", first}
    assert not any(State(moment.object).candidate for moment in digits.mdep.since(digits.applied_at))
    assert [outcome for outcome, _ in digits.state.outcomes] == ["Promoted"]
    assert digits.state.phase == "Stable"


@beside_others("calm")
def test_at_rest_nothing_is_written(digits: Place) -> None:
    digits.serves(DECENT)
    children = ("mdep,mrev,deployments,services,poddisruptionbudgets,httproutes,configmaps,secrets",)

    def versions() -> dict[str, str]:
        return {
            f"{item['kind']}/{item['metadata']['name']}": item["metadata"]["resourceVersion"]
            for item in digits.get(*children)
        }

    # The pods of the former story end on their own time, and each end is written by others than Serin.
    digits.until(lambda _: len(digits.get("pods")) == 1, "one pod is left", 60)
    digits.until(lambda _: digits.mdep.moments[-1].at < time.time() - 5, "the deployment is at rest", 30)
    before = versions()
    assert len(before) >= 8, before
    digits.never(lambda _: versions() != before, "something was written at rest", 30)
    assert versions() == before


@beside_others("calm")
def test_pods_run_as_hardened_as_they_were_made(digits: Place) -> None:
    revision = digits.serves(DECENT)
    (pod, *_) = digits.pods(revision)
    spec, container = pod["spec"], pod["spec"]["containers"][0]
    assert spec["automountServiceAccountToken"] is False
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    # What the kernel says counts more than what was asked for.
    inside = digits.kubectl("exec", pod["metadata"]["name"], "--", "python3", "-c", _LOOK).split()
    facts = dict(zip(inside[::2], inside[1::2], strict=True))
    assert facts == {
        "uid": "65532",
        "root": "read-only",
        "token": "none",
        "NoNewPrivs:": "1",
        "Seccomp:": "2",
        "CapEff:": "0000000000000000",
        "CapBnd:": "0000000000000000",
    }


@beside_others("calm")
def test_a_pod_compiles_no_python_when_it_starts(digits: Place) -> None:
    (pod, *_) = digits.pods(digits.serves(DECENT))
    # Nothing can be written there, so whatever lacks byte code is compiled at each start.
    assert digits.kubectl("exec", pod["metadata"]["name"], "--", "python3", "-c", _UNCOMPILED).split() == []


_UNCOMPILED = """
import os, sys
import serin_serving.drain, serin_serving.main, serin_serving.onnx_model, serin_serving.startup, onnxruntime
for name, module in sorted(sys.modules.items()):
    spec = getattr(module, '__spec__', None)
    if spec and spec.has_location and spec.origin.endswith('.py') and not os.path.exists(spec.cached):
        print(name)
"""

_LOOK = """
import os, re
print('uid', os.getuid())
try:
    open('/x', 'w')
    print('root', 'writable')
except OSError as error:
    print('root', 'read-only' if error.errno == 30 else error.errno)
print('token', 'there' if os.path.exists('/var/run/secrets/kubernetes.io/serviceaccount/token') else 'none')
for line in open('/proc/1/status'):
    if line.split()[0] in ('NoNewPrivs:', 'Seccomp:', 'CapEff:', 'CapBnd:'):
        print(line.strip())
"""

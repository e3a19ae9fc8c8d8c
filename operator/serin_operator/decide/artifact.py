"""From a URI to a revision: check the bundle once, freeze its digest, then begin the trial."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from serin_contract import startup
from serin_operator.api.base import Condition
from serin_operator.api.deployment import CandidateStatus, ModelDeploymentSpec, Phase
from serin_operator.api.revision import ModelRevisionSpec, ModelRevisionStatus, RevisionModel
from serin_operator.api.spec import Model
from serin_operator.decide import (
    availability,
    capacity,
    custom_container,
    identity,
    manifests,
    templates,
    timestamps,
)
from serin_operator.decide.draft import WAIT_SECONDS, Draft, Situation, begin
from serin_operator.decide.judge import evidence
from serin_operator.decide.judge.reasons import GateReason
from serin_operator.decide.observation import ContainerEnd, PodFacts, RevisionFacts
from serin_operator.decide.plan import Apply, Delete, RevisionReport

RETRY_SECONDS = 30.0
"""Between two looks at a bundle that was missing or wrong; it may be put right in place."""

NOT_BEGUN = ("ContainerCreating", "PodInitializing")
BEGIN_SECONDS = 15.0
"""A pod that has not begun by then, although a node has taken it, waits for an object to mount or for its image."""

PICKLE_ALLOWED = "PickleAllowed"
PICKLE_SENTENCE = "spec.model.allowPickle lets code of whoever made the bundle run in its pods"

IMAGE_ONLY = "ImageOnly"
IMAGE_NOT_PINNED = "ImageNotPinned"
NOT_PINNED_SENTENCE = (
    "the image that spec.model.uri names has no digest, so pods of one revision may come to run different ones; write "
    "image://<reference>@sha256:<digest>"
)

CANNOT_START = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError")


def prepare(situation: Situation) -> Draft:
    """Bring the wanted revision to the start of its trial."""
    record = situation.seen.revision(situation.target)
    if record is not None:
        return _begin_trial(situation, record)
    if custom_container.asked(situation.spec) is not None:
        return _record_image(situation)
    pod = next((pod for pod in situation.seen.pods if _resolves(pod, situation.target)), None)
    if pod is None:
        return _resolve(situation)
    if pod.last_end is None:
        return _wait(situation, pod)
    digest = startup.decode_digest(pod.last_end.message) if pod.last_end.exit_code == 0 else None
    if digest is None:
        return _refused(situation, pod, pod.last_end)
    return _freeze(situation, pod, digest)


def _resolves(pod: PodFacts, revision: str) -> bool:
    return pod.purpose == "resolve" and pod.revision == revision and not pod.terminating


def _resolve(situation: Situation) -> Draft:
    seen = situation.seen
    pod = templates.resolve_pod(
        seen.namespace,
        seen.name,
        situation.target,
        situation.spec,
        seen.operator.serving_image,
        seen.operator.fetch_ranges,
    )
    message = f"checking the bundle at {situation.spec.model.uri}"
    draft = _still_refused(situation) or begin(situation, Phase.Pending, "ResolvingBundle", message)
    action = Apply(manifests.owned(seen, pod, situation.target))
    return replace(draft, records=(action,), retry_after_seconds=WAIT_SECONDS)


def _wait(situation: Situation, pod: PodFacts) -> Draft:
    sentence = _does_not_begin(situation, pod) or availability.waiting_sentence([pod])
    refused = _still_refused(situation)
    if refused is not None and not pod.unschedulable and pod.waiting_reason not in CANNOT_START:
        draft = refused
    elif pod.waiting_reason in CANNOT_START:
        draft = begin(situation, Phase.Failed, pod.waiting_reason, f"the bundle cannot be checked: {sentence}")
    else:
        draft = begin(
            situation,
            Phase.Pending,
            "Unschedulable" if pod.unschedulable else "ResolvingBundle",
            f"checking the bundle at {situation.spec.model.uri}: {sentence}",
        )
    return replace(draft, retry_after_seconds=WAIT_SECONDS)


def _does_not_begin(situation: Situation, pod: PodFacts) -> str | None:
    """Which objects a pod may be waiting for: that one is missing the kubelet tells nobody but its events."""
    model, objects = situation.spec.model, []
    if model.credentials is not None:
        objects.append(f"Secret {model.credentials.secret_name}")
    if (signed := model.signed_by) is not None:
        objects.append(f"Secret {signed.secret_name}" if signed.secret_name else f"ConfigMap {signed.config_map_name}")
    waits = pod.waiting_reason in NOT_BEGUN and pod.last_end is None and not pod.unschedulable
    if not objects or not waits or situation.now < pod.created_at + BEGIN_SECONDS:
        return None
    return (
        f"pod {pod.name} has not begun; it needs {' and '.join(objects)} of spec.model, see kubectl describe pod "
        f"{pod.name}"
    )


def _still_refused(situation: Situation) -> Draft | None:
    """While a bundle is checked again, what the last check of this spec said stands: nothing flaps."""
    status, said = situation.seen.status, _last_refusal(situation)
    if said is None or said.observed_generation != situation.seen.generation:
        return None
    draft = begin(situation, Phase.Failed, said.reason, status.message or "")
    return replace(draft, artifact=(False, said.reason, said.message))


def _last_refusal(situation: Situation) -> Condition | None:
    """What the condition says of a bundle that was refused, where that is how things stand."""
    status = situation.seen.status
    if status.phase != Phase.Failed:
        return None
    return next((one for one in status.conditions if one.type == "ArtifactVerified" and one.status == "False"), None)


def _refused(situation: Situation, pod: PodFacts, end: ContainerEnd) -> Draft:
    said, sentence = availability.end_sentence(pod, end)
    reason = "BundleCheckFailed" if said == GateReason.CandidateCrashed else said.value
    mends = "It is tried" if said == GateReason.SourceUnavailable else "Mend the bundle or spec.model; it is checked"
    message = f"{sentence}. {mends} again every {RETRY_SECONDS:.0f} s"
    if situation.stable is not None:
        message += f". {situation.stable.revision} keeps serving"
    draft = begin(situation, Phase.Failed, reason, message)
    left = end.finished_at + RETRY_SECONDS - situation.now
    if left <= 0:
        draft = replace(draft, records=(Delete("v1", "Pod", pod.name, pod.uid),))
    before = _last_refusal(situation)
    if before is None or before.reason != reason:
        draft = draft.with_event("Warning", reason, message, "Resolve")
    return replace(draft, artifact=(False, reason, sentence), retry_after_seconds=max(1.0, left))


def _freeze(situation: Situation, pod: PodFacts, digest: str) -> Draft:
    seen, spec = situation.seen, situation.spec
    record = ModelRevisionSpec(
        deployment=seen.name,
        identity=identity.identity(spec),
        model=RevisionModel(uri=spec.model.uri, digest=digest),
        template=templates.serving_template(
            seen.name, situation.target, spec, digest, seen.operator.serving_image, seen.operator.fetch_ranges
        ),
    )
    draft = begin(situation, Phase.Pending, "BundleResolved", f"the bundle's digest is {digest}")
    if spec.model.allow_pickle:
        draft = draft.with_event("Warning", PICKLE_ALLOWED, PICKLE_SENTENCE, "Resolve")
    return replace(
        draft,
        records=(
            Apply(manifests.revision_record(seen, situation.target, record)),
            Delete("v1", "Pod", pod.name, pod.uid),
        ),
        artifact=verified(spec.model, f"every file of {spec.model.uri} is the one its manifest names"),
        retry_after_seconds=WAIT_SECONDS / 4,
    )


def _record_image(situation: Situation) -> Draft:
    """An image that serves by itself has no bundle to look at: the kubelet pulls it, and its probes tell the rest."""
    seen, spec = situation.seen, situation.spec
    model = custom_container.model(spec)
    record = ModelRevisionSpec(
        deployment=seen.name,
        identity=identity.identity(spec),
        model=model,
        template=templates.serving_template(seen.name, situation.target, spec, None, seen.operator.serving_image),
    )
    draft = begin(situation, Phase.Pending, IMAGE_ONLY, f"{spec.model.uri} serves by itself, so no bundle is checked")
    if model.digest is None:
        draft = draft.with_event("Warning", IMAGE_NOT_PINNED, NOT_PINNED_SENTENCE, "Resolve")
    made = Apply(manifests.revision_record(seen, situation.target, record))
    return replace(draft, records=(made,), retry_after_seconds=WAIT_SECONDS / 4)


def of_image(spec: ModelDeploymentSpec) -> tuple[Literal["True", "Unknown"], str, str]:
    """What ArtifactVerified says of an image that serves by itself."""
    if custom_container.model(spec).digest is None:
        return "Unknown", IMAGE_NOT_PINNED, NOT_PINNED_SENTENCE
    return "True", IMAGE_ONLY, "the model lies in its image, which its digest pins; there is no bundle to check"


def verified(model: Model, sentence: str) -> tuple[bool, str, str]:
    """What ArtifactVerified says of a bundle whose digest holds: that it is signed, and that its code may run."""
    if model.signed_by is not None:
        sentence += ", and a key of spec.model.signedBy has signed it"
    if model.allow_pickle:
        return True, PICKLE_ALLOWED, f"{sentence}; {PICKLE_SENTENCE}"
    return True, "DigestVerified" if model.signed_by is None else "SignatureVerified", sentence


def _begin_trial(situation: Situation, record: RevisionFacts) -> Draft:
    policy, now_text = situation.policy, situation.now_text
    if policy.paused:
        return begin(situation, Phase.Paused, "Paused", "spec.paused is set; the new revision is not tried yet")
    stable = situation.stable.revision if situation.stable else ""
    candidate = CandidateStatus(
        revision=record.name,
        digest=record.spec.model.digest,
        trial_started_at=now_text,
        deadline_at=timestamps.text(situation.now + policy.deadline_seconds),
        policy=policy.hash,
        shares=policy.shares,
        stable_floor=capacity.floor_now(situation),
    )
    message = f"{record.name} is starting its pods"
    status = ModelRevisionStatus(verdict="Trial", reason="TrialStarted", message=message, updated_at=now_text)
    draft = begin(situation, Phase.Progressing if stable else Phase.Pending, "WarmingUp", message)
    return replace(
        draft,
        candidate=candidate,
        # Where pods split, a warm revision would take a share of its own as soon as the candidate is let in.
        previous=draft.previous if situation.routing.mode == "Gateway" else None,
        gates=(),
        reports=(RevisionReport(record.name, status),),
        evidence=evidence.start(record.name, stable),
        retry_after_seconds=WAIT_SECONDS / 4,
    ).with_event(
        "Normal",
        "TrialStarted",
        f"trial of {record.name} ({record.spec.model.digest or record.spec.model.uri}) begins",
        "Try",
    )

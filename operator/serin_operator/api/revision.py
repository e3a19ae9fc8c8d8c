"""ModelRevision: the immutable record of one trial, with its verdict and the evidence behind it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from serin_operator.api.base import ApiModel, Timestamp
from serin_operator.api.markers import PrinterColumn, Rule, Schema

Verdict = Literal["Pending", "Trial", "Stable", "Superseded", "Rejected", "Undecided", "Aborted", "Failed"]


class RevisionModel(ApiModel):
    """The bundle, with its digest resolved."""

    uri: Annotated[str, Field(max_length=1024, description="Where the bundle was named to lie.")]
    digest: Annotated[
        str | None,
        Field(
            pattern=r"^sha256:[0-9a-f]{64}$",
            max_length=71,
            description=(
                "Digest that its pods insist on; of an image that serves by itself the image's own, if its reference "
                "has one."
            ),
        ),
    ] = None


class ModelRevisionSpec(ApiModel):
    """What was frozen when the revision was made."""

    deployment: Annotated[str, Field(max_length=63, description="Name of the ModelDeployment it belongs to.")]
    identity: Annotated[
        str, Field(max_length=64, description="Hash of the model and the serving fields that shape its pods.")
    ]
    model: Annotated[RevisionModel, Field(description="The bundle.")]
    template: Annotated[
        dict[str, Any],
        Field(description="Pod template, frozen: an upgrade of the operator does not change it."),
        Schema(preserve_unknown=True),
    ]


class ModelRevisionStatus(ApiModel):
    """How the revision fared."""

    verdict: Annotated[Verdict | None, Field(description="Where the revision stands or how its trial ended.")] = None
    reason: Annotated[str | None, Field(max_length=64, description="Why.")] = None
    message: Annotated[str | None, Field(max_length=4096, description="One sentence with the numbers.")] = None
    updated_at: Annotated[Timestamp | None, Field(description="When this was written.")] = None
    evidence: Annotated[
        dict[str, Any] | None,
        Field(
            description=(
                "Sums and e-values per cohort and arm, and the per-pod counters that were last added: "
                "written and restored together, so that nothing counts twice."
            )
        ),
        Schema(preserve_unknown=True),
    ] = None


class ModelRevision(ApiModel):
    """An immutable record of one trial: what was tried, how it was judged and by which numbers."""

    spec: Annotated[
        ModelRevisionSpec,
        Field(description="What was frozen when the revision was made."),
        Schema(
            rules=(
                Rule(
                    "self == oldSelf",
                    "a ModelRevision is immutable; change the ModelDeployment and a new one is made",
                    reason="FieldValueForbidden",
                ),
            )
        ),
    ]
    status: Annotated[ModelRevisionStatus | None, Field(description="How the revision fared.")] = None


MODEL_REVISION_COLUMNS = (
    PrinterColumn("Deployment", "string", ".spec.deployment", "ModelDeployment it belongs to."),
    PrinterColumn("Verdict", "string", ".status.verdict", "Where it stands or how its trial ended."),
    PrinterColumn("Reason", "string", ".status.reason", "Why."),
    PrinterColumn("Digest", "string", ".spec.model.digest", "Digest of its bundle.", priority=1),
    PrinterColumn("Age", "date", ".metadata.creationTimestamp", "Age of the object."),
)

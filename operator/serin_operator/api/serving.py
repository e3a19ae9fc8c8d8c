"""How a model is served: the closed surface of its pods."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from serin_contract.bundle import CompilePolicy
from serin_operator.api.base import ApiModel
from serin_operator.api.durations import Duration
from serin_operator.api.fields import NAME_PATTERN, TOLERATION_RULES, Quantity
from serin_operator.api.markers import Rule, Schema


class EnvironmentVariable(ApiModel):
    """One variable of the serving container."""

    name: Annotated[
        str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=128, description="Name of the variable.")
    ]
    value: Annotated[
        str, Field(max_length=4096, description="Plain value. It is stored in clear: no secrets here.")
    ] = ""


class ResourceQuantities(ApiModel):
    """Amounts by resource name."""

    limits: Annotated[
        dict[str, Quantity] | None,
        Field(max_length=16, description="What the container may use at most."),
    ] = None
    requests: Annotated[
        dict[str, Quantity] | None,
        Field(max_length=16, description="What the scheduler sets aside for the container."),
    ] = None


class Toleration(ApiModel):
    """A taint that serving pods tolerate, as in a Pod."""

    key: Annotated[str | None, Field(max_length=316, description="Taint key; absent matches all keys.")] = None
    operator: Annotated[
        Literal["Exists", "Equal"] | None, Field(description="How value is compared; Equal by default.")
    ] = None
    value: Annotated[str | None, Field(max_length=63, description="Taint value.")] = None
    effect: Annotated[
        Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None, Field(description="Taint effect.")
    ] = None


class LocalReference(ApiModel):
    """An object of this namespace."""

    name: Annotated[str, Field(min_length=1, max_length=253, pattern=NAME_PATTERN, description="Name of the object.")]


class Autoscaling(ApiModel):
    """A HorizontalPodAutoscaler for each revision; Serin then writes no replicas."""

    min_replicas: Annotated[
        int | None, Field(ge=1, le=1000, description="Pods of the stable revision at least; 1 by default.")
    ] = None
    max_replicas: Annotated[int, Field(ge=1, le=1000, description="Pods of one revision at most.")]
    target_cpu_percent: Annotated[
        int | None,
        Field(
            alias="targetCPUPercent",
            ge=1,
            le=400,
            description="Mean use of the requested CPU that the autoscaler aims at; 70 by default.",
        ),
    ] = None


ProbePath = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^/[!-~]*$")]


class CustomContainer(ApiModel):
    """A model server of the user's own: Serin rolls it out, and asks nothing of it but whether it is ready."""

    port: Annotated[
        int | None, Field(ge=1, le=65535, description="Where it answers requests and probes; 8080 by default.")
    ] = None
    ready_path: Annotated[
        ProbePath,
        Field(description="Answers GET with 200 once requests can be answered, and with an error until then."),
    ]
    live_path: Annotated[
        ProbePath | None,
        Field(
            description=(
                "Answers GET with 200 as long as the container need not be started anew; by default that is not asked."
            )
        ),
    ] = None


class Serving(ApiModel):
    """How the model is served: a closed, hardened surface of the pod."""

    replicas: Annotated[
        int | None,
        Field(ge=1, le=1000, description="Serving pods of the stable revision at full capacity; 1 by default."),
    ] = None
    autoscaling: Annotated[
        Autoscaling | None,
        Field(description="Let a HorizontalPodAutoscaler choose the number of pods, within bounds."),
    ] = None
    drain: Annotated[
        Duration | None,
        Field(
            description=(
                "How long a pod goes on accepting requests after it was told to end, so that every gateway and node "
                "has heard of it; 5s by default."
            )
        ),
    ] = None
    longest_request: Annotated[
        Duration | None,
        Field(description="The longest request that an ending pod waits for after its drain; 30s by default."),
    ] = None
    termination_grace: Annotated[
        Duration | None,
        Field(
            description=(
                "When an ending pod is killed whatever it does; drain, longestRequest and five seconds by default, "
                "and never shorter than the first two together."
            )
        ),
    ] = None
    sample_rows: Annotated[
        int | None,
        Field(
            ge=40,
            le=2000,
            description=(
                "Rows of a trial's or a watch's requests that each pod keeps in memory, for `serin drift --pods`; none "
                "by default. They are given to nobody who has no key of the deployment."
            ),
        ),
    ] = None
    grpc: Annotated[
        bool | None,
        # false says what absent says, and must not make another revision.
        AfterValidator(lambda asked: asked or None),
        Field(
            description=(
                "Speak the Open Inference Protocol by gRPC too, on a port of its own; absent or false, the pods "
                "speak HTTP alone."
            )
        ),
    ] = None
    compile: Annotated[
        CompilePolicy | None,
        Field(
            description=(
                "Whether the bundle's compiled model (ONNX) is served: auto serves it where it is proven, and "
                "scikit-learn otherwise; never and require take one of the two only; auto by default."
            )
        ),
    ] = None
    image: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=512,
            description="Serving image; by default the operator's own, frozen when a revision is made.",
        ),
    ] = None
    custom: Annotated[
        CustomContainer | None,
        Field(
            description=(
                "A container of your own, from the image that model.uri names as image://<reference>. It counts "
                "nothing, so availability and custom gates alone can judge it; docs/serving/runtimes.md tells more."
            )
        ),
    ] = None
    resources: Annotated[
        ResourceQuantities | None, Field(description="Requests and limits of the model's container.")
    ] = None
    env: Annotated[
        tuple[EnvironmentVariable, ...] | None,
        Field(
            max_length=64,
            description=(
                "Further environment variables, such as OTEL_EXPORTER_OTLP_ENDPOINT; names starting SERIN_ are Serin's "
                "own, but for SERIN_ACCESS_LOG."
            ),
        ),
        Schema(
            list_type="map",
            list_map_keys=("name",),
            rules=(
                Rule(
                    "self.all(e, !e.name.startsWith('SERIN_') || e.name == 'SERIN_ACCESS_LOG')",
                    "names starting with SERIN_ are set by the operator, but for SERIN_ACCESS_LOG; choose another name",
                ),
            ),
        ),
    ] = None
    node_selector: Annotated[
        dict[str, Annotated[str, Field(max_length=63)]] | None,
        Field(max_length=32, description="Labels that a node must have."),
    ] = None
    tolerations: Annotated[
        tuple[Annotated[Toleration, Schema(rules=TOLERATION_RULES)], ...] | None,
        Field(max_length=32, description="Taints that serving pods tolerate."),
        Schema(list_type="atomic"),
    ] = None
    image_pull_secrets: Annotated[
        tuple[LocalReference, ...] | None,
        Field(max_length=8, description="Secrets of this namespace to pull the image with."),
        Schema(list_type="map", list_map_keys=("name",)),
    ] = None

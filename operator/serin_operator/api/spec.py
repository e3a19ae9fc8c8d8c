"""What a user wants of one model: the spec of a ModelDeployment."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from serin_contract import sources
from serin_operator.api.base import ApiModel
from serin_operator.api.fields import NAME_PATTERN
from serin_operator.api.gates import Gates
from serin_operator.api.markers import Rule, Schema
from serin_operator.api.rollout import Rollout, Verdicts, Watch
from serin_operator.api.rules import (
    GATES_RULES,
    MODEL_RULES,
    ROLLOUT_RULES,
    SERVING_RULES,
    SIGNED_BY_RULES,
    TRAFFIC_RULES,
    WATCH_RULES,
)
from serin_operator.api.serving import Serving
from serin_operator.api.traffic import Traffic


class Credentials(ApiModel):
    """Secrets are named and never written here."""

    secret_name: Annotated[
        str,
        Field(
            min_length=1,
            max_length=253,
            pattern=NAME_PATTERN,
            description="A Secret of this namespace; docs/serving/artefacts.md lists its keys for each kind of place.",
        ),
    ]


class SignedBy(ApiModel):
    """Public keys, of which one must have signed the bundle."""

    config_map_name: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=253,
            pattern=NAME_PATTERN,
            description="A ConfigMap of this namespace; each of its values holds public keys in PEM.",
        ),
    ] = None
    secret_name: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=253,
            pattern=NAME_PATTERN,
            description="The same in a Secret, where fewer may change it.",
        ),
    ] = None


class BundleCache(ApiModel):
    """A volume on which fetched bundles are kept for the next pod."""

    claim: Annotated[
        str,
        Field(
            min_length=1,
            max_length=253,
            pattern=NAME_PATTERN,
            description="A PersistentVolumeClaim of this namespace that all its pods can write to (ReadWriteMany).",
        ),
    ]
    gibibytes: Annotated[
        int | None,
        Field(
            ge=1,
            le=100_000,
            description="What it holds at most; the bundles used least recently go first; 32 by default.",
        ),
    ] = None


class Model(ApiModel):
    """The bundle to serve."""

    uri: Annotated[
        str,
        Field(
            max_length=1024,
            pattern=sources.PATTERN,
            description=(
                "Where the bundle lies: pvc://<claim>/<path> in a PersistentVolumeClaim of this namespace, "
                "file:///<path> inside the serving image, or a place that each pod fetches it from: "
                "https://<host>/<path>, s3://<bucket>/<path>, gs://<bucket>/<path>, az://<account>/<container>/<path>, "
                "oci://<registry>/<repository>:<tag>, hf://<owner>/<repository>@<revision>/<path>, "
                "mlflow://<server>/<model>/<version>. A path that ends in .tar, .tar.gz, .tgz or .zip is an archive. "
                "image://<reference> is no bundle but an image that serves a model by itself; see serving.custom."
            ),
        ),
        Schema(
            rules=(
                Rule(
                    "self.matches('^(file|pvc|image|https?|s3|gs|az|oci([+]http)?|hf|mlflow([+]http)?)://')",
                    "write pvc://<claim>/<path> for a volume, or https, s3, gs, az, oci, hf or mlflow for a place to "
                    "fetch from, or image://<reference> for an image that serves by itself",
                ),
                Rule(
                    "self.matches('^(file|pvc|image)://') || !self.matches('^[^/]*//[^/]*@')",
                    "a user or password does not belong into a URI; put it into a Secret and name that in credentials",
                ),
                Rule(
                    "self.matches('^(file|pvc)://') || !self.matches('[?#]')",
                    "a query may hold a signature, which all could read here; name a Secret in credentials",
                ),
                Rule(
                    "!self.contains('/../') && !self.endsWith('/..')",
                    "the path must not contain '..'; name the bundle's directory from the root of the claim",
                ),
            )
        ),
    ]
    credentials: Annotated[
        Credentials | None,
        Field(description="What opens the place that the bundle is fetched from; the container that fetches has it."),
    ] = None
    cache: Annotated[
        BundleCache | None,
        Field(
            description=(
                "Where fetched bundles are kept, so that further pods need not fetch them. What comes from there is "
                "checked like what is fetched."
            )
        ),
    ] = None
    digest: Annotated[
        str | None,
        Field(
            pattern=r"^sha256:[0-9a-f]{64}$",
            max_length=71,
            description=(
                "SHA-256 of the bundle's manifest, as `serin inspect` prints it. Pins the bundle; without it "
                "the digest is resolved once and frozen in the revision."
            ),
        ),
    ] = None
    signed_by: Annotated[
        SignedBy | None,
        Field(
            description=(
                "Who must have signed the bundle, as `serin sign` or `model_signing sign key` does it. Every pod "
                "checks that before it reads anything else of the bundle."
            )
        ),
        Schema(rules=SIGNED_BY_RULES),
    ] = None
    allow_pickle: Annotated[
        bool | None,
        Field(
            description=(
                "Lets the pods load a model that was packaged as a pickle, which runs code of whoever made the bundle. "
                "Needs digest, so that it is the code that you looked at."
            )
        ),
    ] = None


class ModelDeploymentSpec(ApiModel):
    """What the user wants. The operator never writes it."""

    model: Annotated[Model, Field(description="The bundle to serve."), Schema(rules=MODEL_RULES)]
    serving: Annotated[Serving | None, Field(description="How the model is served."), Schema(rules=SERVING_RULES)] = (
        None
    )
    traffic: Annotated[
        Traffic | None,
        Field(
            description=(
                "Where requests come in and who splits them. Without it no gateway is needed: connections to the "
                "Service of this name are split by the number of pods."
            )
        ),
        Schema(rules=TRAFFIC_RULES),
    ] = None
    rollout: Annotated[
        Rollout | None,
        Field(description="How a new revision comes to answer all traffic."),
        Schema(rules=ROLLOUT_RULES),
    ] = None
    verdicts: Annotated[Verdicts | None, Field(description="The error budget of the verdicts.")] = None
    gates: Annotated[
        Gates | None,
        Field(description="What must hold during a roll-out; without it only availability is judged."),
        Schema(rules=GATES_RULES),
    ] = None
    watch: Annotated[Watch | None, Field(description="What holds after a promotion."), Schema(rules=WATCH_RULES)] = None
    revision_history_limit: Annotated[
        int | None,
        Field(ge=1, le=100, description="Ended revisions to keep as a record; 10 by default."),
    ] = None
    paused: Annotated[
        bool | None,
        Field(
            description=(
                "Keeps the candidate's weight where it is and stops the clocks; a failing gate still rolls back."
            )
        ),
    ] = None

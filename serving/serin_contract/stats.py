"""The stats document: what one serving pod has counted since it started, per cohort.

Every number is cumulative since `started_at`, so a reader adds differences per (pod, start) and a restart is
seen as a new start. A request of m rows adds 1/m per row to bins and labels: the sums stay exact under any
dependence between the rows of one request (Hölder's inequality on the e-values' factors).
"""

from __future__ import annotations

from typing import Literal

import msgspec

from serin_contract.announcements import Announced

STATS_FORMAT = 1

COHORTS_KEPT = 32
"""A pod keeps this many cohorts, newest first; an older one is dropped and counted."""

SLOT_SECONDS_MIN = 4
SLOTS_MAX = 48

LATENCY_BOUNDS_SECONDS = (
    0.001, 0.0014, 0.002, 0.0025, 0.003, 0.004, 0.005, 0.007,
    0.01, 0.014, 0.02, 0.025, 0.03, 0.04, 0.05, 0.07,
    0.1, 0.14, 0.2, 0.25, 0.3, 0.4, 0.5, 0.7,
    1.0, 1.4, 2.0, 2.5, 3.0, 4.0, 5.0, 7.0,
    10.0,
)  # fmt: skip
"""Upper bounds of the latency buckets; one more bucket holds what is slower. A bound that a person would choose for
a gate is one of them, and none is more than 1.43 times the one before it."""

Runtime = Literal["onnx", "skops", "xgboost", "lightgbm", "pickle", "custom"]
"""What runs a model: onnxruntime its compiled graph, scikit-learn the model as it was read by skops, a library of
boosted trees its own file, code of whoever made the bundle, or a class of the serving image."""

MalformedReason = Literal["type_error", "missing_column", "extra_column", "shape", "other"]
"""Why an inference request was refused."""


class LabelCounts(msgspec.Struct, frozen=True, omit_defaults=True):
    """Labels that came back for one revision's predictions, wherever they were posted."""

    labelled: float = 0.0
    """Σ 1/m over labelled rows."""
    correct: float = 0.0
    """Σ 1/m over rows whose prediction equals the label; 0 for a regressor."""
    error: float = 0.0
    """Of a regressor: Σ c/m, c being the absolute error, at most the cohort's `error_clip`."""
    error_2: float = 0.0
    """Σ c²/m."""
    error_4: float = 0.0
    """Σ c⁴/m."""


class BinCounts(msgspec.Struct, frozen=True):
    """Rows counted on the edges of one profile."""

    profile_hash: str
    features: list[float] = []
    """Σ 1/m per bin, all features one after the other in the profile's order."""
    prediction: list[float] = []
    """Σ 1/m per prediction bin."""


class QualityCounts(msgspec.Struct, frozen=True):
    """What was wrong with the values of the features, each list in the order of the pod's own profile."""

    profile_hash: str
    rows: float = 0.0
    """Σ 1/m over the rows that were looked at."""
    missing: list[float] = []
    """Σ 1/m per feature."""
    unseen: list[float] = []
    """Σ 1/m per feature: texts that are none of the categories that training listed or counted as `other`."""
    below: list[float] = []
    """Σ 1/m per feature: numbers below the training minimum less a tenth of the range."""
    above: list[float] = []
    """Σ 1/m per feature: numbers above the training maximum plus a tenth of the range."""


class SlotCounts(msgspec.Struct, frozen=True, omit_defaults=True):
    """One slot of time of a cohort: what was predicted in it, and which labels of it have come since."""

    start: int
    """Unix time in seconds at which the slot begins."""
    predictions: float = 0.0
    """Σ 1/m over the rows that this pod predicted in the slot."""
    labels: dict[str, LabelCounts] = {}
    """By revision name: labels posted to this pod for predictions made in the slot, by whichever pod."""


class ShadowCounts(msgspec.Struct, frozen=True):
    """Shadow traffic: on stable's pods what was sent, on the candidate's what was compared."""

    sent: int = 0
    """Taken by a pod of the candidate, which has counted it."""
    dropped: int = 0
    """Not sent: too big, the queue was full or the server behind, or no pod of the candidate took it in time."""
    received: int = 0
    failed: int = 0
    """Received, and the candidate gave no answer where stable had given one."""
    compared: float = 0.0
    """Σ 1/m over rows that stable answered, whether or not the candidate answered them."""
    agreed: float = 0.0
    """Σ 1/m over rows with the same answer. A row that the candidate cannot answer does not agree."""


class CohortStats(msgspec.Struct, frozen=True):
    """What this pod served and learnt under one cohort."""

    requests: int = 0
    """Inference requests answered, whatever the outcome; of one caller, where callers are told apart, the first."""
    predictions: float = 0.0
    """Σ 1/m over predicted rows: equals the requests that were answered with predictions."""
    rows: int = 0
    refused: int = 0
    """Requests answered 4xx."""
    failed: int = 0
    """Requests answered 5xx."""
    latency: list[int] = []
    """Requests per bucket of LATENCY_BOUNDS_SECONDS, the slowest bucket last."""
    labels: dict[str, LabelCounts] = {}
    """By revision name: the labels of this cohort that were posted to this pod."""
    error_clip: float | None = None
    """Of a regressor: what the errors of these labels were clipped at, in both arms; None where none came."""
    callers: int = 0
    """Callers told apart by their cookie, each counted once: with the first request that was answered."""
    repeated: int = 0
    """Further requests of callers that were counted already: they count nowhere else, but in the pod's `requests`."""
    connections: int = 0
    """Connections on which a request of this cohort came, but for those that an announcement asked to be made anew:
    they were drawn under another split."""
    shadow: ShadowCounts | None = None
    slot_seconds: int = 0
    """Length of the slots, a power of two times SLOT_SECONDS_MIN: it doubles when there would be too many."""
    slots: list[SlotCounts] = []
    """By the time of the prediction, rising, each start a multiple of slot_seconds; at most SLOTS_MAX."""
    quality: QualityCounts | None = None
    malformed: dict[str, int] = {}
    """The refused requests by MalformedReason: together as many as `refused`."""
    own_bins: BinCounts | None = None
    """Bins on the edges of the pod's own profile."""
    stable_bins: BinCounts | None = None
    """Bins on the edges of stable's profile; on stable's own pods the same counts as own_bins, or None."""


class PodStats(msgspec.Struct, frozen=True):
    """The whole document of one pod."""

    revision: str
    pod_uid: str
    started_at: str
    """Unique to this start of the process: time and a random part. Two equal values are one process."""
    format: int = STATS_FORMAT
    cohorts: dict[str, CohortStats] = {}
    cohorts_dropped: int = 0
    labels_refused: dict[str, int] = {}
    """Refused feedback by reason, all cohorts together."""
    requests: int = 0
    """Inference requests answered since the start, in any cohort or none."""
    in_flight: int = 0
    """Inference requests that are being answered."""
    idle_seconds: float = 0.0
    """Since the last inference request was answered, or since the start where none was; 0 while one is in flight."""
    runtime: Runtime | None = None
    """What runs the model; None from a pod of an earlier version."""
    runtime_reason: str = ""
    """Why it is not the compiled model that runs; empty where it is."""
    announced: Announced | None = None
    """The announcement that holds; None where there was none."""


def encode(stats: PodStats) -> bytes:
    """The document as JSON."""
    return msgspec.json.encode(stats)


def decode(data: bytes) -> PodStats:
    """Read a document.

    Raises:
        ValueError: the bytes are no stats document of a format this version reads; the text says where.
    """
    try:
        stats = msgspec.json.decode(data, type=PodStats)
    except msgspec.MsgspecError as error:
        raise ValueError(f"not a stats document: {error}") from error
    if stats.format != STATS_FORMAT:
        raise ValueError(f"stats format {stats.format} is not the one this operator reads ({STATS_FORMAT})")
    return stats

"""Ports, paths and headers between callers, the model server and the operator."""

INFERENCE_PORT = 8080
"""Inference and feedback. The only port that a routed Service may name."""

STATS_PORT = 8081
"""Stats, metrics and probes. Never in a routed Service."""

GRPC_PORT = 8082
"""Open Inference Protocol v2 over gRPC, where it is asked for."""

GRPC_SERVICE = "inference.GRPCInferenceService"
"""Of the Open Inference Protocol; its methods are called by HTTP/2 under a path of this name."""

INFERENCE_PATH_PREFIX = "/v2"
"""Open Inference Protocol v2: what the operator's own route names, beside PREDICT_PATH."""

PREDICT_PATH = "/v1/predict"
"""Rows and columns as people write them; the operator's own route names it beside the prefix."""

FEEDBACK_PATH = "/v1/feedback"
STATS_PATH = "/serin/v1/stats"
PROFILE_PATH = "/serin/v1/profile"
ANNOUNCEMENT_PATH = "/serin/v1/announcement"
MIRRORED_PATH = "/serin/v1/mirrored"
ROWS_PATH = "/serin/v1/rows"
METRICS_PATH = "/metrics"
OPENAPI_PATH = "/openapi.json"
DOCS_PATH = "/docs"
LIVE_PATH = "/v2/health/live"
READY_PATH = "/v2/health/ready"

COHORT_HEADER = "x-serin-cohort"
"""Set by the route on every split request and removed by it where nothing is split."""

REVISION_HEADER = "x-serin-revision"
"""Every answer of a model server names the revision that gave it."""

PREDICTION_ID_HEADER = "x-serin-prediction-id"
"""The signed prediction id, also in the answer's `parameters.prediction_id` (a long id stands there only)."""

REQUEST_ID_HEADER = "x-request-id"
"""The caller's or the gateway's name for a request: echoed, and in the log where something went wrong."""

PROBE_HEADER = "x-serin-probe"
"""Matched by a rule of the trial's own that leads to the candidate whatever its weight; it sets no cohort."""

STICKINESS_HEADER = "x-serin-stickiness"
"""Set by the route where callers stay with their arm: what the server needs to draw a cookie."""

JSON_LENGTH_HEADER = "inference-header-content-length"
"""Of the Open Inference Protocol: how much of a body with binary tensors is JSON."""

ANNOUNCEMENT_MAC_HEADER = "x-serin-announcement-mac"
MIRRORED_MAC_HEADER = "x-serin-mirrored-mac"
ROWS_MAC_HEADER = "x-serin-rows-mac"

STATS_BYTES_MAX = 8 * 1024 * 1024
PROFILE_BYTES_MAX = 900 * 1024
"""A profile must fit a ConfigMap (1 MiB) with room for its metadata."""

"""Labels, annotations, environment names and mount paths of the objects that Serin makes."""

GROUP = "serin.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
FIELD_MANAGER = "serin"
HANDOVER_FIELD_MANAGER = "serin-handover"
"""Owns the number of a Deployment's pods from the moment at which Serin leaves it to an autoscaler."""
STATUS_FIELD_MANAGER = "serin-status"

MANAGED_BY_LABEL = "serin.dev/managed-by"
MANAGED_BY = "serin"
DEPLOYMENT_LABEL = "serin.dev/deployment"
REVISION_LABEL = "serin.dev/revision"
PURPOSE_LABEL = "serin.dev/purpose"
"""`serve` on serving pods, `resolve` on the one-shot pod that reports a bundle's digest."""

SERVING_CONTAINER = "model"

ENV_DEPLOYMENT = "SERIN_DEPLOYMENT"
ENV_REVISION = "SERIN_REVISION"
ENV_POD_UID = "SERIN_POD_UID"
ENV_BUNDLE_DIR = "SERIN_BUNDLE_DIR"
ENV_BUNDLE_DIGEST = "SERIN_BUNDLE_DIGEST"
ENV_KEYS_FILE = "SERIN_KEYS_FILE"
ENV_STABLE_PROFILE_FILE = "SERIN_STABLE_PROFILE_FILE"
ENV_DRAIN_SECONDS = "SERIN_DRAIN_SECONDS"
ENV_LONGEST_REQUEST_SECONDS = "SERIN_LONGEST_REQUEST_SECONDS"
ENV_ACCESS_LOG = "SERIN_ACCESS_LOG"
ENV_ALLOW_PICKLE = "SERIN_ALLOW_PICKLE"
ENV_MODEL_CLASS = "SERIN_MODEL_CLASS"
"""Set in an image of the user's own: `module:Class`. A spec cannot set it."""
ENV_COMPILE = "SERIN_COMPILE"
"""`auto`, `never` or `require`; absent: auto."""

MODEL_MOUNT = "/mnt/model"
KEYS_MOUNT = "/etc/serin/keys"
KEYS_FILE = "keys.json"
STABLE_PROFILE_MOUNT = "/etc/serin/stable-profile"
STABLE_PROFILE_FILE = "profile.json"
TERMINATION_LOG = "/dev/termination-log"

DRAIN_SECONDS = 5
"""How long a server goes on accepting after SIGTERM, so that endpoint removal can spread."""

LONGEST_REQUEST_SECONDS = 30
"""How long an ending server waits for running requests once it accepts no more."""

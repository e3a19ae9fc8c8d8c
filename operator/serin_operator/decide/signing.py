"""The public keys that a spec names, as files of the containers that read its bundle."""

from __future__ import annotations

from typing import Any

from serin_contract import labels
from serin_operator.api.spec import Model

_VOLUME = "signers"


def variables(model: Model) -> dict[str, str]:
    """What tells a server to ask for a signature; nothing where none is asked for."""
    return {} if model.signed_by is None else {labels.ENV_SIGNERS_DIR: labels.SIGNERS_MOUNT}


def mounts(model: Model) -> list[dict[str, Any]]:
    """Where the keys lie in a container."""
    if model.signed_by is None:
        return []
    return [{"name": _VOLUME, "mountPath": labels.SIGNERS_MOUNT, "readOnly": True}]


def volumes(model: Model) -> list[dict[str, Any]]:
    """The ConfigMap or Secret; never optional, so that no pod starts without its keys."""
    asked = model.signed_by
    if asked is None:
        return []
    if asked.secret_name is not None:
        return [{"name": _VOLUME, "secret": {"secretName": asked.secret_name, "defaultMode": 0o440}}]
    return [{"name": _VOLUME, "configMap": {"name": asked.config_map_name, "defaultMode": 0o444}}]
